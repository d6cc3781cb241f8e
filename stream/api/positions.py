"""How far a reader of the event stream is: the offsets of each topic's partitions, as an id of an SSE event.

``a0:12,1:7;m0:3`` says: of alerts everything up to offset 12 of partition 0 and 7 of partition 1, of metrics up to
3 of partition 0. Partitions that are not named start from their beginning.
"""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"[am](?:\d{1,5}:-?\d{1,18}(?:,\d{1,5}:-?\d{1,18})*)?", re.ASCII)
_LONGEST: Final = 64 * 1024

Offsets = dict[int, int]
"""Partition -> offset of the last record that was told; -1: of none."""


def written(alerts: Offsets, metrics: Offsets) -> str:
    """A position as text."""
    return f"a{_text(alerts)};m{_text(metrics)}"


def read(text: str) -> tuple[Offsets, Offsets]:
    """Offsets of alerts and of metrics.

    Raises:
        ValueError: it is no position.
    """
    parts = text.split(";")
    if len(text) > _LONGEST or len(parts) > 2 or any(_FORM.fullmatch(part) is None for part in parts):  # noqa: PLR2004
        raise ValueError("it is no id of this stream")
    found: dict[str, Offsets] = {"a": {}, "m": {}}
    for part in parts:
        pairs = (pair.split(":") for pair in part[1:].split(",") if pair)
        found[part[0]] = {int(partition): int(offset) for partition, offset in pairs}
    return found["a"], found["m"]


def _text(offsets: Offsets) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
