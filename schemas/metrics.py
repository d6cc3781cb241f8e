"""``cx.metrics``: the newest values of one slice, compacted by slice."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.record import DimensionName, Number, Wire
from schemas.times import Time

Interval = Annotated[tuple[Number, Number], Field(strict=False)]
"""Lower and upper end, in the unit of the value."""


class ReferenceLine(Wire):
    """What a value is held against: a goal, a baseline or a benchmark."""

    value: Number = Field(description="the line, in the unit of the metric")
    gap: Number = Field(description="the metric's value less the line")
    window: str | None = Field(
        None, description="where the line was found: `24h`, or `1h@7d`, the same hour a week ago"
    )
    n: int | None = Field(None, ge=0, description="observations the line rests on, where it was found")
    owner: str | None = Field(None, description="who answers for it")
    by: str | None = Field(None, description="date by which it is to be reached")


class VersusControl(Wire):
    """A variant of an experiment against its control."""

    variant: str = Field(description="the control")
    difference: Number = Field(description="value less that of the control")
    interval: Interval | None = Field(description="of the difference; null where nothing can be said yet")
    evidence: Literal["anytime"] = Field(description="the interval holds however often it is looked at")


class WindowValue(Wire):
    """One metric over one window."""

    value: Number | None = Field(
        description="in the metric's own unit; null where there is no single right figure, never 0"
    )
    n: int = Field(ge=0, description="replies, events or customers it rests on")
    interval: Interval | None = None
    confidence: float | None = Field(None, gt=0, lt=1, description="of the interval")
    parts: dict[str, Number] = Field(
        default_factory=dict, description="what it is made of, e.g. shares of promoters and detractors"
    )
    currency: str | None = Field(None, description="of an amount of money; `XXX` where none was given")
    goal: ReferenceLine | None = None
    baseline: ReferenceLine | None = None
    benchmark: ReferenceLine | None = None
    versus: VersusControl | None = Field(None, description="in the window of an experiment")


class Metrics(Wire):
    """The value of a ``cx.metrics`` record. The whole is the slice ``{}``."""

    slice: dict[DimensionName, str]
    as_of: Time = Field(description="event time up to which the values count")
    final: bool = Field(description="false for provisional values, which later records may still change")
    metrics: dict[str, dict[str, WindowValue]] = Field(
        description="metric -> window (`5m`, `1h`, ...; `ever`; an experiment's name) -> value"
    )
    corrected_from: Time | None = Field(
        None, description="late data changed what was published of the time from here on"
    )
