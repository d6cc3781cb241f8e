"""Notices a partition that has work and makes no progress."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from mode import Service

from .errors import Stalled
from .inflight import Partition

if TYPE_CHECKING:
    from .app import BatchApp
    from .recovery import BatchTableManager


def stalled(
    now: float,
    limit_s: float,
    *,
    oldest: dict[Partition, float],
    behind_since: dict[Partition, float],
) -> dict[Partition, str]:
    """Name the partitions without progress and why.

    Args:
        now: seconds, monotonic, as are the other times.
        limit_s: how long is too long.
        oldest: when the first unfinished batch of each partition was handed out.
        behind_since: since when each partition has records on the broker that were not fetched.
    """
    found = {tp: f"no batch finished for {now - at:.0f} s" for tp, at in oldest.items() if now - at > limit_s}
    for tp, since in behind_since.items():
        if now - since > limit_s and tp not in found:
            found[tp] = f"records waiting on the broker, none fetched for {now - since:.0f} s"
    return found


class Watchdog(Service):
    """Crashes the app when a partition stalls, so that its supervisor starts it again.

    A worker can stay in its group, heart beating, with an agent that hangs or a fetcher that stopped; commits
    then stop and nobody notices. ``reasons()`` is for the readiness check; it speaks before the crash. A
    rebalance or a recovery that does not end, and a consumer that died, stop the app as well.
    """

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(self, app: BatchApp, *, stall_after_s: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app = app
        self.stall_after_s = stall_after_s
        self._behind_since: dict[Partition, float] = {}
        self._rebalancing_since: float | None = None

    def look(self, now: float) -> None:
        """Note which partitions are behind the broker with nothing fetched."""
        consumer = self.app.batch_consumer
        behind: dict[Partition, float] = {}
        if consumer is not None and consumer.flow_active and not self.app.in_recovery:
            out = consumer.in_flight.oldest()
            for tp, lag in self.app.lags().items():
                if lag > 0 and tp not in out:
                    fetched = consumer.fetched_at.get(tp, 0.0)
                    behind[tp] = max(self._behind_since.get(tp, now), fetched)
        self._behind_since = behind
        if not self.app.rebalancing:
            self._rebalancing_since = None
        elif self._rebalancing_since is None:
            self._rebalancing_since = now

    def stuck(self, now: float) -> str | None:
        """Say why the worker as a whole will not go on, if so."""
        consumer = self.app.batch_consumer
        if consumer is not None and (why := consumer.dead()):
            return why
        if self._rebalancing_since is None:
            return None
        # Recovery is part of a rebalance; before it, the other members may take their time.
        recovery = cast("BatchTableManager", self.app.tables).recovery
        since, limit = (
            (recovery.moved_at, self.stall_after_s)
            if self.app.in_recovery
            else (
                max(self._rebalancing_since, recovery.moved_at),
                self.stall_after_s + self.app.conf.broker_rebalance_timeout,
            )
        )
        if now - since <= limit:
            return None
        what = "recovery of tables" if self.app.in_recovery else "rebalance"
        return f"{what}: nothing happened for {now - since:.0f} s"

    def still(self, now: float) -> dict[Partition, float]:
        """For how many seconds each partition with work has not moved; those without work are not there."""
        consumer = self.app.batch_consumer
        if consumer is None:
            return {}
        since = {**self._behind_since, **consumer.in_flight.oldest()}
        return {tp: max(0.0, now - at) for tp, at in since.items()}

    def reasons(self, now: float, limit_s: float | None = None) -> dict[Partition, str]:
        """Partitions without progress for ``limit_s`` (half the crash limit by default)."""
        consumer = self.app.batch_consumer
        if consumer is None:
            return {}
        return stalled(
            now,
            self.stall_after_s / 2 if limit_s is None else limit_s,
            oldest=consumer.in_flight.oldest(),
            behind_since=self._behind_since,
        )

    @Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            await self.sleep(min(1.0, self.stall_after_s / 4))
            now = monotonic()
            self.look(now)
            found = self.reasons(now, self.stall_after_s)
            stuck = self.stuck(now)
            if found:
                tp, why = next(iter(found.items()))
                stuck = f"{tp.topic}/{tp.partition}: {why}"
            if self.app.crashed:
                return
            if stuck:
                await self.app.crash(Stalled(stuck))
                return
