"""Measures: replies to exact, sliced, windowed metric values. Pure: no I/O, no clock, no logging.

The way of a reply: ``observation`` makes a vector of it; ``SourcePanes`` adds vectors up per slice and pane on
the side of one source partition and publishes partial sums; ``Windows`` owns slices, merges the partials of
all sources and rolls every window; ``encode_metrics`` forms what is published.
"""

from stream.measures.durations import duration
from stream.measures.metric import EVER, NOTHING, Line, Metric, MetricValue, ReplyMetric, Versus
from stream.measures.money import money
from stream.measures.panes import OK, TOO_EARLY, TOO_LATE, PaneChanges, PaneConfig, SourcePanes
from stream.measures.partials import Mark, Partial, decode_partial_or_mark, encode_mark, encode_partial
from stream.measures.publish import Shown, encode_metrics
from stream.measures.registry import EVER_STEMS, METRICS, REPLY_METRICS, all_values, observation, value_of
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
    "EVER",
    "EVER_STEMS",
    "METRICS",
    "NOTHING",
    "NO_DIMS",
    "OK",
    "REPLY_METRICS",
    "TOO_EARLY",
    "TOO_LATE",
    "TOPIC_SEPARATOR",
    "WHOLE",
    "Closing",
    "Dims",
    "Groupings",
    "Line",
    "Mark",
    "Metric",
    "MetricValue",
    "Observation",
    "PaneChanges",
    "PaneConfig",
    "Partial",
    "ReplyMetric",
    "Shown",
    "SourcePanes",
    "Stats",
    "Versus",
    "Window",
    "WindowChanges",
    "WindowConfig",
    "Windows",
    "add",
    "all_values",
    "decode_partial_or_mark",
    "dims_of",
    "duration",
    "encode_mark",
    "encode_metrics",
    "encode_partial",
    "is_empty",
    "merge",
    "money",
    "observation",
    "parse_slice",
    "plan",
    "slice_key",
    "subtract",
    "value_of",
]
