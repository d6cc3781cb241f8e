"""What a worker shows of itself that is looked at rather than counted: gauges, and readiness with reasons."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from stream import topics
from stream.engine import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.engine import BatchApp, Partition
    from stream.serving import Health, ReadModel, Telemetry


class Vitals:
    """Looks at the engine for Prometheus when it asks, and for the readiness checks.

    Args:
        app: the worker's engine.
        telemetry: where gauges are set; `look` runs before each of its renderings.
        health: where the checks ``broker``, ``partitions``, ``progress`` and ``redis`` are registered.
        watermarks: epoch milliseconds by (input topic, partition), of those that have had an event.
        readmodel: None where there is no Redis.
    """

    def __init__(
        self,
        app: BatchApp,
        telemetry: Telemetry,
        health: Health,
        watermarks: Callable[[], Mapping[tuple[str, int], int]],
        readmodel: ReadModel | None,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._watermarks = watermarks
        self._held: set[Partition] = set()
        self._committed = 0
        self._recovered: dict[str, int] = {}
        #: Why the broker cannot be worked with, as whoever asks for it at the start has found.
        self.broker_trouble: str | None = "not asked yet"
        telemetry.on_scrape(self.look)
        app.recovered_hooks.append(self.recovered)
        health.register("broker", self._broker)
        health.register("partitions", self._partitions)
        health.register("progress", self._progress)
        if readmodel is not None:
            health.register("redis", readmodel.ready_check)

    def look(self) -> None:
        """Set the gauges as things are now."""
        app, telemetry, consumer = self._app, self._telemetry, self._app.batch_consumer
        if consumer is None:
            return
        telemetry.inflight(consumer.in_flight.records)
        busy = consumer.in_flight.oldest() or consumer.in_flight.pending()
        telemetry.commit_age(monotonic() - consumer.last_commit_at if busy else 0.0)
        telemetry.committed(consumer.committed_total - self._committed)
        self._committed = consumer.committed_total
        for tp, lag in app.lags().items():
            if tp in self._held:
                telemetry.lag(tp.topic, tp.partition, lag)
        now_ms = time() * 1000
        for (topic, partition), at_ms in self._watermarks().items():
            telemetry.watermark_delay(topic, partition, (now_ms - at_ms) / 1000)

    async def recovered(self) -> None:
        """After each rebalance: what went to another worker disappears, what was read back is counted."""
        held = self._app.held()
        for tp in self._held - held:
            self._telemetry.partition_lost(tp.topic, tp.partition)
            if tp.topic == topics.PARTIALS:
                self._telemetry.owner_lost(tp.partition)
        self._held = held
        for name, table in self._app.batch_tables().items():
            read = table.recovered_total - self._recovered.get(name, 0)
            self._recovered[name] = table.recovered_total
            self._telemetry.recovered(name, read, table.recovery_s)

    def _broker(self) -> tuple[bool, str]:
        if self.broker_trouble is not None:
            return False, self.broker_trouble
        consumer = self._app.batch_consumer
        if consumer is not None and consumer.cut_off():
            return False, "the consumer group's coordinator does not answer"
        return True, "reachable"

    def _partitions(self) -> tuple[bool, str]:
        phase = self._app.phase
        if phase is not Phase.RUNNING:
            return False, str(phase)
        held = len(self._app.held())
        if not held:  # a spare: it is as well as it can be, and a roll-out must not wait for it
            return True, "none assigned: there are more workers than partitions"
        return True, f"{held} assigned, their tables complete"

    def _progress(self) -> tuple[bool, str]:
        found = self._app.watchdog.reasons(monotonic())
        if not found:
            return True, "every partition with work makes progress"
        return False, "; ".join(f"{tp.topic}/{tp.partition}: {why}" for tp, why in found.items())
