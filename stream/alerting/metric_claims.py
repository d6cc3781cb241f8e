"""Puts a claim about a metric into words and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from schemas import format_ms
from stream.alerting.claims import Action, Claim, claim_id, fingerprint
from stream.alerting.model import Kind, slice_of
from stream.alerting.templates import show

if TYPE_CHECKING:
    from stream.alerting.conditions import MetricLike, Reading
    from stream.alerting.model import ActionSpec, MetricRule
    from stream.alerting.templates import Value


def metric_claim(
    rule: MetricRule,
    slice_key: str,
    reading: Reading,
    reason: str,
    *,
    as_of_ms: int,
    starts_at_ms: int,
    since_ms: int | None,
) -> Claim:
    """The claim of a transition at ``as_of_ms``; ``since_ms``: when the line was first crossed."""
    state: Literal["firing", "resolved"] = "resolved" if reason == "resolved" else "firing"
    current = reading.current
    slice_ = dict(sorted(slice_of(slice_key).items()))
    labels = slice_ | dict(rule.labels)
    mark = fingerprint(rule.alert, labels)
    members = ",".join(f"{name}={value}" for name, value in slice_.items())
    subject = f"{rule.metric}{{{members}}}" if members else rule.metric
    figures = _figures(rule, current, reading)
    if rule.for_ms and since_ms is not None:
        figures["since"] = format_ms(since_ms)
    values: dict[str, Value] = {
        **labels,
        **_texts(rule, current, reading),
        "alert": rule.alert,
        "slice": members or "all",
        "severity": str(rule.severity),
        "state": state,
        "as_of": format_ms(as_of_ms),
        "starts_at": format_ms(starts_at_ms),
    }
    earlier = reading.earlier
    return Claim(
        id=claim_id(mark, state, as_of_ms, str(starts_at_ms)),
        alert=rule.alert,
        subject=subject,
        state=state,
        reason=str(reason),
        severity=str(rule.severity),
        fingerprint=mark,
        labels=labels,
        annotations={name: template.render(values) for name, template in rule.annotations},
        starts_at_ms=starts_at_ms,
        ends_at_ms=as_of_ms if state == "resolved" else None,
        as_of_ms=as_of_ms,
        figures=figures,
        baseline=None
        if earlier is None
        else {"window": rule.baseline, "value": earlier.value, "n": earlier.n},
        action=action_of(rule.action, starts_at_ms),
    )


def action_of(spec: ActionSpec | None, starts_at_ms: int) -> Action | None:
    """The action of an alert that started at ``starts_at_ms``; its deadline stays when it resolves."""
    if spec is None:
        return None
    due = None if spec.within_ms is None else starts_at_ms + spec.within_ms
    return Action(spec.type, spec.owner, due)


def _figures(rule: MetricRule, current: MetricLike, reading: Reading) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "metric": rule.metric,
        "window": rule.window,
        "value": current.value,
        "n": current.n,
        "interval": None if current.interval is None else list(current.interval),
    }
    if current.currency is not None:
        figures["currency"] = current.currency
    if rule.kind in (Kind.DROP, Kind.RISE):
        figures[rule.kind.value] = {"points": rule.threshold, "from": rule.baseline}
        figures["change"] = reading.change
        spread = reading.change_interval
        figures["change_interval"] = None if spread is None else list(spread)
    else:
        figures[rule.kind.value] = rule.threshold
    figures["evidence"] = str(rule.evidence)
    figures["confidence"] = rule.confidence
    return figures


def _texts(rule: MetricRule, current: MetricLike, reading: Reading) -> dict[str, Value]:
    low, high = (None, None) if current.interval is None else current.interval
    return {
        "metric": rule.metric,
        "window": rule.window,
        "value": float(current.value),
        "n": current.n,
        "currency": current.currency,
        "low": low,
        "high": high,
        "interval": None if low is None else f"{show(low)} to {show(high)}",
        "threshold": float(rule.threshold),
        "confidence": f"{show(rule.confidence * 100)} %",
        "baseline": None if reading.earlier is None else float(reading.earlier.value),
        "change": reading.change,
    }
