"""Two variants compared by an interval that may be watched: it holds at every moment at once.

A confidence sequence for the difference of two means by the method of mixtures [Robbins, "Statistical methods
related to the law of the iterated logarithm", 1970; as the mixture sequential probability ratio test: Johari,
Pekelis & Walsh, "Always valid inference", Operations Research 70:3, 2022], with variances estimated as it goes
[Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", 2021]. With n = n0 n1 / (n0 + n1), the variance V of the difference, s^2 = V n and a = 1 - confidence:

    difference +- s sqrt( 2 (n r^2 + 1) / (n^2 r^2) log( sqrt(n r^2 + 1) / a ) )

The chance that it ever misses the true difference is a, however often one looks and whenever one stops. A fixed
interval holds at one moment chosen beforehand; looked at after every reply, it will sooner or later miss.

Assumed: observations are independent (a customer who answers often counts as many), every variant draws from the
same kind of customer at random, and what is compared does not drift differently. The guarantee is asymptotic:
it counts from ``LEAST_N`` observations of each variant on, and before that nothing is said.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt
from typing import TYPE_CHECKING, Final

from stream.measures.metric import Versus
from stream.measures.moments import Comparable, Moments
from stream.measures.registry import METRICS

if TYPE_CHECKING:
    from stream.measures.stats import Stats

LEAST_N: Final = 50
"""Observations that each variant must have."""

TIGHTEST_N: Final = 1_000
"""Observations of each variant at which the interval is as narrow as it can be for that number."""


def compare(metric: str, control: Stats, variant: Stats, confidence: float, name: str) -> Versus | None:
    """A variant's value less the control's.

    Args:
        metric: Name of the metric.
        control: Sums of the control.
        variant: Sums of the variant.
        confidence: That the interval holds the true difference at every moment.
        name: Of the control.

    Returns:
        None for a metric that is no mean of its observations, without observations of both, and where they are
        not of one kind (effort on two scales). Without an interval where that says nothing yet.
    """
    known = METRICS.get(metric)
    if not isinstance(known, Comparable):
        return None
    was, now = known.moments(control), known.moments(variant)
    if was is None or now is None or was.of != now.of:
        return None
    around = difference(was, now, confidence)
    return Versus(variant=name, difference=now.mean - was.mean, interval=around)


def difference(control: Moments, variant: Moments, confidence: float) -> tuple[float, float] | None:
    """Anytime-valid interval of the difference of two means, in their unit.

    None below ``LEAST_N`` observations of either, or where all were alike, so that their variance is not known.
    """
    if min(control.n, variant.n) < LEAST_N:
        return None
    spread = control.variance / control.n + variant.variance / variant.n
    if spread <= 0:
        return None
    middle = variant.mean - control.mean
    n = control.n * variant.n / (control.n + variant.n)
    width = _tuning(confidence) * n
    half = sqrt(2 * spread * (width + 1) / width * log(sqrt(width + 1) / (1 - confidence)))
    return middle - half, middle + half


@lru_cache(maxsize=64)
def _tuning(confidence: float) -> float:
    """r^2 that makes the interval narrowest at ``TIGHTEST_N`` of each [Waudby-Smith et al. 2021]."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    tail = -2 * log(1 - confidence)
    return (tail + log(tail + 1)) / (TIGHTEST_N / 2)
