"""Partials of all sources that are not final yet, and how far each source is.

A partial is folded when the frontier passes its ``known``. Usually its source has by then closed ``known``
itself, nothing more can come, and the cell is forgotten. A source that was carried along as idle may come back
with more for a ``known`` that has been passed: such news becomes known at the frontier it meets, and only the
difference to what was folded is folded then. For this the cells of a source are kept until its own mark has
passed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.measures.partials import Mark, Partial, decode_stats
from stream.measures.stats import Stats, bare, joined, parted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ABSENT: Final = (b"null", b"{}")
_encode: Final = msgspec.json.Encoder().encode
# Entries: round, cell, cell when last folded.
_decode_cell: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw, msgspec.Raw]).decode
_decode_held: Final = msgspec.json.Decoder(tuple[int, int, msgspec.Raw, msgspec.Raw]).decode

At = tuple[str, int, int]
"""(source, pane, known): which of a slice's cells."""

Held = tuple[int, int, msgspec.Raw, msgspec.Raw | None]
"""(version, folds, stats, base) of a cell."""


class PendingCell(msgspec.Struct, gc=False):
    """The newest partial of one (slice, source, pane, known).

    Attributes:
        version: The partial's version.
        folds: It is folded at the closing of this pane; below the frontier: it has been.
        sums: Absolute sums, encoded.
        base: What of them had been folded before ``folds``; None for nothing.
        before: The cell as it was when folded, if since then, and since it was last written, news came.
        written: Whether the table holds it.
    """

    version: int
    folds: int
    sums: msgspec.Raw
    base: msgspec.Raw | None = None
    before: Held | None = None
    written: bool = False

    def held(self) -> Held:
        """What the table keeps of it."""
        return self.version, self.folds, self.sums, self.base

    def news(self) -> Stats:
        """What of the sums is not folded before ``folds``."""
        sums = decode_stats(self.sums)
        return sums if self.base is None else parted(sums, decode_stats(self.base))


