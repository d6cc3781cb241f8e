"""A rule's limit in the lane: at most so many of its alerts are told in so long, the rest wait for room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.alerting.hygiene import Limit
    from stream.alerting.summaries import Flood


def room_at(flood: Flood, limit: Limit, at_ms: int) -> int:
    """When one more may be told, ``at_ms`` or later: no stretch of ``per_ms`` has more than ``alerts``."""
    times = flood.times[-limit.alerts :]
    return max(at_ms, times[0] + limit.per_ms) if len(times) == limit.alerts else at_ms


def take(flood: Flood, limit: Limit, at_ms: int) -> None:
    """One is told now."""
    flood.times = [*flood.times, at_ms][-limit.alerts :]
