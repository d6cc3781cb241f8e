"""Goals, baselines and benchmarks: which windows they need, and how far a value is from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from stream.measures.declare import DAY_MS, HOUR_MS, BaselineSpec
from stream.measures.metric import EVER, NOTHING, Line
from stream.measures.moments import Comparable
from stream.measures.plans import window as window_named
from stream.measures.registry import METRICS, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream.measures.declare import Goal
    from stream.measures.metric import MetricValue
    from stream.measures.stats import Stats

TOTALS: Final = frozenset({"revenue", "cost", "customers", "value_at_risk"})
"""Metrics that grow with their window, so that only windows of one length compare."""

# Windows above this length are rolled from panes of that.
_FINE_MS: Final = 30 * DAY_MS
_COARSE_MS: Final = 6 * HOUR_MS


def shifted(window: str, spec: BaselineSpec, metric: str) -> str | None:
    """Name of the window that a rolling one is compared with, such as ``1h@7d,14d``.

    Windows below an hour are compared with the whole hour. None where there is nothing to compare with: the
    earlier window would overlap the present one, or, for a total, be of another length.
    """
    if spec.ago_ms is None or window == EVER:
        return None
    length_ms = window_named(window, 1).length_ms
    if length_ms > spec.ago_ms or (length_ms % HOUR_MS and (metric in TOTALS or length_ms > HOUR_MS)):
        return None
    if length_ms > _FINE_MS and spec.ago_ms % _COARSE_MS:
        return None  # such a window moves in steps, and was never as it is asked for
    name = "1h" if length_ms < HOUR_MS else window
    return f"{name}@{','.join(_ago(ms) for ms in spec.shifts_ms)}"


def shifts(goals: Sequence[Goal], windows: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The shifted windows that goals need -> the slices they are needed for, both in order."""
    found: dict[str, dict[str, None]] = {}
    for goal in goals:
        if isinstance(goal.baseline, BaselineSpec):
            for window in windows:
                name = shifted(window, goal.baseline, goal.metric)
                if name is not None:
                    found.setdefault(name, {})[goal.slice_key] = None
    return {name: tuple(found[name]) for name in sorted(found)}


def held_against(
    goal: Goal,
    values: Mapping[str, MetricValue],
    sums: Mapping[str, Stats],
    confidence: float,
    least: int,
) -> dict[str, MetricValue]:
    """A metric's values with the goal's lines.

    Args:
        goal: The lines.
        values: By window.
        sums: Of every window of the slice, the shifted ones too.
        confidence: As of the values.
        least: A baseline on fewer observations is left out.
    """
    return {
        window: value
        if value.value is None
        else replace(
            value,
            goal=_declared(goal.goal, value.value, goal),
            baseline=_baseline(goal, window, values, sums, confidence, least),
            benchmark=_declared(goal.benchmark, value.value, goal),
        )
        for window, value in values.items()
    }


def _declared(line: float | None, value: float, goal: Goal) -> Line | None:
    if line is None:
        return None
    by = None if goal.by is None else goal.by.isoformat()
    return Line(float(line), value - line, owner=goal.owner, by=by)


def _baseline(
    goal: Goal,
    window: str,
    values: Mapping[str, MetricValue],
    sums: Mapping[str, Stats],
    confidence: float,
    least: int,
) -> Line | None:
    now, spec = values[window], goal.baseline
    if now.value is None or spec is None:
        return None
    if not isinstance(spec, BaselineSpec):
        return Line(float(spec), now.value - spec, owner=goal.owner)
    name = spec.window if spec.window is not None else shifted(window, spec, goal.metric)
    if name is None or name == window:
        return None
    stats = sums.get(name, NOTHING)
    was = values.get(name) or value_of(goal.metric, stats, confidence, NOTHING, name)
    if was is None or was.value is None or was.n < least or was.currency != now.currency:
        return None
    if _kind(goal.metric, stats) != _kind(goal.metric, sums.get(window, NOTHING)):
        return None
    return Line(was.value, now.value - was.value, window=name, n=was.n, owner=goal.owner)


def _kind(metric: str, stats: Stats) -> str:
    """What is measured: effort on one scale has nothing to do with effort on another."""
    known = METRICS[metric]
    moments = known.moments(stats) if isinstance(known, Comparable) else None
    return "" if moments is None else moments.of


def _ago(ms: int) -> str:
    return f"{ms // DAY_MS}d" if ms % DAY_MS == 0 else f"{ms // HOUR_MS}h"
