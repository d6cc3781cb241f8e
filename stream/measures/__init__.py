"""Measures: replies to exact, sliced, windowed metric values. Pure: no I/O, no clock, no logging.

The way of a reply: ``observation`` makes a vector of it; ``SourcePanes`` adds vectors up per slice and pane on
the side of one source partition and publishes partial sums; ``Windows`` owns slices, merges the partials of
all sources and rolls every window; ``encode_metrics`` forms what is published.
"""

from stream.measures.metric import Metric, MetricValue
from stream.measures.panes import OK, TOO_EARLY, TOO_LATE, PaneChanges, PaneConfig, SourcePanes
from stream.measures.partials import Mark, Partial, decode_partial_or_mark, encode_mark, encode_partial
from stream.measures.publish import encode_metrics, metric_values
from stream.measures.registry import METRICS, all_values, observation, value_of
from stream.measures.slices import (
    DIMENSIONS,
    NO_DIMS,
    TOPIC_SEPARATOR,
    WHOLE,
    Dims,
    Groupings,
    dims_of,
    parse_slice,
    slice_key,
)
from stream.measures.stats import Observation, Stats, add, is_empty, merge, subtract
from stream.measures.windows import Closing, Window, WindowChanges, WindowConfig, Windows, plan

__all__ = [
    "DIMENSIONS",
    "METRICS",
    "NO_DIMS",
    "OK",
    "TOO_EARLY",
    "TOO_LATE",
    "TOPIC_SEPARATOR",
    "WHOLE",
    "Closing",
    "Dims",
    "Groupings",
    "Mark",
    "Metric",
    "MetricValue",
    "Observation",
    "PaneChanges",
    "PaneConfig",
    "Partial",
    "SourcePanes",
    "Stats",
    "Window",
    "WindowChanges",
    "WindowConfig",
    "Windows",
    "add",
    "all_values",
    "decode_partial_or_mark",
    "dims_of",
    "encode_mark",
    "encode_metrics",
    "encode_partial",
    "is_empty",
    "merge",
    "metric_values",
    "observation",
    "parse_slice",
    "plan",
    "slice_key",
    "subtract",
    "value_of",
]
