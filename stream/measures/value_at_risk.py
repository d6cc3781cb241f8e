"""Value at risk: what the unhappy customers of a slice had spent, until a day before they said so.

A customer counts once, in the slices and at the time of their newest unhappy reply: one more takes back what the
one before it said. So a window counts customers, not replies, and nothing but two small sums is kept of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream.measures.csat import Csat
from stream.measures.drivers import place
from stream.measures.metric import NOTHING, MetricValue
from stream.measures.money import UNITS, sums_by_currency
from stream.measures.nps import Nps

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream.measures.metric import Scale
    from stream.measures.stats import Stats

AT_RISK: Final = "value_at_risk"
_MONEY: Final = AT_RISK + "|"
_HALF: Final = 5_000  # of the places of an answer
_NPS: Final = Nps()
_CSAT: Final = Csat()


@lru_cache(maxsize=8192)
def unhappy(metric: str, score: float, scale: Scale, higher_is_better: bool) -> bool:
    """Whether a reply is a detractor's (nps), not satisfied (csat), or on the worse half of its scale (others)."""
    if metric == _NPS.name:
        seen = _NPS.observe(score, scale, higher_is_better)
        return seen is not None and seen[1][2] == 1
    if metric == _CSAT.name:
        seen = _CSAT.observe(score, scale, higher_is_better)
        return seen is not None and seen[1][0] == 0
    at = place(score, scale, higher_is_better)
    return at is not None and at < _HALF


def moves_only(keys: Collection[str]) -> bool:
    """Whether late sums are of this metric alone: a customer counts elsewhere from now on, and did count there."""
    return bool(keys) and all(key.startswith(AT_RISK) for key in keys)


class ValueAtRisk:
    """Parts: ``value_at_risk`` -> [customers]; ``value_at_risk|<currency>`` -> [customers, what they spent]."""

    name: Final = AT_RISK
    family: Final = "customers"
    unit: Final = "money"
    better: Final = "lower"
    stems: Final = (AT_RISK,)
    ever: Final = ()
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """The sum of what they had spent; n is the number of unhappy customers, the part ``mean`` the sum by n.

        No interval: they are not drawn, they are all there are. Where none of them has spent anything the value is
        None; with several currencies, too, and the parts are the sums by currency.
        """
        n = stats.get(AT_RISK, (0,))[0]
        if n <= 0:
            return None
        sums = sums_by_currency(stats, AT_RISK)
        if len(sums) != 1:
            parts = {currency: vec[1] / UNITS for currency, vec in sums}
            return MetricValue(value=None, n=n, interval=None, confidence=confidence, parts=parts)
        currency, (_, total) = sums[0]
        return MetricValue(
            value=total / UNITS,
            n=n,
            interval=None,
            confidence=confidence,
            parts={"mean": total / (n * UNITS)},
            currency=currency,
        )
