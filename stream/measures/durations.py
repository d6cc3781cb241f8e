"""Times from one event to another: how long a ticket took, how long somebody waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.intervals import student
from stream.measures.metric import NOTHING, MetricValue
from stream.measures.moments import Moments, of_amounts
from stream.measures.sketch import block, bucket, quantiles

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

_MS: Final = 1000
_SHARES: Final = (0.5, 0.9, 0.99)
_NAMES: Final = ("p50", "p90", "p99")


def duration(stem: str, ms: int) -> tuple[Observation, Observation]:
    """What one duration adds: (part key, vector) to its moments, and to its sketch.

    Args:
        stem: ``resolution_time`` or ``waiting_time``.
        ms: Whole milliseconds, not below 0.

    Raises:
        ValueError: It is negative.
    """
    if ms < 0:
        raise ValueError("a duration cannot be negative")
    which, counts = block(bucket(ms))
    return (stem, (1, ms, ms * ms)), (f"{stem}|{which}", counts)


class Duration:
    """A duration.

    Parts: ``<name>`` -> [n, sum, sum of squares] in milliseconds; ``<name>|<block>`` -> [n, count of each
    of 16 buckets] of a DDSketch (:mod:`stream.measures.sketch`). The sums are exact, however large.
    """

    family: Final = "durations"
    unit: Final = "seconds"
    better: Final = "lower"
    ever: Final = ()
    windows: Final = "rolling"

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.stems: Final = (name,)
        self._prefix = f"{name}|"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Mean in seconds, with the Student t interval cut at 0 (none for a single one).

        Parts, in seconds: ``mean``, and ``p50``, ``p90``, ``p99`` within 1 % [DDSketch: Masson, Rim, Lee
        2019], where the quantile q of n durations is the one of rank floor(q * (n - 1)), from 0.
        """
        vec = stats.get(self.name)
        if vec is None or vec[0] <= 0:
            return None
        n, total, squares = vec
        mean = total / (_MS * n)
        parts = {"mean": mean}
        prefix = self._prefix
        keys = sorted([key for key in stats if key.startswith(prefix)])
        for name, ms in zip(_NAMES, quantiles(stats, keys, _SHARES), strict=False):  # none of no blocks
            parts[name] = ms / _MS
        around = student(n, total, squares, confidence)
        interval = None if around is None else (max(0.0, around[0] / _MS), around[1] / _MS)
        return MetricValue(value=mean, n=n, interval=interval, confidence=confidence, parts=parts)

    def moments(self, stats: Stats) -> Moments | None:
        """Of single durations, in seconds."""
        vec = stats.get(self.name)
        return None if vec is None else of_amounts(vec, per_unit=_MS)
