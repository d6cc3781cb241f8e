"""Puts a claim about a metric into words and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas import format_ms
from stream.alerting.claims import Action, Claim, claim_id, fingerprint
from stream.alerting.durations import duration_text
from stream.alerting.model import Kind, slice_of
from stream.alerting.templates import ENGLISH, show
from stream.alerting.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.alerting.claims import AlertState
    from stream.alerting.conditions import Reading
    from stream.alerting.model import ActionSpec, MetricRule
    from stream.alerting.templates import Value

_OVER: Final = ("resolved", "withdrawn")


def metric_claim(
    rule: MetricRule,
    slice_key: str,
    reading: Reading,
    state: AlertState,
    reason: str,
    *,
    as_of_ms: int,
    starts_at_ms: int,
    since_ms: int | None = None,
    ends_at_ms: int | None = None,
    more: Mapping[str, Any] | None = None,
) -> Claim:
    """The claim of a transition at ``as_of_ms``.

    Args:
        rule: the rule.
        slice_key: the slice.
        reading: what is shown of its windows.
        state: what the alert is now.
        reason: why.
        as_of_ms: when it became known.
        starts_at_ms: when the alert fired.
        since_ms: when the line was first crossed.
        ends_at_ms: when it was over; what resolves or is withdrawn now is over now.
        more: further figures.
    """
    slice_ = dict(sorted(slice_of(slice_key).items()))
    labels = labels_of(rule, slice_key)
    mark = fingerprint(rule.alert, labels)
    members = ",".join(f"{name}={value}" for name, value in slice_.items())
    subject = f"{rule.metric}{{{members}}}" if members else rule.metric
    figures = figures_of(rule, reading)
    if rule.for_ms and since_ms is not None:
        figures["since"] = format_ms(since_ms)
    figures.update(more or {})
    said = in_words(figures, _language(rule), resolved=state in _OVER)
    if said:
        figures["in_words"] = said
    values: dict[str, Value] = {
        **labels,
        **_texts(rule, reading),
        "alert": rule.alert,
        "slice": members or "all",
        "severity": str(rule.severity),
        "state": state,
        "evidence": lambda language: in_words(figures, language, resolved=state in _OVER) or None,
        "as_of": format_ms(as_of_ms),
        "starts_at": format_ms(starts_at_ms),
    }
    earlier = reading.earlier
    before = rule.baseline if rule.change is None else rule.change.reference
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
        ends_at_ms=as_of_ms if state in _OVER else ends_at_ms,
        as_of_ms=as_of_ms,
        figures=figures,
        baseline=None if earlier is None else {"window": before, "value": earlier.value, "n": earlier.n},
        action=action_of(rule.action, starts_at_ms),
        links={name: template.render(values) for name, template in rule.links},
    )


def labels_of(rule: MetricRule, slice_key: str) -> dict[str, str]:
    """An alert's labels: the slice, in order, and the rule's own."""
    return dict(sorted(slice_of(slice_key).items())) | dict(rule.labels)


def action_of(spec: ActionSpec | None, starts_at_ms: int) -> Action | None:
    """The action of an alert that started at ``starts_at_ms``; its deadline stays when it resolves."""
    if spec is None:
        return None
    due = None if spec.within_ms is None else starts_at_ms + spec.within_ms
    return Action(spec.type, spec.owner, due)


def figures_of(rule: MetricRule, reading: Reading) -> dict[str, Any]:
    """The value with its evidence, and the line; ``value`` None where there is none."""
    current = reading.current
    figures: dict[str, Any] = {
        "metric": rule.metric,
        "window": reading.window,
        "value": None if current is None else current.value,
        "n": 0 if current is None else current.n,
        "interval": None if current is None or current.interval is None else list(current.interval),
    }
    if current is not None and current.currency is not None:
        figures["currency"] = current.currency
    if rule.kind in (Kind.DROP, Kind.RISE):
        figures[rule.kind.value] = {"points": rule.threshold, "from": rule.baseline}
        figures["change"] = reading.change
        spread = reading.change_interval
        figures["change_interval"] = None if spread is None else list(spread)
    elif rule.change is not None:
        figures["change"] = {
            "direction": str(rule.change.direction),
            "one_false_alarm_per": rule.change.one_false_alarm_per,
            "from": rule.change.reference,
        }
    elif rule.kind is Kind.NO_DATA:
        figures["no_data"] = duration_text(rule.no_data_ms)
    elif rule.burn is not None:
        burn = reading.burn
        if burn is not None:
            line = burn.line
            figures["burn_rate"] = {
                "goal": rule.burn.goal,
                "long": line.long,
                "short": line.short,
                "rate": line.rate,
            }
            figures["burns"] = [burn.long, burn.short]
    else:
        figures[rule.kind.value] = rule.threshold
    figures["evidence"] = str(rule.evidence)
    figures["confidence"] = rule.confidence
    return figures


def _language(rule: MetricRule) -> str:
    """That of the rule's first text."""
    return rule.annotations[0][1].language if rule.annotations else ENGLISH


def _texts(rule: MetricRule, reading: Reading) -> dict[str, Value]:
    current = reading.current
    interval = None if current is None else current.interval
    low, high = (None, None) if interval is None else interval
    return {
        "metric": rule.metric,
        "window": reading.window,
        "value": None if current is None or current.value is None else float(current.value),
        "n": 0 if current is None else current.n,
        "currency": None if current is None else current.currency,
        "low": low,
        "high": high,
        "interval": None if interval is None else _range(*interval),
        "threshold": float(rule.threshold),
        "confidence": lambda language: f"{show(rule.confidence * 100, language)} %",
        "baseline": None if reading.earlier is None else float(reading.earlier.value),
        "change": reading.change,
    }


def _range(low: float, high: float) -> Callable[[str], str]:
    """From a number to another, in the words of a language."""

    def said(language: str) -> str:
        to = "a" if language.partition("_")[0] == "it" else "to"
        return f"{show(low, language)} {to} {show(high, language)}"

    return said
