"""Entries of a table that change together, although their log may end anywhere.

A round writes its entries first and its progress after them. An entry carries the round it is of, and what it
was before; one of a round whose progress was not written is taken back. So what is read after a crash is the
state after some round, whole, and never half of one.
"""

from __future__ import annotations

from typing import Final

import msgspec


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """``null``: no value."""

    round: int
    value: msgspec.Raw
    before: msgspec.Raw


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Entry)
_NONE: Final = b"null"


class Ledger:
    """Values by key; a value is any JSON but ``null``.

    ``restore`` every entry and then ``settle`` gives the values. Later, ``put`` and ``drop`` what changes, and
    ``changes`` once a round. The next call of ``changes`` takes the last one as durable.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Entry] = {}  # only until settled
        self._known: dict[str, bytes] = {}  # what rounds that count have written
        self._news: dict[str, bytes | None] = {}
        self._broken: set[str] = set()  # keys whose entry is of a round that does not count
        self._gone: set[str] = set()  # keys whose entry says so, and counts by the next round

    def restore(self, key: str, value: bytes) -> None:
        """Take one entry of the table back.

        Raises:
            msgspec.DecodeError: no entry of a ledger.
        """
        self._held[key] = _decoder.decode(value)

    def settle(self, last: int) -> dict[str, bytes]:
        """The values after the round ``last``, the last one whose progress was written."""
        for key, entry in self._held.items():
            counts = entry.round <= last
            value = bytes(entry.value if counts else entry.before)
            if value != _NONE:
                self._known[key] = value
            elif counts:
                self._gone.add(key)
            if not counts:
                self._broken.add(key)
                self._news[key] = self._known.get(key)
        self._held = {}
        return dict(self._known)

    def put(self, key: str, value: bytes) -> None:
        """The key has this value from now on."""
        self._news[key] = value

    def drop(self, key: str) -> None:
        """The key has no value any more."""
        self._news[key] = None

    def changes(self, number: int) -> tuple[list[tuple[str, bytes]], list[str]]:
        """The entries of round ``number``, and keys that are gone since an earlier one."""
        entries, dead = [], self._gone
        self._gone = set()
        for key, value in self._news.items():
            before = self._known.get(key)
            if value == before and key not in self._broken:
                continue
            dead.discard(key)
            entries.append((key, _encoder.encode(_Entry(number, _raw(value), _raw(before)))))
            if value is None:
                self._gone.add(key)
                self._known.pop(key, None)
            else:
                self._known[key] = value
        self._news = {}
        self._broken = set()
        return entries, sorted(dead)


def _raw(value: bytes | None) -> msgspec.Raw:
    return msgspec.Raw(_NONE if value is None else value)
