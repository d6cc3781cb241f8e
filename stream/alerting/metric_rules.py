"""Reads rules over a window of a metric: below/above a line, drop/rise against an earlier window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.alerting.durations import parse_duration
from stream.alerting.fit import check_evidence, check_lengths, check_line, check_slice, judged, window_of
from stream.alerting.model import Evidence, Kind, MetricRule
from stream.alerting.parts import COMMON_FIELDS, NOT_YET, common, confidence_of, grouping_of, where_of
from stream.measures.metric import EVER

if TYPE_CHECKING:
    from stream.alerting.parts import Limits
    from stream.alerting.reading import Place

METRIC_FIELDS: Final = (
    "alert", "metric", "by", "where", "window", "below", "above", "drop", "rise",
    "evidence", "confidence", "min_n", "for", "resolve", *COMMON_FIELDS,
)  # fmt: skip

PLACEHOLDERS: Final = frozenset(
    {"alert", "metric", "window", "value", "n", "currency", "low", "high", "interval", "threshold", "confidence",
     "severity", "state", "slice", "as_of", "starts_at"}
)  # fmt: skip
CHANGE_PLACEHOLDERS: Final = frozenset({"baseline", "change"})

_CHANGES: Final = (Kind.DROP, Kind.RISE)


def metric_rule(place: Place, fields: dict[str, Place], alert: str, group: str, limits: Limits) -> MetricRule:
    """One metric rule, checked."""
    for name in ("metric", "window"):
        if name not in fields:
            raise place.missing(name)
    metric = judged(fields["metric"], limits.metrics)
    window = window_of(fields["window"], limits.windows, metric)
    where = where_of(fields["where"]) if "where" in fields else ()
    by = grouping_of(fields["by"]) if "by" in fields else ()
    for name, dimensions in (("by", by), ("where", (name for name, _ in where))):
        if name in fields:
            check_slice(fields[name], metric, dimensions)
    grouping = tuple(sorted({*by, *(name for name, _ in where)}))
    kind = _kind(place, fields)
    threshold, baseline = _line(fields[kind], kind, metric, window, limits.windows)
    placeholders = PLACEHOLDERS | set(grouping) | (CHANGE_PLACEHOLDERS if kind in _CHANGES else set())
    shared = common(fields, placeholders)
    return MetricRule(
        alert=alert,
        group=group,
        metric=metric,
        grouping=grouping,
        where=where,
        window=window,
        kind=kind,
        threshold=threshold,
        baseline=baseline,
        evidence=_evidence(fields, metric),
        confidence=confidence_of(fields["confidence"]) if "confidence" in fields else limits.confidence,
        min_n=fields["min_n"].integer(1, 1_000_000_000) if "min_n" in fields else 1,
        for_ms=fields["for"].duration() if "for" in fields else 0,
        resolve_at=_resolve(fields["resolve"], kind, threshold) if "resolve" in fields else None,
        cooldown_ms=shared.cooldown_ms,
        severity=shared.severity,
        labels=shared.labels,
        annotations=shared.annotations,
        action=shared.action,
        line=place.line,
    )


def _kind(place: Place, fields: dict[str, Place]) -> Kind:
    given = [kind for kind in Kind if kind in fields]
    if not given:
        raise place.missing("below", "missing; a rule has one of: below, above, drop, rise")
    if len(given) > 1:
        raise fields[given[1]].error(f"a rule has one of below, above, drop, rise; {given[0]} is given too")
    return given[0]


def _line(
    place: Place, kind: Kind, metric: str, window: str, windows: tuple[str, ...]
) -> tuple[float, str | None]:
    if kind not in _CHANGES:
        threshold = place.number()
        check_line(place, metric, threshold)
        return threshold, None
    fields = place.mapping(("points", "from"), what="points and from")
    for name in ("points", "from"):
        if name not in fields:
            raise place.missing(name)
    points = fields["points"].number()
    if points <= 0:
        raise fields["points"].error("must be above 0; drop and rise say the direction")
    if window == EVER:
        raise place.error(f"{metric} has one window only, and no earlier one; use below or above")
    check_lengths(place, metric, "use below or above")
    baseline = window_of(fields["from"], windows, metric)
    if (parse_duration(baseline) or 0) <= (parse_duration(window) or 0):
        raise fields["from"].error(f"must be longer than the rule's own window, {window}")
    return points, baseline


def _evidence(fields: dict[str, Place], metric: str) -> Evidence:
    if "evidence" not in fields:
        return Evidence.NONE
    evidence = fields["evidence"].choice(Evidence, "evidence", {"anytime": NOT_YET})
    if evidence is Evidence.INTERVAL:
        check_evidence(fields["evidence"], metric)
    return evidence


def _resolve(place: Place, kind: Kind, threshold: float) -> float:
    """The line behind which a firing alert is over; it may not lie on the firing side."""
    side = {Kind.BELOW: "above", Kind.ABOVE: "below"}.get(kind, "points")
    fields = place.mapping(("above", "below", "points"), what=f"a mapping with {side!r}")
    for name, found in fields.items():
        if name != side:
            raise found.error(f"a rule with {kind} resolves with {side!r}; did you mean {side!r}?")
    if side not in fields:
        raise place.missing(side)
    value = fields[side].number()
    if kind is Kind.BELOW and value < threshold:
        raise fields[side].error(
            f"must be {threshold} or more: it would be over while still below {threshold}"
        )
    if kind is Kind.ABOVE and value > threshold:
        raise fields[side].error(
            f"must be {threshold} or less: it would be over while still above {threshold}"
        )
    if kind in _CHANGES and not 0 <= value <= threshold:
        raise fields[side].error(f"must be between 0 and the rule's own {threshold} points")
    return value
