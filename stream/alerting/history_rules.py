"""Reads rules over what one customer does over time: ``expect``, ``sequence``, ``count`` and ``customer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.alerting.model import CountRule, HistoryRule, On, Pattern, SequenceRule, SignalRule
from stream.alerting.parts import COMMON_FIELDS, common
from stream.alerting.when_rules import pattern_of, signals_of
from stream.measures.slices import DIMENSIONS

if TYPE_CHECKING:
    from stream.alerting.parts import Draft, Limits
    from stream.alerting.reading import Place

KINDS: Final = ("expect", "sequence", "count", "customer")
EXPECT_FIELDS: Final = ("after", "then", "same", "within")
SEQUENCE_FIELDS: Final = ("steps", "unless", "same", "within")
COUNT_FIELDS: Final = ("of", "at_least", "within")
HISTORY_FIELDS: Final = ("alert", *KINDS, "every", *COMMON_FIELDS)
# Of the record that was waited for nothing is known; of those that came their time and what ties them together.
PLACEHOLDERS: Final = frozenset({"alert", "customer", "severity", "as_of", "state", "starts_at"})
SEQUENCE_PLACEHOLDERS: Final = frozenset({"ref", "within"})
COUNT_PLACEHOLDERS: Final = frozenset({"count", "within"})

DUE_AT: Final = "due_at"
LONGEST_MS: Final = 90 * 86_400_000
"""As long as anything waits; also of what is due at its own time."""
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000
_MOST_STEPS: Final = 8
_MOST_COUNTED: Final = 100


def history_rule(draft: Draft, fields: dict[str, Place], limits: Limits) -> HistoryRule:
    """One rule of these kinds, checked."""
    kind = next(kind for kind in KINDS if kind in fields)
    for other in KINDS:
        if other != kind and other in fields:
            raise fields[other].error(f"a rule has one of {', '.join(KINDS)}; {kind} is given too")
    if "every" in fields and kind != "customer":
        raise fields["every"].error("goes with `customer` only: other rules look when something is due")
    if kind == "customer":
        return _signal_rule(draft, fields, limits)
    if kind == "count":
        return _count_rule(draft, fields, limits)
    return _sequence_rule(draft, fields, fields[kind], limits)


def _sequence_rule(draft: Draft, fields: dict[str, Place], place: Place, limits: Limits) -> SequenceRule:
    unless: Pattern | None
    if "expect" in fields:
        said = place.mapping(EXPECT_FIELDS, what="after, then and within")
        _needs(place, said, ("after", "then", "within"))
        places = [said["after"]]
        last: Place | None = said["then"]
    else:
        said = place.mapping(SEQUENCE_FIELDS, what="steps and within")
        _needs(place, said, ("steps", "within"))
        places = said["steps"].items("a list of records such as [{kind: cart_started}]")
        last = said.get("unless")
        if not 1 <= len(places) <= _MOST_STEPS:
            raise said["steps"].error(f"must have 1 to {_MOST_STEPS} steps, has {len(places)}")
        if len(places) == 1 and last is None:
            raise said["steps"].error("one step alone is no sequence; name a second, or `unless`")
    steps = tuple(pattern_of(step) for step in places)
    unless = None if last is None else pattern_of(last)
    same_ref = "same" in said
    if same_ref:
        said["same"].choice(("ref",), "field that ties records together")
        for step, at in zip((*steps, unless), (*places, last), strict=True):
            if step is not None and at is not None and step.on is On.REPLY:
                raise at.error("a reply has no ref, so nothing ties it to the others; drop `same`")
    due_at = _is_due_at(said["within"])
    if due_at and (unless is None or steps[0].on is On.REPLY):
        raise said["within"].error(
            "only what is waited for after a touchpoint is due: replies carry no due_at"
        )
    if not due_at and said["within"].duration(least=1) > LONGEST_MS:
        raise said["within"].error("is longer than 90d")
    placeholders = PLACEHOLDERS | SEQUENCE_PLACEHOLDERS | set(DIMENSIONS)
    return SequenceRule(
        steps=steps,
        unless=unless,
        same_ref=same_ref,
        within_ms=LONGEST_MS if due_at else said["within"].duration(least=1),
        due_at=due_at,
        **common(draft, fields, placeholders, limits.language),
    )


def _count_rule(draft: Draft, fields: dict[str, Place], limits: Limits) -> CountRule:
    place = fields["count"]
    said = place.mapping(COUNT_FIELDS, what="of, at_least and within")
    _needs(place, said, COUNT_FIELDS)
    within_ms = said["within"].duration(least=1)
    if within_ms > LONGEST_MS:
        raise said["within"].error("is longer than 90d")
    return CountRule(
        of=pattern_of(said["of"]),
        at_least=said["at_least"].integer(2, _MOST_COUNTED),
        within_ms=within_ms,
        **common(draft, fields, PLACEHOLDERS | COUNT_PLACEHOLDERS | set(DIMENSIONS), limits.language),
    )


def _signal_rule(draft: Draft, fields: dict[str, Place], limits: Limits) -> SignalRule:
    tests = signals_of(fields["customer"], limits)
    every_ms = _DAY_MS
    if "every" in fields:
        every_ms = fields["every"].duration(least=1)
        if every_ms < _MINUTE_MS:
            raise fields["every"].error("must be a minute or more")
    return SignalRule(
        tests=tests,
        every_ms=every_ms,
        **common(draft, fields, PLACEHOLDERS | {test.field for test in tests}, limits.language),
    )


def _is_due_at(place: Place) -> bool:
    return place.is_scalar and not place.is_empty and place.scalar() == DUE_AT


def _needs(place: Place, said: dict[str, Place], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in said:
            hint = f"missing; a duration such as 24h, or {DUE_AT}" if name == "within" else "missing"
            raise place.missing(name, hint)
