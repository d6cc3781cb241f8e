"""Records of topics as they were read, and what of a compacted topic still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Found(NamedTuple):
    """A record of a topic; ``value`` is None where the key was deleted."""

    key: bytes
    value: bytes | None
    at_ms: int


def newest(records: Iterable[Found]) -> dict[bytes, bytes]:
    """What a compacted topic holds: of each key the last value, without the deleted ones."""
    held: dict[bytes, bytes] = {}
    for record in records:
        held.pop(record.key, None)
        if record.value is not None:
            held[record.key] = record.value
    return held
