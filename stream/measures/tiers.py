"""Panes of one length for all slices, and the running sums of the windows served by them.

A window of length L on a tier of panes of length g, at the instant T, covers the tier's panes from
ceil(T/g) - L/g up to T: its start is aligned to the tier, so its true length is between L-g (excluded) and L.
A window on the finest tier is exact, because instants are ends of finest panes.

Tiers nest. A pane takes in the panes of the next finer tier as they end; what is in one that has not ended is
not in the coarser one yet. So a window is the *base* of its roll, the panes that have ended, plus the *open*
panes of its own and all finer tiers. What comes on time touches the finest tier and the open pane of the next;
the long windows are touched when one of their panes ends or leaves. Each pane enters a base once and leaves it
once, at instants known beforehand and kept in an index: O(1) amortised per pane, and nothing at all for the
instants at which nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.audience import joiner
from stream.measures.plans import DEFAULT_WINDOWS, Window, WindowConfig, plan
from stream.measures.stats import Stats, bare, minus, plus
from stream.measures.stores import Store, thaw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DEFAULT_WINDOWS", "Roll", "Tier", "Window", "WindowConfig", "plan"]


class Roll:
    """Sums of one window over the panes that have ended. The sums are frozen: a change makes a new dict.

    Attributes:
        name: The window's name.
        shifted: Whether it is of an earlier time, and so never holds an open pane.
        base: Slice key -> sums; slices without any are left out.
    """

    __slots__ = ("_only", "_pane_ms", "_spans", "base", "name", "shifted")

    def __init__(self, window: Window, pane_ms: int) -> None:
        self.name = window.name
        self.shifted = bool(window.shifts_ms)
        self.base: dict[str, Stats] = {}
        self._only = window.only
        self._pane_ms = pane_ms
        # When a pane that begins at 0 enters and leaves. One that has not ended is open, or not there yet.
        shifts_ms = window.shifts_ms or (0,)
        self._spans = tuple((shift // pane_ms, (shift + window.length_ms) // pane_ms) for shift in shifts_ms)

    def turns(self, start: int) -> list[tuple[int, int]]:
        """(finest pane, +1 or -1): at the closing of which the pane beginning at ``start`` enters and leaves."""
        enters = [(start + first, 1) for first, _ in self._spans if self.shifted]
        return enters + [(start + last, -1) for _, last in self._spans]

    def times(self, start: int, known: int) -> int:
        """How often a pane that begins at ``start`` and has ended counts after the closing of ``known``."""
        return sum(start + first <= known < start + last for first, last in self._spans)

    @property
    def reach(self) -> int:
        """How many finest panes after its beginning a pane is needed no more."""
        return max(last for _, last in self._spans)

    def add(self, arrived: Mapping[str, Stats]) -> None:
        """Add to the sums; without customers."""
        base = self.base
        for slice_key, stats in self._of(arrived).items():
            old = base.get(slice_key)
            if old is None:
                if stats:
                    base[slice_key] = stats
            elif new := plus(old, stats):
                base[slice_key] = new
            else:
                del base[slice_key]

    def take(self, left: Mapping[str, Stats]) -> None:
        """Take out of the sums; without customers."""
        base = self.base
        for slice_key, stats in self._of(left).items():
            new = minus(base.get(slice_key, _NOTHING), stats)
            if new:
                base[slice_key] = new
            else:
                base.pop(slice_key, None)

    def _of(self, stats: Mapping[str, Stats]) -> Mapping[str, Stats]:
        only = self._only
        return {key: stats[key] for key in only if key in stats} if only else stats


class Tier:
    """One tier: its panes, the windows on it, and when panes end, enter and leave.

    Args:
        tier_ms: Length of a pane.
        config: All windows; those of this tier are taken.
        prefix: What the table keys of its panes begin with.
        schedule: Told of every finest pane at whose closing there is something to do.
        coarser: The next coarser tier, None for the coarsest.

    Attributes:
        rolls: The windows.
        store: The panes.
    """

    def __init__(
        self,
        tier_ms: int,
        config: WindowConfig,
        prefix: str,
        schedule: Callable[[int], None],
        coarser: Tier | None,
    ) -> None:
        self.tier_ms: Final = tier_ms
        self.per: Final = tier_ms // config.pane_ms  # finest panes in one
        self.rolls: Final = tuple(Roll(w, config.pane_ms) for w in config.windows if w.tier_ms == tier_ms)
        self.store: Final = Store(f"{prefix}{tier_ms}|")
        self._schedule = schedule
        self._coarser = coarser
        self._reach = max(roll.reach for roll in self.rolls)
        self._rolling = [roll for roll in self.rolls if not roll.shifted]
        self._join = joiner(config.customers)
        self._turns: dict[int, list[tuple[Roll | None, int, int]]] = {}  # None: to be forgotten
        self._ends: dict[int, list[int]] = {}

    def turn(self, known: int, changed: set[str]) -> None:
        """Let panes enter and leave the windows at the closing of the finest pane ``known``."""
        for roll, pane, sign in self._turns.pop(known, ()):
            if roll is None:
                self.store.forget(pane)
                continue
            sums = {slice_key: bare(thaw(held)) for slice_key, held in self.store.panes[pane].items()}
            if sign > 0:
                roll.add(sums)
                continue
            roll.take(sums)
            if not roll.shifted:
                changed.update(sums)

    def fold(self, known: int, pane: int, arrived: Mapping[str, Stats]) -> bool:
        """Take in what became known at the closing of ``known`` about one of its panes.

        Returns:
            Whether a rolling window of this tier or a coarser one covers it.
        """
        start = pane * self.per
        covered = any(start + roll.reach > known for roll in self._rolling)
        ended = start + self.per <= known
        if start + self._reach > known:
            if pane not in self.store.panes:
                self._turns_of(pane, known)
                if not ended:
                    self._ends_with(pane)
            self.store.add(pane, arrived, self._join)
        if ended:
            covered = self._pass_on(pane, known, arrived) or covered
        return covered

    def end(self, known: int) -> None:
        """Take the panes that end with the finest pane ``known`` into the windows and the coarser tier."""
        for pane in self._ends.pop(known, ()):
            held = self.store.panes[pane]
            self._pass_on(pane, known, {slice_key: thaw(stats) for slice_key, stats in held.items()})

    def open_at(self, frontier: int) -> Mapping[str, Stats]:
        """Sums by slice of the pane that has not ended at the instant ``frontier``."""
        return self.store.decoded(frontier // self.per) if frontier % self.per else {}

    def freeze(self, frontier: int) -> None:
        """Encode the panes that have ended by the instant ``frontier``."""
        self.store.freeze(frontier // self.per)

    def rebuild(self, frontier: int) -> None:
        """After the store was filled from the table: sums and index as of the instant ``frontier``."""
        known = frontier - 1
        for pane, held in list(self.store.panes.items()):
            start = pane * self.per
            if start + self._reach <= known:
                self.store.forget(pane)
                continue
            if start + self.per <= frontier:
                sums = {slice_key: bare(thaw(stats)) for slice_key, stats in held.items()}
                for roll in self.rolls:
                    for _ in range(roll.times(start, known)):
                        roll.add(sums)
            else:
                self.store.thaw(pane)
                self._ends_with(pane)
            self._turns_of(pane, known)

    def _pass_on(self, pane: int, known: int, arrived: Mapping[str, Stats]) -> bool:
        """Into the windows that cover a pane that has ended, and the coarser tier."""
        sums = {slice_key: bare(stats) for slice_key, stats in arrived.items()}
        for roll in self.rolls:
            for _ in range(roll.times(pane * self.per, known)):
                roll.add(sums)
        coarser = self._coarser
        return coarser is not None and coarser.fold(known, pane * self.per // coarser.per, arrived)

    def _turns_of(self, pane: int, known: int) -> None:
        start = pane * self.per
        turns = [(at, roll, sign) for roll in self.rolls for at, sign in roll.turns(start)]
        for at, roll, sign in [*turns, (start + self._reach, None, 0)]:
            if at > known:
                self._turns.setdefault(at, []).append((roll, pane, sign))
                self._schedule(at)

    def _ends_with(self, pane: int) -> None:
        last = (pane + 1) * self.per - 1
        self._ends.setdefault(last, []).append(pane)
        self._schedule(last)


_NOTHING: Final[Stats] = {}
