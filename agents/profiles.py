"""Profiles on their way out: to ``cx.customers`` and to Redis, beside the stream and never in its way."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, thread_time
from typing import TYPE_CHECKING

from agents.filling import Filling
from stream import topics
from stream.engine import Outgoing
from stream.intake import partition_of
from stream.pipeline.profiles import PROGRESS_KEY, Owed, profiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agents.context import Context
    from stream.engine import BatchTable
    from stream.engine.table import Entry

logger = logging.getLogger(__name__)

#: Profiles made at a time: some milliseconds, for alerts must not wait longer.
AT_ONCE = 50
#: Their making rests this many times as long as it took: while events pile up, and else.
REST_BEHIND, REST = 19, 4
#: Where nobody is owed a profile, it is looked again this often.
PAUSE_S = 0.2


class ProfilesAgent:
    """Publishes the profiles that the customers of this worker are owed.

    Args:
        context: of the worker.
        customers: the customers table.
        panes: the panes table, which has the progress.
        watermark: of a partition of this worker, epoch milliseconds; None: there was no event yet.
    """

    def __init__(
        self,
        context: Context,
        customers: BatchTable,
        panes: BatchTable,
        watermark: Callable[[int], int | None],
    ) -> None:
        self._context = context
        self._watermark = watermark
        self._customers = customers
        self._panes = panes
        self._owed: dict[int, Owed] = {}
        self._began: dict[int, float] = {}
        self._kept: dict[int, bytes] = {}
        self._round_over: dict[int, asyncio.Event] = {}
        self._filling = None if context.readmodel is None else Filling(context, context.readmodel, self)

    def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        for waiting in (self._owed, self._began, self._kept):
            waiting.clear()
        for over in self._round_over.values():
            over.set()  # whoever waits finds another assignment
        self._round_over.clear()
        settings = self._context.settings
        for partition in sorted(
            tp.partition for tp in self._context.app.held() if tp.topic == topics.REPLIES
        ):
            self._owed[partition] = Owed(
                self._customers.partition(partition),
                self._panes.partition(partition).get(PROGRESS_KEY),
                settings.profile_every_ms,
                settings.profile_refresh_ms,
            )
        if self._context.readmodel is not None:
            self._context.readmodel.filler.hold(self._owed)

    def changed(self, partition: int, names: Iterable[bytes], done: dict[str, int]) -> None:
        """Note whose state a batch has changed, once that is durable.

        Args:
            partition: number of it.
            names: customer ids.
            done: topic -> offset up to which all is in.
        """
        owed = self._owed.get(partition)
        if owed is not None:
            first, second = topics.INPUTS
            owed.changed(names, (done.get(first, -1), done.get(second, -1)))

    def progress(self, partition: int) -> list[Entry]:
        """What is new to be kept of how far profiles have got; taken once."""
        kept = self._kept.pop(partition, None)
        return [] if kept is None else [(PROGRESS_KEY, kept)]

    async def run(self) -> None:
        """Publish for ever, in the time that the stream leaves."""
        while True:
            began, share = monotonic(), 0.0
            # Not while partitions are on their way: a table that has gone would say that nobody is there.
            for partition in self._context.app.assigned(topics.REPLIES):
                share += await self._some(partition)
            # While brokers are waited for, it rests as well.
            await asyncio.sleep(max(0.0, share - (monotonic() - began)) if share else PAUSE_S)

    async def _some(self, partition: int) -> float:
        """A few profiles of a partition; returns how long making and resting take, 0 where none was due."""
        context, owed = self._context, self._owed.get(partition)
        readmodel = context.readmodel
        if owed is None or (readmodel is not None and not readmodel.room and readmodel.ready_check()[0]):
            return 0.0
        # In a stream that stands still, event time does not get as far as the next round.
        patience = monotonic() - self._began.get(partition, 0.0) >= context.settings.profile_every_ms / 1000
        at_ms = self._watermark(partition)
        names = owed.take(AT_ONCE, at_ms, patience_over=patience)
        if not names:
            self._over(partition, owed)
            return 0.0
        self._began[partition] = monotonic()
        began = thread_time()
        states = self._customers.partition(partition)
        found = [profiled(name, states.get(name), at_ms or 0, context.feeds.models.at) for name in names]
        took = thread_time() - began
        await context.publish(topics.CUSTOMERS, [Outgoing(each.name, each.payload) for each in found])
        if readmodel is not None:
            for each in found:
                # Meanwhile somebody may have been erased.
                payload = each.payload if each.name in states else None
                readmodel.offer_profile(
                    each.name.decode(), each.as_of_ms, payload, each.value_at_risk, each.currency
                )
        self._over(partition, owed)
        behind = sum(lag for tp, lag in context.app.lags().items() if tp.topic in topics.INPUTS)
        return took * (1 + (REST_BEHIND if behind > context.settings.max_batch_records else REST))

    def _over(self, partition: int, owed: Owed) -> None:
        if self._owed.get(partition) is owed and (kept := owed.over()) is not None:
            self._kept[partition] = kept
            self._round_over.setdefault(partition, asyncio.Event()).set()

    async def all_again(self, partition: int) -> None:
        """Give Redis every profile of a partition, and take from it whom the table does not have."""
        owed = self._owed.get(partition)
        if owed is None:
            return
        owed.all_again()
        over = self._round_over[partition] = asyncio.Event()
        await over.wait()
        await self._remove_strangers(partition)

    async def _remove_strangers(self, partition: int) -> None:
        readmodel, number = self._context.readmodel, self._context.config.partitions
        if readmodel is None:
            return
        states = self._customers.partition(partition)
        async for name in readmodel.customer_ids():
            key = name.encode()
            if partition not in self._context.app.assigned(topics.REPLIES):
                return  # its table has gone
            if partition_of(key, number) == partition and key not in states:
                readmodel.offer_profile(name, 0, None)
