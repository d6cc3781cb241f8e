"""Intervals of proportions, differences of proportions, and means.

All take counts and return (low, high); a confidence is two-sided, strictly between 0 and 1.
"""

from __future__ import annotations

from functools import lru_cache
from math import copysign, exp, lgamma, log, log1p, pi, sqrt, tan
from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()
_EXPANSION_FROM: Final = 200
_TINY: Final = 1e-300
_ROUNDS: Final = 500


@lru_cache(maxsize=64)
def z_quantile(confidence: float) -> float:
    """The z with P(|Z| <= z) = confidence for a standard normal Z. ValueError outside 0..1."""
    return _NORMAL.inv_cdf((1 + _checked(confidence)) / 2)


def adjusted_wald(promoters: int, detractors: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of (promoters - detractors) / n, within -1..1.

    Adjusted Wald with three extra observations [Rocks 2016, "Interval estimation for the Net Promoter
    Score", The American Statistician 70:4]: n' = n+3, p = (P+3/4)/n', d = (D+3/4)/n',
    V = p+d-(p-d)^2, (p-d) +- z*sqrt(V/n'). Its centre is not the plain score.
    """
    n_adjusted = n + 3
    p = (promoters + 0.75) / n_adjusted
    d = (detractors + 0.75) / n_adjusted
    middle = p - d
    half = z_quantile(confidence) * sqrt((p + d - middle * middle) / n_adjusted)
    return max(-1.0, middle - half), min(1.0, middle + half)


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of the proportion hits / n, within 0..1 [Wilson 1927]. ``n`` at least 1."""
    z = z_quantile(confidence)
    share = hits / n
    square = z * z / n
    centre = (share + square / 2) / (1 + square)
    half = z * sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    # The ends touch 0 and 1 exactly at no and all hits; rounding must not leave 1e-17 there.
    return (max(0.0, centre - half) if hits else 0.0), (min(1.0, centre + half) if hits < n else 1.0)


def poisson_score(count: int, confidence: float) -> tuple[float, float]:
    """Score interval of the mean of a Poisson count, from 0 [Barker 2002, The American Statistician 56:2].

    The means m with (count - m)^2 <= z^2 * m: count + z^2/2 +- z * sqrt(count + z^2/4).
    """
    z = z_quantile(confidence)
    centre = count + z * z / 2
    half = z * sqrt(count + z * z / 4)
    return (centre - half if count else 0.0), centre + half


def compound_poisson(total: int, squares: int, confidence: float) -> tuple[float, float]:
    """Interval of the expected total of amounts that come at random, from their sum and sum of squares.

    The variance of such a total is the expected sum of squares, so total +- z * sqrt(squares). Better for few
    and for skewed amounts is the scaled Poisson form [Bohm & Zech 2014, "Statistics of weighted Poisson events
    and its applications", NIM A 748]: in steps of s = squares / total the total is near a Poisson count, and
    the score interval of that is taken: total + s*z^2/2 +- z * sqrt(squares + s^2*z^2/4), never across 0. It
    needs amounts of one sign; where total^2 < squares there were both, and the plain form is used.
    """
    z = z_quantile(confidence)
    if not total or total * total < squares:
        half = z * sqrt(squares)
        return total - half, total + half
    step = squares / total
    centre = total + step * z * z / 2
    half = z * sqrt(squares + step * step * z * z / 4)
    return centre - half, centre + half


def student(n: int, total: int, squares: int, confidence: float) -> tuple[float, float] | None:
    """Interval of a mean from count, sum and sum of squares, in the unit of ``total``; None below n = 2.

    The variance (n*squares - total^2) / (n*(n-1)) is formed in integers, so nothing cancels.
    """
    if n <= 1:
        return None
    mean = total / n
    variance = (n * squares - total * total) / (n * (n - 1))
    half = t_quantile(confidence, n - 1) * sqrt(variance / n)
    return mean - half, mean + half


def t_quantile(confidence: float, df: int) -> float:
    """The t with P(|T| <= t) = confidence for Student's T with ``df`` >= 1 degrees of freedom.

    From 200 degrees on the asymptotic expansion [Abramowitz & Stegun 26.7.5], whose error there is below
    2e-9 up to a confidence of 0.9999; below that, and beyond, Newton's method on the exact distribution.

    Raises:
        ValueError: ``df`` below 1, or the confidence not strictly between 0 and 1.
    """
    if df < 1:
        raise ValueError(f"degrees of freedom must be at least 1, not {df}")
    if df < _EXPANSION_FROM or confidence > 0.9999:  # noqa: PLR2004 - the bound the docstring states
        return _t_exact(confidence, df)
    return _t_expansion(z_quantile(confidence), df)


def _t_expansion(z: float, df: int) -> float:
    s = z * z
    g1 = z * (s + 1) / 4
    g2 = z * ((5 * s + 16) * s + 3) / 96
    g3 = z * (((3 * s + 19) * s + 17) * s - 15) / 384
    g4 = z * ((((79 * s + 776) * s + 1482) * s - 1920) * s - 945) / 92160
    return z + (g1 + (g2 + (g3 + g4 / df) / df) / df) / df


@lru_cache(maxsize=4096)
def _t_exact(confidence: float, df: int) -> float:
    _checked(confidence)
    if df == 1:
        return tan(pi * confidence / 2)
    outside = 1 - confidence
    if df == 2:  # noqa: PLR2004 - closed form
        return confidence * sqrt(2 / (outside * (1 + confidence)))
    # The two tails together fall from 1 to 0; Newton, kept inside a bracket that every step narrows.
    low, high = 0.0, 1.0
    while _t_outside(high, df) > outside:
        low, high = high, high * 2
    guess = (low + high) / 2
    log_density = lgamma((df + 1) / 2) - lgamma(df / 2) - log(df * pi) / 2
    for _ in range(_ROUNDS):
        error = _t_outside(guess, df) - outside
        if error > 0:
            low = guess
        else:
            high = guess
        density = exp(log_density - (df + 1) / 2 * log1p(guess * guess / df))
        step = guess + error / (2 * density)
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - guess) <= 1e-15 * guess:
            return step
        guess = step
    return guess


def _t_outside(t: float, df: int) -> float:
    """P(|T| > t)."""
    return _beta(df / (df + t * t), t * t / (df + t * t), df / 2, 0.5)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), ``rest`` = 1 - x given apart for precision."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Continued fraction of the incomplete beta function by Lentz's method [DLMF 8.17.22]."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _ROUNDS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away(1 + even * d)
        c = _away(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away(1 + odd * d)
        c = _away(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < 1e-16:  # noqa: PLR2004 - the last bit of a float
            break
    return value


def _away(x: float) -> float:
    """Never zero: Lentz's method divides by it."""
    return x if abs(x) > _TINY else copysign(_TINY, x)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    return confidence
