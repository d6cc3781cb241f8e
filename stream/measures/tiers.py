"""Panes of one length for all slices, and the running sums of the windows served by them.

A window of length L on a tier of panes of length g, at the instant T, covers the tier's panes from
ceil(T/g) - L/g up to T: its start is aligned to the tier, so its true length is between L-g (excluded) and L.
A window on the finest tier is exact, because instants are ends of finest panes.

Each pane's sums enter a window once and leave it once, at an instant known beforehand and kept in an index:
O(1) amortised per pane, and nothing at all for the instants at which nothing changes.

Panes that have ended are kept in their encoded form, which is what the table holds of them too: a fifth of
the memory, and nothing for the garbage collector to walk through (an hour of 500 slices is 180,000 panes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.measures.stats import Stats, minus, plus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Stats).decode
_WRITTEN: Final = b""
_UNITS: Final = {"s": 1000, "m": _MINUTE, "h": _HOUR, "d": _DAY}


class Window(msgspec.Struct, frozen=True):
    """A rolling window.

    Attributes:
        name: Public name, e.g. ``24h``.
        length_ms: Length, a multiple of ``tier_ms``.
        tier_ms: Length of the panes it is rolled from.
    """

    name: str
    length_ms: int
    tier_ms: int


class WindowConfig(msgspec.Struct, frozen=True):
    """The windows that are kept.

    Attributes:
        pane_ms: Length of the finest panes.
        windows: Windows, in the order in which they are published.

    Raises:
        ValueError: No window, two of one name, a length that is no multiple of its tier, or tiers that do
            not nest (each a multiple of the next finer, the finest of ``pane_ms``).
    """

    pane_ms: int
    windows: tuple[Window, ...]

    def __post_init__(self) -> None:
        if not self.windows or len({window.name for window in self.windows}) != len(self.windows):
            raise ValueError("there must be windows, and no two of one name")
        finer = self.pane_ms
        for tier_ms in self.tiers:
            if tier_ms % finer:
                raise ValueError(f"panes of {tier_ms} ms are not made of panes of {finer} ms")
            finer = tier_ms
        for window in self.windows:
            if window.length_ms <= 0 or window.length_ms % window.tier_ms:
                raise ValueError(f"window {window.name} is not made of panes of {window.tier_ms} ms")

    @property
    def tiers(self) -> tuple[int, ...]:
        """Pane lengths in use, the finest first."""
        return tuple(sorted({window.tier_ms for window in self.windows}))


def plan(pane_ms: int, names: tuple[str, ...] = ("5m", "1h", "24h", "7d")) -> WindowConfig:
    """Windows by name (a number and s, m, h or d), each on its usual tier.

    Up to an hour: ``pane_ms``; up to a day: 5 minutes; up to 30 days: an hour; above: 6 hours.

    Raises:
        ValueError: A name that is none, or as ``WindowConfig``.
    """
    return WindowConfig(pane_ms, tuple(_window(name, pane_ms) for name in names))


def _window(name: str, pane_ms: int) -> Window:
    if not name[:-1].isdecimal() or name[-1] not in _UNITS:
        raise ValueError(f"{name!r} is no window: a number and one of {', '.join(_UNITS)}, like 24h")
    length_ms = int(name[:-1]) * _UNITS[name[-1]]
    if length_ms <= _HOUR:
        return Window(name, length_ms, pane_ms)
    if length_ms <= _DAY:
        return Window(name, length_ms, max(pane_ms, 5 * _MINUTE))
    return Window(name, length_ms, max(pane_ms, _HOUR if length_ms <= 30 * _DAY else 6 * _HOUR))


def thaw(held: Stats | bytes) -> Stats:
    """Sums out of either form."""
    return held if isinstance(held, dict) else _decode(held)


def frozen(held: Stats | bytes) -> bytes:
    """Either form encoded, as compact JSON."""
    return held if isinstance(held, bytes) else _encode(held)


class Roll:
    """Running sums of one window. The sums are frozen: a change makes a new dict.

    Attributes:
        name: The window's name.
        sums: Slice key -> sums; slices without observations are left out.
    """

    __slots__ = ("_length_ms", "_pane_ms", "_tier_ms", "name", "sums")

    def __init__(self, window: Window, pane_ms: int) -> None:
        self.name = window.name
        self.sums: dict[str, Stats] = {}
        self._length_ms = window.length_ms
        self._tier_ms = window.tier_ms
        self._pane_ms = pane_ms

    def leaves(self, pane: int) -> int:
        """The finest pane at whose closing the tier's pane ``pane`` is no longer covered."""
        return (pane * self._tier_ms + self._length_ms) // self._pane_ms


