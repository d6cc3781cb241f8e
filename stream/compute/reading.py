"""Files of both topics, put before the cores block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream.compute.lines import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stream.compute.share import Intake

#: Records that may wait for the other topic before each topic is read by itself.
MUCH_KEPT: Final = 50_000
#: Bytes of a line that are looked at, at least.
_LONGEST: Final = 16 << 20


class Reading:
    """Reads all files to their end, a block at a step.

    Lines of both topics are read together as long as they come in the order of their times, more or less. When
    one topic gets far ahead of the other, each is read by itself from there on, the one that lags first: so
    what waits to be merged stays bounded, and the order is that of two topics that were full from the start.

    Args:
        files: regular files.
        max_bytes: of a record.
        topics: the input topics.
    """

    def __init__(self, files: Sequence[Path], max_bytes: int, topics: tuple[str, str]) -> None:
        self._topics = topics
        self._reader = Reader(files, max(_LONGEST, max_bytes + 1))
        self._readers = dict.fromkeys(topics, self._reader)
        self._left = list(topics)
        self._together = True

    def step(self, intake: Intake[Any]) -> bool:
        """Read a block, and let ``intake`` take it; False when there is nothing left.

        Raises:
            Unreadable: a file cannot be read, or is damaged.
        """
        takes = self._topics if self._together else (min(self._left, key=intake.kept),)
        block = self._readers[takes[0]].next()
        if block is None:
            self._left = [topic for topic in self._left if topic not in takes]
            return bool(self._left)
        intake.take(block.first, block.lines, topics=takes, waiting=self._left)
        if self._together and max(map(intake.kept, self._topics)) > MUCH_KEPT:
            self._together = False
            self._readers[self._topics[0]] = self._reader.fork()
        return True

    def close(self) -> None:
        """Let go of files that are open, without reading them to their end."""
        for each in self._readers.values():
            each.close()

    @property
    def bytes_read(self) -> int:
        """Bytes of the files, as they lie on the disk, that were read for both topics."""
        return min(each.bytes_read for each in self._readers.values())

    @property
    def starts(self) -> list[int]:
        """The line over all files at which each file begins, as far as they were opened."""
        return self._reader.starts
