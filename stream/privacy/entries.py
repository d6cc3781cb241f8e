"""Records of logs, and where they stand, as erasing reads and writes them."""

from __future__ import annotations

from typing import NamedTuple


class Refused(RuntimeError):  # noqa: N818 - reads as what happened
    """The broker, or the state of things, does not allow it; the text says why and what to do."""


class Source(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """As people and marks write it."""
        return f"{self.topic}/{self.partition}"


class Entry(NamedTuple):
    """A record of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]
