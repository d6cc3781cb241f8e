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

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from stream.measures.plans import DEFAULT_WINDOWS, Window, WindowConfig, plan
from stream.measures.stores import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream.measures.stores import Codec

__all__ = ["DEFAULT_WINDOWS", "Reach", "Roll", "Tier", "Window", "WindowConfig", "plan", "tiers"]

T = TypeVar("T")


class Reach(Generic[T]):
    """When a window covers which panes; holds nothing itself.

    Attributes:
        name: The window's name.
        shifted: Whether it is of an earlier time, and so never holds an open pane.
    """

    def __init__(self, window: Window, pane_ms: int) -> None:
        self.name: Final = window.name
        self.shifted: Final = bool(window.shifts_ms)
        # When a pane that begins at 0 enters and leaves. One that has not ended is open, or not there yet.
        shifts_ms = window.shifts_ms or (0,)
        self._spans: Final = tuple(
            (shift // pane_ms, (shift + window.length_ms) // pane_ms) for shift in shifts_ms
        )

    def turns(self, start: int) -> list[tuple[int, int]]:
        """(finest pane, +1 or -1): at the closing of which the pane beginning at ``start`` enters and leaves."""
        enters = [(start + first, 1) for first, _ in self._spans if self.shifted]
        return enters + [(start + last, -1) for _, last in self._spans]

    def times(self, start: int, known: int) -> int:
        """How often a pane that begins at ``start`` counts after the closing of ``known``; once it has ended."""
        return sum(start + first <= known < start + last for first, last in self._spans)

    @property
    def last(self) -> int:
        """How many finest panes after its beginning a pane is needed no more."""
        return max(last for _, last in self._spans)

    def add(self, arrived: Mapping[str, T]) -> None:
        """A pane enters, or news of one that is in."""

    def take(self, left: Mapping[str, T]) -> None:
        """A pane leaves."""


class Roll(Reach[int]):
    """Packed sums of one window over the panes that have ended.

    Attributes:
        base: Slice key -> sums; slices without any are left out.
    """

    def __init__(self, window: Window, pane_ms: int) -> None:
        super().__init__(window, pane_ms)
        self.base: dict[str, int] = {}
        self._only: Final = window.only

    def add(self, arrived: Mapping[str, int]) -> None:
        """Add to the sums."""
        base = self.base
        for slice_key, sums in self._of(arrived).items():
            new = base.get(slice_key, 0) + sums
            if new:
                base[slice_key] = new
            else:
                base.pop(slice_key, None)

    def take(self, left: Mapping[str, int]) -> None:
        """Take out of the sums."""
        base = self.base
        for slice_key, sums in self._of(left).items():
            new = base.get(slice_key, 0) - sums
            if new:
                base[slice_key] = new
            else:
                base.pop(slice_key, None)

    def _of(self, sums: Mapping[str, int]) -> Mapping[str, int]:
        return {key: sums[key] for key in self._only if key in sums} if self._only else sums


class Tier(Generic[T]):
    """One tier: its panes, the windows on it, and when panes end, enter and leave.

    Args:
        tier_ms: Length of a pane.
        pane_ms: Length of a finest pane.
        rolls: The windows on it, at least one.
        store: Where its panes are kept.
        schedule: Told of every finest pane at whose closing there is something to do.
        coarser: The next coarser tier, None for the coarsest.
    """

    def __init__(
        self,
        tier_ms: int,
        pane_ms: int,
        rolls: Sequence[Reach[T]],
        store: Store[T],
        schedule: Callable[[int], None],
        coarser: Tier[T] | None,
    ) -> None:
        self.tier_ms: Final = tier_ms
        self.per: Final = tier_ms // pane_ms  # finest panes in one
        self.rolls: Final = rolls
        self.store: Final = store
        self._schedule = schedule
        self._coarser = coarser
        self._needed: Final = max(roll.last for roll in rolls)
        self._rolling: Final = max((roll.last for roll in rolls if not roll.shifted), default=0)
        self._turns: dict[int, list[tuple[Reach[T] | None, int, int]]] = {}  # None: to be forgotten
        self._ends: dict[int, list[int]] = {}

    def turn(self, known: int, changed: set[str]) -> None:
        """Let panes enter and leave the windows at the closing of the finest pane ``known``."""
        for roll, pane, sign in self._turns.pop(known, ()):
            if roll is None:
                self.store.forget(pane)
            elif sign > 0:
                roll.add(self.store.panes[pane])
            else:
                roll.take(self.store.panes[pane])
                if not roll.shifted:  # sums that cancelled out have nothing to take along
                    changed.update(key for key, held in self.store.panes[pane].items() if held)

    def fold(self, known: int, pane: int, arrived: Mapping[str, T]) -> bool:
        """Take in what became known at the closing of ``known`` about one of its panes.

        Returns:
            Whether a rolling window of this tier or a coarser one covers it.
        """
        start = pane * self.per
        covered = start + self._rolling > known
        ended = start + self.per <= known
        if start + self._needed > known:
            if pane not in self.store.panes:
                self._turns_of(pane, known)
                if not ended:
                    self._ends_with(pane)
            self.store.add(pane, arrived)
        if ended:
            covered = self._pass_on(pane, known, arrived) or covered
        return covered

    def end(self, known: int) -> None:
        """Take the panes that end with the finest pane ``known`` into the windows and the coarser tier."""
        for pane in self._ends.pop(known, ()):
            self._pass_on(pane, known, self.store.panes[pane])

    def open_at(self, frontier: int) -> Mapping[str, T]:
        """The pane that has not ended at the instant ``frontier``, by slice."""
        return self.store.at(frontier // self.per) if frontier % self.per else {}

    def rebuild(self, frontier: int) -> None:
        """After the store was filled from the table: windows and index as of the instant ``frontier``."""
        known = frontier - 1
        for pane, held in list(self.store.panes.items()):
            start = pane * self.per
            if start + self._needed <= known:
                self.store.forget(pane)
                continue
            if start + self.per <= frontier:
                for roll in self.rolls:
                    for _ in range(roll.times(start, known)):
                        roll.add(held)
            else:
                self._ends_with(pane)
            self._turns_of(pane, known)

    def _pass_on(self, pane: int, known: int, arrived: Mapping[str, T]) -> bool:
        """Into the windows that cover a pane that has ended, and the coarser tier."""
        for roll in self.rolls:
            for _ in range(roll.times(pane * self.per, known)):
                roll.add(arrived)
        coarser = self._coarser
        return coarser is not None and coarser.fold(known, pane * self.per // coarser.per, arrived)

    def _turns_of(self, pane: int, known: int) -> None:
        start = pane * self.per
        turns = [(at, roll, sign) for roll in self.rolls for at, sign in roll.turns(start)]
        for at, roll, sign in [*turns, (start + self._needed, None, 0)]:
            if at > known:
                self._turns.setdefault(at, []).append((roll, pane, sign))
                self._schedule(at)

    def _ends_with(self, pane: int) -> None:
        last = (pane + 1) * self.per - 1
        self._ends.setdefault(last, []).append(pane)
        self._schedule(last)


def tiers(
    config: WindowConfig,
    prefix: str,
    codec: Codec[T],
    rolls: Mapping[str, Reach[T]],
    schedule: Callable[[int], None],
) -> tuple[Tier[T], ...]:
    """The tiers of the windows ``rolls``, the finest first."""
    found: list[Tier[T]] = []
    for tier_ms in reversed(config.tiers):
        on_it = [rolls[w.name] for w in config.windows if w.tier_ms == tier_ms and w.name in rolls]
        if on_it:
            store = Store(f"{prefix}{tier_ms}|", codec)
            found.append(Tier(tier_ms, config.pane_ms, on_it, store, schedule, found[-1] if found else None))
    return tuple(reversed(found))
