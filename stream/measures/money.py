"""Money: sums of revenue and cost, historic lifetime value, acquisition cost.

Amounts are kept apart by currency and never added across currencies. Parts ``<stem>|<currency>``: [n, sum,
sum of squares] in ten-thousandths of a unit of the currency. Integers have no bound here, in JSON neither
(msgspec writes and reads them at any size), so sums are exact and nothing saturates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from stream.measures.intervals import compound_poisson, poisson_score
from stream.measures.metric import EVER, NOTHING, MetricValue

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

UNITS: Final = 10_000
"""Integer units in one unit of a currency."""

LARGEST: Final = 1e13
"""An amount of this size or more is a mistake, and no observation."""

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code for no currency: of amounts that came without one."""

_LONGEST: Final = 16
_SUM_ONLY: Final = "acquisition_spend"


def money(stem: str, value: float, currency: str | None) -> Observation | None:
    """What one amount adds, as (part key, vector).

    Args:
        stem: ``revenue``, ``cost`` or ``acquisition_spend`` (which has no sum of squares).
        value: Amount in units of the currency; refunds are negative.
        currency: Any code of up to 16 ASCII letters and digits, upper or lower case; none if None or "".

    Returns:
        None where the amount is infinite, not a number or ``LARGEST`` and more, or the code is none.
    """
    code = (currency or NO_CURRENCY).upper()
    if not -LARGEST < value < LARGEST or len(code) > _LONGEST or not (code.isascii() and code.isalnum()):
        return None
    amount = round(value * UNITS)
    vec = (1, amount) if stem == _SUM_ONLY else (1, amount, amount * amount)
    return f"{stem}|{code}", vec


def sums_by_currency(stats: Stats, stem: str) -> list[tuple[str, list[int]]]:
    """(currency, vector) of the keys of a stem, in alphabetical order; those without observations left out."""
    prefix = f"{stem}|"
    skip = len(prefix)
    return sorted([(key[skip:], vec) for key, vec in stats.items() if key.startswith(prefix) and vec[0] > 0])


class MoneySum:
    """Sum of a declared money field over the events of a slice. Parts ``<name>|<currency>``."""

    family: Final = "money"
    unit: Final = "money"
    ever: Final = ()
    windows: Final = "rolling"

    def __init__(self, name: str, better: Literal["higher", "lower"]) -> None:
        self.name: Final = name
        self.better: Final = better
        self.stems: Final = (name,)

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """The sum, and as its part ``mean`` the mean of an event; n is the number of events.

        Interval: of the expected total of a compound Poisson process [Bohm & Zech 2014], as events come at
        random and so do their amounts; see ``compound_poisson``. It is of what such a period brings on
        average; the sum itself is exact.

        With several currencies value and interval are None, and the parts are the sums by currency.
        """
        sums = sums_by_currency(stats, self.name)
        if not sums:
            return None
        if len(sums) > 1:
            return _mixed(sums, confidence)
        currency, (n, total, squares) = sums[0]
        low, high = compound_poisson(total, squares, confidence)
        return MetricValue(
            value=total / UNITS,
            n=n,
            interval=(low / UNITS, high / UNITS),
            confidence=confidence,
            parts={"mean": total / (n * UNITS)},
            currency=currency,
        )


class LifetimeValue:
    """Historic lifetime value of all customers: what they have spent since the beginning of the log.

    Parts: ``revenue|<currency>`` as of ``MoneySum``; ``acquired`` -> [customers].
    """

    name: Final = "lifetime_value"
    family: Final = "money"
    unit: Final = "money"
    better: Final = "higher"
    stems: Final = ("revenue", "acquired")
    ever: Final = ("revenue", "acquired")
    windows: Final = EVER

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """The sum; n is the number of customers acquired, the part ``per_customer`` the sum by them.

        None without customers. In a slice they count where they were acquired and money where it was spent:
        per customer is right for what a customer does not change, a segment say, and not for a channel.

        No interval: a customer's purchases are not independent, and spread between customers is not kept.
        With several currencies the value is None, and the parts are the sums by currency.
        """
        n = stats.get("acquired", (0,))[0]
        sums = sums_by_currency(stats, "revenue")
        if n <= 0 or not sums:
            return None
        if len(sums) > 1:
            return _mixed(sums, confidence, n)
        currency, (_, total, _) = sums[0]
        return MetricValue(
            value=total / UNITS,
            n=n,
            interval=None,
            confidence=confidence,
            parts={"per_customer": total / (n * UNITS)},
            currency=currency,
        )


class AcquisitionCost:
    """Sales and marketing spend by customer acquired.

    Parts: ``acquisition_spend|<currency>`` -> [n, sum]; ``acquired`` -> [customers].
    """

    name: Final = "acquisition_cost"
    family: Final = "money"
    unit: Final = "money"
    better: Final = "lower"
    stems: Final = ("acquisition_spend", "acquired")
    ever: Final = ()
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Spend by customer; n is the number of customers, and without any, or any spend, there is no value.

        Interval: spend as it is, by the ends of the score interval of the Poisson rate of customers [Garwood
        1936; score form: Barker 2002, The American Statistician 56:2]. Part ``spend``: the sum.

        With several currencies value and interval are None, and the parts are the spends by currency.
        """
        n = stats.get("acquired", (0,))[0]
        sums = sums_by_currency(stats, "acquisition_spend")
        if n <= 0 or not sums:
            return None
        if len(sums) > 1:
            return _mixed(sums, confidence, n)
        currency, (_, total) = sums[0]
        fewest, most = poisson_score(n, confidence)
        low, high = sorted((total / (UNITS * most), total / (UNITS * fewest)))
        return MetricValue(
            value=total / (n * UNITS),
            n=n,
            interval=(low, high),
            confidence=confidence,
            parts={"spend": total / UNITS},
            currency=currency,
        )


def _mixed(sums: list[tuple[str, list[int]]], confidence: float, n: int | None = None) -> MetricValue:
    """Sums in several currencies: there is no one value."""
    parts = {currency: vec[1] / UNITS for currency, vec in sums}
    number = sum(vec[0] for _, vec in sums) if n is None else n
    return MetricValue(value=None, n=number, interval=None, confidence=confidence, parts=parts)
