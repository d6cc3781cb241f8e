"""Rules over one reply or touchpoint and what is known of its customer, compiled once.

Which rules a record may be about costs one look-up (``records``); only those left test the customer's signals,
and only then are these worked out. With them goes what the book says of customers besides: rules over time
(``histories``), and what alerts have to pass (``contact``).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream.alerting.checks import check_of
from stream.alerting.contact import Reason
from stream.alerting.customer_claims import customer_claim
from stream.alerting.histories import HistoryRules
from stream.alerting.model import On, plain
from stream.alerting.records import SIGNAL, EventLike, RecordIndex, passes, value_of
from stream.alerting.when_rules import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.alerting.checks import Passes
    from stream.alerting.claims import Claim
    from stream.alerting.model import Check, CustomerRule, RuleBook
    from stream.alerting.records import Sort
    from stream.alerting.templates import Value

__all__ = ["CustomerRules", "EventLike", "Match", "Reason"]

_NO_SIGNALS: Final[Mapping[str, Any]] = {}


class Match(NamedTuple):
    """A rule whose tests the record passes; ``claim`` is None while the customer is in its cooldown."""

    rule: str
    reason: Reason
    claim: Claim | None


class _When(NamedTuple):
    """A rule, and its tests of the customer's signals."""

    rule: CustomerRule
    signals: tuple[tuple[str, Passes], ...]


class CustomerRules:
    """What a book says about customers, ready to match.

    Attributes:
        book: The book.
        rules: Its rules on single records, by name.
        history: Its rules over time.
        empty: Whether it says nothing about customers.
        signals: Names of the customer's signals that rules on records look at.
    """

    def __init__(self, book: RuleBook) -> None:
        self.book: Final = book
        self.rules: Final = {rule.alert: rule for rule in book.customer_rules}
        self.history: Final = HistoryRules(book)
        self.empty: Final = not (book.customer_rules or book.history_rules)
        self._over_time = bool(book.history_rules)
        self._looks = self.history.looks
        self._cooldowns = {rule.alert: rule.cooldown_ms for rule in book.customer_rules}
        self._on = {rule.alert: rule.on for rule in book.customer_rules}
        compiled = [_when(rule) for rule in book.customer_rules]
        self._index = RecordIndex((one.rule.on, one.rule.tests, one) for one in compiled)
        self.signals: Final = frozenset(name for one in compiled for name, _ in one.signals)

    @classmethod
    def of(cls, book: RuleBook) -> CustomerRules | None:
        """The rules of a book; None where it has none about customers."""
        return cls(book) if book.customer_rules or book.history_rules else None

    def match(
        self, event: EventLike, signals: Callable[[], Mapping[str, Any]], fired: Mapping[str, int]
    ) -> tuple[Match, ...]:
        """The rules on single records that a record passes, in the order of the file.

        Args:
            event: a reply (it has a metric) or a touchpoint.
            signals: works out the customer's signals, the record included; called at most once.
            fired: when (event time) rules last fired for this customer, as ``remember`` keeps it.
        """
        left = self._index.likely(event)
        return self._finish(event, left, signals, fired) if left else ()

    def concerned(self, event: EventLike) -> bool:
        """Whether some rule has to look closer; False for most records, at the cost of one look-up."""
        if self._looks:
            return True
        return bool(self._index.likely(event)) or (self._over_time and self.history.concerned(event))

    def remember(self, fired: Mapping[str, int], matches: Iterable[Match], time_ms: int) -> dict[str, int]:
        """``fired`` after these matches of one record: only rules with a cooldown, only while it lasts.

        Only rules on records of its own sort are forgotten: replies and touchpoints usually come from two
        topics, and how far one is ahead of the other must not decide what is still in a cooldown.
        """
        known = self._cooldowns
        matches = tuple(matches)
        sort = self._on[matches[0].rule] if matches else None
        kept = {
            name: at
            for name, at in fired.items()
            if name in known and (at + known[name] > time_ms or sort not in (None, self._on[name]))
        }
        for match in matches:
            if match.claim is not None and known[match.rule]:
                kept[match.rule] = max(time_ms, fired.get(match.rule, time_ms))
        return kept

    @staticmethod
    def _finish(
        event: EventLike,
        left: tuple[Sort[_When], ...],
        signals: Callable[[], Mapping[str, Any]],
        fired: Mapping[str, int],
    ) -> tuple[Match, ...]:
        known: Mapping[str, Any] | None = None
        matches = []
        for sort in left:
            if sort.own and not passes(sort, event):
                continue
            rule, asked = sort.of
            if asked:
                known = signals() if known is None else known
                if not all(test(known.get(name)) for name, test in asked):
                    continue
            last = fired.get(rule.alert)
            if last is not None and rule.cooldown_ms and event.time_ms < last + rule.cooldown_ms:
                matches.append(Match(rule.alert, Reason.IN_COOLDOWN, None))
            else:
                claim = _claim(rule, event, known or _NO_SIGNALS)
                matches.append(Match(rule.alert, Reason.MATCHED, claim))
        return tuple(matches)


def _when(rule: CustomerRule) -> _When:
    tests = [test for test in rule.tests if test.field.startswith(SIGNAL)]
    return _When(rule, tuple((test.field.removeprefix(SIGNAL), check_of(test)) for test in tests))


def _claim(rule: CustomerRule, event: EventLike, signals: Mapping[str, Any]) -> Claim:
    seen: dict[str, Value] = {name: value_of(event, name) for name in sorted(SHOWN[rule.on])}
    for test in rule.tests:
        if test.field.startswith(SIGNAL):
            seen[test.field] = signals.get(test.field.removeprefix(SIGNAL))
    reply = rule.on is On.REPLY
    figures = {
        "on": str(rule.on),
        "signal": event.metric if reply else event.kind,
        "value": seen["score" if reply else "value"],
        "event_id": event.event_id,
        "reasons": _reasons(rule.tests, event, seen),
    }
    at_ms, cause = event.time_ms, event.event_id
    return customer_claim(rule, event.customer_id, at_ms, cause, str(Reason.MATCHED), figures, seen)


def _reasons(tests: Iterable[Check], event: EventLike, seen: Mapping[str, Value]) -> list[dict[str, Any]]:
    """One object a field: what it was, and every test it passed. Never what a person wrote."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for test in tests:
        reason = found[test.field]
        if not reason:
            reason["field"] = test.field
            if test.field != "comment":
                reason["value"] = seen[test.field] if test.field in seen else value_of(event, test.field)
        reason[str(test.op)] = plain(test.operand)
    return list(found.values())
