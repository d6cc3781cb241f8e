"""Commit bookkeeping: which batches are out, and how far a partition may be committed."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .batch import Batch


class Partition(NamedTuple):
    """A topic-partition; equal to Faust's and aiokafka's own."""

    topic: str
    partition: int


class Out(NamedTuple):
    """A batch as it was handed out; whoever works on it may empty it to free memory."""

    batch: Batch
    at: float
    records: int
    end: int


class InFlight:
    """Batches handed out and not yet committed, in order, for every partition.

    A partition may be committed up to the end of its acknowledged prefix, never past a batch that is still
    out. Faust's own bookkeeping assumes one offset a message; this one never looks inside a batch.
    """

    def __init__(self) -> None:
        self._batches: dict[Partition, deque[Out]] = {}
        self._committable: dict[Partition, int] = {}
        self._moved_at: dict[Partition, float] = {}
        self._records: Counter[Partition] = Counter()
        self.records = 0

    def add(self, batch: Batch, now: float) -> None:
        """Note a batch as handed out at ``now`` (seconds, monotonic)."""
        out = Out(batch, now, len(batch), batch.last_offset + 1)
        tp = Partition(batch.topic, batch.partition)
        self._batches.setdefault(tp, deque()).append(out)
        self._records[tp] += out.records
        self.records += out.records

    def ack(self, batch: Batch, now: float) -> bool:
        """Note a batch as done at ``now``; False when it is not ours (done before, or before a rebalance)."""
        tp = Partition(batch.topic, batch.partition)
        queue = self._batches.get(tp)
        if batch.acked or queue is None or not any(out.batch is batch for out in queue):
            return False
        batch.acked = True
        self._moved_at[tp] = now
        while queue and queue[0].batch.acked:
            done = queue.popleft()
            self._records[tp] -= done.records
            self.records -= done.records
            self._committable[tp] = done.end
        return True

    def count(self, tp: Partition) -> int:
        """How many batches of a partition are out."""
        return len(self._batches.get(tp, ()))

    def out(self, tp: Partition) -> int:
        """How many records of a partition are out; may be asked from another thread."""
        return self._records[tp]

    def pending(self) -> list[Partition]:
        """Partitions with something to commit."""
        return list(self._committable)

    def take(self, tp: Partition) -> int | None:
        """Next offset to commit for ``tp`` (one past the last done record), once."""
        return self._committable.pop(tp, None)

    def committed_failed(self, tp: Partition, offset: int) -> None:
        """Give back what ``take`` handed out, unless something newer is there."""
        self._committable[tp] = max(offset, self._committable.get(tp, offset))

    def oldest(self) -> dict[Partition, float]:
        """When each partition with unfinished batches last moved (seconds, monotonic).

        That is when its first unfinished batch was handed out or, if later, when one was acknowledged: a
        batch that waits its turn behind others that do get done is not a stall.
        """
        moved = self._moved_at
        return {tp: max(queue[0].at, moved.get(tp, 0.0)) for tp, queue in self._batches.items() if queue}

    def forget(self) -> None:
        """Drop everything: after a rebalance, batches from before it are fetched again."""
        self._batches.clear()
        self._committable.clear()
        self._moved_at.clear()
        self._records.clear()
        self.records = 0
