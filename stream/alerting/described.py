"""What a rule says, in one sentence: when it fires, and when what fires is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.alerting.durations import duration_text
from stream.alerting.model import (
    CountRule,
    CustomerRule,
    Direction,
    Evidence,
    Kind,
    MetricRule,
    On,
    Op,
    SequenceRule,
    SignalRule,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.model import Check, Pattern, Rule

_OPS: Final = {
    Op.EQ: "is",
    Op.NE: "is not",
    Op.LT: "is below",
    Op.LTE: "is at most",
    Op.GT: "is above",
    Op.GTE: "is at least",
    Op.IN: "is one of",
}


def fires_when(rule: Rule) -> str:
    """What has to be so for the rule to fire; no full stop at the end."""
    if isinstance(rule, MetricRule):
        return _metric(rule)
    if isinstance(rule, CustomerRule):
        return f"one {rule.on} arrives whose {_tests(rule.tests)}"
    if isinstance(rule, CountRule):
        within = duration_text(rule.within_ms)
        return f"one customer has {rule.at_least} of {_pattern(rule.of)} within {within}"
    if isinstance(rule, SequenceRule):
        return _sequence(rule)
    if isinstance(rule, SignalRule):
        return f"a customer's {_tests(rule.tests)}, where it was not so before"
    raise TypeError(type(rule).__name__)


def over_when(rule: Rule) -> str | None:
    """What ends an alert of the rule; None where nothing does."""
    if isinstance(rule, MetricRule):
        later = f", and {duration_text(rule.keep_firing_ms)} more have passed" if rule.keep_firing_ms else ""
        enough = f" on at least {rule.min_n} {_observed(rule)}" if rule.min_n > 1 else ""
        if rule.kind is Kind.NO_DATA:
            return f"something is heard of {rule.metric} again{later}"
        if rule.resolve_at is not None:
            side = "above" if rule.kind is Kind.BELOW else "below"
            return f"{rule.metric} over {rule.window} is {side} {rule.resolve_at:g}{enough}{later}"
        return f"that is no longer so{enough}{later}"
    if isinstance(rule, SequenceRule) and rule.unless is not None:
        return f"{_pattern(rule.unless)} comes after all"
    if isinstance(rule, SignalRule):
        return f"the customer's {_tests(rule.tests)} no longer"
    return None


def where_of(rule: Rule) -> str:
    """Of which slices or customers the rule is judged."""
    if not isinstance(rule, MetricRule):
        return "for each customer"
    free = [name for name in rule.grouping if name not in dict(rule.where)]
    parts = []
    if free:
        parts.append(f"for each {' and '.join(free)}")
    if rule.where:
        parts.append("where " + " and ".join(f"{name} is {value}" for name, value in rule.where))
    return " ".join(parts) or "for everyone together"


def _metric(rule: MetricRule) -> str:
    if rule.kind is Kind.NO_DATA:
        return f"nothing is heard of {rule.metric} for {duration_text(rule.no_data_ms)}, having been heard of"
    if rule.change is not None:
        way = "falls" if rule.change.direction is Direction.DOWN else "rises"
        return (
            f"the mean of {rule.metric} {way} against that of the last {rule.change.reference}; it is told with at"
            f" most one false alarm in {rule.change.one_false_alarm_per:g} {_observed(rule)} on average"
        )
    said = _line(rule)
    if rule.evidence is Evidence.INTERVAL:
        said += f", with the whole of its {_percent(rule.confidence)} interval"
    elif rule.evidence is Evidence.ANYTIME:
        said += f", by evidence that is {1 / (1 - rule.confidence):.4g} to 1 however often it is looked at"
    if rule.min_n > 1:
        said += f", on at least {rule.min_n} {_observed(rule)}"
    if rule.for_ms:
        said += f", for {duration_text(rule.for_ms)} without a break"
    return said


def _line(rule: MetricRule) -> str:
    if rule.burn is not None:
        lines = " or ".join(f"{line.rate:g} over {line.long} and {line.short}" for line in rule.burn.lines)
        return (
            f"the budget of {100 - rule.burn.goal:g} % of {rule.metric} that need not be good burns at least this"
            f" many times as fast as it may: {lines}"
        )
    if rule.kind in (Kind.DROP, Kind.RISE):
        side = "below" if rule.kind is Kind.DROP else "above"
        return (
            f"{rule.metric} over the last {rule.window} is {rule.threshold:g} points or more {side}"
            f" {_earlier(rule.baseline or rule.window)}"
        )
    return f"{rule.metric} over the last {rule.window} is {rule.kind} {rule.threshold:g}"


def _earlier(baseline: str) -> str:
    window, _, ago = baseline.partition("@")
    if not ago:
        return f"that of the last {window}"
    return f"the same {window} {' and '.join(ago.split(','))} ago"


def _observed(rule: MetricRule) -> str:
    return "replies" if rule.metric in {"nps", "csat", "ces", "loyalty", "engagement"} else "observations"


def _percent(share: float) -> str:
    return f"{share * 100:.6g} %"


def _sequence(rule: SequenceRule) -> str:
    steps = ", then ".join(_pattern(step) for step in rule.steps)
    same = " of the same ref" if rule.same_ref else ""
    time = f"within {duration_text(rule.within_ms)}"
    if rule.unless is None:
        return f"one customer has {steps}{same}, all {time}"
    if rule.due_at:
        time = "by the time it is due"
    return f"one customer has {steps}, and no {_pattern(rule.unless)}{same} {time}"


def _pattern(pattern: Pattern) -> str:
    tests = list(pattern.tests)
    name = "reply" if pattern.on is On.REPLY else "touchpoint"
    for test in tests:
        if test.field in {"kind", "metric"} and test.op is Op.EQ:
            tests.remove(test)
            name = str(test.operand) if test.field == "kind" else f"{test.operand} reply"
            break
    return f"{name} whose {_tests(tests)}" if tests else name


def _tests(tests: Iterable[Check]) -> str:
    return " and ".join(_test(test) for test in tests)


def _test(test: Check) -> str:
    name = test.field.removeprefix("customer.") if test.field.startswith("customer.") else test.field
    if test.op is Op.EXISTS:
        return f"{name} {'is' if test.operand else 'is not'} there"
    operand = test.operand
    shown = ", ".join(str(each) for each in operand) if isinstance(operand, tuple) else str(operand)
    return f"{name} {_OPS[test.op]} {shown}"
