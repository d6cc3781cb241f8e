"""What travels on ``cx.partials``: partial sums of one slice, and marks that say how far a source is.

Both are compact JSON arrays. Order on the wire matters in one respect only: to every partition of the topic
a batch's mark goes after the batch's partials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import msgspec

from stream.measures.slices import parse_slice, slice_key
from stream.measures.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Iterable

_encode: Final = msgspec.json.Encoder().encode
decode_stats: Final = msgspec.json.Decoder(Stats).decode

Grouping = tuple[str, ...]
"""Dimensions, sorted."""

Version = tuple[int, bool]
"""(source offset, idle): of two marks of a source the greater one holds."""

_CACHED: Final = 50_000

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


class Owners:
    """Which slices have one owner, that can set them against each other. Immutable.

    A slice is owned by its own key, but that all variants of otherwise equal slices have one owner. Groupings
    named together are owned by what they have in common: with (segment,) and (channel, segment) together the slice
    of a chat with a vip is where that of all vips is. Groupings that are together with a third are together.

    Args:
        together: Groupings that belong together, dimensions in any order.
    """

    def __init__(self, together: Iterable[Iterable[Iterable[str]]] = ()) -> None:
        families: list[set[Grouping]] = []
        for named in together:
            family = {tuple(sorted(grouping)) for grouping in named}
            for other in [each for each in families if each & family]:
                families.remove(other)
                family |= other
            families.append(family)
        self._common: Final[dict[Grouping, frozenset[str]]] = {
            grouping: frozenset.intersection(*map(frozenset, family))
            for family in families
            for grouping in family
        }
        self._keys: dict[str, str] = {}

    def key(self, of_slice: str) -> str:
        """What decides a slice's partition: its members in the dimensions of its owner, ``*`` for the variant."""
        known = self._keys.get(of_slice)
        if known is None:
            if len(self._keys) >= _CACHED:
                self._keys.clear()
            known = self._keys[of_slice] = self._key(of_slice)
        return known

    def beside(self, grouping: Iterable[str], other: Iterable[str]) -> bool:
        """Whether slices of the two groupings that agree in all that both have are sure to have one owner."""
        one, two = tuple(sorted(grouping)), tuple(sorted(other))
        return one == two or (one in self._common and self._common[one] == self._common.get(two))

    def _key(self, of_slice: str) -> str:
        if not self._common and '"variant"' not in of_slice:
            return of_slice
        members = parse_slice(of_slice)
        common = self._common.get(tuple(sorted(members)))
        if common is not None:
            members = {name: value for name, value in members.items() if name in common}
        if "variant" in members:
            members["variant"] = "*"
        return slice_key(members)


ALONE: Final = Owners()
"""Where nothing but variants belongs together."""


def encode_partial(partial: Partial, owners: Owners = ALONE) -> tuple[bytes, bytes]:
    """Kafka (key, value); the key is that of the owner, so that one has all of a slice."""
    return owners.key(partial.slice_key).encode(), _encode(partial)


def encode_mark(mark: Mark) -> tuple[bytes, bytes]:
    """Kafka (key, value). To be sent to every partition explicitly, not by its key."""
    return mark.source.encode(), _encode(mark)


def decode_partial_or_mark(value: bytes) -> Partial | Mark:
    """What is in a record of ``cx.partials``; ``msgspec.DecodeError`` for anything else."""
    return _decoder.decode(value)
