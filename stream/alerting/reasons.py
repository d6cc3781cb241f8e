"""Every reason a decision or an alert can have, in words for people: why, and what has to happen next.

The reasons themselves belong to those who decide. This list is what ``cx alerts explain`` and docs/why.md say of
them; a test holds both against the code.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Words(NamedTuple):
    """``why`` is a clause; ``then`` says what has to happen for an alert, or what to do. Empty: nothing."""

    why: str
    then: str = ""


#: Who decides -> reason -> words. One reason means the same whoever gives it.
REASONS: Final[Mapping[str, Mapping[str, Words]]] = MappingProxyType(
    {
        "a rule over a window": {
            "ok": Words("the value is on the good side of the line", "the value has to cross the line"),
            "no_data": Words("there is nothing in the window", "something has to come in"),
            "not_enough_replies": Words(
                "the window has fewer replies than `min_n`, or too few for an interval",
                "more replies have to come, or `min_n` be lower",
            ),
            "no_interval": Words(
                "the value has no interval, and the rule asks for one", "take `evidence` out of the rule"
            ),
            "interval_straddles": Words(
                "the value crosses the line, its interval does not: it may be chance",
                "more replies have to say the same, or the value lie further beyond",
            ),
            "not_enough_evidence": Words(
                "the value crosses the line, and the evidence for it is not yet what the rule asks for",
                "it has to go on, or the value lie further beyond",
            ),
            "still_pending": Words(
                "it crosses, and the time of `for` is not over", "it has to go on for that long"
            ),
            "in_cooldown": Words(
                "it fired before, and the time of `cooldown` is not over", "the cooldown has to end"
            ),
            "first_crossing": Words("the line was crossed, with the evidence that the rule asks for"),
            "still_firing": Words("it still fires"),
            "kept_firing": Words("the value is back, and the time of `keep_firing` is not over"),
            "data_again": Words("something is heard again, and it still fires"),
            "resolved": Words("the value is back"),
            "late_data": Words("late data changed what was known of that time"),
            "rule_removed": Words("the rule is gone, or no longer about this"),
        },
        "a rule over a customer": {
            "matched": Words("a record passed every test of the rule"),
            "overdue": Words("what was to come did not come in time"),
            "completed": Words("the last step of the sequence came"),
            "count_reached": Words("there were as many as the rule asks for"),
            "began_to_hold": Words("the customer's signals began to be as the rule says"),
            "no_longer_holds": Words("the customer's signals are no longer as the rule says"),
            "came_late": Words("what was to come has come, after its time"),
            "quiet_hours": Words("it is waiting for the end of the quiet hours", "they have to end"),
            "capped": Words(
                "the customer had as many alerts with an action as `contact` allows",
                "time has to pass since the earlier ones",
            ),
            "held_out": Words("it was told, its action is withheld, to learn what acting is worth"),
            "no_reference": Words("the record has no `ref`, and the rule ties records by it", "send a `ref`"),
            "beyond_history": Words("the record is older than what is kept of the customer"),
            "over_capacity": Words("more is open for this customer than is kept; the oldest was let go"),
        },
        "what is told of alerts": {
            "told": Words("it was told"),
            "grouped": Words("it waits to be told together with its group", "the group's time has to come"),
            "silenced": Words("a silence keeps it back", "the silence has to end: cx silences expire ID"),
            "inhibited": Words(
                "another alert that fires keeps it back", "that alert has to be over: see `fingerprint`"
            ),
            "rate_limited": Words(
                "its rule has told as many alerts as its `limit` allows; a summary tells of the rest",
                "time has to pass since the earlier ones",
            ),
            "storm": Words(
                "so many alerts came at once that a summary took their place", "the storm has to be over"
            ),
            "over_before_told": Words("it was over before it could be told"),
            "silence_ended": Words("the silence is over, and it still fires"),
            "inhibition_ended": Words("the alert that kept it back is over, and it still fires"),
            "limit_ended": Words("its rule may tell alerts again, and it still fires"),
            "storm_ended": Words("the storm is over, and it still fires"),
            "rate_limited_summary": Words("what the rule's `limit` kept back, as a sum"),
            "storm_summary": Words("what the storm kept back, as a sum"),
        },
    }
)
_BY_REASON: Final = {reason: words for group in REASONS.values() for reason, words in group.items()}


def words_of(reason: str) -> Words:
    """What a reason means; one that is not known says itself."""
    return _BY_REASON.get(reason) or Words(reason.replace("_", " "))
