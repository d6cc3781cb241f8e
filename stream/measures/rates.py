"""Rates of touchpoint events: how many of so many went one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from stream.measures.intervals import wilson
from stream.measures.metric import NOTHING, MetricValue
from stream.measures.moments import Moments, of_hits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.stats import Stats

_PERCENT: Final = 100
_ENDED: Final = "ended|"


def share(hits: int, n: int, confidence: float, parts: Mapping[str, float]) -> MetricValue | None:
    """100 * hits / n with the Wilson interval [1927]; None unless ``n`` is above 0.

    Where events are counted when they happen, the hits of a window may belong to others than its ``n``, and
    there may be more of them, or fewer than none: then it is no proportion, and there is no interval.
    """
    if n <= 0:
        return None
    interval = None
    if 0 <= hits <= n:
        low, high = wilson(hits, n, confidence)
        interval = (_PERCENT * low, _PERCENT * high)
    return MetricValue(
        value=_PERCENT * hits / n, n=n, interval=interval, confidence=confidence, parts={**parts}
    )


class Rate:
    """Hits per hundred. Part ``key``: [n, hits].

    Args:
        name: Of the metric.
        key: Part key.
        hits: Name of the hits; the value's part of that name is their share, as a fraction.
        better: Which way is good.
    """

    family: Final = "rates"
    unit: Final = "percent"
    ever: Final = ()
    windows: Final = "rolling"

    def __init__(self, name: str, key: str, hits: str, better: Literal["higher", "lower"]) -> None:
        self.name: Final = name
        self.better: Final = better
        self.stems: Final = (key.partition("|")[0],)
        self._key = key
        self._hits = hits

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Per cent, with the Wilson interval [1927]; above 100 without one (see ``share``)."""
        vec = stats.get(self._key)
        if vec is None or vec[0] <= 0:
            return None
        n, hits = vec
        return share(hits, n, confidence, {self._hits: hits / n})

    def moments(self, stats: Stats) -> Moments | None:
        """Of events that are hits, 100, or not, 0; None where the rate is no proportion."""
        vec = stats.get(self._key)
        return None if vec is None else of_hits(vec[1], vec[0])


class Abandonment:
    """Journeys abandoned, of all that ended. Parts ``ended|<journey>``: [ended, abandoned]."""

    name: Final = "abandonment"
    family: Final = "rates"
    unit: Final = "percent"
    better: Final = "lower"
    stems: Final = ("ended",)
    ever: Final = ()
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Per cent over all journeys, with the Wilson interval [1927]; parts: each journey's, as a fraction."""
        n = hits = 0
        parts = {}
        for key in sorted([key for key in stats if key.startswith(_ENDED)]):
            ended, abandoned = stats[key]
            if ended > 0:
                parts[key[len(_ENDED) :]] = abandoned / ended
                n += ended
                hits += abandoned
        return share(hits, n, confidence, parts)

    def moments(self, stats: Stats) -> Moments | None:
        """Of journeys that were abandoned, 100, or finished, 0."""
        vecs = [vec for key, vec in stats.items() if key.startswith(_ENDED) and vec[0] > 0]
        return of_hits(sum(vec[1] for vec in vecs), sum(vec[0] for vec in vecs))


REFERRAL_RATE: Final = Rate("referral_rate", "purchases", "referred", "higher")
"""Referred purchases per hundred purchases."""

REOPEN_RATE: Final = Rate("reopen_rate", "tickets", "reopened", "lower")
"""Tickets reopened per hundred resolved; each counted when it happens, so it may exceed 100."""

CART_ABANDONMENT: Final = Rate("cart_abandonment", "ended|cart", "abandoned", "lower")
"""Carts not bought in their time, per hundred that ended."""

QUEUE_ABANDONMENT: Final = Rate("queue_abandonment", "ended|queue", "abandoned", "lower")
"""Queues left before being served, per hundred that ended."""

SELF_SERVICE_DEFLECTION: Final = Rate("self_service_deflection", "sessions", "deflected", "higher")
"""Support sessions answered without a ticket, per hundred."""
