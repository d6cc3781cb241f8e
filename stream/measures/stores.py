"""Sums by pane and slice as the table of an owner holds them, with the way back after a crash.

Every entry carries its round and its value as of the last progress entry. What is of a later round than the
progress was written by a batch that is going to be repeated: it is taken back, and written once more in the
next round, or its number would pass for valid after the next progress.

Sums of panes that have ended are kept in their encoded form, which is what the table holds of them too: a
fifth of the memory, and nothing for the garbage collector to walk through (an hour of 500 slices is 180,000
panes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from stream.measures.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ABSENT: Final = (b"null", b"{}")
_WRITTEN: Final = b""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Stats).decode
# Round, sums, sums as of the last progress.
_decode_entry: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw, msgspec.Raw]).decode


def thaw(held: Stats | bytes) -> Stats:
    """Sums out of either form."""
    return held if isinstance(held, dict) else _decode(held)


def frozen(held: Stats | bytes) -> bytes:
    """Either form encoded, as compact JSON."""
    return held if isinstance(held, bytes) else _encode(held)


class Store:
    """The panes of one name. The sums are frozen: a change puts a new dict in their place.

    Args:
        prefix: What its table keys begin with, up to the pane.

    Attributes:
        panes: Pane -> slice key -> sums, in either form.
        dirty: (pane, slice) -> its sums as last written, None for none, of all that changed since.
    """

    def __init__(self, prefix: str) -> None:
        self.panes: dict[int, dict[str, Stats | bytes]] = {}
        self.dirty: dict[tuple[int, str], Stats | bytes | None] = {}
        self._prefix: Final = prefix
        self._thawed: dict[int, list[str]] = {}  # pane -> slices of which the sums are not encoded
        self._gone: list[tuple[int, str]] = []  # written ones that are no longer needed
        self._taken_back: dict[tuple[int, str], bytes] = {}  # with what they were as of the progress

    def key(self, pane: int, slice_key: str) -> str:
        """Where the table holds it."""
        return f"{self._prefix}{pane}|{slice_key}"

    def add(
        self, pane: int, arrived: Mapping[str, Stats], together: Callable[[Stats, Stats], Stats]
    ) -> dict[str, Stats | bytes]:
        """Put ``arrived`` together with what the pane holds; returns the pane."""
        panes = self.panes.setdefault(pane, {})
        thawed = self._thawed.setdefault(pane, [])
        dirty = self.dirty
        for slice_key, stats in arrived.items():
            held = panes.get(slice_key)
            if (pane, slice_key) not in dirty:
                dirty[pane, slice_key] = held
            if type(held) is not dict:
                thawed.append(slice_key)
            panes[slice_key] = stats if held is None else together(thaw(held), stats)
        return panes

    def forget(self, pane: int) -> None:
        """Let go of a pane."""
        self._thawed.pop(pane, None)
        for slice_key in self.panes.pop(pane, ()):
            at = (pane, slice_key)
            # One that was never written needs no deletion.
            if self.dirty.pop(at, _WRITTEN) is not None:
                self._gone.append(at)

    def decoded(self, pane: int) -> Mapping[str, Stats]:
        """A pane that has not been encoded; empty where there is none."""
        return cast("Mapping[str, Stats]", self.panes.get(pane, {}))

    def thaw(self, pane: int) -> None:
        """Decode a pane that is going to change."""
        panes = self.panes[pane]
        for slice_key, held in panes.items():
            panes[slice_key] = thaw(held)
        self._thawed[pane] = list(panes)

    def freeze(self, before: int) -> None:
        """Encode the panes below ``before``."""
        for pane in [pane for pane in self._thawed if pane < before]:
            panes = self.panes[pane]
            for slice_key in self._thawed.pop(pane):
                panes[slice_key] = frozen(panes[slice_key])

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
            self.panes.setdefault(pane, {})[slice_key] = held
        elif number <= written:  # the place of a pane that was taken back and did not come again
            return number, [self.key(pane, slice_key)]
        return number, []

    @staticmethod
    def read(rest: str, value: bytes, written: int) -> tuple[int, str, Stats]:
        """(pane, slice key, sums) of an entry of a store that is no longer kept, with arguments as ``restore``."""
        pane, slice_key = rest.split("|", 1)
        number, now, before = _decode_entry(value)
        held = bytes(now if number <= written else before)
        return int(pane), slice_key, {} if held in ABSENT else _decode(held)

    def take_changes(self, number: int) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Table entries of the round ``number``, and keys to delete once they are covered by a progress."""
        entries = []
        tombstones = [self.key(pane, slice_key) for pane, slice_key in self._gone]
        for (pane, slice_key), before in self._taken_back.items():
            now = self.panes.get(pane, {}).get(slice_key)
            self.dirty.setdefault((pane, slice_key), now)
            if now is None:  # did not come again, or has left all windows meanwhile
                entries.append((self.key(pane, slice_key), b"[%d,{},%b]" % (number, before)))
                tombstones.append(self.key(pane, slice_key))
        for (pane, slice_key), old in self.dirty.items():
            held = self.panes.get(pane, {}).get(slice_key)
            if held is not None:
                was = b"null" if old is None else frozen(old)
                value = b"[%d,%b,%b]" % (number, frozen(held), was)
                entries.append((self.key(pane, slice_key), value))
        self.dirty.clear()
        self._gone.clear()
        self._taken_back.clear()
        return entries, tombstones
