"""``cx.partials``: one slice, one owner; merges panes, rolls windows, judges rules."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from stream import topics
from stream.alerting.claims import ClaimRecord, MarkRecord, encode_record
from stream.engine import Lanes, Outgoing
from stream.pipeline import MetricsPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from agents.context import Context
    from stream.alerting.model import RuleBook
    from stream.engine import Batch, BatchTable
    from stream.pipeline.metrics import MetricsRecord

LANE_PARTITION = 0
#: Rounds of a partition begin at most this often; panes close every ten seconds, so nobody waits for it.
PACE_S = 0.1
#: Records taken in at a time: during a catch-up many panes close in a row, and heartbeats must not wait for all.
ROUND = 1_000
#: Provisional values rest this many times as long as they took.
PROVISIONAL_SHARE = 19


class MetricsAgent:
    """Keeps the windows of every slice; publishes metrics, and claims into the ordered lane."""

    def __init__(self, context: Context, windows: BatchTable) -> None:
        self._context = context
        self._windows = windows
        self._parts: dict[int, MetricsPartition] = {}
        self._provisional_from = 0.0
        self.lanes = Lanes(context.app, context.rounds(self.handle), pace_s=PACE_S)
        context.feeds.on_rules.append(self._swap)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        self._parts.clear()

    def finals(self) -> dict[int, int]:
        """Up to which instant (epoch ms) each partition held here is final, of those that have got anywhere."""
        found = ((partition, part.final_ms) for partition, part in self._parts.items())
        return {partition: at_ms for partition, at_ms in found if at_ms is not None}

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into their partition's lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> None:
        """Do all that a partition's batches ask for, durably, in the order that a crash allows."""
        started = monotonic()
        part = self._part(partition)
        values = [record.value for batch in batches for record in batch.records]
        for at in range(0, len(values), ROUND):
            await self._round(partition, part, values[at : at + ROUND])
        for batch in batches:
            self._context.telemetry.batch(batch.topic, len(batch), monotonic() - started)

    async def _round(self, partition: int, part: MetricsPartition, values: list[bytes | None]) -> None:
        changes = part.run(values)
        lane = [
            Outgoing(None, encode_record(ClaimRecord(partition, claim)), (), LANE_PARTITION)
            for claim in changes.claims
        ]
        if changes.mark_ms is not None:
            lane.append(
                Outgoing(None, encode_record(MarkRecord(partition, changes.mark_ms)), (), LANE_PARTITION)
            )
        await asyncio.gather(
            self._publish(partition, changes.metrics),
            self._context.publish(topics.CLAIMS, lane),
            self._context.publish_decisions(changes.decided),
        )
        # One log, in this order: after a crash there is a prefix of it, so the progress comes last.
        await self._windows.write(partition, [*changes.entries, *changes.progress])
        for reason, n in changes.decisions.items():
            self._context.telemetry.decision(reason, n)

    async def provisional(self) -> None:
        """Now and then: what the windows say so far. Alerts never look at it.

        Left out while it would take more than a twentieth of the time: during a long catch-up many panes are
        open, and nobody looks at a dashboard for values of yesterday.
        """
        began = monotonic()
        if began < self._provisional_from:
            return
        for partition in self._context.app.assigned(topics.PARTIALS):
            part = self._parts.get(partition)
            if part is None:
                continue
            records = []
            for record in part.provisional():
                records.append(record)
                await asyncio.sleep(0)
            await self._publish(partition, records)
        self._provisional_from = monotonic() + PROVISIONAL_SHARE * (monotonic() - began)

    async def _publish(self, partition: int, metrics: list[MetricsRecord]) -> None:
        context = self._context
        await context.publish(
            topics.METRICS, [Outgoing(record.slice_key.encode(), record.payload) for record in metrics]
        )
        for record in metrics:
            if context.readmodel is not None:
                context.readmodel.offer_metrics(
                    record.slice_key, record.as_of_ms, record.final, record.payload
                )
            if record.final:
                context.telemetry.values(partition, record.slice_key, record.values)

    def _swap(self, book: RuleBook, from_ms: int) -> None:
        for part in self._parts.values():
            part.swap(book, from_ms)

    def _part(self, partition: int) -> MetricsPartition:
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = MetricsPartition(
                partition, self._context.config, self._context.book, self._windows.partition(partition)
            )
            for version in self._context.feeds.versions:
                part.swap(version.book, version.from_ms)
        return part
