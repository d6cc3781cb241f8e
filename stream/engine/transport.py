"""Faust's aiokafka transport, moving whole batches.

For topics declared *hot*, everything fetched for one topic-partition travels as ONE Faust message whose value
is a :class:`~stream.engine.batch.Batch`; other topics stay one record a message. Offsets of hot topics are
committed from the engine's own bookkeeping: up to the acknowledged prefix, never past a batch still out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from .batch import Batch
from .errors import NewerFormat
from .inflight import InFlight, Partition
from .lanes import CRASH_GRACE_S
from .producer import BatchProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    import aiokafka
    from aiokafka.consumer.fetcher import Fetcher
    from faust.types import Message

    from .app import BatchApp
    from .batch import Record

#: The broker answers an empty fetch after this long. A partition whose records were waiting when a fetch went
#: out is not part of that fetch, so this also bounds how long its next records can be held up.
FETCH_MAX_WAIT_MS = 50
#: How often the fetcher's buffers are looked at without having been woken. A wake-up of aiokafka's can be lost
#: when records arrive between two polls; Faust's own one-second poll turns that into a second of latency.
POLL_S = 0.01
#: One call from the worker's thread waits at most this long, so that a stop is noticed.
POLL_FOR_S = 0.5


def _as_fetched(_tp: object, record: Record) -> Record:
    return record


def drain(fetcher: Fetcher, limits: Mapping[Any, int]) -> dict[Any, list[Record]]:
    """Take what aiokafka has fetched of the partitions in ``limits``, of each at most so many records.

    All these partitions are emptied on each call: aiokafka holds back every partition of a broker for a moment
    while one of them has records waiting. Records are handed on as parsed; aiokafka's own ``ConsumerRecord``
    costs more than everything else in the fetch.
    """
    drained: dict[Any, list[Record]] = {}
    for tp in list(fetcher._records):
        if tp not in limits:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        entry = fetcher._records[tp]
        if isinstance(entry, FetchResult):
            if entry._partition_records is not None:
                entry._partition_records._consumer_record = _as_fetched
            records = entry.getall(limits[tp])
            if not entry.has_more():
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
            if records:
                drained[tp] = records
        elif drained:
            return drained  # the error is raised on the next call
        else:
            del fetcher._records[tp]
            fetcher._notify(fetcher._wait_consume_future)
            entry.check_raise()
    return drained


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker; polls on its own account so that no wake-up is missed."""

    mundane_level = "debug"  # starting and stopping is no news

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    def _stopped_set(self) -> None:
        with suppress(RuntimeError):  # after a crash the thread has ended by itself, and its loop with it
            super()._stopped_set()

    def set_shutdown(self) -> None:
        """Tell the app that this thread has ended, if it is still there to hear it."""
        with suppress(RuntimeError):  # its loop was closed without waiting
            super().set_shutdown()

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, list[Any]]:
        del timeout, max_records
        fetcher = consumer._fetcher
        consumer._coordinator.check_errors()  # aiokafka keeps a fatal error of the group until asked
        fetcher._prefetch_backoff = POLL_S  # a partition that has to wait must not keep the others waiting
        mine = cast("BatchConsumer", self.consumer)
        until = monotonic() + POLL_FOR_S
        while self.consumer.flow_active:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            if not fetcher._subscriptions.reassignment_in_progress:
                with fetcher._subscriptions.fetch_context():
                    # Said before it happens: what is taken lies behind the position and is not in flight yet.
                    mine.taken = frozenset(fetcher._records)
                    drained = drain(fetcher, mine.limits(active_partitions))
                    mine.taken = frozenset(drained)
                if drained:
                    return drained
            if monotonic() >= until:
                break
            with fetcher._subscriptions.fetch_context():
                await asyncio.wait([fetcher._create_fetch_waiter()], timeout=POLL_S)
        return {}


