"""Grouping: alerts with common labels are told together.

The first of a group waits a little, for others to come. Later ones wait for the group's next turn: turns are an
interval apart. A group without an alert that fires is forgotten, and the next one begins afresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream.alerting.hygiene import EVERY_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.alerting.hygiene import Grouped

_encoder = msgspec.json.Encoder()


def group_of(grouped: Grouped, labels: Mapping[str, str]) -> str:
    """The group's name: its labels as JSON, in the order of ``by``; an absent label is empty."""
    if grouped.by == (EVERY_LABEL,):
        return _encoder.encode(dict(sorted(labels.items()))).decode()
    return _encoder.encode({label: labels.get(label, "") for label in grouped.by}).decode()


def turn(grouped: Grouped, last_ms: int | None, at_ms: int) -> int:
    """When the group tells what comes at ``at_ms``; ``last_ms``: a turn it had or has, None for a new group."""
    if last_ms is None:
        return at_ms + grouped.wait_ms
    if last_ms >= at_ms or not grouped.interval_ms:
        return max(last_ms, at_ms)
    return last_ms + -(-(at_ms - last_ms) // grouped.interval_ms) * grouped.interval_ms
