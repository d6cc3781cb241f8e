"""One lane a partition: order inside it, concurrency between them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .app import BatchApp
    from .batch import Batch

#: After a crash, handlers still at work get this long to finish; then they are cancelled.
CRASH_GRACE_S = 5.0


class Lanes:
    """Runs a handler over batches, one partition number at a time.

    The batches of all topics with the same partition number share a lane, so that co-partitioned topics are
    worked on together and in turn. While one lane waits for the broker, another computes. The handler gets
    everything that has queued up, does all it has to do durably, and returns; the batches are then
    acknowledged. If it raises, the process stops and the batches are read again.

    A handler may keep batches back: those it returns are not acknowledged, and are its own to acknowledge
    later.

    Args:
        app: the app.
        handler: called with a partition number and its batches.
        pace_s: a lane begins at most one round in this time. Under a light load rounds of a few records
            each would spend everything on round trips; with a pace they carry more and cost less.
    """

    def __init__(
        self,
        app: BatchApp,
        handler: Callable[[int, list[Batch]], Awaitable[Sequence[Batch] | None]],
        *,
        pace_s: float = 0.0,
    ) -> None:
        self._app = app
        self._handler = handler
        self._pace_s = pace_s
        self._hurry = asyncio.Event()
        self._queued: dict[int, list[Batch]] = {}
        self._poked: set[int] = set()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._open = True
        self._failed = False
        app.lanes.append(self)

    def submit(self, batch: Batch) -> None:
        """Queue a batch; what bounds the queue is the consumer's ``max_inflight_records``."""
        if not self._open or batch.generation != self._app.consumer_generation_id:
            return  # from before a rebalance: it is fetched again after it
        self._queued.setdefault(batch.partition, []).append(batch)
        self._start(batch.partition)

    def poke(self, partition: int) -> None:
        """Call the handler again, with what is queued or nothing: for one that has kept batches back."""
        if self._open:
            self._poked.add(partition)
            self._start(partition)

    def _start(self, partition: int) -> None:
        if partition not in self._running:
            self._running[partition] = asyncio.create_task(self._run(partition))

    async def _run(self, partition: int) -> None:
        try:
            while partition in self._queued or partition in self._poked:
                batches = self._queued.pop(partition, [])
                self._poked.discard(partition)
                began = monotonic()
                kept = await self._handler(partition, batches) or ()
                for batch in batches:
                    if batch not in kept:
                        batch.ack()
                rest = self._pace_s - (monotonic() - began)
                if rest > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._hurry.wait(), rest)
        except Exception as exc:  # noqa: BLE001 - nothing may be acknowledged after any failure
            self._fail()
            await self._app.crash(exc)
        except asyncio.CancelledError:
            self._fail()
            raise
        finally:
            self._running.pop(partition, None)

    def _fail(self) -> None:
        # A later batch must not be handled when an earlier one was not: its stamps in the state would hide
        # the earlier records when they are read again.
        self._failed = True
        self._open = False
        self._queued.clear()
        self._poked.clear()

    async def quiesce(self) -> None:
        """Drop what is only queued and wait for what is being worked on.

        Once the app has crashed, a handler that does not finish soon is cancelled: one that hangs must not
        keep the process from ending.
        """
        self._open = False
        self._queued.clear()
        self._poked.clear()
        self._hurry.set()
        if not self._running:
            return
        crashed = asyncio.ensure_future(self._app._crashed.wait())
        finished = asyncio.ensure_future(asyncio.wait(list(self._running.values())))
        try:
            await asyncio.wait([finished, crashed], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([finished], timeout=CRASH_GRACE_S)
            late = list(self._running.values())
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CRASH_GRACE_S)
        finally:
            crashed.cancel()
            finished.cancel()

    def reopen(self) -> None:
        """Take batches again, after a rebalance."""
        self._queued.clear()
        self._hurry.clear()
        self._open = not self._failed
