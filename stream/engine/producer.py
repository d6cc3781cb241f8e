"""Publishing many records at once, awaited until the brokers have them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import murmur2
from faust.transport.drivers import aiokafka as driver

from .errors import PublishFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator

    from .app import BatchApp

Fields = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]  #: key, value, headers
#: How long a request under way may still take when the producer stops.
STOP_S = 5.0
NO_HEADERS: list[tuple[str, bytes]] = []


class Outgoing(NamedTuple):
    """One record to publish; ``partition`` None lets the key decide (murmur2, as the Java client)."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


@lru_cache(maxsize=50_000)
def partition_of(key: bytes | None, partitions: int) -> int:
    """Where a key goes, as the Java client's default partitioner has it; without a key: partition 0."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


class Span(NamedTuple):
    """Where records went: how many, and from which offset to which, None where others may be between them."""

    records: int
    first: int | None = None
    end: int | None = None


class BatchProducer(driver.Producer):
    """Faust's producer, idempotent, and with a way to publish many records in few awaits."""

    mundane_level = "debug"  # starting and stopping is no news

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def answers(self, within_s: float) -> bool:
        """Whether a broker of the cluster answers a small request in time.

        Over the connections that are there anyway: a broker that hangs, or a network that drops packets,
        leaves them open, and requests under way wait for their own, much longer, time-outs.
        """
        if self._producer is None:  # not started yet: nothing is known against the brokers
            return True
        try:
            async with asyncio.timeout(within_s):
                return bool(await self._producer.client.force_metadata_update())
        except (KafkaError, TimeoutError):
            return False

    async def send_many(self, topic: str, records: Iterable[Outgoing]) -> int:
        """Publish records and wait until every one is acknowledged by all in-sync replicas.

        Records of one partition keep their order. Returns how many were published.

        Raises:
            PublishFailed: a record was not taken; some of the others may have been.
        """
        by_partition: dict[int, list[Outgoing]] = {}
        count = 0
        for record in records:
            partition = record.partition
            if partition is None:
                if not count:
                    count = await self._partitions(topic)
                partition = partition_of(record.key, count)
            by_partition.setdefault(partition, []).append(record)
        if not by_partition:
            return 0
        return sum(
            await asyncio.gather(
                *(
                    self.send_partition(topic, p, ((r.key, r.value, r.headers) for r in rs))
                    for p, rs in by_partition.items()
                )
            )
        )

    async def _partitions(self, topic: str) -> int:
        try:
            async with asyncio.timeout(self.request_timeout):
                return len(await self._ensure_producer().partitions_for(topic))
        except (KafkaError, TimeoutError) as exc:
            raise PublishFailed(f"{topic}: {type(exc).__name__}: {exc}; is the broker reachable?") from exc

    async def send_partition(self, topic: str, partition: int, records: Iterable[Fields]) -> int:
        """Publish (key, value, headers) to one partition, in order, and wait as ``send_many`` does.

        Raises:
            PublishFailed: as ``append``.
        """
        return (await self.append(topic, partition, records)).records

    async def append(self, topic: str, partition: int, records: Iterable[Fields]) -> Span:
        """Publish as ``send_partition``, and say where the records are.

        Raises:
            PublishFailed: as ``send_many``; also when the broker takes nothing for as long as
                ``producer_request_timeout``. aiokafka's idempotent producer itself would try for ever.
        """
        producer = self._ensure_producer()
        form = cast("BatchApp", self.app).formats.get(topic)
        own = () if form is None else form.headers
        waiting: list[asyncio.Future[Any]] = []
        sizes: list[int] = []
        taken: list[Any] = []
        count = 0
        now_ms = int(time.time() * 1000)
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self.request_timeout) as limit:
                builder: BatchBuilder = producer.create_batch()
                append = builder.append
                for key, value, headers in records:
                    fields = [*headers, *own] if headers or own else NO_HEADERS
                    if append(timestamp=now_ms, key=key, value=value, headers=fields) is None:
                        sizes.append(builder.record_count())
                        waiting.append(await producer.send_batch(builder, topic, partition=partition))
                        limit.reschedule(clock() + self.request_timeout)
                        builder = producer.create_batch()
                        append = builder.append
                        append(
                            timestamp=now_ms, key=key, value=value, headers=fields
                        )  # the first always fits
                    count += 1
                if count:
                    sizes.append(builder.record_count())
                    waiting.append(await producer.send_batch(builder, topic, partition=partition))
                    taken = await asyncio.gather(*waiting)
        except TimeoutError as exc:
            why = f"nothing taken for {self.request_timeout:.0f} s; is the broker reachable?"
            raise PublishFailed(f"{topic}: {why}") from exc
        except KafkaError as exc:
            raise PublishFailed(f"{topic}: {type(exc).__name__}: {exc}; is the broker reachable?") from exc
        return _span(count, [each.offset for each in taken], sizes)

    async def flush(self) -> None:
        """Wait until nothing is unsent. Stock Faust gives up after 0.1 s; this only on a crash.

        Raises:
            PublishFailed: something stayed unsent for as long as ``producer_request_timeout``.
        """
        if self.app.crashed:
            return  # nothing more is acknowledged, so nothing depends on it
        try:
            async with asyncio.timeout(self.request_timeout):
                while self.buffer.size:
                    await asyncio.sleep(0.01)
                if self._producer is not None:
                    await self._producer.flush()
        except TimeoutError as exc:
            raise PublishFailed("records stay unsent; is the broker reachable?") from exc

    async def on_stop(self) -> None:
        """Stop, even with the broker gone: what is still unsent by now is given up instead of tried for ever."""
        producer = self._producer
        if producer is not None:
            accumulator, sender = producer._message_accumulator, producer._sender.sender_task
            if accumulator._batches or accumulator._pending_batches:
                for _ in range(2):  # the first waits for requests under way, the second does not
                    sender.cancel()
                    await asyncio.wait([sender], timeout=STOP_S)
                _give_up(accumulator)
        await super().on_stop()


def _span(count: int, offsets: list[int], sizes: list[int]) -> Span:
    """Of requests by their first offsets; a broker that has forgotten one of a repeated request says -1."""
    for at, size, then in zip(offsets, sizes, offsets[1:], strict=False):
        if at + size != then:
            return Span(count)
    if not offsets or offsets[0] < 0:
        return Span(count)
    return Span(count, offsets[0], offsets[-1] + sizes[-1])


def _give_up(accumulator: MessageAccumulator) -> None:
    batches = {batch for queue in accumulator._batches.values() for batch in queue}
    accumulator._pending_batches |= batches  # where aiokafka looks for a failed batch that was to be retried
    accumulator.fail_all(ProducerClosed())
    for batch in accumulator._pending_batches:
        for future in (batch.future, batch._drain_waiter):
            if not future.cancelled():
                future.exception()  # somebody has seen it: no complaint when it is collected
