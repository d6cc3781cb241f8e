"""The parameters of BG/NBD and Gamma-Gamma that make what was seen most likely, from weighted counts of customers.

The likelihoods are those of [Fader, Hardie, Lee, "Counting your customers the easy way", Marketing Science 24:2,
2005, equation 6] and [Fader, Hardie, "The Gamma-Gamma model of monetary value", 2013, equation 1a]. They are
climbed by their exact gradients, in scales on which every point is a model. A pull of a billionth keeps parameters
that the data say nothing of from running off.
"""

from __future__ import annotations

from collections import defaultdict
from math import exp, floor, fsum, lgamma, log, log10
from typing import TYPE_CHECKING, Final, NamedTuple

from .fitting_maximum import maximum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Fewer customers, or fewer among them who came again, are not fitted to.
LEAST: Final = 100
LEAST_AGAIN: Final = 30

_PULL: Final = 1e-9
_DIGITS: Final = 6
_NOT_ONE: Final = 1e-5  # expected purchases divide by a - 1
_FARTHEST: Final = 30.0
_ASYMPTOTIC: Final = 6.0
_BERNOULLI: Final = (1 / 12, 691 / 32760, 1 / 132, 1 / 240, 1 / 252, 1 / 120, 1 / 12)

Bought = tuple[int, float, float, float]
"""x, t_x, T: purchases after the first, weeks from the first to the last, weeks from the first to the moment; and
how many customers it is true of, or stands for."""

Paid = tuple[int, float, float]
"""Purchases, and their mean; and how many customers it is true of, or stands for."""


class Unfit(ValueError):  # noqa: N818 - reads as what happened
    """There is nothing to fit to; the text says what is missing."""


class Fit(NamedTuple):
    """Parameters by name, six digits each; log-likelihood of the data; rows looked at, and customers in all."""

    parameters: dict[str, float]
    log_likelihood: float
    n: int
    weight: float


def fit_bgnbd(rows: Iterable[Bought]) -> Fit:
    """The parameters r, alpha (weeks), a and b of BG/NBD.

    Args:
        rows: customers who have bought, in any order.

    Raises:
        Unfit: too few customers, too few who came again, or no maximum.
    """
    n = again = 0
    weights: dict[tuple[int, float, float], float] = defaultdict(float)
    for x, recency, age, weight in rows:
        n += 1
        again += x > 0
        weights[x, recency, age] += weight
    total = fsum(weights.values())
    if n < LEAST:
        raise Unfit(f"{n} customers have bought, {LEAST} are needed")
    if again < LEAST_AGAIN:
        raise Unfit(f"{again} customers have bought again, {LEAST_AGAIN} are needed")
    by_x: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for (x, recency, age), weight in sorted(weights.items()):
        by_x[x].append((weight / total, recency, age))
    groups = [(x, fsum(row[0] for row in each), each) for x, each in sorted(by_x.items())]

    def likelihood(theta: Sequence[float]) -> tuple[float, list[float]]:
        if max(map(abs, theta)) > _FARTHEST:
            return float("-inf"), [0.0] * 4
        r, alpha, a, b = _purchases(theta)
        value, (by_r, by_alpha, by_a, by_b) = _bgnbd(r, alpha, a, b, groups)
        share = a / (a + b)
        slope = [
            by_r * r,
            by_alpha * alpha,
            (a + b - 1.0) * (by_a * share + by_b * (1.0 - share)),
            (a + b) * share * (1.0 - share) * (by_a - by_b),
        ]
        return _pulled(value, slope, theta)

    mean_age = fsum(weight * age for (_, _, age), weight in weights.items()) / total
    found = maximum(likelihood, [0.0, log(max(mean_age, 1e-3)), 0.0, 0.0])
    if not found.found:
        raise Unfit("no maximum of the likelihood was found")
    r, alpha, a, b = _purchases(found.at)
    if abs(a - 1.0) < _NOT_ONE:
        a = 1.0 + _NOT_ONE
    parameters = {"r": _rounded(r), "alpha": _rounded(alpha), "a": _rounded(a), "b": _rounded(b)}
    return Fit(parameters, total * (found.value + _pull(found.at)), n, total)


def fit_gamma_gamma(rows: Iterable[Paid]) -> Fit:
    """The parameters p, q (above 1) and gamma (money) of Gamma-Gamma.

    Args:
        rows: customers who have bought, in any order. A mean that is not more than 0 has no place in this model,
            and is left out.

    Raises:
        Unfit: too few customers, too few who came again, or no maximum.
    """
    n = again = 0
    weights: dict[tuple[int, float], float] = defaultdict(float)
    for x, mean, weight in rows:
        if x > 0 and mean > 0:
            n += 1
            again += x > 1
            weights[x, mean] += weight
    if n < LEAST:
        raise Unfit(f"{n} customers have paid, {LEAST} are needed")
    if again < LEAST_AGAIN:
        raise Unfit(f"{again} customers have paid again, {LEAST_AGAIN} are needed")
    total = fsum(weights.values())
    scale = fsum(weight * mean for (_, mean), weight in weights.items()) / total
    scaled = [(weight / total, x, mean / scale) for (x, mean), weight in sorted(weights.items())]

    def likelihood(theta: Sequence[float]) -> tuple[float, list[float]]:
        if max(map(abs, theta)) > _FARTHEST:
            return float("-inf"), [0.0] * 3
        p, q, gamma = _amounts(theta)
        value, (by_p, by_q, by_gamma) = _gamma_gamma(p, q, gamma, scaled)
        return _pulled(value, [by_p * p, by_q * (q - 1.0), by_gamma * gamma], theta)

    found = maximum(likelihood, [0.0, 0.0, 0.0])
    if not found.found:
        raise Unfit("no maximum of the likelihood was found")
    p, q, gamma = _amounts(found.at)
    parameters = {"p": _rounded(p), "q": _rounded(q), "gamma": _rounded(gamma * scale)}
    return Fit(parameters, total * (found.value + _pull(found.at) - log(scale)), n, total)


