"""The owner side: every window of every slice of one partition of ``cx.partials``.

Messages take effect strictly in the order of the log, so all that is computed is a function of the log and
not of how it was cut into batches. ``apply`` only queues; ``close`` works the queue off and yields a
``Closing`` for every instant at which something changed. An instant F is a number of panes: everything known
by the closing of the panes below F is in.

Frontier. F is the smallest ``panes_closed`` over the expected sources that are not idle; if all are, the end
of the pane of the newest event; one never heard of holds it back; it never falls.

Exactness over a crash. ``changes`` returns table entries to write in any order, then the progress entry
{round, F, marks}, to be written when they are acknowledged; only then may the input be acknowledged. Every
other entry carries its round and, where it matters, its value as of the last progress; ``ready`` takes back
what is of a later round than the progress. So the state after a restart is exactly that of the last progress,
the replay repeats every closing since with the same figures, and repeats from before it change nothing.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from stream.measures.audience import Audience, Sample, Samples
from stream.measures.closings import Closing, WindowChanges
from stream.measures.packing import Packing
from stream.measures.partials import Mark, Partial
from stream.measures.pending import Pending
from stream.measures.plans import Span, Window, WindowConfig, plan
from stream.measures.settle import counting, settled
from stream.measures.stats import CUSTOMERS, Stats, bare, plus
from stream.measures.stores import Store, Sums, entry_of
from stream.measures.tiers import Reach, Roll, Tier, tiers
from stream.measures.totals import totals
from stream.measures.value_at_risk import moves_only
from stream.measures.views import WindowSums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Closing", "Span", "Window", "WindowChanges", "WindowConfig", "Windows", "partition_of", "plan"]

_encode: Final = msgspec.json.Encoder().encode
_decode_progress: Final = msgspec.json.Decoder(tuple[int, int, list[Mark]]).decode


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
        self._pending = Pending(f"{partition}|c|", sources, self._schedule, customers=config.customers > 0)
        self._packing: Final = Packing()
        self._rolls: Final = {window.name: Roll(window, config.pane_ms) for window in config.windows}
        self._tiers: Final = tiers(
            config, f"{partition}|e|", Sums(self._packing), self._rolls, self._schedule
        )
        self._totals: Final = totals(config, f"{partition}|e|", self._packing)
        self._audience: Final = Audience(config)
        self._samples: Final = Samples(config.customers) if config.customers else None
        rolling = [window for window in config.windows if not window.shifts_ms]
        self._seen: Final[tuple[Tier[Sample], ...]] = (
            ()
            if self._samples is None
            else tiers(
                config,
                f"{partition}|u|",
                self._samples,
                {window.name: Reach(window, config.pane_ms) for window in rolling},
                self._schedule,
            )
        )
        self._all_tiers: Final[tuple[Tier[int] | Tier[Sample], ...]] = (*self._tiers, *self._seen)
        self._stores: Final[dict[tuple[str, str], Store[int] | Store[Sample]]] = {}
        self._stores.update({("e", str(tier.tier_ms)): tier.store for tier in self._tiers})
        self._stores.update({("e", total.name): total.store for total in self._totals})
        self._stores.update({("u", str(tier.tier_ms)): tier.store for tier in self._seen})
        depths = {tier.tier_ms: depth for depth, tier in enumerate(self._tiers, 1)}
        # Of each window: how many open panes, the finest first, go on top of its base.
        self._depths: Final = [
            *(0 if window.shifts_ms else depths[window.tier_ms] for window in config.windows),
            *(0 for _ in self._totals),
        ]
        names = [*self._rolls, *(total.name for total in self._totals)]
        self._places: Final = {name: place for place, name in enumerate(names)}
        self._per: Final = {window.name: window.tier_ms // config.pane_ms for window in config.windows}
        self._wakes: dict[int, set[str]] = {}
        self._queue: deque[Partial | Mark] = deque()
        self._closing = False
        self._touched: set[str] = set()
        self._moved = False  # a mark or the frontier changed since last written
        self._round = 0
        self._tombstones: list[str] = []
        self._given_up: list[str] = []
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
        for key, value in restored.items():
            _, kind, rest = key.split("|", 2)
            if kind == "c":
                latest = max(latest, self._pending.restore(rest, value, written, self.frontier))
                continue
            name, rest = rest.split("|", 1)
            store = self._stores.get((kind, name))
            if store is None:  # no window is kept in it any more
                self._given_up.append(key)
                self._hand_on(kind, name, rest, value, written)
                continue
            number, needless = store.restore(rest, value, written)
            latest = max(latest, number)
            self._tombstones += needless
        self._round = latest
        for sums in self._tiers:
            sums.rebuild(self.frontier)
        for seen in self._seen:
            for pane, samples in seen.store.panes.items():
                self._audience.add(pane * seen.per, samples)
            seen.rebuild(self.frontier)

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

    def closed(self, cells: Mapping[int, dict[int, dict[str, Stats]]], instant: int) -> Iterator[Closing]:
        """Go to ``instant`` closing by closing, with what all sources know by then: for files, as ``close``.

        Nothing may be applied and nothing is written, before or afterwards.

        Args:
            cells: known -> pane -> slice key -> sums, of every ``known`` before ``instant`` that was not given
                before; they are ours from now on.
            instant: A number of panes.
        """
        for known, arrived in cells.items():
            self._pending.put(known, arrived)
        yield from self._advance(instant)

    def wake(self, instant: int, slice_key: str | None = None) -> None:
        """Ask for the slice (None: a closing) at an instant even if nothing changes then; a past one is the next.

        Not durable: whoever waits asks again after a restart.
        """
        known = max(instant - 1, self.frontier)
        waiting = self._wakes.get(known)
        if waiting is None:
            self._wakes[known] = waiting = set()
            self._schedule(known)
        if slice_key is not None:
            waiting.add(slice_key)

    def times(self, name: str, pane: int, instant: int) -> int:
        """How often a window counts a finest pane at an instant; one that is not kept never does."""
        if pane >= instant:
            return 0
        roll = self._rolls.get(name)
        if roll is None:
            return sum(total.covers(pane) for total in self._totals if total.name == name)
        return roll.times(pane // self._per[name] * self._per[name], instant - 1)

    def values(self, slice_key: str) -> Mapping[str, Stats]:
        """Final sums per window at the frontier (frozen); {} for a window without observations."""
        return self._view([slice_key])[slice_key]

    def provisional(self, slice_key: str) -> Mapping[str, Stats]:
        """As ``values``, with everything heard of since, on time or late, added on top.

        Nothing leaves before the frontier does, so a window reaches from its final start to ``newest``.
        Contributions beyond (deadlines ahead) are not in.
        """
        frontier, newest = self.frontier, self.newest
        cells = [cell for cell in self._pending.open_cells(slice_key, frontier) if cell[0] < newest]
        sums = {name: bare(stats) for name, stats in self.values(slice_key).items()}
        for pane, stats in cells:
            more = bare(stats)
            for tier in self._tiers:
                start = pane // tier.per * tier.per
                for roll in tier.rolls:
                    if not roll.shifted and start + roll.last >= frontier:
                        sums[roll.name] = plus(sums[roll.name], more)
            for total in self._totals:
                sums[total.name] = total.add(slice_key, sums[total.name], pane, more)
        also = [(pane, stats[CUSTOMERS]) for pane, stats in cells if CUSTOMERS in stats]
        for name, counted in self._audience.counts(slice_key, frontier, newest, also).items():
            sums[name] = sums[name] | {CUSTOMERS: counted}
        return sums

    def settle(self, cells: Iterable[tuple[str, int, Stats]], instant: int) -> None:
        """Go to ``instant`` with all that is known by then, at once: for files, which have an end.

        Sums are as if the cells had come as partials and every pane had been closed; ``values`` and ``slices``
        tell. Nothing may be applied, and nothing written, afterwards.

        Args:
            cells: (slice key, finest pane, sums), in any order, a cell possibly in parts; not changed.
            instant: A number of panes; later cells are left out.
        """
        settled(cells, instant, self._packing, self._tiers, self._totals, self._audience)
        self.frontier = instant

    def counting(self, pane: int, instant: int) -> tuple[int, ...]:
        """How often each window counts a finest pane at an instant: for ``settle`` equal ones may be joined."""
        return counting(self._tiers, self._totals, pane, instant)

    @property
    def newest(self) -> int:
        """The instant that provisional values reach: the end of the newest pane heard of, or the frontier."""
        return max(self._pending.newest, self.frontier)

    def slices(self) -> list[str]:
        """Slices with an observation in some final window, in alphabetical order."""
        held = self._audience.slices()
        held.update(*self._bases(), *(tier.open_at(self.frontier) for tier in self._tiers))
        return [key for key, sums in self._view(sorted(held)).items() if any(sums.values())]

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
        tombstones, self._tombstones = self._tombstones, self._given_up
        self._given_up = []
        number = self._round + 1
        entries: list[tuple[str, bytes]] = []
        for keeper in (self._pending, *self._stores.values()):
            more, needless = keeper.take_changes(number)
            entries += more
            self._tombstones += needless
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
            asked = known in self._wakes
            changed, corrected, news = self._close(known)
            self.frontier = known + 1
            self._moved = True
            if changed or news or asked:
                as_of_ms = self.frontier * self.config.pane_ms
                yield Closing(self.frontier, as_of_ms, self._view(sorted(changed)), corrected, news)
        if target > self.frontier:
            self.frontier = target
            self._moved = True

    def _close(self, known: int) -> tuple[set[str], dict[str, int], dict[str, list[tuple[int, Stats]]]]:
        changed = self._wakes.pop(known, set())
        corrected: dict[str, int] = {}
        told: dict[str, list[tuple[int, Stats]]] = {}
        for tier in self._all_tiers:
            tier.turn(known, changed)
        for pane, arrived in sorted(self._pending.fold(known).items(), key=_pane):
            news = self._fold(known, pane, arrived)
            changed |= news
            if pane < known:
                late = [key for key in news if not moves_only(arrived.get(key, ()))]
                corrected.update({key: min(corrected.get(key, pane), pane) for key in late})
            for key, stats in arrived.items():
                if stats and (pane == known or not moves_only(stats)):
                    told.setdefault(key, []).append((pane, stats))
        for tier in self._all_tiers:
            tier.end(known)
        return changed, corrected, told

    def _fold(self, known: int, pane: int, arrived: Mapping[str, Stats]) -> set[str]:
        """Take in what became known about a finest pane; returns the slices of which a window changed."""
        changed: set[str] = set()
        pack = self._packing.pack
        if self._samples is not None:
            samples = {
                key: self._samples.of(stats.pop(CUSTOMERS))
                for key, stats in arrived.items()
                if CUSTOMERS in stats
            }
            self._audience.add(pane, samples)
            if samples and self._seen[0].fold(known, pane // self._seen[0].per, samples):
                changed.update(samples)
        sums = {key: packed for key, stats in arrived.items() if (packed := pack(key, stats))}
        if sums and self._tiers[0].fold(known, pane // self._tiers[0].per, sums):
            changed.update(sums)
        for total in self._totals:
            total.fold(pane, arrived, changed)
        return changed

    def _bases(self) -> list[Mapping[str, int]]:
        """Of every window, in the order of ``_places``."""
        return [*(roll.base for roll in self._rolls.values()), *(total.base() for total in self._totals)]

    def _view(self, slices: list[str]) -> dict[str, Mapping[str, Stats]]:
        """The windows of slices at the frontier."""
        frontier = self.frontier
        bases = list(zip(self._bases(), self._depths, strict=True))
        opens = [tier.open_at(frontier) for tier in self._tiers]
        views: dict[str, Mapping[str, Stats]] = {}
        for key in slices:
            tops = [*accumulate([opened.get(key, 0) for opened in opens], initial=0)]
            sums = [base.get(key, 0) + tops[depth] for base, depth in bases]
            counts = self._audience.counts(key, frontier)
            views[key] = WindowSums(key, self._packing, self._places, sums, counts)
        return views

    def _hand_on(self, kind: str, name: str, rest: str, value: bytes, written: int) -> None:
        """What an open pane of a tier that is no longer kept has not passed on goes to the next coarser tier."""
        kept: tuple[Tier[int], ...] | tuple[Tier[Sample], ...] = self._tiers if kind == "e" else self._seen
        coarser = [tier for tier in kept if name.isdecimal() and tier.tier_ms > int(name)]
        pane, slice_key, held = entry_of(rest, value, written)
        if not coarser or held is None:
            return
        start_ms = pane * int(name)
        if start_ms + int(name) > self.frontier * self.config.pane_ms:
            coarser[0].store.adopt(start_ms // coarser[0].tier_ms, slice_key, held)


def _pane(arrived: tuple[int, dict[str, Stats]]) -> int:
    return arrived[0]
