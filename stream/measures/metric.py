"""What a metric is: how one reply becomes a vector, and how summed vectors become a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from stream.measures.stats import Observation, Stats

Scale = tuple[float, float]
"""(lowest, highest) possible score of a question."""


class MetricValue(msgspec.Struct, frozen=True):
    """One metric over one window of one slice.

    Attributes:
        value: NPS -100..100, CSAT 0..100, CES on its own scale. None only where replies on several scales
            were mixed, so that no single scale is right; ``parts`` then still holds what is comparable.
        n: Number of replies, at least 1.
        interval: (low, high) in the unit of ``value``, within its possible range; None where ``n`` is too
            small for one, or ``value`` is None.
        confidence: Nominal coverage of ``interval``, e.g. 0.95.
        parts: Named pieces: fractions 0..1, except ``normalised`` of CES, which is 0..100.
    """

    value: float | None
    n: int
    interval: tuple[float, float] | None
    confidence: float
    parts: dict[str, float]


class Metric(Protocol):
    """One metric family. Stateless; all state is in the ``Stats`` handed in."""

    @property
    def name(self) -> str:
        """Public name; the part keys it owns are ``name`` or begin with ``name|``."""

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """(part key, vector) of one reply; None where the score or scale cannot be used."""

    def value(self, stats: Stats, confidence: float) -> MetricValue | None:
        """Value of all the metric's parts in ``stats``; None when there is no observation."""


def on_scale(score: float, scale: Scale) -> bool:
    """Whether the scale is one (low < high, both finite) and the score lies on it; False for NaN."""
    low, high = scale
    return float("-inf") < low <= score <= high < float("inf") and low < high


def oriented(score: float, scale: Scale, higher_is_better: bool) -> float:
    """The score as if asked with the highest as the best: mirrored on its scale where it was not."""
    return score if higher_is_better else scale[0] + scale[1] - score
