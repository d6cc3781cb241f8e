"""Every metric there is. A new one is one file, one line here, and one test table."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stream.measures.ces import Ces
from stream.measures.csat import Csat
from stream.measures.customers import Customers
from stream.measures.drivers import Drivers
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
from stream.measures.value_at_risk import ValueAtRisk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    ValueAtRisk(),
    Drivers(),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Metric name -> metric, in the order in which values are published."""

STANDARD: Final = tuple(name for name in METRICS if name not in {"customers", "value_at_risk"})
"""Those that are computed where nothing is declared: what needs to know who was where costs more than others."""

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
    names: Iterable[str] | None = None,
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
    readers = _readers(None if names is None else tuple(names), window == EVER)
    by_stem: dict[str, Stats] = {}
    for key, vec in stats.items():
        stem = _stem(key)
        if stem not in readers:
            continue  # of metrics that nobody asked for
        group = by_stem.get(stem)
        if group is None:
            by_stem[stem] = {key: vec}
        else:
            group[key] = vec
    # A stock of which nothing moved within the window has a value all the same.
    stems = by_stem.keys() | {_stem(key) for key in ever} if ever else by_stem.keys()
    due = {place: metric for stem in stems for place, metric in readers.get(stem, ())}
    values = {}
    for place in sorted(due):
        metric = due[place]
        value = metric.value(_of_stems(by_stem, metric.stems), confidence, ever)
        if value is not None:
            values[metric.name] = value
    return values


@lru_cache(maxsize=64)
def _readers(names: tuple[str, ...] | None, in_ever: bool) -> dict[str, list[tuple[int, Metric]]]:
    """Stem -> place in ``METRICS`` and metric of those that read it, so that absent stems cost nothing."""
    found: dict[str, list[tuple[int, Metric]]] = {}
    for place, metric in enumerate(_ALL):
        if (names is None or metric.name in names) and (metric.windows == EVER) == in_ever:
            for stem in metric.stems:
                found.setdefault(stem, []).append((place, metric))
    return found


@lru_cache(maxsize=16_384)
def _stem(key: str) -> str:
    return key.partition("|")[0]


def _of_stems(by_stem: dict[str, Stats], stems: tuple[str, ...]) -> Stats:
    """The sums of these stems alone: a metric looks through few keys."""
    if len(stems) == 1:
        return by_stem.get(stems[0], NOTHING)
    return {key: vec for stem in stems for key, vec in by_stem.get(stem, NOTHING).items()}
