"""What the engine's tests on a real Kafka share: topics and apps of their own, records in, records out."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiokafka
from aiokafka import TopicPartition
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient
from faust.types import StreamT

from stream.brokers import admin
from stream.engine import Batch, BatchApp, Lanes, Stores
from stream.topics import Cleanup, TopicSpec
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from stream.brokers.kafka import KafkaServer
    from stream.engine.producer import BatchProducer
    from stream.engine.recovery import BatchRecovery, BatchTableManager

Sent = tuple[bytes | None, bytes | None]
#: Members of a group notice each other's coming, going and death this fast, seconds.
QUICK = {
    "broker_session_timeout": 6.0,
    "broker_heartbeat_interval": 0.3,
    "broker_commit_interval": 0.2,
    "stream_recovery_delay": 0.0,
}


#: Looks in a row, a tenth of a second apart, at which a broker that slept has to be well.
LOOKS_WELL = 20


@dataclass
class Rig:
    """Topics and apps of one test."""

    bootstrap: str
    folder: Path
    group: str = field(default_factory=lambda: f"engine-{uuid.uuid4().hex[:10]}")
    stores: Stores | None = None
    _topics: list[str] = field(default_factory=list)

    async def topic(self, partitions: int = 1, *, name: str | None = None, compact: bool = False) -> str:
        """Create a topic nobody else uses."""
        name = name or f"t-{uuid.uuid4().hex[:10]}"
        cleanup = Cleanup.COMPACT if compact else Cleanup.DELETE
        await admin.create(self.bootstrap, [TopicSpec(name, cleanup, partitions)])
        self._topics.append(name)
        return name

    async def changelog(self, table: str, partitions: int = 1) -> str:
        """Create the changelog topic of a table of this rig's apps."""
        return await self.topic(partitions, name=f"{self.group}-{table}-changelog", compact=True)

    def app(self, *hot: str, **options: Any) -> BatchApp:
        """Build an app of this rig's group; several are several members."""
        settings: dict[str, Any] = {"datadir": str(self.folder), "autodiscover": False, **QUICK}
        settings |= {"consumer_auto_offset_reset": "earliest", "stores": self.stores}
        return BatchApp(self.group, hot_topics=hot, broker=f"kafka://{self.bootstrap}", **settings | options)

    def consume(self, app: BatchApp, lanes: Lanes, *topics: str) -> None:
        """Let an app's agents hand every batch of hot topics to lanes."""
        for topic in topics:

            async def agent(stream: StreamT[Batch]) -> None:
                async for batch in stream:
                    lanes.submit(batch)

            app.agent(app.hot_topic(topic), name=f"{topic}-agent")(agent)

    def send(
        self,
        topic: str,
        records: Iterable[Sent],
        *,
        partition: int = -1,
        compression: str = "none",
        **options: Any,
    ) -> int:
        """Write records with the C client; done when the broker has them."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "acks": "all",
                "linger.ms": 5,
                "compression.type": compression,
            }
            | options
        )
        count = 0
        for key, value in records:
            producer.produce(topic, value, key, partition)
            producer.poll(0)
            count += 1
        assert producer.flush(30) == 0
        return count

    @cached_property
    def _group_view(self) -> Consumer:
        # Never subscribes: it looks at the group without being in it.
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, "log_level": 0})

    def committed(self, topic: str, partition: int = 0) -> int | None:
        """Where the group would go on, None if it never committed."""
        asked = [ConfluentPartition(topic, partition)]
        offset: int = self._group_view.committed(asked, timeout=10)[0].offset
        return offset if offset >= 0 else None

    def committed_total(self, topic: str, partitions: int) -> int:
        """How many records of a topic the group has committed, over all partitions."""
        asked = [ConfluentPartition(topic, partition) for partition in range(partitions)]
        return sum(max(0, tp.offset) for tp in self._group_view.committed(asked, timeout=10))

    def commit(self, topic: str, offset: int, partition: int = 0) -> None:
        """Commit on the group's behalf while it has no members."""
        self._group_view.commit(offsets=[ConfluentPartition(topic, partition, offset)], asynchronous=False)

    async def read(self, topic: str) -> dict[int, list[Any]]:
        """Read a whole topic with a plain consumer: its records by partition, in order."""
        found: dict[int, list[Any]] = {}
        async with aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            async with asyncio.timeout(30):  # a broker just back may not know its topics yet
                while not (known := consumer.partitions_for_topic(topic)):
                    await consumer._client.force_metadata_update()
                    await asyncio.sleep(0.1)
            tps = [TopicPartition(topic, p) for p in known]
            consumer.assign(tps)
            starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, starts[tp])
            async with asyncio.timeout(30):
                for tp in tps:
                    found[tp.partition] = []
                    while await consumer.position(tp) < ends[tp]:
                        for fetched in (await consumer.getmany(tp, timeout_ms=100)).values():
                            found[tp.partition] += fetched
        return found

    async def latest(self, topic: str) -> dict[int, dict[bytes, bytes]]:
        """Read what a compacted topic says in the end, by partition."""
        found: dict[int, dict[bytes, bytes]] = {}
        for partition, records in (await self.read(topic)).items():
            now: dict[bytes, bytes] = {}
            found[partition] = now
            for record in records:
                if record.value is None:
                    now.pop(record.key, None)
                else:
                    now[record.key] = record.value
        return found

    async def close(self, *, drop_topics: bool) -> None:
        """Remove what was made."""
        if "_group_view" in self.__dict__:
            self._group_view.close()
        if drop_topics:
            await admin.delete(self.bootstrap, self._topics)


