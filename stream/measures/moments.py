"""Mean and variance of single observations, of metrics that are means: what two variants are compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from stream.measures.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.measures.stats import Stats

_PERCENT: Final = 100


class Moments(NamedTuple):
    """Of the observations behind a metric's value.

    Attributes:
        n: How many.
        mean: The metric's value, in its unit.
        variance: Of a single observation, in that unit squared.
        of: What is measured, where that is not the same everywhere: only like is compared with like.
    """

    n: int
    mean: float
    variance: float
    of: str = ""


@runtime_checkable
class Comparable(Metric, Protocol):
    """A metric that is the mean of its observations."""

    def moments(self, stats: Stats) -> Moments | None:
        """Moments of the observations in ``stats``; None without any, or where there is no single mean."""


def of_hits(hits: int, n: int) -> Moments | None:
    """Of a rate in per cent; None where it is no proportion.

    The variance is that with one hit and one miss more [after Agresti & Caffo, The American Statistician 54:4,
    2000], so that it is not nothing where all observations were alike by chance.
    """
    if n <= 0 or not 0 <= hits <= n:
        return None
    share = (hits + 1) / (n + 2)
    return Moments(n, _PERCENT * hits / n, _PERCENT * _PERCENT * share * (1 - share))


def of_scores(sums: Sequence[int], span: int, per_unit: int = 1) -> Moments | None:
    """Of scores from 0 to ``span``, from [n, sum, sum of squares] in ``1 / per_unit`` of the unit; None of none.

    The variance is that with one answer more at each end of the scale, for the reason given in ``of_hits``.
    """
    n, total, squares = sums
    if n <= 0:
        return None
    more_n, more_total, more_squares = n + 2, total + span, squares + span * span
    variance = (more_n * more_squares - more_total * more_total) / (more_n * more_n)
    return Moments(n, total / (n * per_unit), variance / (per_unit * per_unit))


def of_amounts(sums: Sequence[int], per_unit: int) -> Moments | None:
    """Of amounts without bounds, from [n, sum, sum of squares] in ``1 / per_unit`` of the unit; None below two.

    The variance is that of the sample, formed in integers.
    """
    n, total, squares = sums
    if n <= 1:
        return None
    variance = (n * squares - total * total) / (n * (n - 1))
    return Moments(n, total / (n * per_unit), variance / (per_unit * per_unit))
