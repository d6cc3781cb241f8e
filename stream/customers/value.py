"""What a customer will still buy, and spend, from three figures of the past: BG/NBD and Gamma-Gamma.

While alive a customer buys at random at a rate of their own, and after each purchase may be gone for good, with a
probability of their own; both differ between customers by the declared distributions [Fader, Hardie, Lee,
"Counting your customers the easy way: an alternative to the Pareto/NBD model", Marketing Science 24:2, 2005].
What a purchase is worth differs between customers too, and has nothing to do with how often they buy [Fader,
Hardie, "The Gamma-Gamma model of monetary value", 2013]. For shops, where nobody says goodbye; not for contracts.
"""

from __future__ import annotations

from math import exp, isfinite, log
from typing import Final

import msgspec

WEEK_MS: Final = 7 * 24 * 3600 * 1000
_TINY: Final = 1e-15
_MOST_TERMS: Final = 100_000
_NO_RETURN: Final = 700.0  # log-odds beyond which e to their power is no number


class ValueModel(msgspec.Struct, frozen=True):
    """Declared parameters; the default is the published fit to the CDNOW sample [Fader, Hardie, Lee 2005].

    It is fitted to one music shop of 1997: it orders customers sensibly elsewhere, but its levels are that shop's.

    Attributes:
        r: Shape of the rates of buying.
        alpha: Their scale, weeks.
        a: First parameter of the probabilities to leave after a purchase; not 1.
        b: Second one.
        p: Shape of the amounts of one customer.
        q: Shape of the means of customers, above 1.
        gamma: Their scale, money.
        horizon_ms: How far ahead is looked.

    Raises:
        ValueError: where there is no such model.
    """

    r: float = 0.243
    alpha: float = 4.414
    a: float = 0.793
    b: float = 2.426
    p: float = 6.25
    q: float = 3.74
    gamma: float = 15.44
    horizon_ms: int = 39 * WEEK_MS

    def __post_init__(self) -> None:
        """Refuse parameters that are none."""
        for name in ("r", "alpha", "a", "b", "p", "q", "gamma", "horizon_ms"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: must be more than 0")
        if abs(self.a - 1.0) < 1e-6 or self.a + self.b <= 1.0:  # noqa: PLR2004 - the formula divides by a - 1
            raise ValueError("a: must not be 1, and a + b must be more than 1")
        if self.q <= 1.0:
            raise ValueError("q: must be more than 1, else amounts have no mean")


def p_alive(model: ValueModel, x: int, recency: float, age: float) -> float:
    """Probability that a customer has not left for good; 1 with no repeat purchase, as the model has it.

    1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t_x))^(r + x)) for x > 0.

    Args:
        model: Declared.
        x: Purchases after the first.
        recency: t_x, weeks from the first purchase to the last.
        age: T, weeks from the first purchase to now; not less than ``recency``.
    """
    if x <= 0:
        return 1.0
    odds = log(model.a / (model.b + x - 1)) + (model.r + x) * log(
        (model.alpha + age) / (model.alpha + recency)
    )
    return 0.0 if odds > _NO_RETURN else 1.0 / (1.0 + exp(odds))


def expected_purchases(model: ValueModel, x: int, recency: float, age: float) -> float:
    """Purchases expected within the horizon: equation 10 of [Fader, Hardie, Lee 2005].

    With z = t / (alpha + T + t) it is P(alive) (a + b + x - 1) / (a - 1) times
    1 - (1 - z)^(r + x) 2F1(r + x, b + x; a + b + x - 1; z). By Euler's transformation the second term is
    (1 - z)^(a - 1) 2F1(a + b - 1 - r, a - 1; a + b + x - 1; z), which nothing overflows in, and whose series is
    the shorter the more purchases there were. Arguments as of ``p_alive``.
    """
    weeks = model.horizon_ms / WEEK_MS
    z = weeks / (model.alpha + age + weeks)
    c = model.a + model.b + x - 1
    power = exp((model.a - 1) * log((model.alpha + age) / (model.alpha + age + weeks)))
    later = power * hypergeometric(model.a + model.b - 1 - model.r, model.a - 1, c, z)
    return max(0.0, c / (model.a - 1) * (1.0 - later)) * p_alive(model, x, recency, age)


def expected_spend(model: ValueModel, n: int, mean: float) -> float:
    """Mean of a customer's purchases to come: p (gamma + n m) / (p n + q - 1) [Fader, Hardie 2013].

    A mean of the customer's own, and of all customers, the former weighing more the more purchases there were.

    Args:
        model: Declared.
        n: Purchases.
        mean: Of their amounts; below 0 (more refunds than purchases) counts as 0.
    """
    return model.p * (model.gamma + n * max(0.0, mean)) / (model.p * n + model.q - 1)


def hypergeometric(a: float, b: float, c: float, z: float) -> float:
    """Gauss' 2F1(a, b; c; z) by its series, for 0 <= z < 1 and c > 0."""
    total = term = 1.0
    for k in range(_MOST_TERMS):
        term *= (a + k) * (b + k) / ((c + k) * (k + 1)) * z
        total += term
        if abs(term) <= _TINY * abs(total):
            break
    return total
