"""What the worker tells Prometheus: one object, methods named for what happened.

Names follow the Prometheus conventions: ``cx_`` prefix, base units, ``_total`` for counters. A label is
always one of few known words, a topic or a slice; never a customer, an event id or a comment.
"""

from __future__ import annotations

import logging
import platform
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from schemas.deadletter import Reason
from stream import topics
from stream.serving.business import BusinessMetrics
from stream.serving.levels import LEVELS, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from stream.serving.business import SliceValues

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)
_BATCH_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_AGE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0)
_DELIVERY_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


#: What becomes of a record of a feed, and why a write to Redis fails.
FEED_VERDICTS = ("applied", "refused", "removed")
READMODEL_TROUBLES = ("connection", "timeout", "refused", "overflow")


class Verdict(StrEnum):
    """What became of one input record; every record gets exactly one."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    DEADLETTER = "deadletter"
    LATE = "late"
    ERASED = "erased"


class _One:
    """A family to render, without prometheus_client's ``_created`` series, which only OpenMetrics defines."""

    def __init__(self, family: Metric) -> None:
        family.samples = [s for s in family.samples if not s.name.endswith("_created")]
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


class Telemetry:
    """The worker's metrics, in a registry of its own; any number may live in one process.

    Methods may be called from the event loop only; ``parts`` may run in another thread meanwhile.
    """

    def __init__(self, *, max_slices: int = 1_000) -> None:
        self.registry = CollectorRegistry()
        self._hooks: list[Callable[[], None]] = []
        self.business = BusinessMetrics(max_slices)
        ProcessCollector(registry=self.registry)
        self._levels = {name: Level(name, *about) for name, about in LEVELS.items()}
        for level in self._levels.values():
            self.registry.register(level)
        self._build_info()
        self._pipeline_metrics()
        self._decision_metrics()
        self._readmodel_metrics()
        self._delivery_metrics()
        self._begin_at_zero()

    # -- what happened ---------------------------------------------------------------------------------

    def records(self, topic: str, verdict: str, n: int = 1) -> None:
        """``n`` input records of ``topic`` ended with ``verdict`` (a `Verdict`)."""
        self._records.labels(topic, str(verdict)).inc(n)

    def deadletter(self, reason: str, n: int = 1) -> None:
        """``n`` records went to the dead-letter topic for ``reason`` (a stable code)."""
        self._deadletters.labels(reason).inc(n)

    def models_not_awaited(self) -> None:
        """A partition went on without versions of models that should have held."""
        self._models_not_awaited.inc()

    def misrouted(self, topic: str, n: int = 1) -> None:
        """``n`` records came on another partition than their customer's."""
        self._misrouted.labels(topic).inc(n)

    def batch(self, topic: str, records: int, seconds: float) -> None:
        """One batch of ``records`` was applied, durable and acknowledged after ``seconds``."""
        self._batch_records.labels(topic).observe(records)
        self._batch_seconds.labels(topic).observe(seconds)

    def batches_of(self, names: Iterable[str]) -> None:
        """Batches of these topics will be counted: show them as 0 until the first comes."""
        for topic in names:
            self._batch_records.labels(topic)
            self._batch_seconds.labels(topic)

    def inflight(self, records: int) -> None:
        """This many records are fetched and not yet acknowledged."""
        self._inflight.set(records)

    def level(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """What of one of `LEVELS` is seen now, by the values of its labels; what is not in it disappears.

        Raises:
            KeyError: no such family.
            ValueError: other labels than the family's.
        """
        self._levels[name].replace(values)

    def record_age(self, topic: str, seconds: float) -> None:
        """This long after its oldest record was written to Kafka, a batch was durable."""
        self._record_age.labels(topic).observe(seconds)

    def event_age(self, topic: str, seconds: float) -> None:
        """This long after its newest event happened, a partition had it in its state."""
        self._event_age.labels(topic).observe(seconds)

    def rebalanced(self) -> None:
        """The group gave its partitions out anew, and the tables are complete."""
        self._rebalances.inc()

    def commit_age(self, seconds: float) -> None:
        """Age of the oldest work that is done or in flight and not yet committed; 0 when there is none."""
        self._commit_age.set(seconds)

    def committed(self, n: int = 1) -> None:
        """``n`` partition offsets were committed."""
        self._commits.inc(n)

    def recovered(self, table: str, records: int, seconds: float) -> None:
        """A table was restored from ``records`` changelog records in ``seconds``."""
        self._recovery_records.labels(table).inc(records)
        self._recovery_seconds.labels(table).set(seconds)

    def other_members(self, grouping: str, n: int = 1) -> None:
        """``n`` contributions were counted under ``other``: the grouping's cap was reached."""
        self._other_members.labels(grouping).inc(n)

    def unpaired(self, reason: str, n: int = 1) -> None:
        """``n`` touchpoints did not fit what is known of their reference, or held no money where some is due."""
        self._unpaired.labels(reason).inc(n)

    def decision(self, reason: str, n: int = 1) -> None:
        """``n`` rule evaluations ended with this named reason."""
        self._decisions.labels(reason).inc(n)

    def feed(self, topic: str, verdict: str, n: int = 1) -> None:
        """``n`` records of ``cx.rules`` or ``cx.silences`` were ``applied``, ``refused`` or ``removed`` one."""
        self._feeds.labels(topic, verdict).inc(n)

    def alert(self, alert: str, state: str, n: int = 1) -> None:
        """``n`` alerts of a rule were published in ``state``."""
        self._alerts.labels(alert, state).inc(n)

    def values(self, owner: int, slice_key: str, values: SliceValues) -> None:
        """The newest values of a slice: metric -> window -> value; replaces the slice's earlier ones.

        ``owner`` is the partition the slice belongs to, for `partition_lost`.
        """
        self.business.put(owner, slice_key, values)

    def readmodel_error(self, reason: str, n: int = 1) -> None:
        """A write to Redis failed (``connection``, ``timeout``, ``refused``) or dropped (``overflow``)."""
        self._readmodel_errors.labels(reason).inc(n)

    def readmodel_written(self, kind: str, n: int = 1) -> None:
        """``n`` entries of ``kind`` (``metrics`` or ``alerts``) reached Redis."""
        self._readmodel_writes.labels(kind).inc(n)

    def readmodel_up(self, up: bool) -> None:
        """Whether the last exchange with Redis succeeded."""
        self._readmodel_up.set(1 if up else 0)

    def delivered(self, receiver: str, outcome: str, n: int = 1) -> None:
        """What became of ``n`` alerts owed to a receiver of the delivery file, or of attempts to deliver some."""
        self._deliveries.labels(receiver, outcome).inc(n)

    def delivery_seconds(self, receiver: str, seconds: float) -> None:
        """A request to a receiver was answered, or given up, after ``seconds``."""
        self._delivery_seconds.labels(receiver).observe(seconds)

    def delivery_taken(self, verdict: str, n: int = 1) -> None:
        """What became of ``n`` alerts of ``cx.alerts``: ``routed``, or why they are not sent."""
        self._delivery_taken.labels(verdict).inc(n)

    def owner_lost(self, owner: int) -> None:
        """The values of every slice of an owning partition disappear: another worker reports them now."""
        self.business.drop(owner)

    # -- rendering -------------------------------------------------------------------------------------

    def on_scrape(self, hook: Callable[[], None]) -> None:
        """Call ``hook`` before each rendering, so that gauges of ages and lags are fresh."""
        self._hooks.append(hook)

    def refresh(self) -> None:
        """Run the hooks; one that fails is logged and does not spoil the scrape."""
        for hook in self._hooks:
            try:
                hook()
            except Exception:  # noqa: BLE001 - one broken gauge must not cost the scrape
                _log.exception("a metrics hook failed")

    def parts(self) -> Iterator[bytes]:
        """The exposition text as it stands, in many small pieces, some empty; safe in another thread."""
        for family in self.registry.collect():
            yield generate_latest(_One(family))
        yield from self.business.parts()

    def render(self) -> bytes:
        """`refresh`, then all `parts`: what ``/metrics`` answers, in `CONTENT_TYPE`."""
        self.refresh()
        return b"".join(self.parts())

    # -- the families ----------------------------------------------------------------------------------

    def _build_info(self) -> None:
        try:
            version = metadata.version("cx-pulse")
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            version = "unknown"
        info = Gauge("cx_build_info", "Always 1.", ("version", "python"), registry=self.registry)
        info.labels(version, platform.python_version()).set(1)

    def _begin_at_zero(self) -> None:
        """Show what is known beforehand as 0: of a series that begins with 1, Prometheus sees no increase."""
        for topic in topics.INPUTS:
            self._misrouted.labels(topic)
            for verdict in Verdict:
                self._records.labels(topic, str(verdict))
        for letter in Reason:
            self._deadletters.labels(str(letter))
        for topic in topics.FEEDS:
            for became in FEED_VERDICTS:
                self._feeds.labels(topic, became)
        for reason in READMODEL_TROUBLES:
            self._readmodel_errors.labels(reason)

    def _pipeline_metrics(self) -> None:
        registry = self.registry
        self._records = Counter(
            "cx_records_total",
            "Input records by what became of them.",
            ("topic", "verdict"),
            registry=registry,
        )
        self._deadletters = Counter(
            "cx_deadletters_total", "Records sent to the dead-letter topic.", ("reason",), registry=registry
        )
        self._models_not_awaited = Counter(
            "cx_models_not_awaited_total",
            "Times a partition went on without versions of models that should have held.",
            registry=self.registry,
        )
        self._misrouted = Counter(
            "cx_misrouted_records_total",
            "Records not keyed by their customer.",
            ("topic",),
            registry=registry,
        )
        self._batch_records = Histogram(
            "cx_batch_records", "Records in one batch.", ("topic",), registry=registry, buckets=_BATCH_RECORDS
        )
        self._batch_seconds = Histogram(
            "cx_batch_seconds",
            "From a batch handed over to its acknowledgement.",
            ("topic",),
            registry=registry,
            buckets=_BATCH_SECONDS,
        )
        self._inflight = Gauge(
            "cx_inflight_records", "Records fetched and not yet acknowledged.", registry=registry
        )
        self._record_age = Histogram(
            "cx_record_age_seconds",
            "From a record's Kafka timestamp to its batch being durable, of the oldest of each batch.",
            ("topic",),
            registry=registry,
            buckets=_AGE_SECONDS,
        )
        self._event_age = Histogram(
            "cx_event_age_seconds",
            "Wall clock less the time of a partition's newest event, whenever a batch is durable.",
            ("topic",),
            registry=registry,
            buckets=_AGE_SECONDS,
        )
        self._rebalances = Counter("cx_rebalances_total", "Assignments of partitions.", registry=registry)
        self._commit_age = Gauge(
            "cx_commit_age_seconds", "Age of the oldest work not yet committed.", registry=registry
        )
        self._commits = Counter("cx_commits_total", "Partition offsets committed.", registry=registry)
        self._recovery_records = Counter(
            "cx_recovery_records_total", "Changelog records read back.", ("table",), registry=registry
        )
        self._recovery_seconds = Gauge(
            "cx_recovery_seconds",
            "How long the last recovery of a table took.",
            ("table",),
            registry=registry,
        )
        self._other_members = Counter(
            "cx_other_members_total",
            "Contributions counted under the member 'other'.",
            ("grouping",),
            registry=registry,
        )
        self._unpaired = Counter(
            "cx_unpaired_total",
            "Touchpoints that measures could not take as they are.",
            ("reason",),
            registry=registry,
        )

    def _decision_metrics(self) -> None:
        self._decisions = Counter(
            "cx_alert_decisions_total",
            "Rule evaluations by the reason of their outcome.",
            ("reason",),
            registry=self.registry,
        )
        self._feeds = Counter(
            "cx_feed_records_total",
            "Records of cx.rules and cx.silences by what became of them.",
            ("topic", "verdict"),
            registry=self.registry,
        )
        self._alerts = Counter(
            "cx_alerts_total", "Alerts published.", ("alert", "state"), registry=self.registry
        )

    def _readmodel_metrics(self) -> None:
        self._readmodel_errors = Counter(
            "cx_readmodel_errors_total", "Failed writes to Redis.", ("reason",), registry=self.registry
        )
        self._readmodel_writes = Counter(
            "cx_readmodel_writes_total", "Entries written to Redis.", ("kind",), registry=self.registry
        )
        self._readmodel_up = Gauge(
            "cx_readmodel_up", "1 while Redis answers, else 0.", registry=self.registry
        )

    def _delivery_metrics(self) -> None:
        self._deliveries = Counter(
            "cx_deliveries_total",
            "Alerts owed to a receiver, and attempts to deliver them, by what became of them.",
            ("receiver", "outcome"),
            registry=self.registry,
        )
        self._delivery_taken = Counter(
            "cx_delivery_alerts_total",
            "Alerts that delivery has read, by what became of them.",
            ("verdict",),
            registry=self.registry,
        )
        self._delivery_seconds = Histogram(
            "cx_delivery_seconds",
            "From a request to a receiver to its answer.",
            ("receiver",),
            registry=self.registry,
            buckets=_DELIVERY_SECONDS,
        )