class BatchConsumer(driver.Consumer):
    """Faust's consumer with batches for the hot topics and its own commit bookkeeping for them."""

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batch_app = cast("BatchApp", self.app)
        self.in_flight = InFlight()
        self.fetched_at: dict[Partition, float] = {}
        #: Partitions with records taken from the fetcher and not yet handed out.
        self.taken: frozenset[tuple[str, int]] = frozenset()
        #: So many records are out at most, and of each partition of a merged topic.
        self._most = self._batch_app.max_inflight_records
        self._share = 0
        self.last_commit_at = monotonic()
        #: Offsets of partitions committed so far.
        self.committed_total = 0
        self._room = asyncio.Event()
        self._room.set()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def limits(self, active: Iterable[TP]) -> dict[TP, int]:
        """How many records to take at most of each partition; those without room are not among them.

        Of a merged topic too little room for half a share is none: batches of a few records cost as much as
        large ones. Asked from the consumer's thread.
        """
        app = self._batch_app
        found = {}
        for tp in active:
            most = app.max_batch_records
            if tp.topic in app.merged_topics:
                room = self._share - self.in_flight.out(Partition(*tp))
                most = min(most, room) if room * 2 >= self._share else 0
            if most:
                found[tp] = most
        return found

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109
        """Yield what was fetched: one message a partition for hot topics, one a record for the others."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        hot = self._batch_app.hot_topics
        for tp, fetched in records.items():
            if active is not None and tp not in active:
                continue
            if tp.topic not in hot:
                for record in fetched:
                    if not self._may_hand_out(generation):
                        return
                    yield tp, self._message(tp, record, record.value)
                continue
            await self._wait_for_room()
            if not self._may_hand_out(generation):
                return
            form = self._batch_app.formats.get(tp.topic)
            if form is not None:
                try:
                    fetched = form.read(tp.topic, tp.partition, fetched)  # noqa: PLW2901 - the same records
                except NewerFormat as exc:
                    await self.app.crash(exc)
                    return
            batch = Batch(tp.topic, tp.partition, fetched, generation, self._on_ack)
            now = monotonic()
            self.in_flight.add(batch, now)
            self.taken -= {tp}
            self.fetched_at[Partition(*tp)] = now
            if self.in_flight.records >= self._most:
                self._room.clear()
            # Faust drops what lies before the last offset it saw or committed. After the log was truncated
            # or made anew that would be everything, for good.
            self._read_offset[tp] = None
            yield tp, self._message(tp, fetched[-1], batch)

    def _may_hand_out(self, generation: int) -> bool:
        # What is dropped here was not acknowledged: it is fetched again after the rebalance.
        return self.flow_active and generation == self.app.consumer_generation_id

    async def _wait_for_room(self) -> None:
        """Hold back while too much is out: this is what bounds memory when an agent is slow."""
        while not self._room.is_set() and self.flow_active and not self.should_stop:
            await self.wait_first(self._room.wait(), self.suspend_flow.wait(), timeout=1.0)

    def _message(self, tp: TP, record: Record, value: Any) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp / 1000.0,
            0,
            None if isinstance(value, Batch) else list(record.headers),
            record.key,
            value,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _on_ack(self, batch: Batch) -> None:
        if batch.generation != self.app.consumer_generation_id:
            return
        if self.in_flight.ack(batch, monotonic()) and self.in_flight.records < self._most:
            self._room.set()

    def ack(self, message: Message) -> bool:
        """Take Faust's acknowledgement of a message; for hot topics only ``Batch.ack`` counts.

        Faust also acknowledges messages that it skips during a rebalance, which must not be committed.
        """
        if message.topic in self._batch_app.hot_topics:
            message.acked = True
            self._unacked_messages.discard(message)
            return True
        return super().ack(message)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in self.in_flight.pending():
            if topics is None or tp in topics or tp.topic in topics:
                yield TP(*tp)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic in self._batch_app.hot_topics:
            return self.in_flight.take(Partition(*tp))
        return super()._new_offset(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # What is due is in the books. Faust's comparison with the offset it tried last would drop what a
        # failed commit gave back, and everything after the log was truncated.
        return tp.topic in self._batch_app.hot_topics or super()._should_commit(tp, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            self.last_commit_at = monotonic()
            self.committed_total += len(offsets)
        else:
            for tp, offset in offsets.items():
                if tp.topic in self._batch_app.hot_topics:
                    self.in_flight.committed_failed(Partition(*tp), offset)
        return done

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # A batch is one message with the offset of its last record: what lies between is no gap.
        if tp.topic not in self._batch_app.hot_topics:
            await super()._add_gap(tp, offset_from, offset_to)

    async def wait_empty(self) -> None:
        """Let what is being worked on finish, commit it, and drop what was only queued."""
        await self._batch_app.quiesce()
        limit = CRASH_GRACE_S if self.app.crashed else self.app.conf.broker_request_timeout
        try:
            async with asyncio.timeout(limit):
                await self.commit_and_end_transactions()
        except TimeoutError:  # the broker is away: what is not committed is read again
            self.log.warning("not committed within %.0f s: the last batches will be read again", limit)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Start afresh: batches of the generation before are fetched again from the committed offset."""
        # Nothing is to be fetched before the tables are recovered. Faust stops the flow only when partitions
        # are taken away; a member that had none gets its first ones with the flow on.
        self.stop_flow()
        self.in_flight.forget()
        merged = sum(tp.topic in self._batch_app.merged_topics for tp in assigned)
        self._most = max(self._batch_app.max_inflight_records, 2 * merged)
        self._share = self._most // (2 * max(1, merged))
        self.fetched_at.clear()
        self._room.set()
        self._batch_app.reopen_lanes()
        await super().on_partitions_assigned(assigned, generation_id)

    def dead(self) -> str | None:
        """Say why this consumer will never fetch again, if so."""
        inner, worker = self._thread._consumer, cast("Any", self._thread)._thread
        if worker is not None and not worker.is_alive():
            return "the consumer's thread has ended"
        task = getattr(inner and inner._coordinator, "_coordination_task", None)
        if task is not None and task.done():
            return "the consumer has left its group for good"
        return None

    def cut_off(self) -> bool:
        """Whether the group's coordinator is away: no heartbeat and no commit gets through."""
        coordinator = getattr(self._thread._consumer, "_coordinator", None)
        return coordinator is not None and coordinator.coordinator_id is None

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave this to the watchdog, which looks at batches."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer and producer above."""

    Consumer = BatchConsumer
    Producer = BatchProducer
