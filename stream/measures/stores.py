"""What an owner's table holds by pane and slice, with the way back after a crash.

Every entry carries its round and its value as of the last progress entry. What is of a later round than the
progress was written by a batch that is going to be repeated: it is taken back, and written once more in the
next round, or its number would pass for valid after the next progress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import msgspec

from stream.measures.packing import Packing
from stream.measures.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
ABSENT: Final = (b"null", b"{}")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Stats).decode
# Round, value, value as of the last progress.
_decode_entry: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw, msgspec.Raw]).decode


class Codec(Protocol[T]):
    """What is kept: how it is put together and written. Values are never changed in place."""

    def join(self, held: T, news: T) -> T:
        """Both together."""

    def encode(self, slice_key: str, value: T) -> bytes:
        """As JSON of ``Stats``."""

    def decode(self, slice_key: str, data: bytes) -> T:
        """Back from JSON."""


class Sums:
    """Sums as packed integers. Implements ``Codec``.

    Args:
        packing: The layouts of the owner's slices.
    """

    def __init__(self, packing: Packing) -> None:
        self._packing: Final = packing

    def join(self, held: int, news: int) -> int:
        """The sum."""
        return held + news

    def encode(self, slice_key: str, value: int) -> bytes:
        """As JSON of ``Stats``."""
        return _encode(self._packing.unpack(slice_key, value))

    def decode(self, slice_key: str, data: bytes) -> int:
        """Back from JSON."""
        return self._packing.pack(slice_key, _decode(data))


class Store(Generic[T]):
    """The panes of one name.

    Args:
        prefix: What its table keys begin with, up to the pane.
        codec: What it holds.

    Attributes:
        panes: Pane -> slice key -> value.
    """

    def __init__(self, prefix: str, codec: Codec[T]) -> None:
        self.panes: dict[int, dict[str, T]] = {}
        self._prefix: Final = prefix
        self._codec: Final = codec
        self._dirty: dict[tuple[int, str], T | None] = {}  # what changed, as it was last written
        self._last: dict[tuple[int, str], bytes] = {}  # what was written last time, which often changes again
        self._gone: list[tuple[int, str]] = []  # written ones that are no longer needed
        self._taken_back: dict[tuple[int, str], bytes] = {}  # with what they were as of the progress

    def key(self, pane: int, slice_key: str) -> str:
        """Where the table holds it."""
        return f"{self._prefix}{pane}|{slice_key}"

    def at(self, pane: int) -> Mapping[str, T]:
        """A pane; empty where there is none."""
        return self.panes.get(pane, {})

    def add(self, pane: int, arrived: Mapping[str, T]) -> None:
        """Put ``arrived`` together with what the pane holds."""
        panes = self.panes.setdefault(pane, {})
        dirty = self._dirty
        join = self._codec.join
        for slice_key, news in arrived.items():
            held = panes.get(slice_key)
            if (pane, slice_key) not in dirty:
                dirty[pane, slice_key] = held
            panes[slice_key] = news if held is None else join(held, news)

    def forget(self, pane: int) -> None:
        """Let go of a pane."""
        for slice_key in self.panes.pop(pane, ()):
            at = (pane, slice_key)
            if at not in self._dirty or self._dirty.pop(at) is not None:
                self._gone.append(at)  # one that was never written needs no deletion

    def restore(self, rest: str, value: bytes, written: int) -> tuple[int, list[str]]:
        """Take back an entry.

        Args:
            rest: Its key after the prefix.
            value: What the table holds.
            written: Round of the progress.

        Returns:
            The entry's round, and the table keys that may go.
        """
        pane_text, slice_key = rest.split("|", 1)
        pane = int(pane_text)
        number, now, before = _decode_entry(value)
        held = bytes(now)
        if number > written:
            held = self._taken_back[pane, slice_key] = bytes(before)
        if held not in ABSENT:
            self.panes.setdefault(pane, {})[slice_key] = self._codec.decode(slice_key, held)
        elif number <= written:  # the place of a pane that was taken back and did not come again
            return number, [self.key(pane, slice_key)]
        return number, []

    def adopt(self, pane: int, slice_key: str, data: bytes) -> None:
        """Put together with what the pane holds what another store has of it, as JSON."""
        self.add(pane, {slice_key: self._codec.decode(slice_key, data)})

    def take_changes(self, number: int) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Table entries of the round ``number``, and keys to delete once they are covered by a progress."""
        encode = self._codec.encode
        entries = []
        tombstones = [self.key(pane, slice_key) for pane, slice_key in self._gone]
        for (pane, slice_key), before in self._taken_back.items():
            now = self.at(pane).get(slice_key)
            self._dirty.setdefault((pane, slice_key), now)
            if now is None:  # did not come again, or has left all windows meanwhile
                entries.append((self.key(pane, slice_key), b"[%d,{},%b]" % (number, before)))
                tombstones.append(self.key(pane, slice_key))
        last: dict[tuple[int, str], bytes]
        last, self._last = self._last, {}
        for (pane, slice_key), old in self._dirty.items():
            held = self.at(pane).get(slice_key)
            if held is not None:
                was = b"null" if old is None else last.get((pane, slice_key)) or encode(slice_key, old)
                encoded = self._last[pane, slice_key] = encode(slice_key, held)
                entries.append((self.key(pane, slice_key), b"[%d,%b,%b]" % (number, encoded, was)))
        self._dirty.clear()
        self._gone.clear()
        self._taken_back.clear()
        return entries, tombstones


def entry_of(rest: str, value: bytes, written: int) -> tuple[int, str, bytes | None]:
    """(pane, slice key, JSON) of an entry of a store that is no longer kept, with arguments as ``restore``."""
    pane, slice_key = rest.split("|", 1)
    number, now, before = _decode_entry(value)
    held = bytes(now if number <= written else before)
    return int(pane), slice_key, None if held in ABSENT else held
