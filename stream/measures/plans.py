"""Which windows are kept, and of what: plain values, checked when made.

A *rolling* window ends now. A *shifted* one (``1h@7d``) is a rolling window as it was that long ago, several
summed (``1h@7d,14d``): the same hours of earlier weeks, to compare with. A *span* lies between two moments, for
an experiment. ``ever`` has no beginning, for stocks: subscribers, or spend of a life.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream.measures.slices import parse_slice

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_UNITS: Final = {"s": 1000, "m": _MINUTE, "h": _HOUR, "d": _DAY}

DEFAULT_WINDOWS: Final = ("5m", "1h", "24h", "7d", "30d", "90d")
"""The rolling windows that are kept unless said otherwise."""

EVER: Final = "ever"
"""Name of the window that has no beginning and no end."""


class Window(msgspec.Struct, frozen=True):
    """A rolling window, or several as they were some time ago, summed.

    Attributes:
        name: Public name, e.g. ``24h`` or ``1h@7d``.
        length_ms: Length, a multiple of ``tier_ms``.
        tier_ms: Length of the panes it is rolled from.
        shifts_ms: How long ago, multiples of ``tier_ms`` from one on; () for a rolling window. A shifted one
            consists of whole panes of its tier: at 10:20, ``1h@7d`` is the hour from 10:00 to 11:00 a week ago.
        only: Slices it is kept for; () for all.
    """

    name: str
    length_ms: int
    tier_ms: int
    shifts_ms: tuple[int, ...] = ()
    only: tuple[str, ...] = ()


class Span(msgspec.Struct, frozen=True):
    """From one moment to another, for the variants of one slice.

    It holds what comes while it is declared: of the time before that nothing is known.

    Attributes:
        name: Public name, without ``|``.
        since_ms: The panes that begin from here on,
        until_ms: and before here; None: without end.
        stems: Of the part keys that are kept.
        where: The slice as (dimension, value) pairs, without the variant.
    """

    name: str
    since_ms: int
    until_ms: int | None
    stems: tuple[str, ...]
    where: tuple[tuple[str, str], ...] = ()

    def covers(self, slice_key: str) -> bool:
        """Whether the slice is a variant of ``where``."""
        members = parse_slice(slice_key)
        return members.pop("variant", None) is not None and members == dict(self.where)


class WindowConfig(msgspec.Struct, frozen=True):
    """The windows that are kept.

    Attributes:
        pane_ms: Length of the finest panes.
        windows: Rolling and shifted windows, in the order in which they are published.
        ever: Stems of the part keys that are kept since the beginning, as the window ``ever``.
        spans: The spans that are kept.
        customers: Distinct customers up to which a window is counted exactly; 0: they are not counted.

    Raises:
        ValueError: No rolling window, two of one name, a length or shift that is no multiple of its tier, or
            tiers that do not nest (each a multiple of the next finer, the finest of ``pane_ms``).
    """

    pane_ms: int
    windows: tuple[Window, ...]
    ever: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    customers: int = 0

    def __post_init__(self) -> None:
        names = [window.name for window in self.windows] + [span.name for span in self.spans]
        if all(window.shifts_ms for window in self.windows) or len({EVER, *names}) != len(names) + 1:
            raise ValueError("there must be windows, and no two of one name")
        if any("|" in name for name in names):
            raise ValueError("the name of a window must not contain '|'")
        finer = self.pane_ms
        for tier_ms in self.tiers:
            if tier_ms % finer:
                raise ValueError(f"panes of {tier_ms} ms are not made of panes of {finer} ms")
            finer = tier_ms
        for window in self.windows:
            parts = (window.length_ms, *window.shifts_ms)
            if min(parts) <= 0 or any(part % window.tier_ms for part in parts):
                raise ValueError(f"window {window.name} is not made of panes of {window.tier_ms} ms")

    @property
    def tiers(self) -> tuple[int, ...]:
        """Pane lengths in use, the finest first."""
        return tuple(sorted({window.tier_ms for window in self.windows}))

    @property
    def published(self) -> tuple[str, ...]:
        """Names of the windows that are published: all but the shifted ones."""
        rolling = [window.name for window in self.windows if not window.shifts_ms]
        return (*rolling, *([EVER] if self.ever else []), *(span.name for span in self.spans))


def plan(
    pane_ms: int,
    names: tuple[str, ...] = DEFAULT_WINDOWS,
    *,
    ever: tuple[str, ...] = (),
    spans: tuple[Span, ...] = (),
    customers: int = 0,
) -> WindowConfig:
    """Windows by name, each on its usual tier.

    A name is a number and s, m, h or d, like ``24h``; shifted, how long ago follows, like ``1h@7d,14d``.
    Up to an hour: ``pane_ms``; up to a day: 5 minutes; up to 30 days: an hour; above: 6 hours. Shifted windows
    are rolled from hours, or from what is coarser: a shorter one becomes an hour.

    Raises:
        ValueError: A name that is none, or as ``WindowConfig``.
    """
    return WindowConfig(pane_ms, tuple(window(name, pane_ms) for name in names), ever, spans, customers)


def window(name: str, pane_ms: int, only: tuple[str, ...] = ()) -> Window:
    """One window by its name, on its usual tier, as in ``plan``.

    Raises:
        ValueError: It is no name of a window.
    """
    length, _, ago = name.partition("@")
    length_ms = _duration(length, name)
    if not ago and "@" not in name:
        return Window(name, length_ms, _tier(length_ms, pane_ms), (), only)
    shifts_ms = tuple(_duration(each, name) for each in ago.split(","))
    tier_ms = max(_tier(length_ms, pane_ms), _HOUR)
    return Window(name, -(-length_ms // tier_ms) * tier_ms, tier_ms, shifts_ms, only)


def _tier(length_ms: int, pane_ms: int) -> int:
    if length_ms <= _HOUR:
        return pane_ms
    if length_ms <= _DAY:
        return max(pane_ms, 5 * _MINUTE)
    return max(pane_ms, _HOUR if length_ms <= 30 * _DAY else 6 * _HOUR)


def _duration(text: str, name: str) -> int:
    if not text[:-1].isdecimal() or text[-1] not in _UNITS:
        raise ValueError(f"{name!r} is no window: a number and one of {', '.join(_UNITS)}, like 24h or 1h@7d")
    return int(text[:-1]) * _UNITS[text[-1]]
