"""Every metric there is. A new one is one file, one line here, and one test table."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stream.measures.ces import Ces
from stream.measures.csat import Csat
from stream.measures.nps import Nps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.metric import Metric, MetricValue, Scale
    from stream.measures.stats import Observation, Stats

_ALL: Final[tuple[Metric, ...]] = (Nps(), Csat(), Ces())

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Metric name -> metric, in the order in which values are published."""


@lru_cache(maxsize=8192)
def observation(metric: str, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
    """What one reply adds, as (part key, vector); the same object for the same arguments.

    None where there is no such metric, or the score is not on the scale, or the scale is none. Never
    raises: refusing such a reply with a reason is the business of whoever let it in.
    """
    known = METRICS.get(metric)
    return None if known is None else known.observe(score, scale, higher_is_better)


def value_of(metric: str, stats: Stats, confidence: float) -> MetricValue | None:
    """Value of one metric; None for no observations, and for a metric that does not exist."""
    known = METRICS.get(metric)
    return None if known is None else known.value(stats, confidence)


def all_values(stats: Stats, confidence: float) -> dict[str, MetricValue]:
    """Every metric that has observations in ``stats``, in the order of ``METRICS``."""
    values = ((name, metric.value(stats, confidence)) for name, metric in METRICS.items())
    return {name: value for name, value in values if value is not None}
