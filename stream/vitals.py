"""What a worker shows of itself that is looked at rather than counted: gauges, and readiness with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from stream import topics
from stream.engine import Phase

if TYPE_CHECKING:
    from stream.engine import BatchApp, Partition
    from stream.serving import Health, ReadModel, Telemetry
    from stream.settings import Settings

Seen: TypeAlias = Mapping[tuple[str, ...], float]  #: values of a family by the values of its labels
Look: TypeAlias = Callable[[], Seen]

#: How often the broker is asked for a sign of life, and how long it may take, seconds. Together with what is
#: under way when it is cut off, readiness says so in less than twice their sum.
PROBE_EVERY_S: Final = 5.0
PROBE_WITHIN_S: Final = 5.0
#: Readiness speaks of a partition without progress after this share of what ends the worker.
STALL_SHARE: Final = 1 / 3


class Vitals:
    """Looks at the engine for Prometheus when it asks, and for the readiness checks.

    Args:
        app: the worker's engine.
        settings: of the deployment.
        telemetry: where gauges are set; `look` runs before each of its renderings.
        health: where the checks ``broker``, ``partitions``, ``progress`` and ``redis`` are registered.
        seen: further families of `stream.serving.levels`, by name, and how to look at each.
        readmodel: None where there is no Redis.
    """

    def __init__(
        self,
        app: BatchApp,
        settings: Settings,
        telemetry: Telemetry,
        health: Health,
        seen: Mapping[str, Look],
        readmodel: ReadModel | None,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._health = health
        self._seen = seen
        self._held: set[Partition] = set()
        self._committed = 0
        self._recovered: dict[str, int] = {}
        self._stall_s = settings.stall_after_ms / 1000 * STALL_SHARE
        wanted = {spec.name: spec.partitions or 1 for spec in topics.layout("", settings.partitions)}
        self._wanted: dict[tuple[str, ...], float] = {(n,): wanted[n] for n in sorted(app.hot_topics)}
        #: Why the broker cannot be worked with, as whoever asks for it at the start has found.
        self.broker_trouble: str | None = "not asked yet"
        self._silent_since: float | None = None
        telemetry.batches_of(sorted(app.hot_topics))
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
        checks = self._health.readiness().checks
        telemetry.level("cx_ready", {(name,): float(found.ok) for name, found in checks.items()})
        telemetry.level("cx_topic_partitions", self._wanted)
        tables = app.batch_tables().items()
        telemetry.level("cx_recovery_left_records", {(n,): sum(t.unread.values()) for n, t in tables})
        telemetry.level("cx_table_keys", {(n,): sum(t.held().values()) for n, t in tables})
        if consumer is None:
            return
        telemetry.inflight(consumer.in_flight.records)
        busy = consumer.in_flight.oldest() or consumer.in_flight.pending()
        telemetry.commit_age(monotonic() - consumer.last_commit_at if busy else 0.0)
        telemetry.committed(consumer.committed_total - self._committed)
        self._committed = consumer.committed_total
        held = self._held
        counts = Counter(tp.topic for tp in held)
        telemetry.level("cx_assigned_partitions", {topic: counts[topic[0]] for topic in self._wanted})
        still = app.watchdog.still(monotonic())
        telemetry.level(
            "cx_partition_stalled_seconds", {(tp.topic, str(tp.partition)): still.get(tp, 0.0) for tp in held}
        )
        telemetry.level(
            "cx_partition_lag",
            {(tp.topic, str(tp.partition)): lag for tp, lag in app.lags().items() if tp in held},
        )
        for name, look in self._seen.items():
            telemetry.level(name, look())

    async def recovered(self) -> None:
        """After each rebalance: what went to another worker disappears, what was read back is counted."""
        held = self._app.held()
        for tp in self._held - held:
            if tp.topic == topics.PARTIALS:
                self._telemetry.owner_lost(tp.partition)
        self._held = held
        self._telemetry.rebalanced()
        for name, table in self._app.batch_tables().items():
            read = table.recovered_total - self._recovered.get(name, 0)
            self._recovered[name] = table.recovered_total
            self._telemetry.recovered(name, read, table.recovery_s)

    async def probe(self) -> None:
        """Ask the broker for a sign of life; to be called every `PROBE_EVERY_S` while the worker runs."""
        asked = monotonic()
        answers = await self._app.batch_producer.answers(PROBE_WITHIN_S)
        if answers:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = asked

    def _broker(self) -> tuple[bool, str]:
        if self.broker_trouble is not None:
            return False, self.broker_trouble
        if self._silent_since is not None:
            return False, f"no answer for {monotonic() - self._silent_since:.0f} s"
        consumer = self._app.batch_consumer
        if consumer is not None and consumer.cut_off():
            return False, "the consumer group's coordinator does not answer"
        return True, "reachable"

    def _partitions(self) -> tuple[bool, str]:
        phase = self._app.phase
        if phase is Phase.RECOVERING:
            left = sum(sum(table.unread.values()) for table in self._app.batch_tables().values())
            return False, f"{phase}: at most {left} changelog records left"
        if phase is not Phase.RUNNING:
            return False, str(phase)
        held = len(self._app.held())
        if not held:  # a spare: it is as well as it can be, and a roll-out must not wait for it
            return True, "none assigned: there are more workers than partitions"
        return True, f"{held} assigned, their tables complete"

    def _progress(self) -> tuple[bool, str]:
        found = self._app.watchdog.reasons(monotonic(), self._stall_s)
        if not found:
            return True, "every partition with work makes progress"
        return False, "; ".join(f"{tp.topic}/{tp.partition}: {why}" for tp, why in found.items())