def recovery_of(app: BatchApp) -> BatchRecovery:
    """Return the service that fills an app's tables."""
    return cast("BatchTableManager", app.tables).recovery


async def ready(*apps: BatchApp, within: float = 60.0) -> None:
    """Wait until tables are recovered and streams run."""
    async with asyncio.timeout(within):
        for app in apps:
            await recovery_of(app).completed.wait()


async def crashed(app: BatchApp, within: float = 60.0) -> BaseException:
    """Wait until an app has crashed; returns why."""
    async with asyncio.timeout(within):
        await app._crashed.wait()
    reason = app.crash_reason
    assert reason is not None
    return reason


async def stop(app: BatchApp, within: float = 20.0) -> None:
    """Stop an app; it must not take long, whatever state it is in."""
    async with asyncio.timeout(within):
        await app.stop()


@asynccontextmanager
async def running(*apps: BatchApp, wait: bool = True) -> AsyncIterator[None]:
    """Run apps, ready when the block begins; stopped when it ends, if they still run."""
    # A start ends with the first recovery.
    starts = [asyncio.create_task(app.maybe_start()) for app in apps]
    try:
        if wait:
            async with asyncio.timeout(30):
                await asyncio.gather(*starts)
            await ready(*apps)
        yield
    except BaseException as failed:
        for app in apps:
            app._crash(failed)  # a handler that waits for the test must not hold up the end
        raise
    finally:
        for app in apps:
            if not app._stopped.is_set():
                await stop(app)
        for start in starts:
            await asyncio.wait([start], timeout=10)
            assert start.done()
            start.result()


@asynccontextmanager
async def producing(app: BatchApp) -> AsyncIterator[BatchProducer]:
    """Run an app's producer alone."""
    producer = app.batch_producer
    await producer.maybe_start()
    try:
        yield producer
    finally:
        async with asyncio.timeout(20):
            await producer.stop()


@asynccontextmanager
async def hanging(kafka: KafkaServer) -> AsyncIterator[None]:
    """Let the broker take connections and answer nothing; well again when the block has ended."""
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
        client = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        # A broker that slept past its session still answers for a moment, and then is fenced: well is one
        # that has been well for longer than that takes.
        good = 0

        def well() -> bool:
            nonlocal good
            try:
                metadata = client.list_topics(timeout=5)
            except KafkaException:
                good = 0
                return False
            led = all(p.leader >= 0 for topic in metadata.topics.values() for p in topic.partitions.values())
            good = good + 1 if metadata.brokers and metadata.topics and led else 0
            return good >= LOOKS_WELL

        await eventually(well, every=0.1)


class Gate:
    """A handler that says when it begins and goes on only when told."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[tuple[int, list[Batch]]] = asyncio.Queue()
        self.go = asyncio.Event()
        self.done: list[tuple[int, list[Batch]]] = []

    async def __call__(self, partition: int, batches: list[Batch]) -> None:
        """Handle batches."""
        self.began.put_nowait((partition, batches))
        await self.go.wait()
        self.done.append((partition, batches))

    async def next(self, within: float = 60.0) -> tuple[int, list[Batch]]:
        """Wait for a beginning."""
        async with asyncio.timeout(within):
            return await self.began.get()


def values(batches: Sequence[Batch]) -> list[bytes | None]:
    """Values of all records, in order."""
    return [record.value for batch in batches for record in batch.records]


class Seen:
    """A handler that only remembers."""

    def __init__(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.batches: list[Batch] = []
        self._then = then

    async def __call__(self, partition: int, batches: list[Batch]) -> None:
        """Handle batches."""
        assert {batch.partition for batch in batches} == {partition}
        self.batches += batches
        if self._then is not None:
            await self._then()

    @property
    def count(self) -> int:
        """Records so far."""
        return sum(len(batch) for batch in self.batches)
