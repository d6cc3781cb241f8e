"""What may be asked of a metric: in which windows and slices it has values, and which of them compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.record import REPLY_DIMENSIONS
from stream.alerting.durations import duration_text, parse_duration
from stream.measures.lines import TOTALS
from stream.measures.metric import EVER
from stream.measures.moments import Comparable
from stream.measures.plans import window as window_named
from stream.measures.registry import METRICS, REPLY_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.alerting.parts import Limits
    from stream.alerting.reading import Place

_LONGEST_MS: Final = 90 * 86_400_000
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
# Nothing is known of how sure their values are.
_NO_INTERVAL: Final = frozenset({"lifetime_value", "value_at_risk"})
# What replies count in, too, so that it has values in their slices.
_OF_REPLIES: Final = frozenset({"customers", "value_at_risk"})
_Range = tuple[float | None, float | None]
# Lines beyond these are never crossed, or always.
_RANGES: Final[dict[str, _Range]] = {
    "nps": (-100, 100),
    "loyalty": (0, 100),
    "engagement": (0, 100),
}
_OF_UNIT: Final[dict[str, _Range]] = {
    "percent": (0, 100),
    "seconds": (0, None),
    "count": (0, None),
}


def judged(place: Place, kept: Sequence[str]) -> str:
    """A metric that is computed (``kept`` are those) and has a figure to hold against another."""
    name = place.choice(METRICS, "metric")
    if name not in kept:
        raise place.error(
            f"{name} is not among the `metrics` that are computed; add it there, or say `metrics: all`"
        )
    if METRICS[name].family == "explanation":
        raise place.error(f"{name} explains another metric and has no figure of its own; name that one")
    return name


def compared(place: Place, kept: Sequence[str]) -> str:
    """A metric that is computed and can be compared between variants."""
    name = judged(place, kept)
    if not isinstance(METRICS[name], Comparable):
        known = ", ".join(each for each, metric in METRICS.items() if isinstance(metric, Comparable))
        raise place.error(
            f"{name} is no mean of single observations, so variants do not compare; one of: {known}"
        )
    return name


def check_slice(place: Place, metric: str, dimensions: Iterable[str]) -> None:
    """Refuse slices in which the metric never has a value."""
    if metric in REPLY_METRICS or metric in _OF_REPLIES:
        return
    for name in dimensions:
        if name in REPLY_DIMENSIONS:
            raise place.error(
                f"{metric} comes from touchpoints, and only replies have a {name}: it would never have a value;"
                " slice it by another dimension"
            )


def window_of(place: Place, windows: Sequence[str], metric: str) -> str:
    """A window in which the metric has values."""
    only_ever = METRICS[metric].windows == EVER
    if place.is_scalar and not place.is_empty and place.scalar() == EVER:
        if only_ever:
            return EVER
        raise place.error(f"{metric} has values in rolling windows: {', '.join(windows)}")
    if only_ever:
        raise place.error(f"{metric} has values since the beginning only; write `window: {EVER}`")
    length = place.duration(least=1)
    for window in windows:
        if parse_duration(window) == length:
            return window
    raise place.error(f"no such window is kept (CX_WINDOWS); one of: {', '.join(windows)}")


def judged_window(place: Place, limits: Limits, metric: str) -> str:
    """A window to judge: one that is published, or any other, which is then kept for judging alone."""
    if METRICS[metric].windows == EVER or (place.is_scalar and not place.is_empty and place.scalar() == EVER):
        return window_of(place, limits.windows, metric)
    length_ms = place.duration(least=1)
    for name in limits.windows:
        if parse_duration(name) == length_ms:
            return name
    if length_ms > _LONGEST_MS:
        raise place.error(f"is longer than {duration_text(_LONGEST_MS)}, which is as far back as is kept")
    tier_ms = window_named(f"{max(length_ms // 1_000, 1)}s", limits.pane_ms).tier_ms
    if length_ms % max(tier_ms, 1_000):
        raise place.error(f"a window of this length is made of steps of {duration_text(max(tier_ms, 1_000))}")
    return next(f"{length_ms // unit_ms}{unit}" for unit, unit_ms in _UNITS if length_ms % unit_ms == 0)


def length_of(window: str) -> int:
    """Milliseconds of a rolling window, by its name; 0 of one without a length."""
    return parse_duration(window) or 0


def check_evidence(place: Place, metric: str) -> None:
    """Refuse to ask for an interval where there never is one."""
    if metric in _NO_INTERVAL:
        raise place.error(f"{metric} has no interval: it would never fire; drop evidence, and use min_n")


def check_lengths(place: Place, metric: str, way_out: str) -> None:
    """Refuse to compare windows of two lengths where the values depend on the length."""
    if metric in TOTALS:
        raise place.error(f"{metric} is a total, and grows with its window; {way_out}")
    if METRICS[metric].ever:
        raise place.error(f"{metric} is per window: one of an hour and one of a week differ; {way_out}")


def check_anytime(place: Place, metric: str) -> None:
    """Refuse a test that may be looked at all the time where it is not known of single observations."""
    if metric not in REPLY_METRICS:
        raise place.error(f"{metric} is not made of replies; one of: {', '.join(REPLY_METRICS)}")


def range_of(metric: str) -> tuple[float | None, float | None]:
    """The lowest and the highest value there can be; None where there is none. CES has its question's scale."""
    return _RANGES.get(metric) or _OF_UNIT.get(METRICS[metric].unit) or (None, None)


def check_line(place: Place, metric: str, line: float) -> None:
    """Refuse a line beyond all possible values."""
    low, high = range_of(metric)
    if low is not None and high is not None and not low <= line <= high:
        raise place.error(f"{metric} is between {low} and {high}: {line} says always or never")
    if low is not None and line < low:
        raise place.error(f"{metric} is never below {low}: {line} says always or never")
