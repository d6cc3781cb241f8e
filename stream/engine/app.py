"""A Faust app whose hot topics move in batches."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import aiokafka
import faust
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list

from .collector import Collector
from .formats import FIRST, Format
from .inflight import Partition
from .recovery import BatchTableManager
from .schema import RawSchema
from .table import BatchTable
from .transport import BatchConsumer, BatchTransport
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from .lanes import Lanes
    from .producer import BatchProducer
    from .stores import Stores


class Phase(StrEnum):
    """Where a worker is on its way to working, in words for people."""

    STARTING = "joining the group"
    REBALANCING = "rebalancing"
    RECOVERING = "recovering tables"
    RUNNING = "running"


class BatchApp(faust.App):
    """A Faust app with batches, exact commits, batch tables and a watchdog.

    Args:
        id: application id; the consumer group and the prefix of changelog topics.
        hot_topics: topics whose records are handed to agents as :class:`~stream.engine.batch.Batch`.
        merged_topics: of the hot topics those that a handler merges, and keeps records of one back while it waits
            for another. Half of ``max_inflight_records`` is theirs, in equal shares of their partitions, so that
            there is always room for what is waited for; of each at least a record may be out.
        max_inflight_records: fetched and not yet acknowledged records at most, over all partitions (one
            more batch may be out): the bound on memory when an agent is slow.
        max_batch_records: records of one partition in one batch at most.
        stall_after_s: a partition with work and no progress for this long stops the process.
        formats: of hot topics that this app's own agents write as well; others are in format 1. Records of
            older versions are migrated, those of newer ones stop the process.
        stores: where tables are kept on disk; None: in memory. They are closed when the app has stopped.
        own_process: the process is this app's alone, so its cycle collector may be run between batches
            (:class:`~stream.engine.collector.Collector`).
        **options: any setting of ``faust.App``. The engine presets the ones it depends on.
    """

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(
        self,
        id: str,  # noqa: A002 - Faust's name for it
        *,
        hot_topics: Iterable[str],
        merged_topics: Iterable[str] = (),
        max_inflight_records: int = 50_000,
        max_batch_records: int = 5_000,
        stall_after_s: float = 60.0,
        stores: Stores | None = None,
        own_process: bool = False,
        formats: Mapping[str, Format] | None = None,
        **options: Any,
    ) -> None:
        presets: dict[str, Any] = {
            "TableManager": BatchTableManager,
            "store": "memory://",
            "web_enabled": False,  # Faust's web server shows table contents to whoever asks
            "topic_disable_leader": True,
            "topic_allow_declare": False,  # topics are checked at start, not created in passing
            "stream_wait_empty": True,
            "producer_linger_ms": 0,
            "producer_max_batch_size": 1_000_000,
            "producer_request_timeout": 30.0,  # a bounce of the broker is sat out, more stops the process
            "producer_max_request_size": 1_048_576,
            "broker_commit_interval": 1.0,
            "consumer_metadata_max_age_ms": 30_000,  # how long a topic can be overlooked after a broker's return
        }
        self.hot_topics = frozenset(hot_topics)
        self.merged_topics = frozenset(merged_topics)
        self.max_inflight_records = max_inflight_records
        self.max_batch_records = max_batch_records
        self.formats = dict(formats or {})
        self.stores = stores
        self.lanes: list[Lanes] = []
        #: Called when tables are complete after a rebalance, before the streams go on.
        self.recovered_hooks: list[Callable[[], Awaitable[None]]] = []
        super().__init__(id, **{**presets, **options})
        self.watchdog = Watchdog(self, stall_after_s=stall_after_s, beacon=self.beacon)
        self._collector = Collector(beacon=self.beacon) if own_process else None

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Make none: stores make their own, and the working directory may be read-only."""

    async def on_started(self) -> None:
        """Start the watchdog first: Faust has started only when the first recovery is complete."""
        await self.add_runtime_dependency(self.watchdog)
        await super().on_started()
        if self._collector is not None:
            await self.add_runtime_dependency(self._collector)

    async def on_stop(self) -> None:
        """Stop, and let go of the disk last."""
        try:
            await super().on_stop()
        finally:
            if self.stores is not None:
                await asyncio.to_thread(self.stores.close)

    def _on_rebalance_when_stopped(self) -> None:
        # Faust closes the consumer here, from another thread's loop; stopping does it in good order.
        pass

    def hot_topic(self, name: str) -> faust.TopicT:
        """Return a topic for an agent; its stream yields batches."""
        if name not in self.hot_topics:
            raise ValueError(f"{name}: not among this app's hot_topics {sorted(self.hot_topics)}")
        return self.topic(name, schema=RawSchema())

    def batch_table(
        self,
        name: str,
        *,
        source: str,
        stamp_of: Callable[[bytes], int] | None = None,
        format: Format = FIRST,  # noqa: A002 - what it is
    ) -> BatchTable:
        """Declare a table of bytes; see :class:`~stream.engine.table.BatchTable`."""
        table = BatchTable(
            self, name=name, source=source, stamp_of=stamp_of, format=format, beacon=self.tables.beacon
        )
        self.tables.add(table)
        return table

    @property
    def batch_producer(self) -> BatchProducer:
        """The producer; its ``send_many`` awaits the brokers."""
        return cast("BatchProducer", self.producer)

    @property
    def batch_consumer(self) -> BatchConsumer | None:
        """The consumer, once there is one."""
        return cast("BatchConsumer | None", self._consumer)

    @property
    def phase(self) -> Phase:
        """Where this worker is on its way to working."""
        if self.in_recovery:
            return Phase.RECOVERING
        if self.rebalancing:
            return Phase.REBALANCING
        settled = cast("BatchTableManager", self.tables).recovery.completed.is_set()
        return Phase.RUNNING if settled else Phase.STARTING

    def batch_tables(self) -> dict[str, BatchTable]:
        """Tables declared with `batch_table`, by name."""
        return {table.name: table for table in cast("BatchTableManager", self.tables).batch_tables()}

    def held(self) -> set[Partition]:
        """Every partition of the newest assignment, whether or not its tables are complete."""
        consumer = self.batch_consumer
        return set() if consumer is None else {Partition(*tp) for tp in consumer.assignment()}

    def new_consumer(self, **options: Any) -> aiokafka.AIOKafkaConsumer:
        """Make a consumer without a group on this app's brokers."""
        transport = cast("BatchTransport", self.transport)
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=server_list(transport.url, transport.default_port),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **credentials_to_aiokafka_auth(self.conf.broker_credentials, self.conf.ssl_context),
            **options,
        )

    def lags(self) -> dict[Partition, int]:
        """Records on the broker beyond what was fetched, for every assigned partition whose end is known."""
        consumer = self.batch_consumer
        inner = getattr(getattr(consumer, "_thread", None), "_consumer", None)
        subscription = inner._subscription.subscription if inner is not None else None
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        found: dict[Partition, int] = {}
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            if state is not None and state.highwater is not None and state.has_valid_position:
                found[Partition(tp.topic, tp.partition)] = max(0, state.highwater - state.position)
        return found

    def caught_up(self, topic: str, partition: int) -> bool:
        """Whether everything on the broker for this partition was fetched and acknowledged."""
        consumer = self.batch_consumer
        tp = Partition(topic, partition)
        return (
            consumer is not None
            and consumer.flow_active
            and self.lags().get(tp) == 0
            and tp not in consumer.taken  # asked after the lag, which changes later
            and tp not in consumer.in_flight.oldest()
        )

    def more_to_come(self, topic: str, partition: int, held: int) -> bool:
        """Whether there are records of a partition beyond the ``held`` batches that its handler has.

        They may be on the broker, or fetched and on their way. True also while the broker's end is not
        known yet. For handlers that merge topics and have to know what may still go first.
        """
        consumer = self.batch_consumer
        tp = Partition(topic, partition)
        return (
            consumer is None
            or self.lags().get(tp) != 0
            or tp in consumer.taken  # asked after the lag, which changes later
            or consumer.in_flight.count(tp) > held
        )

    def assigned(self, topic: str) -> list[int]:
        """Partitions of a topic that this worker holds now."""
        consumer = self.batch_consumer
        if consumer is None or self.rebalancing or self.in_recovery:
            return []
        return sorted(tp.partition for tp in consumer.assignment() if tp.topic == topic)

    async def quiesce(self) -> None:
        """Let every lane finish what it works on and drop what is queued."""
        for lanes in self.lanes:
            await lanes.quiesce()

    def reopen_lanes(self) -> None:
        """Let lanes take batches again, after a rebalance."""
        for lanes in self.lanes:
            lanes.reopen()
