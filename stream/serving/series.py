"""Final values over time, in rings of bounded length: the newest few hundred steps of a slice, metric and window.

A window has a step of a twenty-fourth of its length, a minute at least, and of each step the first final value is
kept. So a ring goes back ten lengths of its window. Times are epoch milliseconds of event time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from struct import Struct
from typing import Final

import msgspec

#: Steps in a ring.
STEPS: Final = 240
_PER_WINDOW: Final = 24
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHORTEST_MS: Final = 60_000
#: Of windows without a length, as `ever` and those of experiments.
_OTHER_MS: Final = 3_600_000
#: Number of the step, moment, n, value, lower and upper bound of the interval; not a number: there is none.
_ENTRY: Final = Struct(">IQIddd")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series, as it was final at ``at_ms`` (epoch milliseconds, event time)."""

    at_ms: int
    value: float | None
    n: int
    lower: float | None
    upper: float | None


class _Value(msgspec.Struct, frozen=True, gc=False):
    n: int
    value: float | None = None
    interval: tuple[float, float] | None = None


class _Metrics(msgspec.Struct, frozen=True, gc=False):
    metrics: dict[str, dict[str, _Value]]


_decode: Final = msgspec.json.Decoder(_Metrics).decode


def step_ms(window: str) -> int:
    """How far the values of a window's series lie apart."""
    unit = _UNITS_MS.get(window[-1:])
    if unit is None or not window[:-1].isdecimal():
        return _OTHER_MS
    return max(_SHORTEST_MS, int(window[:-1]) * unit // _PER_WINDOW)


def field_of(metric: str, window: str) -> str:
    """Name of a ring within its slice."""
    return f"{metric}|{window}"


class Sampler:
    """Which final values begin a step of their slice, of at most so many slices."""

    def __init__(self, max_slices: int) -> None:
        self._max_slices = max_slices
        self._newest: dict[str, int] = {}  # slice -> newest minute taken, the longest unchanged first

    def due(self, slice_key: str, as_of_ms: int) -> bool:
        """Whether a final value may begin a step; quick, it is asked of each."""
        return self._max_slices > 0 and as_of_ms // _SHORTEST_MS > self._newest.get(slice_key, -1)

    def took(self, slice_key: str, as_of_ms: int) -> int:
        """Note that a value was taken; returns about when the one before it was, -1 for the first."""
        before = self._newest.pop(slice_key, None)
        self._newest[slice_key] = as_of_ms // _SHORTEST_MS
        if len(self._newest) > self._max_slices:
            del self._newest[next(iter(self._newest))]
        return -1 if before is None else before * _SHORTEST_MS


def entries(before_ms: int, as_of_ms: int, payload: bytes) -> list[tuple[str, int, bytes]]:
    """Name of a ring, place in it in bytes, and what to put there if it is of a later step than what is.

    Args:
        before_ms: time of the value before it: of windows still in the same step nothing is put.
        as_of_ms: of the values.
        payload: the ``cx.metrics`` object.

    Raises:
        msgspec.DecodeError: it is none.
    """
    found = []
    for metric, windows in _decode(payload).metrics.items():
        for window, each in windows.items():
            length = step_ms(window)
            step = as_of_ms // length
            if before_ms >= 0 and before_ms // length == step:
                continue
            lower, upper = each.interval or (nan, nan)
            value = nan if each.value is None else each.value
            entry = _ENTRY.pack(step, as_of_ms, each.n, value, lower, upper)
            found.append((field_of(metric, window), step % STEPS * _ENTRY.size, entry))
    return found


def points(ring: bytes, from_ms: int | None = None, to_ms: int | None = None) -> list[Point]:
    """The values of a ring, oldest first, within both moments; gaps are left out."""
    found = [
        Point(at_ms, _known(value), n, _known(lower), _known(upper))
        for _, at_ms, n, value, lower, upper in _ENTRY.iter_unpack(
            ring[: len(ring) // _ENTRY.size * _ENTRY.size]
        )
        if at_ms and (from_ms is None or at_ms >= from_ms) and (to_ms is None or at_ms <= to_ms)
    ]
    return sorted(found, key=lambda point: point.at_ms)


def _known(value: float) -> float | None:
    return None if isnan(value) else value
