"""What a metric is: how an observation becomes a vector, and how summed vectors become a value."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec

from stream.measures.stats import Observation, Stats

Scale = tuple[float, float]
"""(lowest, highest) possible score of a question."""

Span = Literal["rolling", "ever"]
"""The windows a metric has values in: all that are no stock, or only the one since the beginning of the log."""

EVER: Final = "ever"
"""Name of the window since the beginning of the log."""

NOTHING: Final[Stats] = {}
"""Sums of nothing. Shared: never added to."""


_WIDEST: Final = 1e300  # beyond that, arithmetic with a scale's width overflows


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure a value is held against: a goal, a baseline, a benchmark.

    Attributes:
        value: The figure, in the unit of the metric.
        gap: The metric's value less the figure; positive is above it.
        window: Window the figure was taken from; None for a declared figure.
        n: Observations the figure rests on; None for a declared figure.
        owner: Who answers for it.
        by: Date it is to be reached by, as declared.
    """

    value: float
    gap: float
    window: str | None = None
    n: int | None = None
    owner: str | None = None
    by: str | None = None


class Versus(msgspec.Struct, frozen=True):
    """A variant against the control of its experiment.

    Attributes:
        variant: The control it is compared with.
        difference: Its value less the control's.
        interval: (low, high) of the difference.
        evidence: ``anytime``: the interval holds however often and whenever it is looked at.
    """

    variant: str
    difference: float
    interval: tuple[float, float] | None
    evidence: str = "anytime"


class MetricValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """One metric over one window of one slice.

    Attributes:
        value: In the metric's unit, e.g. NPS -100..100. None only where there is no single right figure:
            replies on several scales, money in several currencies; ``parts`` holds what is comparable.
        n: Number of observations it rests on, which the metric says: replies, events, customers.
        interval: (low, high) in the unit of ``value``, within its possible range; None where ``n`` is too
            small for one, ``value`` is None, or none is known for it.
        confidence: Nominal coverage of ``interval``, e.g. 0.95.
        parts: Named pieces; each metric says which, and in what unit.
        currency: Upper-cased currency of a sum of money; ``XXX`` (ISO 4217: no currency) if none was given.
        goal: What it should be.
        baseline: What it was.
        benchmark: What it is elsewhere.
        versus: The comparison with the control of an experiment.

    The last five are left out of the JSON where there are none.
    """

    value: float | None
    n: int
    interval: tuple[float, float] | None
    confidence: float
    parts: dict[str, float]
    currency: str | None = None
    goal: Line | None = None
    baseline: Line | None = None
    benchmark: Line | None = None
    versus: Versus | None = None


class Metric(Protocol):
    """One metric. Stateless; all state is in the ``Stats`` handed in."""

    @property
    def name(self) -> str:
        """Public name."""

    @property
    def family(self) -> str:
        """The page of the documentation: replies, rates, durations, money, customers, explanation."""

    @property
    def unit(self) -> str:
        """Of the value: points, percent, scale (the question's own), seconds, money or count."""

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Which way is good; None where neither is."""

    @property
    def stems(self) -> tuple[str, ...]:
        """Part keys it reads of the window: a stem itself, and all that begin with it and ``|``."""

    @property
    def ever(self) -> tuple[str, ...]:
        """Stems it reads since the beginning of the log; () for a metric of the window alone."""

    @property
    def windows(self) -> Span:
        """Which windows it has a value in."""

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Its value; None when there is no observation.

        Args:
            stats: Sums of the window; of other metrics' stems too, perhaps.
            confidence: Two-sided, of the interval.
            ever: Sums from the beginning of the log to the end of the window, of the stems in ``ever``.
        """


class ReplyMetric(Metric, Protocol):
    """A metric made of scores."""

    def observe(self, score: float, scale: Scale, higher_is_better: bool) -> Observation | None:
        """(part key, vector) of one reply; None where the score or scale cannot be used."""


def on_scale(score: float, scale: Scale) -> bool:
    """Whether the scale is one (low < high, not absurdly far apart) and the score lies on it; False for NaN."""
    low, high = scale
    return low <= score <= high and 0 < high - low < _WIDEST


def oriented(score: float, scale: Scale, higher_is_better: bool) -> float:
    """The score as if asked with the highest as the best: mirrored on its scale where it was not."""
    return score if higher_is_better else scale[1] - (score - scale[0])
