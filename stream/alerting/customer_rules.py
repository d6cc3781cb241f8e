"""Rules over one reply or touchpoint and what is known of its customer, compiled once.

Tests on fields with few distinct values (metric, kind, score, slices, ...) depend on nothing else, so
which rules pass them is remembered per combination of those values: however many rules there are, most
records cost one look-up. Only the rules left over test the rest (``value``, ``ref``, ``attributes.*``
and ``customer.*``), and only then are the customer's signals worked out.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from schemas import format_ms
from stream.alerting.checks import check_of
from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.metric_claims import action_of
from stream.alerting.model import On, plain
from stream.alerting.when_rules import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.alerting.checks import Passes
    from stream.alerting.model import Check, CustomerRule, RuleBook
    from stream.alerting.templates import Value

_FEW: Final = frozenset(
    {"metric", "kind", "score", "question", "pillar", "survey", "currency",
     "segment", "stage", "touchpoint", "channel", "product", "variant", "region"}
)  # fmt: skip
_SIGNAL: Final = "customer."
_ATTRIBUTE: Final = "attributes."
_REMEMBERED: Final = 50_000


class EventLike(Protocol):
    """What every record has; the fields a rule names are looked up by name."""

    @property
    def event_id(self) -> str: ...  # noqa: D102
    @property
    def customer_id(self) -> str: ...  # noqa: D102
    @property
    def time_ms(self) -> int: ...  # noqa: D102
    @property
    def metric(self) -> str | None: ...  # noqa: D102
    @property
    def kind(self) -> str | None: ...  # noqa: D102


class Reason(StrEnum):
    """Why a record that passes a rule's tests became an alert, or did not."""

    MATCHED = "matched"
    IN_COOLDOWN = "in_cooldown"


class Match(NamedTuple):
    """A rule whose tests the record passes; ``claim`` is None while the customer is in its cooldown."""

    rule: str
    reason: Reason
    claim: Claim | None


class _Compiled(NamedTuple):
    """A rule's tests by what they cost: few values, the record's other fields, the customer's signals."""

    rule: CustomerRule
    cheap: tuple[tuple[str, Passes], ...]
    own: tuple[tuple[str, Passes], ...]
    signals: tuple[tuple[str, Passes], ...]


class CustomerRules:
    """The customer rules of a book, ready to match."""

    def __init__(self, book: RuleBook) -> None:
        self._cooldowns = {rule.alert: rule.cooldown_ms for rule in book.customer_rules}
        self._on = {rule.alert: rule.on for rule in book.customer_rules}
        compiled = [_compile(rule) for rule in book.customer_rules]
        self._replies = [one for one in compiled if one.rule.on is On.REPLY]
        self._touchpoints = [one for one in compiled if one.rule.on is On.TOUCHPOINT]
        tested = sorted({name for one in compiled for name, _ in one.cheap} - {"metric", "kind"})
        # Two names at least: with one, attrgetter would return a bare value.
        self._key: Callable[[EventLike], tuple[Any, ...]] = attrgetter("metric", "kind", *tested)
        self._left: dict[tuple[Any, ...], tuple[_Compiled, ...]] = {}
        #: Names of the customer's signals that the rules look at.
        self.signals = frozenset(name for one in compiled for name, _ in one.signals)

    def match(
        self, event: EventLike, signals: Callable[[], Mapping[str, Any]], fired: Mapping[str, int]
    ) -> tuple[Match, ...]:
        """The rules a record passes, in the order of the file.

        Args:
            event: a reply (it has a metric) or a touchpoint.
            signals: works out the customer's signals, the record included; called at most once.
            fired: when (event time) rules last fired for this customer, as ``remember`` keeps it.
        """
        left = self._candidates(event)
        return self._finish(event, left, signals, fired) if left else ()

    def concerned(self, event: EventLike) -> bool:
        """Whether ``match`` has to look closer; False for most records, at the cost of one look-up."""
        return bool(self._candidates(event))

    def _candidates(self, event: EventLike) -> tuple[_Compiled, ...]:
        if not (self._touchpoints if event.metric is None else self._replies):
            return ()
        key = self._key(event)
        left = self._left.get(key)
        return self._narrow(event, key) if left is None else left

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

    def _narrow(self, event: EventLike, key: tuple[Any, ...]) -> tuple[_Compiled, ...]:
        candidates = self._touchpoints if event.metric is None else self._replies
        left = tuple(
            one for one in candidates if all(passes(getattr(event, name)) for name, passes in one.cheap)
        )
        if len(self._left) >= _REMEMBERED:
            self._left.clear()
        self._left[key] = left
        return left

    @staticmethod
    def _finish(
        event: EventLike,
        left: tuple[_Compiled, ...],
        signals: Callable[[], Mapping[str, Any]],
        fired: Mapping[str, int],
    ) -> tuple[Match, ...]:
        known: Mapping[str, Any] | None = None
        matches = []
        for rule, _, own, asked in left:
            if own and not all(passes(_value(event, name)) for name, passes in own):
                continue
            if asked and known is None:
                known = signals()
            for name, passes in asked:
                if known is None or not passes(known.get(name)):
                    break
            else:
                last = fired.get(rule.alert)
                if last is not None and rule.cooldown_ms and event.time_ms < last + rule.cooldown_ms:
                    matches.append(Match(rule.alert, Reason.IN_COOLDOWN, None))
                else:
                    claim = _claim(rule, event, known or {})
                    matches.append(Match(rule.alert, Reason.MATCHED, claim))
        return tuple(matches)


