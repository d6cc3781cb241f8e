"""Versions of what is written for later: values of tables, and records between the agents.

A record says its format in a header; format 1 says nothing, so the first version costs nothing. Readers take
older formats over by ``migrate``, and refuse newer ones: half-understood state would be written back without
what was not understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .errors import NewerFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .batch import Record

HEADER: Final = "cx-format"


class Migrated(NamedTuple):
    """A record as the format of today would have it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """What one topic's records are written in.

    Args:
        version: written, and the newest that is read.
        migrate: of an older version, a key and a value: the value in this version, or None for none. Needed
            from version 2 on.
    """

    version: int = 1
    migrate: Callable[[int, bytes | None, bytes], bytes | None] | None = None

    def __post_init__(self) -> None:
        if self.version < 1 or (self.version > 1) != (self.migrate is not None):
            raise ValueError("version: 1, or more with a way to migrate from those before")

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """What each record written carries."""
        return () if self.version == 1 else ((HEADER, b"%d" % self.version),)

    def read(self, topic: str, partition: int, records: list[Record]) -> list[Record]:
        """Records in this format; those that are already in it as they came.

        Raises:
            NewerFormat: one is in a format that this program does not know.
        """
        read: list[Record] = records
        for at, record in enumerate(records):
            headers = record.headers
            version = _version(headers) if headers else 1
            if version == self.version:
                continue
            if version > self.version:
                raise NewerFormat(topic, partition, record.offset, version, self.version)
            if self.migrate is not None and record.value is not None:
                if read is records:
                    read = list(records)
                value = self.migrate(version, record.key, record.value)
                read[at] = Migrated(record.offset, record.timestamp, record.key, value, headers)
        return read


FIRST: Final = Format()


def _version(headers: Sequence[tuple[str, bytes]]) -> int:
    for name, value in headers:
        if name == HEADER:
            return int(value)
    return 1
