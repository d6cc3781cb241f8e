"""What travels on ``cx.partials``: partial sums of one slice, and marks that say how far a source is.

Both are compact JSON arrays. Order on the wire matters in one respect only: to every partition of the topic
a batch's mark goes after the batch's partials.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Self

import msgspec

from stream.measures.slices import parse_slice, slice_key
from stream.measures.stats import Stats

_encode: Final = msgspec.json.Encoder().encode
decode_stats: Final = msgspec.json.Decoder(Stats).decode

Version = tuple[int, bool]
"""(source offset, idle): of two marks of a source the greater one holds."""

NOTHING_YET: Final = -1
"""``panes_closed`` and offset of a source that has not had a usable event."""


class Partial(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """All that one source partition knows of one slice and pane, as of a moment of its own log.

    Absolute, not a difference: of two with the same slice, source, pane and known the higher version holds.

    Attributes:
        slice_key: Canonical slice key.
        source: Source topic-partition, e.g. ``cx.replies/3``.
        pane: Event-time pane, ``time_ms // pane_ms``.
        known: Pane at whose closing this becomes known: ``pane`` itself, or a later one for late events.
        sums: Sufficient statistics, encoded: most partials are replaced by a newer version unread.
        version: Source offset up to which it is complete.
    """

    slice_key: str
    source: str
    pane: int
    known: int
    sums: msgspec.Raw
    version: int

    @classmethod
    def of(cls, slice_key: str, source: str, pane: int, known: int, stats: Stats, version: int) -> Self:
        """From sufficient statistics as they are."""
        return cls(slice_key, source, pane, known, msgspec.Raw(_encode(stats)), version)

    @property
    def stats(self) -> Stats:
        """The sufficient statistics, decoded anew each time."""
        return decode_stats(self.sums)


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="m", gc=False):
    """How far a source partition is: nothing with ``known`` < ``panes_closed`` will come from it any more.

    Attributes:
        source: Source topic-partition.
        panes_closed: Number of closed panes, that is its watermark pane; -1 before its first event.
        idle: True when it is silent and should not hold the others back.
        version: (source offset, idle).
        newest: Pane of its newest event; -1 before its first. Contributions ahead of it (deadlines) do not count.
    """

    source: str
    panes_closed: int
    idle: bool
    version: Version
    newest: int = NOTHING_YET


_decoder: Final[msgspec.json.Decoder[Partial | Mark]] = msgspec.json.Decoder(Partial | Mark)


def encode_partial(partial: Partial) -> tuple[bytes, bytes]:
    """Kafka (key, value); the key is ``owner_key``, so that one owner gets all of a slice."""
    return owner_key(partial.slice_key).encode(), _encode(partial)


@lru_cache(maxsize=50_000)
def owner_key(of_slice: str) -> str:
    """What decides a slice's partition: its key, with ``*`` for the variant where it has one.

    So all variants of otherwise equal slices have one owner, which can compare them.
    """
    if '"variant"' not in of_slice:
        return of_slice
    members = parse_slice(of_slice)
    return slice_key(members | {"variant": "*"}) if "variant" in members else of_slice


def encode_mark(mark: Mark) -> tuple[bytes, bytes]:
    """Kafka (key, value). To be sent to every partition explicitly, not by its key."""
    return mark.source.encode(), _encode(mark)


def decode_partial_or_mark(value: bytes) -> Partial | Mark:
    """What is in a record of ``cx.partials``; ``msgspec.DecodeError`` for anything else."""
    return _decoder.decode(value)
