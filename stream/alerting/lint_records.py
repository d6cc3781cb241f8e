"""Warnings about rules over customers: tests that no record passes, and kinds that look mistyped."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from schemas import SCALES
from stream.alerting.checks import check_of
from stream.alerting.model import CountRule, CustomerRule, Op, SequenceRule, SignalRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.model import Check, Rule, RuleBook

Said = tuple[int, str | None, str, str]
"""Line, rule, field, problem."""

KINDS: Final = (
    "purchase", "ticket_opened", "ticket_resolved", "ticket_reopened", "queue_entered", "queue_served",
    "queue_abandoned", "cart_started", "checkout_started", "promise_made", "promise_kept", "subscription_started",
    "subscription_cancelled", "session_started", "support_session", "self_service_answered", "acquisition_spend",
)  # fmt: skip
"""Kinds of touchpoints that mean something to a metric or signal. Any other may be used, too."""

# What is never outside of 0..1.
_SHARES: Final = frozenset({"customer.churn_probability", "customer.p_alive"})
_ORDER: Final = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
_ALIKE: Final = 0.85


def record_remarks(book: RuleBook) -> Iterator[Said]:
    """All warnings about rules over one record, and over what a customer does over time."""
    declared = (
        kind for each in book.declared.journeys for kind in (*each.begun, *each.finished, *each.abandoned)
    )
    known = {*KINDS, *declared}
    for rule in (*book.customer_rules, *book.history_rules):
        for field, tests in _tests_of(rule):
            for at, problem in _of_tests(tests, book, known):
                yield rule.line, rule.alert, at if field == "customer" else f"{field}.{at}", problem


def _tests_of(rule: Rule) -> list[tuple[str, tuple[Check, ...]]]:
    """Tests that one record must pass together, and the field they are under."""
    if isinstance(rule, CustomerRule):
        return [("when", rule.tests)]
    if isinstance(rule, SignalRule):
        return [("customer", rule.tests)]
    if isinstance(rule, CountRule):
        return [("count.of", rule.of.tests)]
    if isinstance(rule, SequenceRule):
        expects = rule.unless is not None and len(rule.steps) == 1
        steps = (
            [f"sequence.steps[{at}]" for at in range(len(rule.steps))] if not expects else ["expect.after"]
        )
        last = "expect.then" if expects else "sequence.unless"
        return [
            *zip(steps, (step.tests for step in rule.steps), strict=True),
            *([(last, rule.unless.tests)] if rule.unless is not None else []),
        ]
    return []


def _of_tests(tests: tuple[Check, ...], book: RuleBook, kinds: set[str]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(test.field for test in tests):
        here = [test for test in tests if test.field == name]
        if _is_contradiction(here):
            yield name, "never passes: its tests exclude each other"
        elif name in _SHARES:
            for test in _unreachable(here, 0, 1):
                yield name, f"never passes: it is between 0 and 1, and {test.op} {test.operand} is beyond"
        elif name == "kind":
            yield from _of_kinds(here, kinds)
    yield from _of_score(tests, book)


def _is_contradiction(tests: list[Check]) -> bool:
    """Whether no value at all passes: shown for tests that name the values."""
    absent = any(test.op is Op.EXISTS and test.operand is False for test in tests)
    if absent:
        return any(test.op not in (Op.EXISTS, Op.NE) or test.operand is True for test in tests)
    for test in tests:
        if test.op in (Op.EQ, Op.IN):
            values = test.operand if isinstance(test.operand, tuple) else (test.operand,)
            passes = [check_of(other) for other in tests]
            return not any(all(one(value) for one in passes) for value in values)
    return False


def _unreachable(tests: list[Check], low: float, high: float) -> Iterator[Check]:
    """Tests that no number from ``low`` to ``high`` passes."""
    for test in tests:
        operand = test.operand
        if isinstance(operand, bool | str):
            continue
        if test.op in _ORDER:
            passes = check_of(test)
            if not passes(low) and not passes(high):
                yield test
        elif test.op is Op.EQ and not isinstance(operand, tuple) and not low <= operand <= high:
            yield test


def _of_score(tests: tuple[Check, ...], book: RuleBook) -> Iterator[tuple[str, str]]:
    metrics = [test.operand for test in tests if test.field == "metric" and test.op is Op.EQ]
    if not metrics or not isinstance(metrics[0], str) or metrics[0] not in SCALES:
        return
    metric = metrics[0]
    low, high = scale_of(metric, book)
    for _ in _unreachable([test for test in tests if test.field == "score"], low, high):
        own = "" if metric == "nps" else ", unless replies bring a scale of their own"
        yield "score", f"never passes: {metric} is answered from {low:g} to {high:g}{own}"


def scale_of(metric: str, book: RuleBook) -> tuple[float, float]:
    """The lowest and highest answer, over the usual scale and those of declared questions."""
    asked = book.declared.questions.values()
    own = [each.scale for each in asked if each.scale is not None and each.metric in (metric, None)]
    scales: list[tuple[float, float]] = [(SCALES[metric][0], SCALES[metric][1]), *own]
    return min(low for low, _ in scales), max(high for _, high in scales)


def _of_kinds(tests: list[Check], known: set[str]) -> Iterator[tuple[str, str]]:
    for test in tests:
        values = test.operand if isinstance(test.operand, tuple) else (test.operand,)
        for kind in values if test.op in (Op.EQ, Op.IN) else ():
            near = difflib.get_close_matches(str(kind)[:64], sorted(known), n=1, cutoff=_ALIKE)
            if kind not in known and near:
                yield "kind", f"{kind} is no kind with a meaning; did you mean {near[0]!r}?"
