"""``cx.claims``: the one ordered lane in which claims of all slices meet, and what of them is told."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

from stream.alerting.claims import ClaimRecord, decode_record
from stream.alerting.lane import Lane
from stream.engine import Lanes

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from agents.context import Context
    from stream.alerting.lane import LaneChanges
    from stream.alerting.model import RuleBook
    from stream.engine import Batch, BatchTable

#: Rounds of the lane begin at most this often.
PACE_S = 0.05


class AlertsAgent:
    """Releases claims in one order, as alerts, once every slice owner has got that far."""

    def __init__(self, context: Context, table: BatchTable) -> None:
        self._context = context
        self._table = table
        self._held: dict[int, Lane] = {}
        self.lanes = Lanes(context.app, context.rounds(self.handle), pace_s=PACE_S)
        context.feeds.on_rules.append(self._swap)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        self._held.clear()

    def active(self) -> Counter[str]:
        """How many alerts of each rule fire now, told or kept back."""
        return Counter(claim.alert for lane in self._held.values() for claim in lane.active.values())

    def waiting(self) -> int | None:
        """Claims that wait for their turn; None where the lane is another worker's."""
        return sum(lane.waiting for lane in self._held.values()) if self._held else None

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into the lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> None:
        """Order what came, publish what is due, then remember it."""
        started = monotonic()
        lane = self._lane(partition)
        if lane.silences(self._context.feeds.silences):
            # A round of their own: one that a crash repeats must find the same silences.
            await self._write(partition, lane.changes())
        for batch in batches:
            for record in batch.records:
                if record.value is None:
                    continue
                message = decode_record(record.value)
                if isinstance(message, ClaimRecord):
                    self._context.telemetry.decision(f"lane_{lane.offer(message.partition, message.claim)}")
                else:
                    lane.mark(message.partition, message.instant_ms)
        await self._context.publish_alerts(lane.release())
        changes = lane.changes()
        await self._context.publish_decisions(changes.decided)
        await self._write(partition, changes)
        for decision in changes.decided:
            self._context.telemetry.decision(f"lane_{decision.reason}")
        for batch in batches:
            self._context.telemetry.batch(batch.topic, len(batch), monotonic() - started)

    async def _write(self, partition: int, changes: LaneChanges) -> None:
        # One log, in this order: after a crash there is a prefix of it, so the progress comes after the entries.
        last = [] if changes.progress is None else [changes.progress]
        entries = [(key.encode(), value) for key, value in [*changes.entries, *last]]
        await self._table.write(partition, [*entries, *((key.encode(), None) for key in changes.tombstones)])

    def _swap(self, book: RuleBook, from_ms: int) -> None:
        for lane in self._held.values():
            lane.swap(book, from_ms)

    def _lane(self, partition: int) -> Lane:
        lane = self._held.get(partition)
        if lane is None:
            lane = Lane(range(self._context.config.partitions), self._context.book)
            for key, value in self._table.partition(partition).items():
                lane.restore(key.decode(), value)
            lane.ready()
            for version in self._context.feeds.versions:
                lane.swap(version.book, version.from_ms)
            self._held[partition] = lane
        return lane
