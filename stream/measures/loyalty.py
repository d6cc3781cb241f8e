"""Loyalty index: mean place of the answers between the worst (0) and the best (100) of their scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.intervals import student
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale, oriented
from stream.measures.moments import Moments, of_scores

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_UNITS: Final = 10_000
_TOP: Final = 100


class Loyalty:
    """Loyalty index. Part ``loyalty``: [n, sum, sum of squares] of places on 0..100, in units of 1e-4."""

    name: Final = "loyalty"
    family: Final = "replies"
    unit: Final = "points"
    better: Final = "higher"
    stems: Final = ("loyalty",)
    ever: Final = ()
    windows: Final = "rolling"

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """Place of one answer, linear on any scale: of 1-10, 1 is 0 and 10 is 100."""
        if not on_scale(score, scale):
            return None
        low, high = scale
        answer = oriented(score, scale, higher_is_better)
        place = round(_TOP * _UNITS * ((answer - low) / (high - low)))
        return "loyalty", (1, place, place * place)

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Mean place, with the Student t interval cut to 0..100 (none for a single answer)."""
        vec = stats.get("loyalty")
        if vec is None:
            return None
        n, total, squares = vec
        around = student(n, total, squares, confidence)
        interval = None
        if around is not None:
            interval = (max(0.0, around[0] / _UNITS), min(float(_TOP), around[1] / _UNITS))
        return MetricValue(
            value=total / (n * _UNITS), n=n, interval=interval, confidence=confidence, parts={}
        )

    def moments(self, stats: Stats) -> Moments | None:
        """Of places on 0..100."""
        vec = stats.get("loyalty")
        return None if vec is None else of_scores(vec, span=_TOP * _UNITS, per_unit=_UNITS)
