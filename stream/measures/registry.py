"""Every metric there is. A new one is one file, one line here, and one test table."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stream.measures.ces import Ces
from stream.measures.csat import Csat
from stream.measures.customers import Customers
from stream.measures.durations import Duration
from stream.measures.engagement import Engagement
from stream.measures.loyalty import Loyalty
from stream.measures.metric import EVER, NOTHING
from stream.measures.money import AcquisitionCost, LifetimeValue, MoneySum
from stream.measures.nps import Nps
from stream.measures.rates import (
    CART_ABANDONMENT,
    QUEUE_ABANDONMENT,
    REFERRAL_RATE,
    REOPEN_RATE,
    SELF_SERVICE_DEFLECTION,
    Abandonment,
)
from stream.measures.subscribers import ChurnRate, RetentionRate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.metric import Metric, MetricValue, ReplyMetric, Scale
    from stream.measures.stats import Observation, Stats

_REPLIES: Final[tuple[ReplyMetric, ...]] = (Nps(), Csat(), Ces(), Loyalty(), Engagement())
_ALL: Final[tuple[Metric, ...]] = (
    *_REPLIES,
    REFERRAL_RATE,
    ChurnRate(),
    RetentionRate(),
    LifetimeValue(),
    AcquisitionCost(),
    Duration("resolution_time"),
    REOPEN_RATE,
    Duration("waiting_time"),
    Abandonment(),
    CART_ABANDONMENT,
    QUEUE_ABANDONMENT,
    SELF_SERVICE_DEFLECTION,
    MoneySum("revenue", "higher"),
    MoneySum("cost", "lower"),
    Customers(),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Metric name -> metric, in the order in which values are published."""

REPLY_METRICS: Final[Mapping[str, ReplyMetric]] = MappingProxyType(
    {metric.name: metric for metric in _REPLIES}
)
"""Those of ``METRICS`` that are made of scores."""

EVER_STEMS: Final = frozenset(stem for metric in _ALL for stem in metric.ever)
"""Stems of which the sums since the beginning of the log are kept."""


@lru_cache(maxsize=8192)
def observation(metric: str, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
    """What one reply adds, as (part key, vector); the same object for the same arguments.

    None where there is no such metric, or the score is not on the scale, or the scale is none. Never
    raises: refusing such a reply with a reason is the business of whoever let it in.
    """
    known = REPLY_METRICS.get(metric)
    return None if known is None else known.observe(score, scale, higher_is_better)


def value_of(
    metric: str, stats: Stats, confidence: float, ever: Stats = NOTHING, window: str = ""
) -> MetricValue | None:
    """Value of one metric; None for no observations, and for a metric that does not exist.

    Args:
        metric: Its name.
        stats: Sums of the window.
        confidence: Two-sided, of the interval.
        ever: Sums since the beginning of the log, of ``EVER_STEMS``, to the end of the window.
        window: Name of the window. Metrics have values either in ``ever`` or in all others.
    """
    known = METRICS.get(metric)
    if known is None or (known.windows == EVER) != (window == EVER):
        return None
    return known.value(stats, confidence, ever)


def all_values(
    stats: Stats,
    confidence: float,
    ever: Stats = NOTHING,
    names: tuple[str, ...] | None = None,
    window: str = "",
) -> dict[str, MetricValue]:
    """Every metric that has observations in ``stats`` or ``ever``, in the order of ``METRICS``.

    Args:
        stats: As in ``value_of``, like all that follow.
        confidence: Of every interval.
        ever: Sums since the beginning of the log.
        names: Of the metrics wanted; all if None. Unknown ones have no value.
        window: Name of the window.
    """
    wanted = METRICS if names is None else [name for name in METRICS if name in names]
    values = ((name, value_of(name, stats, confidence, ever, window)) for name in wanted)
    return {name: value for name, value in values if value is not None}
