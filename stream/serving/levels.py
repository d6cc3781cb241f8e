"""Gauges that are looked at rather than counted: what was not seen at the last look is not shown.

A plain gauge keeps what it was told until somebody remembers to remove it. These are replaced whole, so the
series of a partition that went to another worker disappear by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

_PARTITION: Final = ("topic", "partition")

#: Name -> what it says, and its labels. Another one is a line here, and one in docs/operations.md.
LEVELS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "cx_ready": ("1 while a check of /health/ready is in order, else 0.", ("check",)),
    "cx_assigned_partitions": ("Partitions of a topic that this worker holds.", ("topic",)),
    "cx_topic_partitions": ("Partitions that a topic has, over all workers.", ("topic",)),
    "cx_partition_lag": ("Records waiting on the broker.", _PARTITION),
    "cx_partition_stalled_seconds": ("How long a partition with work has not moved.", _PARTITION),
    "cx_watermark_delay_seconds": ("Wall clock less the watermark.", _PARTITION),
    "cx_final_delay_seconds": ("Wall clock less the end of the newest final pane.", ("partition",)),
    "cx_table_keys": ("Keys that this worker holds of a table.", ("table",)),
    "cx_recovery_left_records": ("Changelog records still to be read back, at most.", ("table",)),
    "cx_lane_waiting_claims": ("Claims that wait for their turn in the lane.", ()),
    "cx_alerts_active": ("Alerts that fire now, told or kept back.", ("alert",)),
    "cx_delivery_waiting": ("Alerts that a receiver is owed.", ("receiver",)),
    "cx_delivery_parked": ("Alerts that a receiver would not take, kept for a redrive.", ("receiver",)),
    "cx_delivery_oldest_seconds": ("Age of the oldest alert that a receiver is owed.", ("receiver",)),
    "cx_delivery_up": ("1 while a receiver takes what it is sent, else 0.", ("receiver",)),
}


class Level:
    """One family; as a collector of prometheus_client it may be asked from another thread."""

    def __init__(self, name: str, about: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._about = about
        self._labelnames = labels
        self._values: Mapping[tuple[str, ...], float] = {}

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these, by their labels' values, and nothing else.

        Raises:
            ValueError: other labels than the family's.
        """
        for labels in values:
            if len(labels) != len(self._labelnames):
                raise ValueError(f"{self._name}: {len(labels)} values for the labels {self._labelnames}")
        self._values = dict(values)

    def describe(self) -> Iterable[Metric]:
        """The family without its samples."""
        return [GaugeMetricFamily(self._name, self._about, labels=self._labelnames)]

    def collect(self) -> Iterable[Metric]:
        """The family as last seen."""
        family = GaugeMetricFamily(self._name, self._about, labels=self._labelnames)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]
