"""Tables that write many keys at once and know their partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.tables.table import Table

from .formats import FIRST, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from faust.types import TP

    from .app import BatchApp

Entry = tuple[bytes, bytes | None]  #: key and value; a value of None deletes the key


class BatchTable(Table[bytes, bytes]):
    """A changelogged table of bytes, one dict a partition.

    Stock Faust keeps ONE dict over all partitions of a worker, so two partitions that write the same key
    collide, and a partition that moves away leaves its keys behind. Here each partition has its own.

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
        #: Changelog records read back so far.
        self.recovered_total = 0
        #: How long the latest recovery took, seconds.
        self.recovery_s = 0.0
        #: Changelog records still to be read back, at most, by partition.
        self.unread: dict[int, int] = {}

    async def on_start(self) -> None:
        """Do nothing: topics are checked before the worker starts, and recovery fills the table."""

    def partition(self, partition: int) -> dict[bytes, bytes]:
        """Return the live keys and values of one partition; write with :meth:`write` only."""
        return self._partitions.setdefault(partition, {})

    def held(self) -> dict[int, int]:
        """Return how many keys each partition on this worker holds."""
        return {p: len(data) for p, data in self._partitions.items()}

    async def write(self, partition: int, entries: Sequence[Entry]) -> None:
        """Update many keys of one partition and wait until their changelog records are durable.

        Raises:
            PublishFailed: the changelog did not take them; the table is then ahead of it, and the process
                must not acknowledge what caused the write.
        """
        if not entries:
            return
        data = self.partition(partition)
        headers = self.format.headers
        for key, value in entries:
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        await self._batch_app.batch_producer.send_partition(
            self.changelog_topic_name, partition, ((key, value, headers) for key, value in entries)
        )

    def recover(self, partition: int, entries: Iterable[Entry]) -> None:
        """Apply changelog records in log order, keeping the higher stamp of each key."""
        data = self.partition(partition)
        stamp_of = self.stamp_of
        for key, value in entries:
            if value is None:
                data.pop(key, None)
                continue
            if stamp_of is not None:
                present = data.get(key)
                if present is not None and stamp_of(value) < stamp_of(present):
                    continue
            data[key] = value

    def drop(self, partition: int) -> None:
        """Forget a partition that is held by another worker now."""
        self._partitions.pop(partition, None)
        self.unread.pop(partition, None)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget what has gone; what has come is recovered from an empty partition."""
        del assigned, generation_id
        for tp in revoked | newly_assigned:
            if tp.topic == self.source:
                self.drop(tp.partition)