class Tier:
    """One tier: its panes, the windows on it, when panes leave them, and what changed since last written.

    Attributes:
        tier_ms: Length of a pane.
        rolls: The windows, the longest last.
        panes: Pane index -> slice key -> sums (frozen), encoded where the pane has ended.
        dirty: (pane, slice) -> its sums as last written, None for none, of all that changed since.
        gone: (pane, slice) of written panes that no window covers any more.
    """

    def __init__(self, tier_ms: int, config: WindowConfig, schedule: Callable[[int], None]) -> None:
        windows = sorted((w for w in config.windows if w.tier_ms == tier_ms), key=lambda w: w.length_ms)
        self.tier_ms: Final = tier_ms
        self.rolls: Final = tuple(Roll(window, config.pane_ms) for window in windows)
        self.panes: dict[int, dict[str, Stats | bytes]] = {}
        self.dirty: dict[tuple[int, str], Stats | bytes | None] = {}
        self.gone: list[tuple[int, str]] = []
        self._pane_ms: Final = config.pane_ms
        self._due: dict[int, list[tuple[Roll, int]]] = {}  # finest pane -> what leaves at its closing
        self._thawed: dict[int, list[str]] = {}  # pane -> slices of which the sums are not encoded
        self._schedule = schedule

    def expire(self, known: int, changed: set[str]) -> None:
        """Take out of the windows what leaves them at the closing of the finest pane ``known``."""
        for roll, pane in self._due.pop(known, ()):
            sums = roll.sums
            for slice_key, held in self.panes[pane].items():
                left = minus(sums[slice_key], thaw(held))
                if left:
                    sums[slice_key] = left
                else:
                    del sums[slice_key]
                changed.add(slice_key)
            if roll is self.rolls[-1]:
                self._forget(pane)

    def fold(self, known: int, finest: int, arrived: Mapping[str, Stats], changed: set[str]) -> None:
        """Add what became known at the closing of ``known`` about the finest pane ``finest``."""
        pane = finest * self._pane_ms // self.tier_ms
        rolls = [roll for roll in self.rolls if roll.leaves(pane) > known]
        if not rolls:
            return  # older than the longest window
        panes = self.panes.get(pane)
        if panes is None:
            panes = self._open(pane, known)
        dirty = self.dirty
        thawed = self._thawed.setdefault(pane, [])
        for slice_key, stats in arrived.items():
            held = panes.get(slice_key)
            if (pane, slice_key) not in dirty:
                dirty[pane, slice_key] = held
            if type(held) is not dict:
                thawed.append(slice_key)
            panes[slice_key] = stats if held is None else plus(thaw(held), stats)
        for roll in rolls:
            sums = roll.sums
            for slice_key, stats in arrived.items():
                old = sums.get(slice_key)
                sums[slice_key] = stats if old is None else plus(old, stats)
        changed.update(arrived)

    def freeze(self, frontier: int) -> None:
        """Encode the panes that have ended by the instant ``frontier``."""
        for pane in [p for p in self._thawed if (p + 1) * self.tier_ms <= frontier * self._pane_ms]:
            panes = self.panes.get(pane, {})
            for slice_key in self._thawed.pop(pane):
                if slice_key in panes:
                    panes[slice_key] = frozen(panes[slice_key])

    def rebuild(self, frontier: int) -> None:
        """After ``panes`` was filled from the table: sums and index as of the instant ``frontier``."""
        for pane in list(self.panes):
            if self.rolls[-1].leaves(pane) < frontier:
                self._forget(pane)
                continue
            for roll in self.rolls:
                if roll.leaves(pane) >= frontier:
                    for slice_key, held in self.panes[pane].items():
                        stats = thaw(held)
                        old = roll.sums.get(slice_key)
                        roll.sums[slice_key] = stats if old is None else plus(old, stats)
            self._open(pane, frontier - 1)

    def _open(self, pane: int, known: int) -> dict[str, Stats | bytes]:
        for roll in self.rolls:
            leaves = roll.leaves(pane)
            if leaves > known:
                self._due.setdefault(leaves, []).append((roll, pane))
                self._schedule(leaves)
        return self.panes.setdefault(pane, {})

    def _forget(self, pane: int) -> None:
        for slice_key in self.panes.pop(pane):
            at = (pane, slice_key)
            # One that was never written needs no deletion.
            if self.dirty.pop(at, _WRITTEN) is not None:
                self.gone.append(at)