def _bgnbd(
    r: float,
    alpha: float,
    a: float,
    b: float,
    groups: list[tuple[int, float, list[tuple[float, float, float]]]],
) -> tuple[float, list[float]]:
    """Mean log-likelihood, and its derivatives."""
    value = by_r = by_alpha = by_a = by_b = 0.0
    log_alpha, r_0, ab_0, b_0 = log(alpha), lgamma(r), lgamma(a + b), lgamma(b)
    psi_r, psi_ab, psi_b = digamma(r), digamma(a + b), digamma(b)
    for x, share, rows in groups:
        value += share * (
            lgamma(r + x) - r_0 + r * log_alpha + ab_0 + lgamma(b + x) - b_0 - lgamma(a + b + x)
        )
        psi_abx = psi_ab - digamma(a + b + x)
        by_r += share * (digamma(r + x) - psi_r + log_alpha)
        by_alpha += share * r / alpha
        by_a += share * psi_abx
        by_b += share * (psi_abx + digamma(b + x) - psi_b)
        if not x:
            for weight, _, age in rows:
                later = log(alpha + age)
                value -= weight * r * later
                by_r -= weight * later
                by_alpha -= weight * r / (alpha + age)
            continue
        odds_0, left = log(a / (b + x - 1.0)), 0.0
        for weight, recency, age in rows:
            later, sooner = log(alpha + age), log(alpha + recency)
            # ln(A3 + A4), and which share of it is A4: that the customer has left.
            odds = odds_0 + (r + x) * (later - sooner)
            if odds > 0:
                rest = exp(-odds)
                gone = 1.0 / (1.0 + rest)
                value += weight * (odds_0 - (r + x) * sooner + log(1.0 + rest))
            else:
                rest = exp(odds)
                gone = rest / (1.0 + rest)
                value += weight * (log(1.0 + rest) - (r + x) * later)
            by_r -= weight * (later + gone * (sooner - later))
            by_alpha -= weight * (r + x) * ((1.0 - gone) / (alpha + age) + gone / (alpha + recency))
            left += weight * gone
        by_a += left / a
        by_b -= left / (b + x - 1.0)
    return value, [by_r, by_alpha, by_a, by_b]


def _gamma_gamma(
    p: float, q: float, gamma: float, rows: list[tuple[float, int, float]]
) -> tuple[float, list[float]]:
    """Mean log-likelihood, and its derivatives."""
    value = by_p = by_q = by_gamma = 0.0
    q_0, psi_q, log_gamma = lgamma(q), digamma(q), log(gamma)
    of_x: dict[int, tuple[float, float, float]] = {}
    for weight, x, mean in rows:
        shape = p * x
        known = of_x.get(x)
        if known is None:
            psi = digamma(shape + q)
            known = of_x[x] = (lgamma(shape + q) - lgamma(shape), psi - digamma(shape), psi)
        ratio, psi_ratio, psi = known
        total = log(gamma + mean * x)
        paid = log(mean * x)
        value += weight * (ratio - q_0 + q * log_gamma + shape * paid - log(mean) - (shape + q) * total)
        by_p += weight * x * (psi_ratio + paid - total)
        by_q += weight * (psi - psi_q + log_gamma - total)
        by_gamma += weight * (q / gamma - (shape + q) / (gamma + mean * x))
    return value, [by_p, by_q, by_gamma]


def digamma(x: float) -> float:
    """The derivative of ``lgamma`` for x > 0, to 12 digits: by recurrence up to 6, then asymptotically."""
    value = 0.0
    while x < _ASYMPTOTIC:
        value -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    series = 0.0
    for term in _BERNOULLI:
        series = square * (term - series)
    return value + log(x) - 0.5 / x - series


def _purchases(theta: Sequence[float]) -> tuple[float, float, float, float]:
    """r, alpha, a, b; a + b is above 1, else who bought once would be expected to buy without end."""
    both = 1.0 + exp(theta[2])
    share = 1.0 / (1.0 + exp(-theta[3]))
    return exp(theta[0]), exp(theta[1]), both * share, both * (1.0 - share)


def _amounts(theta: Sequence[float]) -> tuple[float, float, float]:
    """p, q, gamma; q is above 1, else amounts would have no mean."""
    return exp(theta[0]), 1.0 + exp(theta[1]), exp(theta[2])


def _pull(theta: Sequence[float]) -> float:
    return _PULL * sum(each * each for each in theta)


def _pulled(value: float, slope: list[float], theta: Sequence[float]) -> tuple[float, list[float]]:
    return value - _pull(theta), [up - 2 * _PULL * each for up, each in zip(slope, theta, strict=True)]


def _rounded(value: float) -> float:
    """To six digits: more says nothing, and would differ between machines."""
    return round(value, _DIGITS - 1 - floor(log10(value)))