class Pending:
    """Pending cells by slice, the marks, and which cells fold at which closing.

    Args:
        prefix: What the table keys of its cells begin with.
        expected: The sources that must be heard of before anything is final.
        schedule: Told of every pane at whose closing something folds.
        customers: Whether the set of customers is of interest.

    Attributes:
        marks: Source -> newest mark.
    """

    def __init__(
        self, prefix: str, expected: Iterable[str], schedule: Callable[[int], None], *, customers: bool
    ) -> None:
        self.marks: dict[str, Mark] = {}
        self._prefix: Final = prefix
        self._dirty: dict[tuple[str, At], None] = {}  # those that changed since last written
        self._gone: list[tuple[str, At]] = []  # written ones that are no longer needed
        self._customers: Final = customers
        self._expected: Final = frozenset(expected)
        self._schedule = schedule
        self._cells: dict[str, dict[At, PendingCell]] = {}
        self._folds: dict[int, list[tuple[str, At]]] = {}
        self._kept: dict[str, set[tuple[str, At]]] = {}  # source -> folded, but not closed by itself
        self._added_up: dict[int, dict[int, dict[str, Stats]]] = {}

    def offer(self, partial: Partial, frontier: int) -> bool:
        """Take a partial; False when it says nothing new."""
        mark = self.marks.get(partial.source)
        if mark is not None and partial.known < mark.panes_closed:
            return False  # a repeat: its source had closed it, so its last version came before the mark
        cells = self._cells.setdefault(partial.slice_key, {})
        at = (partial.source, partial.pane, partial.known)
        cell = cells.get(at)
        if cell is None:
            cells[at] = cell = PendingCell(partial.version, max(partial.known, frontier), partial.sums)
            self._fold_at(cell.folds, partial.slice_key, at)
        elif partial.version <= cell.version:
            return False
        else:
            if cell.folds < frontier:
                cell.before = cell.before or cell.held()
                cell.base = cell.sums
                cell.folds = frontier
                self._fold_at(frontier, partial.slice_key, at)
                self._kept.get(partial.source, set()).discard((partial.slice_key, at))
            cell.version = partial.version
            cell.sums = partial.sums
        self._dirty[partial.slice_key, at] = None
        return True

    def mark(self, mark: Mark, frontier: int) -> int:
        """Take a mark; returns the frontier that all marks together allow, never below ``frontier``."""
        old = self.marks.get(mark.source)
        if old is None or mark.version > old.version:
            self.marks[mark.source] = mark
            kept = self._kept.get(mark.source)
            if kept:
                for slice_key, at in [cell for cell in kept if cell[1][2] < mark.panes_closed]:
                    kept.discard((slice_key, at))
                    self._drop(slice_key, at)
        return max(frontier, self._allowed())

    def fold(self, known: int) -> dict[int, dict[str, Stats]]:
        """What becomes known at the closing of ``known``: pane -> slice key -> sums (frozen, not empty)."""
        arrived = self._added_up.pop(known, {})
        for slice_key, at in self._folds.pop(known, ()):
            cell = self._cells[slice_key][at]
            source, pane, known_there = at
            news = self._news(cell)
            if news:
                by_slice = arrived.setdefault(pane, {})
                old = by_slice.get(slice_key)
                by_slice[slice_key] = news if old is None else joined(old, news)
            mark = self.marks.get(source)
            if mark is not None and known_there < mark.panes_closed:
                self._drop(slice_key, at)
            else:
                self._kept.setdefault(source, set()).add((slice_key, at))
        return arrived

    def put(self, known: int, cells: dict[int, dict[str, Stats]]) -> None:
        """Take what becomes known at the closing of ``known``, from all sources; it is ours from now on."""
        self._added_up[known] = cells
        self._schedule(known)

    def open_cells(self, slice_key: str, frontier: int) -> Iterator[tuple[int, Stats]]:
        """(pane, sums not folded yet) of a slice."""
        for (_, pane, _), cell in self._cells.get(slice_key, {}).items():
            if cell.folds >= frontier:
                yield pane, self._news(cell)

    @property
    def newest(self) -> int:
        """One beyond the pane of the newest event over all sources; 0 before the first."""
        return max((_heard(mark) for mark in self.marks.values()), default=0)

    def restore(self, rest: str, value: bytes, written: int, frontier: int) -> int:
        """Take back a cell from the table; marks must be there already.

        Args:
            rest: Its key after the prefix.
            value: What the table holds.
            written: Round of the progress.
            frontier: As of the progress.

        Returns:
            The entry's round.
        """
        known, pane, source, slice_key = rest.split("|", 3)
        number, now, before = _decode_cell(value)
        at = (source, int(pane), int(known))
        # A later partial than the progress knows does no harm: it comes again, before it is folded. Only one
        # that came after the fold, and hides what was folded, is taken back.
        taken_back = number > written and bytes(before) not in _ABSENT
        if self._restore(slice_key, at, _held(before if taken_back else now), frontier) and taken_back:
            self._dirty[slice_key, at] = None
        return number

    def take_changes(self, number: int) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Table entries of the round ``number``, and keys to delete once they are covered by a progress."""
        entries = []
        for slice_key, at in self._dirty:
            cell = self._cells[slice_key][at]
            entries.append((self._key(slice_key, at), _encode((number, cell.held(), cell.before))))
            cell.before = None
            cell.written = True
        tombstones = [self._key(slice_key, at) for slice_key, at in self._gone]
        self._dirty.clear()
        self._gone.clear()
        return entries, tombstones

    def _key(self, slice_key: str, at: At) -> str:
        source, pane, known = at
        return f"{self._prefix}{known}|{pane}|{source}|{slice_key}"

    def _restore(self, slice_key: str, at: At, held: Held, frontier: int) -> bool:
        source, _, known = at
        version, folds, sums, base = held
        mark = self.marks.get(source)
        if folds < frontier:
            if mark is not None and known < mark.panes_closed:
                self._gone.append((slice_key, at))
                return False
            self._kept.setdefault(source, set()).add((slice_key, at))
        else:
            self._fold_at(folds, slice_key, at)
        self._cells.setdefault(slice_key, {})[at] = PendingCell(version, folds, sums, base, written=True)
        return True

    def _allowed(self) -> int:
        expected = self._expected
        if not expected <= self.marks.keys():
            return 0
        marks = [mark for source, mark in self.marks.items() if source in expected]
        moving = [mark.panes_closed for mark in marks if not mark.idle]
        # With all of them silent, everything that came is final: up to the newest event, not to the deadlines.
        return min(moving) if moving else max((_heard(mark) for mark in marks), default=0)

    def _news(self, cell: PendingCell) -> Stats:
        return cell.news() if self._customers else bare(cell.news())

    def _fold_at(self, known: int, slice_key: str, at: At) -> None:
        waiting = self._folds.get(known)
        if waiting is None:
            self._folds[known] = waiting = []
            self._schedule(known)
        waiting.append((slice_key, at))

    def _drop(self, slice_key: str, at: At) -> None:
        cells = self._cells[slice_key]
        if cells.pop(at).written:
            self._gone.append((slice_key, at))
        if not cells:
            del self._cells[slice_key]
        self._dirty.pop((slice_key, at), None)


def _heard(mark: Mark) -> int:
    return max(mark.newest + 1, mark.panes_closed)


def _held(raw: msgspec.Raw) -> Held:
    version, folds, sums, base = _decode_held(raw)
    return version, folds, sums, None if bytes(base) in _ABSENT else base
