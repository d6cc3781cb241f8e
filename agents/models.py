"""``cx.examples``: what all partitions tell of their customers meets here, and becomes versions of models."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from schemas import format_ms, to_ms
from stream import topics
from stream.engine import Lanes, Outgoing
from stream.feeds import model_key
from stream.pipeline.models import ModelsPartition, make

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from agents.context import Context
    from stream.engine import Batch, BatchTable

logger = logging.getLogger(__name__)

#: Rounds begin at most this often: versions hold a whole period later, so nobody waits for it.
PACE_S = 0.1


class ModelsAgent:
    """Collects examples; fits when those of a moment are complete, and publishes what came of it."""

    def __init__(self, context: Context, table: BatchTable) -> None:
        self._context = context
        self._table = table
        self._held: dict[int, ModelsPartition] = {}
        self.lanes = Lanes(context.app, context.rounds(self.handle), pace_s=PACE_S)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        self._held.clear()

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into the lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> None:
        """Remember what came; make what is due, publish it, and only then forget what it was made of."""
        every_ms = self._context.settings.models_every_ms
        if not every_ms:
            return
        held = self._held.get(partition)
        if held is None:
            held = self._held[partition] = ModelsPartition(
                self._context.config.partitions, every_ms, self._table.partition(partition)
            )
        await self._table.write(
            partition, held.take(record.value for batch in batches for record in batch.records)
        )
        while (work := held.due()) is not None:
            made = await asyncio.to_thread(make, work)  # seconds, which heartbeats must not wait for
            await self._context.publish(
                topics.MODELS,
                [
                    Outgoing(
                        model_key(version.name, to_ms(version.valid_from)), version.model_dump_json().encode()
                    )
                    for version in made.versions
                ],
            )
            await self._table.write(partition, held.finish(work, made))
            for version in made.versions:
                logger.info(
                    "%s %s as of %s, from %d customers or labels: holds from %s on%s",
                    version.name,
                    version.outcome,
                    format_ms(work.moment_ms),
                    version.n,
                    format_ms(work.valid_from_ms),
                    f" ({version.reason})" if version.reason else "",
                )
