"""Customer effort score: mean answer on the question's own scale, and 0..100 where 100 is effortless."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream.measures.intervals import student
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale
from stream.measures.moments import Moments, of_scores

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_FINEST: Final = 10_000
_LARGEST: Final = 100_000


@lru_cache(maxsize=1024)
def units(span: float) -> int:
    """Integer units per point on a scale ``span`` points wide; 0: too wide to be a scale.

    1e-4 of a point up to a span of 10, then a power of ten coarser for each power of ten more, so that an
    answer is at most 100,000 units and its square fits JSON's 64 bits for 900 million answers.
    """
    per_point = _FINEST
    while per_point and span * per_point > _LARGEST:
        per_point //= 10
    return per_point


class Ces:
    """CES. Part ``ces|<min>|<max>|<+ or ->``: [n, sum, sum of squares] of units above the minimum.

    One part for each scale and direction; ``-`` is a question where the lowest answer is effortless.
    """

    name: Final = "ces"
    family: Final = "replies"
    unit: Final = "scale"
    better: Final = None
    stems: Final = ("ces",)
    ever: Final = ()
    windows: Final = "rolling"

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """Count, units and squared units of one answer, on its own scale and in its own direction."""
        low, high = scale
        if not on_scale(score, scale) or not (per_point := units(high - low)):
            return None
        answer = round((score - low) * per_point)
        key = f"ces|{_text(low)}|{_text(high)}|{'+' if higher_is_better else '-'}"
        return key, (1, answer, answer * answer)

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Mean answer with the Student t interval cut to the scale (none for a single answer).

        Where scales or directions are mixed there is no common scale: value and interval are None and
        ``parts["normalised"]``, the mean over all answers of their place on 0..100, is what remains.
        """
        # Sorted: the sum of floats below must not depend on the order in which scales were met.
        keys = sorted(key for key in stats if key.startswith("ces|"))
        if not keys:
            return None
        n = 0
        normalised = 0.0
        for key in keys:
            count, total, _ = stats[key]
            low, high, per_point, higher_is_better = _part(key)
            place = total / ((high - low) * per_point)
            normalised += 100 * (place if higher_is_better else count - place)
            n += count
        parts = {"normalised": normalised / n}
        if len(keys) > 1:
            return MetricValue(value=None, n=n, interval=None, confidence=confidence, parts=parts)
        count, total, squares = stats[keys[0]]
        low, high, per_point, _ = _part(keys[0])
        # One division of exact integers: 10, 10, 8, 6, 9 is 8.6 and not 8.600000000000001.
        mean = (round(low * per_point) * count + total) / (count * per_point)
        around = student(count, total, squares, confidence)
        interval = None
        if around is not None:
            interval = (max(low, low + around[0] / per_point), min(high, low + around[1] / per_point))
        return MetricValue(value=mean, n=count, interval=interval, confidence=confidence, parts=parts)

    def moments(self, stats: Stats) -> Moments | None:
        """Of answers on their own scale; None where scales or directions are mixed."""
        keys = [key for key in stats if key.startswith("ces|")]
        if len(keys) != 1:
            return None
        low, high, per_point, _ = _part(keys[0])
        found = of_scores(stats[keys[0]], span=round((high - low) * per_point), per_unit=per_point)
        return None if found is None else found._replace(mean=low + found.mean, of=keys[0])


@lru_cache(maxsize=1024)
def _part(key: str) -> tuple[float, float, int, bool]:
    _, low, high, direction = key.split("|")
    return float(low), float(high), units(float(high) - float(low)), direction == "+"


def _text(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else repr(bound)
