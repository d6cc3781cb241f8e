"""``cx.alerts``: to whom each alert is sent, and the sending. What is owed is in a table; no stream waits."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from stream import topics
from stream.delivery.outbox import Outbox
from stream.delivery.sender import Sender
from stream.engine import Lanes

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from agents.context import Context
    from stream.delivery.line import Parcel
    from stream.delivery.model import DeliveryPlan
    from stream.engine import Batch, BatchTable

logger = logging.getLogger(__name__)

#: Rounds of a partition begin at most this often.
PACE_S: Final = 0.05
#: When a partition is given away, requests under way may still end within this time.
GRACE_S: Final = 1.0
LEVELS: Final = ("waiting", "parked", "oldest_seconds", "up")
_COMPLAIN_S: Final = 60.0
_TIDY_S: Final = 3_600.0
_LEAST_WAIT_S: Final = 0.005


class DeliveryAgent:
    """Takes alerts in, and keeps a pump for each partition that sends what is owed.

    Args:
        context: of the worker.
        table: what is owed.
        plan: the delivery file; None: alerts are only passed by, so that a file that comes later begins with
            the alerts of its time.
    """

    def __init__(self, context: Context, table: BatchTable, plan: DeliveryPlan | None) -> None:
        self._context = context
        self._table = table
        self._plan = plan
        self._sender = None if plan is None else Sender(plan, context.tracing)
        self._started = False
        self._pumps: dict[int, _Pump] = {}
        self.lanes = _Lanes(self)
        if plan is not None and context.erasures is not None:
            context.erasures.on_erased.append(self._forget)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: go on from them."""
        await self.quiesce()
        for held in self._context.app.held():
            if held.topic == topics.ALERTS:
                await self._pump(held.partition)

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into their partition's lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> None:
        """Write down what is owed for the alerts that came; they are sent later."""
        pump = await self._pump(partition)
        if pump is None:
            return
        began, telemetry, tracing = monotonic(), self._context.telemetry, self._context.tracing
        now_ms = round(time() * 1000)
        for batch in batches:
            for record in batch.records:
                if batch.topic == topics.ALERTS:
                    tracing.told((partition, record.offset), record)
                    verdict = pump.outbox.take(record.offset, record.timestamp, record.value, now_ms)
                    if verdict is not None:
                        telemetry.delivery_taken(verdict)
                else:
                    pump.outbox.redrive(record.offset, record.value, now_ms)
        pump.forget()
        await pump.flush()
        pump.wake()
        for batch in batches:
            telemetry.batch(batch.topic, len(batch), monotonic() - began)

    def _forget(self) -> None:
        """Someone more is erased: every partition looks whom it has."""
        for partition in self._pumps:
            self.lanes.poke(partition)

    def levels(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Of each target: alerts owed and parked, the age of the oldest that is owed, and whether it is well."""
        now_ms = time() * 1000
        found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in LEVELS}
        for pump in self._pumps.values():
            for key, (owed, parked, since_ms, well) in pump.outbox.levels().items():
                at = (key,)
                found["waiting"][at] = found["waiting"].get(at, 0) + owed
                found["parked"][at] = found["parked"].get(at, 0) + parked
                age = 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
                found["oldest_seconds"][at] = max(found["oldest_seconds"].get(at, 0.0), age)
                found["up"][at] = min(found["up"].get(at, 1.0), float(well))
        return found

    async def quiesce(self) -> None:
        """Stop sending: partitions are about to go, or the worker is."""
        pumps, self._pumps = self._pumps, {}
        await asyncio.gather(*(pump.stop() for pump in pumps.values()))

    async def stop(self) -> None:
        """Leave the network alone."""
        await self.quiesce()
        if self._sender is not None and self._started:
            self._started = False
            await self._sender.stop()

    async def _pump(self, partition: int) -> _Pump | None:
        if self._plan is None or self._sender is None:
            return None
        if not self._started:
            self._started = True
            await self._sender.start()
        pump = self._pumps.get(partition)
        if pump is None:
            outbox = Outbox(
                self._plan, f"{self._context.settings.app_id}/{partition}", self._erased_in(partition)
            )
            for key, value in self._table.partition(partition).items():
                outbox.restore(key.decode(), value)
            outbox.ready(round(time() * 1000))
            pump = self._pumps[partition] = _Pump(partition, outbox, self._sender, self._context, self._table)
            pump.forget()
            pump.start()
        return pump

    def _erased_in(self, partition: int) -> Callable[[str, int], bool]:
        feed = self._context.erasures

        def erased(customer_id: str, offset: int) -> bool:
            return feed is not None and feed.erasures.erased(customer_id, topics.ALERTS, partition, offset)

        return erased


class _Lanes(Lanes):
    """Lanes that take the pumps with them when partitions go."""

    def __init__(self, agent: DeliveryAgent) -> None:
        context = agent._context  # noqa: SLF001 - two halves of one
        super().__init__(context.app, context.rounds(agent.handle), pace_s=PACE_S)
        self._agent = agent

    async def quiesce(self) -> None:
        await super().quiesce()
        await self._agent.quiesce()


class _Pump:
    """Sends what one partition owes, and writes down what came of it."""

    def __init__(
        self, partition: int, outbox: Outbox, sender: Sender, context: Context, table: BatchTable
    ) -> None:
        self.outbox = outbox
        self._partition = partition
        self._sender = sender
        self._context = context
        self._table = table
        self._writing = asyncio.Lock()
        self._woken = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._tidied = monotonic()
        self._complained: dict[str, float] = {}
        self._version = 0  # of the erasures that were looked at
        self._traces = False  # what was deleted for them may still be on the disk

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def forget(self) -> None:
        """Drop what is about customers who were erased since the last time."""
        feed = self._context.erasures
        if feed is not None and feed.erasures.version != self._version:
            self._version = feed.erasures.version
            self.outbox.forget()
            self._traces = True

    async def flush(self) -> None:
        """Write what has changed, in the order in which it did."""
        async with self._writing:  # of two writes of a key the later state must be the later record
            await self._table.write(self._partition, self.outbox.changes())
            if self._traces:
                self._traces = False
                await self._table.scrub(self._partition)

    async def stop(self) -> None:
        """Begin nothing more; what is under way may end, and what ended is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._requests:
            _, left = await asyncio.wait(self._requests, timeout=GRACE_S)
            for task in left:
                task.cancel()  # it stays owed, and goes again with the same id
            if left:
                await asyncio.wait(left)
        if not self._context.app.crashed:
            await self.flush()
        self._count()

    async def _run(self) -> None:
        try:
            while True:
                self._woken.clear()
                await self._round()
                now_ms = time() * 1000
                due_ms = self.outbox.next_ms(round(now_ms))
                wait_s = None if due_ms is None else max(_LEAST_WAIT_S, (due_ms - now_ms) / 1000)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
        except Exception as error:  # noqa: BLE001 - what is owed could not be written down
            await self._context.app.crash(error)

    async def _round(self) -> None:
        now_ms = round(time() * 1000)
        if monotonic() - self._tidied > _TIDY_S:
            self._tidied = monotonic()
            self.outbox.tidy(now_ms)
        for parcel in self.outbox.due(now_ms):
            task = asyncio.create_task(self._send(parcel))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
        await self.flush()
        self._count()

    async def _send(self, parcel: Parcel) -> None:
        began, key = monotonic(), parcel.target.key
        well = self.outbox.lines[key].trouble is None
        outcome = await self._context.tracing.attempt(
            key, [(self._partition, offset) for offset in parcel.offsets], lambda: self._sender.send(parcel)
        )
        self.outbox.settle(parcel, outcome, round(time() * 1000))
        telemetry = self._context.telemetry
        telemetry.delivery_seconds(key, monotonic() - began)
        if outcome.kind != "delivered":
            telemetry.delivered(key, outcome.kind)
        self._say(key, outcome.kind, outcome.why, well=well)
        self._woken.set()

    def _say(self, key: str, kind: str, why: str, *, well: bool) -> None:
        """What changes is news; that it goes on is not."""
        if kind == "gone":
            logger.error(
                "%s: the receiver is gone (410): nothing is sent to it until its address is another, "
                "or cx delivery redrive --target %s",
                key,
                key,
            )
        elif kind == "failed" and well:
            logger.warning("%s: does not take alerts (%s); they are kept and tried again", key, why)
        elif kind == "refused":
            if monotonic() - self._complained.get(key, -_COMPLAIN_S) >= _COMPLAIN_S:
                self._complained[key] = monotonic()
                logger.warning("%s: refuses alerts (%s)", key, why)
        elif not well:
            logger.info("%s: takes alerts again", key)

    def _count(self) -> None:
        for (key, fate), n in self.outbox.fates.items():
            self._context.telemetry.delivered(key, str(fate), n=n)
        self.outbox.fates.clear()
