"""One lane a partition: order inside it, concurrency between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .app import BatchApp
    from .batch import Batch


class Lanes:
    """Runs a handler over batches, one partition number at a time.

    The batches of all topics with the same partition number share a lane, so that co-partitioned topics are
    worked on together and in turn. While one lane waits for the broker, another computes. The handler gets
    everything that has queued up, does all it has to do durably, and returns; the batches are then
    acknowledged. If it raises, the process stops and the batches are read again.
    """

    def __init__(self, app: BatchApp, handler: Callable[[int, list[Batch]], Awaitable[None]]) -> None:
        self._app = app
        self._handler = handler
        self._queued: dict[int, list[Batch]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._open = True
        app.lanes.append(self)

    def submit(self, batch: Batch) -> None:
        """Queue a batch; what bounds the queue is the consumer's ``max_inflight_records``."""
        if not self._open or batch.generation != self._app.consumer_generation_id:
            return  # from before a rebalance: it is fetched again after it
        self._queued.setdefault(batch.partition, []).append(batch)
        if batch.partition not in self._running:
            self._running[batch.partition] = asyncio.create_task(self._run(batch.partition))

    async def _run(self, partition: int) -> None:
        try:
            while batches := self._queued.pop(partition, None):
                await self._handler(partition, batches)
                for batch in batches:
                    batch.ack()
        except Exception as exc:  # noqa: BLE001 - nothing may be acknowledged after any failure
            self._queued.clear()
            await self._app.crash(exc)
        finally:
            self._running.pop(partition, None)

    async def quiesce(self) -> None:
        """Drop what is only queued and wait for what is being worked on."""
        self._open = False
        self._queued.clear()
        if self._running:
            await asyncio.wait(list(self._running.values()))

    def reopen(self) -> None:
        """Take batches again, after a rebalance."""
        self._queued.clear()
        self._open = True
