"""What time it is on a partition: up to when everything is known.

It is the earlier watermark of the topics, without those that are idle, record by record, so that batches do not
matter; while all are idle it is the present, less the lateness. It never goes back. After a crash it is what the
panes say, all topics counted, or what was kept beside them where idleness had moved it further: a customer that is
durable may be ahead of that, never behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures import SourcePanes

#: Key of the time among the entries of a partition's panes.
CLOCK_KEY: Final = b"clock"
_NEVER: Final = -1


class Clock:
    """The time of a partition.

    Args:
        panes: of the topics, which know how far each is.
        lateness_ms: how far behind the newest record of a topic everything of it is known.
        kept: what was kept under ``CLOCK_KEY``, or None.

    Attributes:
        ms: epoch milliseconds, as of the last ``advance``; -1 before anything is known.
    """

    def __init__(self, panes: Mapping[str, SourcePanes], lateness_ms: int, kept: bytes | None) -> None:
        self._panes = panes
        self._lateness_ms = lateness_ms
        self._kept_ms = _NEVER if kept is None else int(kept)
        self._idle: set[str] = set()
        self._present_ms = _NEVER
        self.ms = max(self._kept_ms, self._known_ms())

    def idle(self, topic: str) -> None:
        """No longer wait for a topic."""
        self._idle.add(topic)

    def awake(self, topic: str) -> None:
        """Wait for a topic again: something came."""
        self._idle.discard(topic)

    def tick(self, now_ms: int) -> None:
        """While all topics are idle, time is this, less the lateness."""
        self._present_ms = now_ms - self._lateness_ms

    def advance(self) -> None:
        """Move on to where everything is known."""
        marks = [source.watermark_ms for topic, source in self._panes.items() if topic not in self._idle]
        if not marks:
            known = [at_ms for source in self._panes.values() if (at_ms := source.watermark_ms) is not None]
            now_ms = max([self._present_ms, *(at_ms + self._lateness_ms for at_ms in known)])
        elif None in marks:
            return
        else:
            now_ms = min(mark for mark in marks if mark is not None)
        self.ms = max(self.ms, now_ms)

    def floor_ms(self) -> int:
        """No record of before this will come any more, as far as it does not come from a topic that is idle."""
        begun = {topic: one for topic, one in self._panes.items() if one.watermark_ms is not None}
        awake = [one.floor_ms for topic, one in begun.items() if topic not in self._idle]
        return min(awake or [one.floor_ms for one in begun.values()], default=0)

    def keep(self) -> list[tuple[bytes, bytes]]:
        """What to write after the panes, when all that is due by now is done: nothing where they say it."""
        if self.ms <= max(self._kept_ms, self._known_ms()):
            return []
        self._kept_ms = self.ms
        return [(CLOCK_KEY, b"%d" % self.ms)]

    def _known_ms(self) -> int:
        """As of the panes alone, with no topic left out."""
        marks = [source.watermark_ms for source in self._panes.values()]
        return min(_NEVER if mark is None else mark for mark in marks)
