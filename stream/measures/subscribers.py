"""Churn and retention: what became of the customers that subscribed when the period began.

Part ``subscribers``: [net, started, lost], where net is started less lost, so that the sum of net since the
beginning of the log is the number of subscribers at the end of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.metric import NOTHING, MetricValue
from stream.measures.rates import share

if TYPE_CHECKING:
    from stream.measures.stats import Stats

_NONE: Final = (0, 0, 0)


def _parts(stats: Stats, ever: Stats) -> dict[str, int]:
    net, started, lost = stats.get("subscribers", _NONE)
    at_end = ever["subscribers"][0]
    return {"at_start": at_end - net, "started": started, "lost": lost, "at_end": at_end}


class ChurnRate:
    """Customers lost in the period per hundred subscribed at its start."""

    name: Final = "churn_rate"
    family: Final = "customers"
    unit: Final = "percent"
    better: Final = "lower"
    stems: Final = ("subscribers",)
    ever: Final = ("subscribers",)
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Per cent, with the Wilson interval [1927]; n is the number at the start, None if nobody was there.

        Those who came within the period and left again are among the lost, so it may exceed 100; then there
        is no interval. Parts, all counts: ``at_start``, ``started``, ``lost``, ``at_end``.
        """
        if "subscribers" not in ever:
            return None
        parts = _parts(stats, ever)
        return share(parts["lost"], parts["at_start"], confidence, parts)


class RetentionRate:
    """Customers at the end less those new in the period, per hundred subscribed at its start."""

    name: Final = "retention_rate"
    family: Final = "customers"
    unit: Final = "percent"
    better: Final = "higher"
    stems: Final = ("subscribers",)
    ever: Final = ("subscribers",)
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Per cent, with the Wilson interval [1927]; n and parts as of ``ChurnRate``.

        100 less the churn rate, so where that exceeds 100 this is negative and has no interval.
        """
        if "subscribers" not in ever:
            return None
        parts = _parts(stats, ever)
        return share(parts["at_end"] - parts["started"], parts["at_start"], confidence, parts)
