"""Rules over time, compiled once: what they look at, how a history is walked, and what tells one from another."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stream.alerting.checks import check_of
from stream.alerting.history_claims import shown_names
from stream.alerting.model import CountRule, SequenceRule, plain
from stream.alerting.records import SIGNAL
from stream.alerting.sequences import CountWalk, SequenceWalk

if TYPE_CHECKING:
    from stream.alerting.checks import Passes
    from stream.alerting.model import HistoryRule, Pattern, SignalRule
    from stream.alerting.records import EventLike
    from stream.alerting.sequences import Walk
    from stream.alerting.watch import Moment

_TICKETS: Final = ("ticket_opened", "ticket_resolved", "ticket_reopened")
_BUYING: Final = frozenset(
    {"frequency", "recency_days", "days_since_first_purchase", "spend", "mean_spend", "currencies", "p_alive",
     "expected_purchases", "expected_value"}
)  # fmt: skip
#: Signals that take more to work out than others.
_COMPUTED: Final = frozenset({"churn_probability", "p_alive", "expected_purchases", "expected_value"})
SPOKEN: Final = (None, *_TICKETS, "purchase", "")
"""Kinds of records that tell on signals of their own: None is a reply, "" any other kind."""


class History(NamedTuple):
    """A rule over records. ``mark`` is its identity: another where anything but its texts is another."""

    mark: int
    rule: SequenceRule | CountRule
    walk: Walk
    same_ref: bool
    lives: bool
    shown: tuple[str, ...]


class Looking(NamedTuple):
    """A rule over signals; ``mark`` as of ``History``. Of its tests the cheapest come first."""

    mark: int
    rule: SignalRule
    tests: tuple[tuple[str, Passes], ...]


def moment_of(history: History, sorts: int, event: EventLike) -> Moment:
    """What is kept of a record; of one that begins nothing only when it was."""
    begins = isinstance(history.rule, CountRule) or sorts & 1
    if not begins:
        return event.time_ms, sorts, "", 0, ()
    due_ms = getattr(event, "due_ms", None) or 0
    shown = tuple(getattr(event, name, None) or "" for name in history.shown)
    return event.time_ms, sorts, event.event_id, due_ms, shown


def patterns_of(rule: SequenceRule | CountRule) -> tuple[Pattern, ...]:
    """The sorts of records a rule is about, in the order of their bits."""
    if isinstance(rule, CountRule):
        return (rule.of,)
    return rule.steps if rule.unless is None else (*rule.steps, rule.unless)


def compiled(rule: SequenceRule | CountRule) -> History:
    """A rule over records, ready."""
    said = [
        [str(pattern.on), [[test.field, str(test.op), plain(test.operand)] for test in pattern.tests]]
        for pattern in patterns_of(rule)
    ]
    names = shown_names(rule)
    if isinstance(rule, CountRule):
        mark = _mark(rule, [said, rule.within_ms, rule.at_least])
        return History(mark, rule, CountWalk(rule), same_ref=False, lives=False, shown=names)
    lives = rule.unless is not None
    mark = _mark(rule, [said, rule.within_ms, rule.same_ref, rule.due_at, lives])
    return History(mark, rule, SequenceWalk(rule), rule.same_ref, lives, names)


def looking(rule: SignalRule) -> Looking:
    """A rule over signals, ready."""
    tests = [(test.field.removeprefix(SIGNAL), check_of(test)) for test in rule.tests]
    tests.sort(key=lambda test: test[0] in _COMPUTED)
    said = [[test.field, str(test.op), plain(test.operand)] for test in rule.tests]
    return Looking(_mark(rule, said), rule, tuple(tests))


def _mark(rule: HistoryRule, said: list[Any]) -> int:
    text = msgspec.json.encode([type(rule).__name__, rule.alert, rule.labels, said])
    return int.from_bytes(sha256(text).digest()[:8], "big") or 1


def tells(kind: str | None, signal: str) -> bool:
    """Whether a record of a kind may make a signal another; what time alone does, time is looked at for."""
    if signal.endswith(("_tickets", "ticket_days")):
        return kind in _TICKETS
    if signal in _BUYING:
        return kind == "purchase"
    if signal.startswith("last_") or (signal.startswith("days_since_") and not _since_any(signal)):
        return kind is None
    return True


def _since_any(signal: str) -> bool:
    return signal in {"days_since_first", "days_since_last"}
