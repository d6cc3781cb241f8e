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


#: Reasons of a rule over a window, one over a customer, and of what is told of alerts, in this order.
REASONS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "ok": Words("the value is on the good side of the line", "the value has to cross the line"),
        "no_data": Words("there is no value in the window", "something has to come in"),
        "not_enough_replies": Words(
            "the window has fewer replies than `min_n`, or too few for an interval",
            "more replies have to come, or `min_n` be lower",
        ),
        "no_interval": Words("the value has no interval, and the rule asks for one", "drop `evidence`"),
        "interval_straddles": Words(
            "the value crosses the line, its interval does not: it may be chance",
            "more replies have to say the same, or the value lie further beyond",
        ),
        "still_pending": Words("it crosses, and the time of `for` is not over", "it has to go on that long"),
        "in_cooldown": Words(
            "it fired before, and the time of `cooldown` is not over", "the cooldown has to end"
        ),
        "first_crossing": Words("the line was crossed, with the evidence the rule asks for"),
        "still_firing": Words("it fires, and has been told"),
        "resolved": Words("it is over: the value is back"),
        "replayed": Words("it was decided before and was read again after a restart"),
        "matched": Words("a record passed every test of the rule"),
    }
)


def words_of(reason: str) -> Words:
    """What a reason means; one that is not known says itself."""
    return REASONS.get(reason) or Words(reason.replace("_", " "))
