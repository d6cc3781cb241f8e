"""Tables that write many keys at once and know their partitions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faust.tables.table import Table

from .formats import FIRST, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from faust.types import TP

    from .app import BatchApp
    from .stores import Store, Stores

Entry = tuple[bytes, bytes | None]  #: key and value; a value of None deletes the key


class BatchTable(Table[bytes, bytes]):
    """A changelogged table of bytes, one mapping a partition: a dict, or a store on disk where the app has those.

    Stock Faust keeps ONE dict over all partitions of a worker, so two partitions that write the same key
    collide, and a partition that moves away leaves its keys behind. Here each partition has its own.

    A dict has what was written at once; a store has it once it is durable in the changelog, and is never ahead of
    that. Either way it is there when ``write`` returns.

    Args:
        source: the topic whose assignment decides which partitions this worker holds.
        stamp_of: how far a value had seen its input, from its bytes. On recovery, of two values for a key
            the one with the higher stamp stays, whichever comes later in the log: a worker that lost the
            partition may still have written after its successor. None: the later one stays.
        format: of its values; those of older versions are migrated when they are read back.
    """

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(
        self,
        app: BatchApp,
        *,
        name: str,
        source: str,
        stamp_of: Callable[[bytes], int] | None = None,
        format: Format = FIRST,  # noqa: A002 - what it is
        **kwargs: Any,
    ) -> None:
        super().__init__(app, name=name, key_type=bytes, value_type=bytes, store="memory://", **kwargs)
        self._batch_app = app
        self.source = source
        self.stamp_of = stamp_of
        self.format = format
        self._partitions: dict[int, dict[bytes, bytes]] = {}
        self._on_disk: dict[int, Store] = {}
        self._writing: dict[int, asyncio.Lock] = {}
        #: Changelog records read back so far.
        self.recovered_total = 0
        #: How long the latest recovery took, seconds.
        self.recovery_s = 0.0
        #: Changelog records still to be read back, at most, by partition.
        self.unread: dict[int, int] = {}

    async def on_start(self) -> None:
        """Do nothing: topics are checked before the worker starts, and recovery fills the table."""

    @property
    def stores(self) -> Stores | None:
        """Where partitions are kept on disk; None: they are kept in memory."""
        return self._batch_app.stores

    def partition(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the live keys and values of one partition; write with :meth:`write` only."""
        if self.stores is not None:
            return self._stored(self.stores, partition)
        return self._partitions.setdefault(partition, {})

    def _stored(self, stores: Stores, partition: int) -> Store:
        store = self._on_disk.get(partition)
        if store is None:
            store = self._on_disk[partition] = stores.open(self.name, partition, self.format.version)
        return store

    def held(self) -> dict[int, int]:
        """Return how many keys each partition on this worker holds; about, where they are on disk."""
        if self.stores is not None:
            return {p: store.about() for p, store in self._on_disk.items()}
        return {p: len(data) for p, data in self._partitions.items()}

    async def write(self, partition: int, entries: Sequence[Entry]) -> None:
        """Update many keys of one partition and wait until their changelog records are durable.

        Raises:
            PublishFailed: the changelog did not take them; the table is then ahead of it, and the process
                must not acknowledge what caused the write.
            StoreBroken: the disk did not take them; the same holds.
        """
        if not entries:
            return
        headers = self.format.headers
        records = ((key, value, headers) for key, value in entries)
        producer, changelog = self._batch_app.batch_producer, self.changelog_topic_name
        if self.stores is not None:
            store = self._stored(self.stores, partition)
            async with self._writing.setdefault(partition, asyncio.Lock()):
                span = await producer.append(changelog, partition, records)
                # Where somebody else has written meanwhile, recovery has to look at that once more.
                known = 0 if store.mark is None else store.mark.offset
                await asyncio.to_thread(store.apply, entries, span.end if span.first == known else None)
            return
        data = self._partitions.setdefault(partition, {})
        for key, value in entries:
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        await producer.send_partition(changelog, partition, records)

    def recover(self, partition: int, entries: Iterable[Entry], end: int | None = None) -> None:
        """Apply changelog records in log order, keeping the higher stamp of each key.

        Args:
            partition: number.
            entries: of the records.
            end: offset after them.
        """
        stamp_of = self.stamp_of
        if self.stores is None:
            data = self._partitions.setdefault(partition, {})
            for key, value in entries:
                if value is None:
                    data.pop(key, None)
                    continue
                if stamp_of is not None:
                    present = data.get(key)
                    if present is not None and stamp_of(value) < stamp_of(present):
                        continue
                data[key] = value
            return
        store = self._stored(self.stores, partition)
        fresh: dict[bytes, bytes | None] = {}  # what these make of it, to be written at once
        for key, value in entries:
            if value is not None and stamp_of is not None:
                present = fresh[key] if key in fresh else store.get(key)
                if present is not None and stamp_of(value) < stamp_of(present):
                    continue
            fresh[key] = value
        store.apply(fresh.items(), end)

    def begin(self, partition: int, first: int, end: int) -> int:
        """Get ready for recovery; returns the offset from which the changelog has to be read.

        Args:
            partition: number.
            first: offset of the changelog's first record.
            end: offset after its last one.
        """
        stores = self.stores
        if stores is None:
            self._partitions.pop(partition, None)  # an interrupted recovery may have left a part
            return first
        store = self._stored(stores, partition)
        if not stores.usable(store, first, end):
            store.clear()
        if store.mark is None:
            store.apply([], first)
            return first
        return store.mark.offset

    def complete(self, partition: int, end: int) -> None:
        """The changelog is in up to ``end``: a process that is killed from now on need not read that again."""
        if self.stores is not None:
            store = self._stored(self.stores, partition)
            store.apply([], end)
            store.flush()

    async def scrub(self, partition: int, keys: Sequence[bytes] | None = None) -> None:
        """After keys were deleted because nobody may find them: leave nothing of them on this machine's disk.

        Args:
            partition: number.
            keys: that were deleted; None: whatever was.
        """
        store = self._on_disk.get(partition)
        if store is not None and keys != []:
            await asyncio.to_thread(store.scrub, keys)
            store.reopen()

    def drop(self, partition: int) -> None:
        """Forget a partition that is held by another worker now."""
        self._partitions.pop(partition, None)
        self.unread.pop(partition, None)
        if self._on_disk.pop(partition, None) is not None and self.stores is not None:
            self.stores.forget(self.name, partition)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget what has gone; what has come is recovered, on disk from where this worker had it last."""
        del generation_id
        for tp in revoked | newly_assigned:
            if tp.topic == self.source and (self.stores is None or tp not in assigned):
                self.drop(tp.partition)
        if self.stores is not None:
            self.stores.keep_only(self.name, {tp.partition for tp in assigned if tp.topic == self.source})
