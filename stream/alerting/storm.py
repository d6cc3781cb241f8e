"""Storms: when more alerts come at once than anybody reads, a summary takes their place.

It begins with the alert that is one too many in the limit's time. Until it is over, none is told by itself. It is
over when for the limit's time the number was never too large, and no more than the limit's alerts are left that
still fire; these are told then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.alerting.hygiene import Limit
    from stream.alerting.summaries import Flood


def admit(flood: Flood, limit: Limit, at_ms: int) -> bool:
    """Count an alert that would be told; says whether it may be."""
    flood.times = [*flood.times, at_ms][-limit.alerts - 1 :]
    if len(flood.times) > limit.alerts and flood.times[0] > at_ms - limit.per_ms:
        flood.over_ms = at_ms
        return False
    return flood.begun_ms is None


def calm_at(flood: Flood, limit: Limit) -> int:
    """From when on the storm may be over, if nothing comes."""
    return flood.over_ms + limit.per_ms


def may_end(flood: Flood, limit: Limit, firing: int, at_ms: int) -> bool:
    """Whether the storm is over, with so many kept back that still fire."""
    return flood.begun_ms is not None and at_ms >= calm_at(flood, limit) and firing <= limit.alerts


def end(flood: Flood) -> None:
    """It is over: what it kept back and still fires is counted as it is told."""
    flood.times = []
    flood.end()
