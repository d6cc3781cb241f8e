"""Puts a claim about what one customer did over time into words and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from schemas import format_ms
from stream.alerting.claims import Claim, claim_id
from stream.alerting.customer_claims import customer_claim
from stream.alerting.durations import duration_text
from stream.alerting.model import CountRule, SequenceRule, plain
from stream.alerting.records import SIGNAL
from stream.measures.slices import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.alerting.claims import AlertState
    from stream.alerting.model import Check, HistoryRule, Rule, SignalRule
    from stream.alerting.templates import Value
    from stream.alerting.watch import Found, Shown

#: Why an alert on a history began.
OVERDUE: Final = "overdue"
COMPLETED: Final = "completed"
COUNTED: Final = "count_reached"
HOLDS: Final = "began_to_hold"


def shown_names(rule: Rule) -> tuple[str, ...]:
    """The dimensions that a rule's texts name."""
    named = {name for _, template in (*rule.annotations, *rule.links) for name in template.names}
    return tuple(name for name in DIMENSIONS if name in named)


def moved(
    claim: Claim,
    state: AlertState,
    reason: str,
    as_of_ms: int,
    *,
    ends_at_ms: int | None,
    cause: str,
    figures: Mapping[str, Any] | None = None,
) -> Claim:
    """The next transition of an alert that was told."""
    return replace(
        claim,
        id=claim_id(claim.fingerprint, state, as_of_ms, cause),
        state=state,
        reason=reason,
        as_of_ms=as_of_ms,
        ends_at_ms=ends_at_ms,
        figures=claim.figures if figures is None else dict(figures),
    )


def history_claim(
    rule: SequenceRule | CountRule, customer_id: str, ref: str, found: Found, cause: str
) -> Claim:
    """A sequence, an expectation or a count that came to an alert.

    The alert is the rule's and the customer's, and where records are tied together also the reference's: two
    tickets that wait are two alerts.
    """
    if isinstance(rule, SequenceRule):
        reason = COMPLETED if rule.unless is None else OVERDUE
        figures = _sequence_figures(rule, found)
    else:
        reason = COUNTED
        figures = {
            "signal": "count",
            "value": rule.at_least,
            "event_id": found.event_id,
            "since": format_ms(found.start_ms),
            "within": duration_text(rule.within_ms),
            "at_least": rule.at_least,
            "reasons": _tested(rule.of.tests),
        }
    if ref:
        figures["ref"] = ref
    values: dict[str, Value] = {
        "ref": ref or None,
        "within": duration_text(rule.within_ms),
        "count": rule.at_least if isinstance(rule, CountRule) else None,
        **shown(rule, found.shown),
    }
    return _claim(rule, customer_id, ref, found.at_ms, cause, reason, figures, values)


def signal_claim(
    rule: SignalRule, customer_id: str, at_ms: int, signals: Mapping[str, Any], cause: str
) -> Claim:
    """A customer of whom signals are as they should not be."""
    seen = {test.field: signals.get(test.field.removeprefix(SIGNAL)) for test in rule.tests}
    return _claim(rule, customer_id, "", at_ms, cause, HOLDS, signal_figures(rule, signals), dict(seen))


def signal_figures(rule: SignalRule, signals: Mapping[str, Any]) -> dict[str, Any]:
    """What of the signals was tested, and what they were."""
    reasons = _tested(rule.tests)
    for reason in reasons:
        reason["value"] = signals.get(reason["field"].removeprefix(SIGNAL))
    first = rule.tests[0].field.removeprefix(SIGNAL)
    return {"signal": first, "value": signals.get(first), "reasons": reasons}


def shown(rule: Rule, values: Shown) -> dict[str, Value]:
    """What texts show of the record that an alert began with."""
    return {name: value or None for name, value in zip(shown_names(rule), values, strict=False)}


def _sequence_figures(rule: SequenceRule, found: Found) -> dict[str, Any]:
    expected = len(rule.steps) == 1 and rule.unless is not None
    figures: dict[str, Any] = {
        "signal": "expect" if expected else "sequence",
        "event_id": found.event_id,
        "since": format_ms(found.start_ms),
        "within": "due_at" if rule.due_at else duration_text(rule.within_ms),
        "reasons": [reason for step in rule.steps for reason in _tested(step.tests)],
    }
    if rule.unless is not None:
        figures["due"] = format_ms(found.at_ms)
        figures["missing"] = _tested(rule.unless.tests)
    return figures


def _claim(
    rule: HistoryRule,
    customer_id: str,
    ref: str,
    at_ms: int,
    cause: str,
    reason: str,
    figures: dict[str, Any],
    seen: Mapping[str, Value],
) -> Claim:
    seen = {**seen, "state": "firing", "starts_at": format_ms(at_ms)}
    return customer_claim(rule, customer_id, at_ms, cause, reason, figures, seen, ref=ref)


def _tested(tests: Iterable[Check]) -> list[dict[str, Any]]:
    """One object a field, with its tests."""
    found: dict[str, dict[str, Any]] = {}
    for test in tests:
        found.setdefault(test.field, {"field": test.field})[str(test.op)] = plain(test.operand)
    return list(found.values())
