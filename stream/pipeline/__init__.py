"""The cores put together: what one partition does with a batch, as values in and values out.

The agents, the rule backtest and the oracles of the tests run the very same objects. Nothing here does I/O
or reads a clock.
"""

from .customers import CustomersChanges, CustomersPartition, DeadLetter, PipelineConfig
from .merging import SourceRecord
from .metrics import MetricsChanges, MetricsPartition

__all__ = [
    "CustomersChanges",
    "CustomersPartition",
    "DeadLetter",
    "MetricsChanges",
    "MetricsPartition",
    "PipelineConfig",
    "SourceRecord",
]
