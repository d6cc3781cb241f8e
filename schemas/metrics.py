"""``cx.metrics``: the newest values of one slice, compacted by slice."""

from typing import Annotated

from pydantic import Field

from schemas.record import DimensionName, Number, Wire
from schemas.times import Time

Interval = Annotated[tuple[Number, Number], Field(strict=False)]
"""Lower and upper end, in the unit of the value."""


class WindowValue(Wire):
    """One metric over one window."""

    value: Number | None = Field(description="in the metric's own unit; null without observations, never 0")
    n: int = Field(ge=0, description="replies or events it rests on")
    interval: Interval | None = None
    confidence: float | None = Field(None, gt=0, lt=1, description="of the interval")
    parts: dict[str, Number] = Field(
        default_factory=dict, description="what it is made of, e.g. shares of promoters and detractors"
    )


class Metrics(Wire):
    """The value of a ``cx.metrics`` record. The whole is the slice ``{}``."""

    slice: dict[DimensionName, str]
    as_of: Time = Field(description="event time up to which the values count")
    final: bool = Field(description="false for provisional values, which later records may still change")
    metrics: dict[str, dict[str, WindowValue]] = Field(description="metric -> window (5m, 1h, ...) -> value")
