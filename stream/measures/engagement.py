"""Employee engagement: mean of answers in five levels, 20 to 100; 50 and above is good."""

from __future__ import annotations

from math import floor
from operator import mul
from typing import TYPE_CHECKING, Final

from stream.measures.intervals import student
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale, oriented
from stream.measures.moments import Moments, of_scores

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_LEVELS: Final = (20, 40, 60, 80, 100)
_SQUARES: Final = tuple(level * level for level in _LEVELS)
_NAMES: Final = tuple(str(level) for level in _LEVELS)
_OBSERVED: Final[tuple[Observation, ...]] = tuple(
    ("engagement", tuple(int(i == level) for i in range(len(_LEVELS)))) for level in range(len(_LEVELS))
)
_SCALE: Final = (1, 10)


class Engagement:
    """Engagement. Part ``engagement``: number of answers in each level: [n20, n40, n60, n80, n100]."""

    name: Final = "engagement"
    family: Final = "replies"
    unit: Final = "points"
    better: Final = "higher"
    stems: Final = ("engagement",)
    ever: Final = ()
    windows: Final = "rolling"

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """Level of one answer: 1 and 2 of 1-10 are 20, 3 and 4 are 40, up to 9 and 10, which are 100.

        Other scales are stretched linearly onto 1..10; what is no whole number is rounded, halves up.
        """
        if not on_scale(score, scale):
            return None
        answer = oriented(score, scale, higher_is_better)
        low, high = scale
        if scale != _SCALE:
            answer = 1 + 9 * ((answer - low) / (high - low))
        return _OBSERVED[(floor(answer + 0.5) - 1) // 2]

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Mean level, with the Student t interval cut to 20..100 (none for a single answer).

        Parts: the share of the answers in each level, as fractions, named ``20`` to ``100``.
        """
        vec = stats.get("engagement")
        if vec is None:
            return None
        n = sum(vec)
        total = sum(map(mul, _LEVELS, vec))
        squares = sum(map(mul, _SQUARES, vec))
        around = student(n, total, squares, confidence)
        interval = None
        if around is not None:
            interval = (max(float(_LEVELS[0]), around[0]), min(float(_LEVELS[-1]), around[1]))
        parts = {name: count / n for name, count in zip(_NAMES, vec, strict=True)}
        return MetricValue(value=total / n, n=n, interval=interval, confidence=confidence, parts=parts)

    def moments(self, stats: Stats) -> Moments | None:
        """Of levels from 20 to 100."""
        vec = stats.get("engagement")
        if vec is None:
            return None
        above = [level - _LEVELS[0] for level in _LEVELS]
        total, squares = sum(map(mul, above, vec)), sum(map(mul, [each * each for each in above], vec))
        found = of_scores((sum(vec), total, squares), span=above[-1])
        return None if found is None else found._replace(mean=_LEVELS[0] + found.mean)
