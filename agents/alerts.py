"""``cx.claims``: the one ordered lane in which claims of all slices meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.alerting.claims import ClaimRecord, decode_record
from stream.alerting.lane import Lane
from stream.engine import Lanes

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from agents.context import Context
    from stream.engine import Batch, BatchTable

#: Rounds of the lane begin at most this often.
PACE_S = 0.05


class AlertsAgent:
    """Releases claims in one order, as alerts, once every slice owner has got that far."""

    def __init__(self, context: Context, table: BatchTable) -> None:
        self._context = context
        self._table = table
        self._held: dict[int, Lane] = {}
        self.lanes = Lanes(context.app, self.handle, pace_s=PACE_S)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        self._held.clear()

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into the lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> None:
        """Order what came, publish what is due, then remember it."""
        lane = self._lane(partition)
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
        # One log, in this order: after a crash there is a prefix of it, so the progress comes after the entries.
        last = [] if changes.progress is None else [changes.progress]
        entries = [(key.encode(), value) for key, value in [*changes.entries, *last]]
        await self._table.write(partition, [*entries, *((key.encode(), None) for key in changes.tombstones)])

    def _lane(self, partition: int) -> Lane:
        lane = self._held.get(partition)
        if lane is None:
            lane = self._held[partition] = Lane(range(self._context.config.partitions))
            for key, value in self._table.partition(partition).items():
                lane.restore(key.decode(), value)
            lane.ready()
        return lane
