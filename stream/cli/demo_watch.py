"""What the demo knows at a moment: figures of the worker, metrics and alerts from the read model."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from stream.cli.scrape import Scrape, scrape

if TYPE_CHECKING:
    from stream.cli.demo_feed import Feeder
    from stream.cli.demo_stack import Stack
    from stream.serving.reader import BlockingReader

VERDICTS: Final = ("applied", "duplicate", "deadletter", "late")
_RATE_SECONDS: Final = 3.0
_SHOWN_ALERTS: Final = 200


@dataclass
class Watch:
    """Looks when told to; keeps what it saw."""

    stack: Stack
    reader: BlockingReader
    feeder: Feeder
    figures: Scrape = field(default_factory=lambda: Scrape(""))
    verdicts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_SHOWN_ALERTS))
    rate: float = 0.0
    _position: str = "-"
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, *, slices: bool = True) -> list[dict[str, Any]]:
        """Refresh everything; returns the alerts that are new.

        Raises:
            Problem: the worker died or feeding failed.
        """
        self.stack.watch()
        self.feeder.check()
        try:
            self.figures = scrape(self.stack.ops_url)
        except OSError:  # busy or gone; the next look finds out which
            return []
        self.verdicts = {
            verdict: round(self.figures.total("cx_records_total", verdict=verdict)) for verdict in VERDICTS
        }
        self.feeder.processed = self.processed
        self._measure()
        try:
            if slices:
                self.metrics = self.reader.metrics()
            recent = self.reader.recent_alerts(self._position)
        except RedisError:
            return []
        self._position = recent.position
        self.alerts.extend(recent.alerts)
        return recent.alerts

    @property
    def processed(self) -> int:
        """Input records the worker is done with."""
        return sum(self.verdicts.values())

    @property
    def lag(self) -> int:
        """Input records that wait: sent and not yet applied, refused or recognised."""
        return max(0, self.feeder.sent - self.processed)

    def activity(self) -> tuple[object, ...]:
        """What changes as long as the worker has something to do."""
        figures = self.figures
        return (
            self.processed,
            figures.total("cx_batch_records_sum"),
            figures.total("cx_alert_decisions_total"),
            figures.total("cx_alerts_total"),
            figures.total("cx_partition_lag"),
            figures.total("cx_inflight_records"),
            json.dumps(self.metrics.get("{}", {}).get("metrics"), sort_keys=True),
        )

    def busy(self) -> bool:
        """Whether anything sent is not accounted for, or anything is still under way."""
        under_way = self.figures.total("cx_partition_lag") + self.figures.total("cx_inflight_records")
        return self.lag > 0 or under_way > 0

    def _measure(self) -> None:
        now = time.monotonic()
        self._seen.append((now, self.processed))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_SECONDS:  # noqa: PLR2004 - a pair is left
            self._seen.popleft()
        (since, before), (until, after) = self._seen[0], self._seen[-1]
        self.rate = (after - before) / (until - since) if until > since else 0.0
