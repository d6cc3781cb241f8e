"""Carries erasures out: takes customers out of tables, outputs and the read model of this worker."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import TYPE_CHECKING

from stream import topics
from stream.engine import Outgoing
from stream.privacy.erasures import note_key, note_of, source_of
from stream.privacy.traces import decision_keys, refs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.context import Context
    from stream.alerting.model import RuleBook
    from stream.engine import BatchTable
    from stream.pipeline import CustomersPartition

logger = logging.getLogger(__name__)

#: Customers whose fingerprints are made at a time.
AT_ONCE = 100_000


class Forgetting:
    """The erasures of a worker's partitions, each carried out once.

    Args:
        context: of the worker.
        customers: the customers table.
        panes: the panes table, where what was carried out is noted.
        forgotten: told who is no longer in the table of a partition.
    """

    def __init__(
        self,
        context: Context,
        customers: BatchTable,
        panes: BatchTable,
        forgotten: Callable[[int, list[bytes]], None],
    ) -> None:
        self._context = context
        self._customers = customers
        self._panes = panes
        self._forgotten = forgotten
        self._done: dict[int, int] = {}  # partition -> version of the erasures that it has carried out

    def recovered(self) -> None:
        """Tables are complete for a new assignment."""
        self._done.clear()

    def behind(self, partition: int) -> bool:
        """Whether there is something to carry out, as far as is known without looking."""
        feed = self._context.erasures
        return feed is not None and self._done.get(partition, 0) != feed.erasures.version

    async def carry_out(self, partition: int, part: CustomersPartition) -> None:
        """Forget whom the erasures name, durably; nothing is written of them after it.

        The note comes last: after a crash in between, the same is done again. A customer that is there beside
        a note came back after the erasure.
        """
        feed = self._context.erasures
        if feed is None or not self.behind(partition):
            return
        erasures = feed.erasures
        version = erasures.version
        first, second = (source_of(topic, partition) for topic in topics.INPUTS)
        sources = (first, second)
        open_ = erasures.open_in(self._panes.partition(partition), sources)
        if open_:
            everyone = iter(self._customers.partition(partition))  # nobody writes to it meanwhile
            names: list[bytes] = []
            # A million fingerprints take more than a second, and heartbeats must not wait for them.
            while some := list(islice(everyone, AT_ONCE)):
                names += await asyncio.to_thread(erasures.among, some, open_)
            await self._take_out(partition, names)
            part.forget(names)
            await self._panes.write(
                partition, [(note_key(mark), note_of(erasure, sources)) for mark, erasure in open_.items()]
            )
            logger.info(
                "partition %d: %d erasures carried out, customers known here: %d",
                partition,
                len(open_),
                len(names),
            )
        self._done[partition] = version

    async def _take_out(self, partition: int, names: list[bytes]) -> None:
        if not names:
            return
        context = self._context
        states, books = self._customers.partition(partition), self._books()
        keys = [key for name in names for key in decision_keys(name.decode(), refs_of(states[name]), books)]
        await asyncio.gather(
            context.publish(topics.CUSTOMERS, [Outgoing(name, None) for name in names]),
            context.publish(topics.DECISIONS, [Outgoing(key, None) for key in keys]),
        )
        await self._customers.write(partition, [(name, None) for name in names])
        await self._customers.scrub(partition, names)
        self._forgotten(partition, names)

    def _books(self) -> list[RuleBook]:
        return [self._context.book, *(version.book for version in self._context.feeds.versions)]
