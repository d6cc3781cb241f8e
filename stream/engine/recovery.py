"""Rebuilding tables from their changelogs, in batches."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from mode import Service

from .errors import NewerFormat, RecoveryFailed, StoreBroken
from .table import BatchTable
from .transport import POLL_S, drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from .app import BatchApp

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Bytes asked of a changelog partition at once.
FETCH_BYTES = 8 * 1024 * 1024
#: Records applied before the event loop gets its turn.
APPLY_RECORDS = 20_000


async def read_changelogs(
    consumer: aiokafka.AIOKafkaConsumer,
    wanted: dict[TopicPartition, tuple[BatchTable, int]],
    moved: Callable[[], None] = lambda: None,
) -> int:
    """Read changelog partitions to their end as of now, from their beginning or from where a table on disk is.

    Returns how many records.

    Args:
        consumer: started, without a group.
        wanted: for each changelog partition the table and the partition of it to fill.
        moved: called whenever there was progress.

    Raises:
        RecoveryFailed: a table cannot read a value of its changelog.
        NewerFormat: a newer version of the program wrote it.
    """
    consumer.assign(list(wanted))
    starts = await consumer.beginning_offsets(list(wanted))
    ends = await consumer.end_offsets(list(wanted))
    for tp, (table, partition) in wanted.items():
        starts[tp] = await _aside(table, table.begin, partition, starts[tp], ends[tp])
    left = {tp for tp in wanted if starts[tp] < ends[tp]}
    began = monotonic()
    for table, _ in wanted.values():
        table.recovery_s = 0.0
    for tp, (table, partition) in wanted.items():
        consumer.seek(tp, starts[tp])
        table.unread[partition] = ends[tp] - starts[tp]
    fetcher = consumer._fetcher
    read = 0
    while left:
        drained = drain(fetcher, dict.fromkeys(left, APPLY_RECORDS))
        for tp, records in drained.items():
            table, partition = wanted[tp]
            try:
                current = table.format.read(tp.topic, tp.partition, records)
                entries = [(r.key, r.value) for r in current if r.key is not None]
                await _aside(table, table.recover, partition, entries, records[-1].offset + 1)
            except (NewerFormat, StoreBroken):
                raise
            except Exception as exc:  # noqa: BLE001 - the table's own code; values stay out of the message
                where = f"{tp.topic}/{tp.partition} offsets {records[0].offset} to {records[-1].offset}"
                raise RecoveryFailed(f"{where}: a value cannot be read: {type(exc).__name__}") from None
            read += len(records)
            table.recovered_total += len(records)
            table.unread[partition] = max(0, ends[tp] - records[-1].offset - 1)
            moved()
            await asyncio.sleep(0)
        for tp in list(left):
            # The position passes the end even where compaction or a control batch leaves no last record.
            if await consumer.position(tp) >= ends[tp]:
                left.discard(tp)
                table, partition = wanted[tp]
                await _aside(table, table.complete, partition, ends[tp])
                table.recovery_s, table.unread[partition] = monotonic() - began, 0
                moved()
                consumer.pause(tp)
        if not drained and left:
            await asyncio.wait([fetcher._create_fetch_waiter()], timeout=POLL_S)
    return read


async def _aside(table: BatchTable, work: Callable[..., T], *args: Any) -> T:
    """Work on a table; one on disk in another thread, for disks have their moments."""
    return work(*args) if table.stores is None else await asyncio.to_thread(work, *args)


class BatchRecovery(Service):
    """Fills the tables of newly assigned partitions, then lets the streams go on.

    Takes the place of Faust's recovery service, which applies changelogs a record at a time through the
    group's own consumer. A rebalance during recovery starts it again; nothing is read twice for a partition
    that was already complete and is still held.
    """

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(self, app: BatchApp, tables: BatchTableManager, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app = app
        self.tables = tables
        self.completed = asyncio.Event()
        self.in_recovery = False
        self.records_total = 0
        self.seconds_total = 0.0
        #: When recovery last moved (seconds, monotonic).
        self.moved_at = monotonic()
        self._complete: set[tuple[str, int]] = set()
        self._run: asyncio.Task[None] | None = None

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop reading: the assignment is about to change."""
        del revoked
        self.completed.clear()
        self._cancel()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Begin recovery for a new assignment, in the background."""
        for table in self.tables.batch_tables():
            gone = {tp.partition for tp in revoked | newly_assigned if tp.topic == table.source}
            self._complete -= {(table.name, p) for p in gone}
        await self._end()
        self._run = asyncio.create_task(self._recover(set(assigned), generation_id))

    async def on_stop(self) -> None:
        """Stop reading."""
        await self._end()

    def _cancel(self) -> None:
        # Once: a second cancellation would hit the closing of the consumer.
        if self._run is not None and not self._run.cancelling():
            self._run.cancel()

    async def _end(self) -> None:
        self._cancel()
        run, self._run = self._run, None
        if run is not None and not run.done():
            await asyncio.wait([run])

    def _moved(self) -> None:
        self.moved_at = monotonic()

    async def _recover(self, assigned: set[TP], generation_id: int) -> None:
        self._moved()
        self.in_recovery = self.app.in_recovery = True
        try:
            await self._read(assigned)
            if generation_id == self.app.consumer_generation_id:
                self.in_recovery = self.app.in_recovery = False
                await self._resume(generation_id)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, the worker must not go on with half a table
            await self.app.crash(exc)

    async def _read(self, assigned: set[TP]) -> None:
        wanted: dict[TopicPartition, tuple[BatchTable, int]] = {}
        for table in self.tables.batch_tables():
            for tp in assigned:
                if tp.topic == table.source and (table.name, tp.partition) not in self._complete:
                    changelog = TopicPartition(table.changelog_topic_name, tp.partition)
                    wanted[changelog] = (table, tp.partition)
        if not wanted:
            return
        started = monotonic()
        consumer = self.app.new_consumer(
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=8 * FETCH_BYTES, fetch_max_wait_ms=50
        )
        try:
            await consumer.start()
            read = await read_changelogs(consumer, wanted, self._moved)
        except KafkaError as exc:
            raise RecoveryFailed(f"{type(exc).__name__}: {exc}; is the broker reachable?") from exc
        finally:
            await consumer.stop()
        self._complete |= {(table.name, partition) for table, partition in wanted.values()}
        took = monotonic() - started
        self.records_total += read
        self.seconds_total += took
        logger.info("tables recovered: partitions=%d records=%d seconds=%.2f", len(wanted), read, took)

    async def _resume(self, generation_id: int) -> None:
        app, consumer = self.app, self.app.consumer
        for hook in app.recovered_hooks:
            await hook()
            self._moved()
        await app.on_rebalance_complete.send()
        if generation_id != app.consumer_generation_id:
            return
        assignment = consumer.assignment()
        if assignment:
            await consumer.perform_seek()
            consumer.resume_partitions(assignment)
        self.completed.set()
        app.flow_control.resume()
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        logger.info("streams running: partitions=%d", len(assignment))


class BatchTableManager(TableManager):
    """Faust's table manager without changelogs in the group's subscription: recovery reads them itself."""

    mundane_level = "debug"  # starting and stopping is no news

    _batch_recovery: BatchRecovery | None = None
    _generation = -1

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Take a new assignment; what was held in the generation just before is kept, the rest recovered."""
        # After a generation that went by without us (a pause longer than the session time-out), another
        # worker may have held and changed our partitions, though they seem never to have gone.
        if generation_id != self._generation + 1:
            newly_assigned = newly_assigned | assigned
        self._generation = generation_id
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    @property
    def recovery(self) -> BatchRecovery:  # type: ignore[override]
        """The recovery service."""
        if self._batch_recovery is None:
            app = cast("BatchApp", self.app)
            self._batch_recovery = BatchRecovery(app, self, beacon=self.beacon, loop=self.loop)
        return self._batch_recovery

    def batch_tables(self) -> list[BatchTable]:
        """Tables of this engine."""
        return [table for table in self.values() if isinstance(table, BatchTable)]

    async def on_start(self) -> None:
        """Start the tables and the recovery service."""
        await self._update_channels()
        await self.recovery.start()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()
