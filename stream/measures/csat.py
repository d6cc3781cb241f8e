"""Customer satisfaction: satisfied answers per answer, 0..100 %."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.intervals import wilson
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale, oriented
from stream.measures.moments import Moments, of_hits

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_SATISFIED: Final[Observation] = ("csat", (1, 1))
_NOT_SATISFIED: Final[Observation] = ("csat", (0, 1))


class Csat:
    """CSAT. Part ``csat``: [satisfied, n]."""

    name: Final = "csat"
    family: Final = "replies"
    unit: Final = "percent"
    better: Final = "higher"
    stems: Final = ("csat",)
    ever: Final = ()
    windows: Final = "rolling"

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """Satisfied is the upper quarter of the scale: 4 and 5 of 1-5, 8 to 10 of 1-10."""
        if not on_scale(score, scale):
            return None
        low, high = scale
        answer = oriented(score, scale, higher_is_better)
        return _SATISFIED if 4 * (answer - low) >= 3 * (high - low) else _NOT_SATISFIED

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Per cent satisfied, with the Wilson interval [1927]."""
        vec = stats.get("csat")
        if vec is None:
            return None
        satisfied, n = vec
        low, high = wilson(satisfied, n, confidence)
        return MetricValue(
            value=100 * satisfied / n,
            n=n,
            interval=(100 * low, 100 * high),
            confidence=confidence,
            parts={"satisfied": satisfied / n},
        )

    def moments(self, stats: Stats) -> Moments | None:
        """Of answers that are satisfied, 100, or not, 0."""
        vec = stats.get("csat")
        return None if vec is None else of_hits(*vec)
