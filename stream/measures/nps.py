"""Net Promoter Score: % promoters (9-10) less % detractors (0-6), -100..100 [Reichheld 2003]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.intervals import adjusted_wald
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale, oriented
from stream.measures.moments import Moments

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_PROMOTER: Final[Observation] = ("nps", (1, 0, 0))
_PASSIVE: Final[Observation] = ("nps", (0, 1, 0))
_DETRACTOR: Final[Observation] = ("nps", (0, 0, 1))
_LEAST_PROMOTER: Final = 9
_MOST_DETRACTOR: Final = 6
_TOP: Final = 10.0


class Nps:
    """NPS. Part ``nps``: [promoters, passives, detractors]."""

    name: Final = "nps"
    family: Final = "replies"
    unit: Final = "points"
    better: Final = "higher"
    stems: Final = ("nps",)
    ever: Final = ()
    windows: Final = "rolling"

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """Class of one answer.

        Scales that end at 10 and begin at 0 or 1 are read as they are; any other is stretched linearly onto
        0..10 first. Answers between the whole numbers: above 6 and below 9 is passive.
        """
        if not on_scale(score, scale):
            return None
        answer = oriented(score, scale, higher_is_better)
        low, high = scale
        if high != _TOP or low not in (0, 1):
            answer = _TOP * (answer - low) / (high - low)
        if answer >= _LEAST_PROMOTER:
            return _PROMOTER
        return _DETRACTOR if answer <= _MOST_DETRACTOR else _PASSIVE

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Percentage points, with the adjusted Wald interval [Rocks 2016] cut to -100..100."""
        vec = stats.get("nps")
        if vec is None:
            return None
        promoters, passives, detractors = vec
        n = promoters + passives + detractors
        low, high = adjusted_wald(promoters, detractors, n, confidence)
        return MetricValue(
            value=100 * (promoters - detractors) / n,
            n=n,
            interval=(100 * low, 100 * high),
            confidence=confidence,
            parts={"promoters": promoters / n, "passives": passives / n, "detractors": detractors / n},
        )

    def moments(self, stats: Stats) -> Moments | None:
        """Of answers worth 100, 0 or -100, the variance with the three more of the adjusted Wald interval."""
        vec = stats.get("nps")
        if vec is None or (n := sum(vec)) <= 0:
            return None
        promoters, _, detractors = vec
        for_it, against = (promoters + 0.75) / (n + 3), (detractors + 0.75) / (n + 3)
        variance = for_it + against - (for_it - against) ** 2
        return Moments(n, 100 * (promoters - detractors) / n, 100 * 100 * variance)
