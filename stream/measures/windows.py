"""The owner side: every window of every slice of one partition of ``cx.partials``.

Messages take effect strictly in the order of the log, so all that is computed is a function of the log and
not of how it was cut into batches. ``apply`` only queues; ``close`` works the queue off and yields a
``Closing`` for every instant at which something changed. An instant F is a number of panes: everything known
by the closing of the panes below F is in.

Frontier. F is the smallest ``panes_closed`` over the expected sources that are not idle, the largest if all
are; one never heard of holds it back; it never falls.

Exactness over a crash. ``changes`` returns table entries to write in any order, then the progress entry
{round, F, marks}, to be written when they are acknowledged; only then may the input be acknowledged. Every
other entry carries its round and, where it matters, its value as of the last progress; ``ready`` takes back
what is of a later round than the progress. So the state after a restart is exactly that of the last progress,
the replay repeats every closing since with the same figures, and repeats from before it change nothing.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from stream.measures.partials import Mark, Partial
from stream.measures.pending import Held, Pending
from stream.measures.stats import Stats, plus
from stream.measures.tiers import Tier, Window, WindowConfig, frozen, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Closing", "Window", "WindowChanges", "WindowConfig", "Windows", "partition_of", "plan"]

_ABSENT: Final = (b"null", b"{}")
_encode: Final = msgspec.json.Encoder().encode
# Entries of panes: round, sums, sums as of the last progress. Of cells: round, cell, cell when last folded.
_decode_entry: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw, msgspec.Raw]).decode
_decode_cell: Final = msgspec.json.Decoder(tuple[int, msgspec.Raw, msgspec.Raw]).decode
_decode_held: Final = msgspec.json.Decoder(tuple[int, int, msgspec.Raw, msgspec.Raw]).decode
_decode_progress: Final = msgspec.json.Decoder(tuple[int, int, list[Mark]]).decode


class Closing(msgspec.Struct, frozen=True):
    """The final sums of the slices that changed, or were asked for, at one instant.

    Attributes:
        instant: Number of panes that are final, F.
        as_of_ms: The same as a time: the end of the last final pane.
        changed: Slice key (in alphabetical order) -> window name -> sums; {} for a window without
            observations. The sums are shared and frozen: do not change them.
    """

    instant: int
    as_of_ms: int
    changed: dict[str, dict[str, Stats]]


class WindowChanges(msgspec.Struct, frozen=True):
    """What is to be made durable.

    Attributes:
        entries: Table (key, value) to write first, in any order.
        progress: Table (key, value) to write when the entries are acknowledged; None when nothing changed.
        tombstones: Table keys to delete, at any moment: an earlier progress has made them needless.
    """

    entries: list[tuple[str, bytes]]
    progress: tuple[str, bytes] | None
    tombstones: list[str]


def partition_of(key: str) -> int:
    """The partition that a table key belongs to."""
    return int(key.split("|", 1)[0])


class Windows:
    """All slices of one partition of ``cx.partials``. Pure: no clock, no I/O.

    Use: ``restore`` every table entry, ``ready``; then ``apply`` messages in log order, exhaust ``close``,
    write ``changes``, acknowledge.

    Args:
        partition: Number of the partition; part of every table key.
        config: The windows.
        sources: The sources that are expected; others' partials count, but do not hold the frontier back.

    Attributes:
        frontier: F, the number of final panes.
    """

    def __init__(self, partition: int, config: WindowConfig, sources: Iterable[str]) -> None:
        self.config: Final = config
        self.frontier = 0
        self._partition = partition
        self._agenda: list[int] = []  # panes at whose closing there is something to do; may repeat
        self._pending = Pending(sources, self._schedule)
        self._tiers = tuple(Tier(tier_ms, config, self._schedule) for tier_ms in config.tiers)
        rolls = {roll.name: roll for tier in self._tiers for roll in tier.rolls}
        self._rolls = tuple(rolls[window.name] for window in config.windows)
        self._wakes: dict[int, set[str]] = {}
        self._queue: deque[Partial | Mark] = deque()
        self._closing = False
        self._touched: set[str] = set()
        self._moved = False  # a mark or the frontier changed since last written
        self._round = 0
        self._rolled_back: list[tuple[Tier, int, str]] = []
        self._tombstones: list[str] = []
        self._restored: dict[str, bytes] = {}

    def restore(self, key: str, value: bytes | None) -> None:
        """Take back the final entry of one key, keys in any order; None (deleted) is ignored.

        Raises:
            ValueError: The key is none of this partition's.
        """
        if partition_of(key) != self._partition:
            raise ValueError("the table entry belongs to another partition")
        if value is not None:
            self._restored[key] = value

    def ready(self) -> None:
        """All entries are back: return to the state of the last progress and rebuild the running sums."""
        restored, self._restored = self._restored, {}
        written = 0
        progress = restored.pop(f"{self._partition}|f", None)
        if progress is not None:
            written, self.frontier, marks = _decode_progress(progress)
            self._pending.marks.update({mark.source: mark for mark in marks})
        latest = written
        tiers = {str(tier.tier_ms): tier for tier in self._tiers}
        for key, value in restored.items():
            _, kind, rest = key.split("|", 2)
            if kind == "c":
                latest = max(latest, self._restore_cell(rest, value, written))
                continue
            tier_ms, pane, slice_key = rest.split("|", 2)
            tier = tiers.get(tier_ms)
            if tier is None:  # no window is rolled from it any more
                self._tombstones.append(key)
            else:
                latest = max(latest, self._restore_pane(tier, int(pane), slice_key, value, written))
        self._round = latest
        for tier in self._tiers:
            tier.rebuild(self.frontier)

    def apply(self, message: Partial | Mark) -> None:
        """Queue the next message of the log; it takes effect in ``close``."""
        self._queue.append(message)

    def close(self) -> Iterator[Closing]:
        """Work the queue off. To be exhausted; ``wake`` may be called between two closings."""
        if self._closing:
            raise RuntimeError("close() is at work already")
        self._closing = True
        while self._queue:
            message = self._queue.popleft()
            if isinstance(message, Partial):
                if self._pending.offer(message, self.frontier):
                    self._touched.add(message.slice_key)
            else:
                before = self._pending.marks.get(message.source)
                target = self._pending.mark(message, self.frontier)
                self._moved = self._moved or self._pending.marks[message.source] is not before
                yield from self._advance(target)
        self._closing = False

    def wake(self, instant: int, slice_key: str) -> None:
        """Ask for the slice at an instant even if nothing changes then; a past one becomes the next.

        Not durable: whoever waits asks again after a restart.
        """
        known = max(instant - 1, self.frontier)
        waiting = self._wakes.get(known)
        if waiting is None:
            self._wakes[known] = waiting = set()
            self._schedule(known)
        waiting.add(slice_key)

    def values(self, slice_key: str) -> dict[str, Stats]:
        """Final sums per window at the frontier (frozen); {} for a window without observations."""
        return {roll.name: roll.sums.get(slice_key, _NOTHING) for roll in self._rolls}

    def provisional(self, slice_key: str) -> dict[str, Stats]:
        """As ``values``, with everything heard of since, on time, late or ahead, added on top.

        Nothing leaves before the frontier does, so a window reaches from its final start to ``newest``.
        """
        sums = self.values(slice_key)
        for pane, stats in self._pending.open_cells(slice_key, self.frontier):
            for tier in self._tiers:
                for roll in tier.rolls:
                    if roll.leaves(pane * self.config.pane_ms // tier.tier_ms) >= self.frontier:
                        sums[roll.name] = plus(sums[roll.name], stats)
        return sums

    @property
    def newest(self) -> int:
        """The instant that provisional values reach: the end of the newest pane heard of, or the frontier."""
        return max(self._pending.newest, self.frontier)

    def slices(self) -> list[str]:
        """Slices with an observation in some final window, in alphabetical order."""
        return sorted(set().union(*(roll.sums for roll in self._rolls)))

    def touched(self) -> set[str]:
        """Slices of which something new was heard since last asked."""
        touched, self._touched = self._touched, set()
        return touched

    def changes(self) -> WindowChanges:
        """What changed since last asked; what was returned then is taken to be durable by now.

        Raises:
            RuntimeError: ``close`` was not exhausted.
        """
        if self._queue or self._closing:
            raise RuntimeError("close() was not exhausted")
        tombstones, self._tombstones = self._tombstones, []
        number = self._round + 1
        entries = self._pane_entries(number) + self._cell_entries(number)
        progress = None
        if entries or self._moved:
            self._round = number
            state = (number, self.frontier, list(self._pending.marks.values()))
            progress = (f"{self._partition}|f", _encode(state))
        self._moved = False
        alive = {key for key, _ in entries}  # a pane that was taken back may have come again meanwhile
        return WindowChanges(entries, progress, [key for key in tombstones if key not in alive])

    def _schedule(self, known: int) -> None:
        heappush(self._agenda, known)

    def _advance(self, target: int) -> Iterator[Closing]:
        while self._agenda and self._agenda[0] < target:
            known = heappop(self._agenda)
            if known < self.frontier:
                continue  # the same pane was on the agenda more than once
            changed = self._close(known)
            self.frontier = known + 1
            self._moved = True
            if changed:
                sums = {slice_key: self.values(slice_key) for slice_key in sorted(changed)}
                yield Closing(self.frontier, self.frontier * self.config.pane_ms, sums)
        if target > self.frontier:
            self.frontier = target
            self._moved = True

    def _close(self, known: int) -> set[str]:
        changed = self._wakes.pop(known, set())
        for tier in self._tiers:
            tier.expire(known, changed)
        for pane, arrived in self._pending.fold(known).items():
            for tier in self._tiers:
                tier.fold(known, pane, arrived, changed)
        return changed

    def _restore_cell(self, rest: str, value: bytes, written: int) -> int:
        known, pane, source, slice_key = rest.split("|", 3)
        number, now, before = _decode_cell(value)
        at = (source, int(pane), int(known))
        # A later partial than the progress knows does no harm: it comes again, before it is folded. Only one
        # that came after the fold, and hides what was folded, is taken back.
        taken_back = number > written and bytes(before) not in _ABSENT
        self._pending.restore(slice_key, at, _held(before if taken_back else now), self.frontier)
        if taken_back and self._pending.get(slice_key, at):
            self._pending.dirty[slice_key, at] = None
        return number

    def _restore_pane(self, tier: Tier, pane: int, slice_key: str, value: bytes, written: int) -> int:
        number, now, before = _decode_entry(value)
        held = bytes(now)
        if number > written:
            # Written once more in the next round, or its number would pass for valid after the next progress.
            self._rolled_back.append((tier, pane, slice_key))
            held = bytes(before)
        if held not in _ABSENT:
            tier.panes.setdefault(pane, {})[slice_key] = held
        elif number <= written:  # the place of a pane that was taken back and did not come again
            self._tombstones.append(self._pane_key(tier, pane, slice_key))
        return number

    def _pane_entries(self, number: int) -> list[tuple[str, bytes]]:
        entries = []
        for tier, pane, slice_key in self._rolled_back:
            now = tier.panes.get(pane, {}).get(slice_key)
            tier.dirty.setdefault((pane, slice_key), now)
            if now is None:
                entries.append((self._pane_key(tier, pane, slice_key), b"[%d,{},null]" % number))
        for tier in self._tiers:
            tier.freeze(self.frontier)
            for (pane, slice_key), before in tier.dirty.items():
                held = tier.panes.get(pane, {}).get(slice_key)
                if held is not None:
                    was = b"null" if before is None else frozen(before)
                    value = b"[%d,%b,%b]" % (number, frozen(held), was)
                    entries.append((self._pane_key(tier, pane, slice_key), value))
            self._tombstones += [self._pane_key(tier, pane, slice_key) for pane, slice_key in tier.gone]
            tier.dirty.clear()
            tier.gone.clear()
        self._tombstones += [
            self._pane_key(tier, pane, slice_key)
            for tier, pane, slice_key in self._rolled_back
            if slice_key not in tier.panes.get(pane, {})
        ]
        self._rolled_back.clear()
        return entries

    def _cell_entries(self, number: int) -> list[tuple[str, bytes]]:
        pending = self._pending
        entries = []
        for slice_key, at in pending.dirty:
            cell = pending.get(slice_key, at)
            if cell is not None:
                entries.append((self._cell_key(slice_key, at), _encode((number, cell.held(), cell.before))))
                cell.before = None
                cell.written = True
        self._tombstones += [self._cell_key(slice_key, at) for slice_key, at in pending.gone]
        pending.dirty.clear()
        pending.gone.clear()
        return entries

    def _pane_key(self, tier: Tier, pane: int, slice_key: str) -> str:
        return f"{self._partition}|e|{tier.tier_ms}|{pane}|{slice_key}"

    def _cell_key(self, slice_key: str, at: tuple[str, int, int]) -> str:
        source, pane, known = at
        return f"{self._partition}|c|{known}|{pane}|{source}|{slice_key}"


def _held(raw: msgspec.Raw) -> Held:
    version, folds, sums, base = _decode_held(raw)
    return version, folds, sums, None if bytes(base) in _ABSENT else base


_NOTHING: Final[Stats] = {}