def _compile(rule: CustomerRule) -> _Compiled:
    cheap, own, signals = [], [], []
    for test in rule.tests:
        passes = check_of(test)
        if test.field in _FEW:
            cheap.append((test.field, passes))
        elif test.field.startswith(_SIGNAL):
            signals.append((test.field.removeprefix(_SIGNAL), passes))
        else:
            own.append((test.field, passes))
    return _Compiled(rule, tuple(cheap), tuple(own), tuple(signals))


def _value(event: EventLike, name: str) -> Any:
    if name.startswith(_ATTRIBUTE):
        attributes: Mapping[str, Any] | None = getattr(event, "attributes", None)
        return None if attributes is None else attributes.get(name.removeprefix(_ATTRIBUTE))
    return getattr(event, name)


def _claim(rule: CustomerRule, event: EventLike, signals: Mapping[str, Any]) -> Claim:
    subject = f"customer:{event.customer_id}"
    labels = dict(rule.labels)
    mark = fingerprint(rule.alert, labels, subject)
    at = event.time_ms
    seen: dict[str, Value] = {name: _value(event, name) for name in sorted(SHOWN[rule.on])}
    for test in rule.tests:
        if test.field.startswith(_SIGNAL):
            seen[test.field] = signals.get(test.field.removeprefix(_SIGNAL))
    reply = rule.on is On.REPLY
    values: dict[str, Value] = {
        **labels,
        **seen,
        "alert": rule.alert,
        "customer": event.customer_id,
        "severity": str(rule.severity),
        "as_of": format_ms(at),
    }
    return Claim(
        id=claim_id(mark, "firing", at, event.event_id),
        alert=rule.alert,
        subject=subject,
        state="firing",
        reason=str(Reason.MATCHED),
        severity=str(rule.severity),
        fingerprint=mark,
        labels=labels,
        annotations={name: template.render(values) for name, template in rule.annotations},
        starts_at_ms=at,
        ends_at_ms=None,
        as_of_ms=at,
        figures={
            "on": str(rule.on),
            "signal": event.metric if reply else event.kind,
            "value": seen["score" if reply else "value"],
            "event_id": event.event_id,
            "reasons": _reasons(rule.tests, event, seen),
        },
        action=action_of(rule.action, at),
    )


def _reasons(tests: Iterable[Check], event: EventLike, seen: Mapping[str, Value]) -> list[dict[str, Any]]:
    """One object a field: what it was, and every test it passed. Never what a person wrote."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for test in tests:
        reason = found[test.field]
        if not reason:
            reason["field"] = test.field
            if test.field != "comment":
                reason["value"] = seen[test.field] if test.field in seen else _value(event, test.field)
        reason[str(test.op)] = plain(test.operand)
    return list(found.values())
