"""What time it is on a partition: up to when everything is known.

It is the earlier watermark of the topics, without those that are idle, record by record, so that batches do not
matter; while all are idle it is the present, less the lateness. It never goes back.

Where it is, and which records customers hold by then, is kept: written when all customers are, before the panes.
So after a crash time is no later than any customer, and what the panes of one topic still lack is known not to be
new to customers. It is taken in again before all else, for time to be where it was when the next record comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures import SourcePanes

#: Key of what is kept among the entries of a partition's panes.
CLOCK_KEY: Final = b"clock"
_NEVER: Final = -1


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """What time it is, and the offset up to which customers hold the records of each topic, in their order."""

    ms: int = _NEVER
    first: int = -1
    second: int = -1


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Kept).decode


def read_kept(panes: Mapping[bytes, bytes]) -> Kept:
    """What a partition of the panes table says.

    Raises:
        msgspec.DecodeError: it is no entry of a clock.
    """
    value = panes.get(CLOCK_KEY)
    return Kept() if value is None else _decode(value)


class Clock:
    """The time of a partition.

    Args:
        panes: of both topics, which know how far each is.
        lateness_ms: how far behind the newest record of a topic everything of it is known.
        kept: what was kept.

    Attributes:
        ms: epoch milliseconds, as of the last ``advance``; -1 before anything is known.
    """

    def __init__(self, panes: Mapping[str, SourcePanes], lateness_ms: int, kept: Kept) -> None:
        self._panes = panes
        self._lateness_ms = lateness_ms
        self._kept = kept
        self._idle: set[str] = set()
        self._present_ms = _NEVER
        marks = [source.watermark_ms for source in panes.values()]
        self.ms = max(kept.ms, min(_NEVER if mark is None else mark for mark in marks))

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
        """What to write once customers are, when all that is due by now is done; nothing where it is known."""
        first, second = (source.offset for source in self._panes.values())
        kept = Kept(self.ms, max(first, self._kept.first), max(second, self._kept.second))
        if kept == self._kept:
            return []
        self._kept = kept
        return [(CLOCK_KEY, _encode(kept))]

    def holds(self, stamp_t: int, stamp_r: int) -> bool:
        """Whether the time that was kept is that of a customer with these stamps, not an earlier one."""
        first, second = (source.offset for source in self._panes.values())
        return stamp_t <= max(first, self._kept.first) and stamp_r <= max(second, self._kept.second)
