"""Replies as observations between 0 and 1, from the sums that are kept of them.

What the detectors of this package rest on holds for whatever is bounded, and for nothing else. Where the
answers' classes are counted (NPS, CSAT, engagement) nothing is lost; of effort and loyalty the number, sum and
sum of squares are known, and :mod:`stream.alerting.detectors` makes do with these.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.measures.ces import units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.measures.stats import Stats

_LOYALTY: Final = 100 * 10_000  # units of the loyalty index, from worst to best


class Bounded(NamedTuple):
    """Observations from 0 to 1, in no order.

    Attributes:
        n: How many, above 0.
        total: Their sum.
        squares: The sum of their squares.
        points: The values they can have; () where that is not known.
        counts: How many have each of these.
        low: The metric's value at 0, in its unit.
        span: From its value at 0 to that at 1.
        of: What is measured, where that is not the same everywhere (the scale of effort).
    """

    n: int
    total: float
    squares: float
    points: tuple[float, ...]
    counts: tuple[int, ...]
    low: float
    span: float
    of: str = ""

    @property
    def mean(self) -> float:
        """Between 0 and 1."""
        return self.total / self.n

    def mirrored(self) -> Bounded:
        """The same with 0 and 1 changed about: what rises falls."""
        return Bounded(
            self.n,
            self.n - self.total,
            self.n - 2 * self.total + self.squares,
            tuple(1 - point for point in self.points),
            self.counts,
            self.low + self.span,
            -self.span,
            self.of,
        )

    def place(self, value: float) -> float:
        """Where a value in the metric's unit lies between 0 and 1."""
        return (value - self.low) / self.span

    def value(self, place: float) -> float:
        """The inverse of ``place``."""
        return self.low + self.span * place


def bounded(metric: str, stats: Stats) -> Bounded | None:
    """The replies of one reply metric in ``stats``.

    None without any, for a metric that is none of replies, where scales are mixed, and where more was taken
    back than came (corrections of late data).
    """
    if metric == "ces":
        return _effort(stats)
    vec = stats.get(metric)
    if vec is None:
        return None
    if metric == "nps":
        promoters, passives, detractors = vec
        return _classes((0.0, 0.5, 1.0), (detractors, passives, promoters), -100.0, 200.0)
    if metric == "csat":
        satisfied, n = vec
        return _classes((0.0, 1.0), (n - satisfied, satisfied), 0.0, 100.0)
    if metric == "engagement":
        return _classes((0.0, 0.25, 0.5, 0.75, 1.0), tuple(vec), 20.0, 80.0)
    if metric == "loyalty":
        return _moments(vec, _LOYALTY, 0.0, 100.0)
    return None


def least_mean(seen: Bounded, confidence: float) -> float:
    """What the mean behind the observations, from 0 to 1, is at least, with that (one-sided) confidence.

    As Agresti & Coull [The American Statistician 52:2, 1998] have it for proportions, here for whatever lies
    between 0 and 1: z^2/2 observations more at each end, then the normal bound. It never shrinks to a point
    because all answers were alike, as Student's does.
    """
    z = max(0.0, _quantile(confidence))
    mean, variance, n = padded(seen.n, seen.total, seen.squares, z * z / 2)
    return max(0.0, mean - z * sqrt(variance / n))


def padded(n: float, total: float, squares: float, ends: float) -> tuple[float, float, float]:
    """Mean and variance of observations, and how many, with so many (above 0) more at each end of 0 to 1."""
    n, total, squares = n + 2 * ends, total + ends, squares + ends
    mean = total / n
    return mean, max(0.0, squares / n - mean * mean), n


@lru_cache(maxsize=64)
def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)


def _classes(points: tuple[float, ...], counts: tuple[int, ...], low: float, span: float) -> Bounded | None:
    n = sum(counts)
    if n <= 0 or min(counts) < 0:
        return None
    total = sum(point * count for point, count in zip(points, counts, strict=True))
    squares = sum(point * point * count for point, count in zip(points, counts, strict=True))
    return Bounded(n, total, squares, points, counts, low, span)


def _moments(vec: Sequence[int], units_: int, low: float, span: float, of: str = "") -> Bounded | None:
    n, total, squares = vec
    # Of n numbers from 0 to 1 the squares come to at most the sum, and at least to what equal ones would.
    if n <= 0 or not 0 <= squares <= total * units_ or n * squares < total * total:
        return None
    return Bounded(n, total / units_, squares / (units_ * units_), (), (), low, span, of)


def _effort(stats: Stats) -> Bounded | None:
    keys = [key for key in stats if key.startswith("ces|")]
    if len(keys) != 1:
        return None
    _, low, high, _ = keys[0].split("|")
    span = float(high) - float(low)
    return _moments(stats[keys[0]], round(span * units(span)), float(low), span, keys[0])
