"""The published form of values: one ``cx.metrics`` object per slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from schemas import format_ms
from stream.measures.metric import EVER, NOTHING
from stream.measures.registry import all_values
from stream.measures.slices import parse_slice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.metric import MetricValue
    from stream.measures.stats import Stats

_encode: Final = msgspec.json.Encoder().encode


def metric_values(windows: Mapping[str, Stats], confidence: float) -> dict[str, dict[str, MetricValue]]:
    """Values by metric and window; a metric or window without observations is left out.

    Args:
        windows: Window name -> sums, in the order to publish.
        confidence: Of the intervals.
    """
    values: dict[str, dict[str, MetricValue]] = {}
    ever = windows.get(EVER, NOTHING)
    for window, stats in windows.items():
        for metric, value in all_values(stats, confidence, ever, window=window).items():
            values.setdefault(metric, {})[window] = value
    return values


def encode_metrics(
    slice_key: str, as_of_ms: int, final: bool, values: Mapping[str, Mapping[str, MetricValue]]
) -> bytes:
    """The value of a ``cx.metrics`` record.

    Args:
        slice_key: Canonical slice key.
        as_of_ms: The instant of the values, epoch milliseconds.
        final: Whether nothing on time can change them any more.
        values: As ``metric_values`` has them.

    Returns:
        JSON ``{"slice", "as_of", "final", "metrics": {metric: {window: value}}}``, where a value has the
        attributes of ``MetricValue``.
    """
    return _encode(
        {
            "slice": parse_slice(slice_key),
            "as_of": format_ms(as_of_ms),
            "final": final,
            "metrics": values,
        }
    )
