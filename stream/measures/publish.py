"""The published form of values: one ``cx.metrics`` object per slice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stream.measures.registry import all_values
from stream.measures.slices import parse_slice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.metric import MetricValue
    from stream.measures.stats import Stats

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def metrics_value(
    slice_key: str, as_of_ms: int, final: bool, windows: Mapping[str, Stats], confidence: float
) -> dict[str, Any]:
    """The value of a ``cx.metrics`` record, as plain JSON types.

    Args:
        slice_key: Canonical slice key.
        as_of_ms: The instant of the values, epoch milliseconds.
        final: Whether nothing on time can change them any more.
        windows: Window name -> sums, in the order to publish.
        confidence: Of the intervals.

    Returns:
        ``{"slice", "as_of", "final", "metrics": {metric: {window: value}}}``. A metric or window without
        observations is left out.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for window, stats in windows.items():
        for metric, value in all_values(stats, confidence).items():
            metrics.setdefault(metric, {})[window] = _plain(value)
    return {
        "slice": parse_slice(slice_key),
        "as_of": rfc3339(as_of_ms),
        "final": final,
        "metrics": metrics,
    }


def rfc3339(time_ms: int) -> str:
    """UTC time text with Z; millisecond digits only if they are not zero."""
    text = (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def _plain(value: MetricValue) -> dict[str, Any]:
    return {
        "value": value.value,
        "n": value.n,
        "interval": None if value.interval is None else list(value.interval),
        "confidence": value.confidence,
        "parts": value.parts,
    }
