"""The maximum of a smooth function of a few numbers, by its gradient: BFGS with Armijo's rule, in plain Python.

A fit has three or four parameters and thousands of customers: all the time goes into the function, none into this.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = Callable[[Sequence[float]], tuple[float, list[float]]]

_MOST_STEPS: Final = 200
_MOST_HALVINGS: Final = 40
_ENOUGH: Final = 1e-4  # of what the slope promises
_FLAT: Final = 1e-7
_LONGEST: Final = 2.0  # in any direction at a time


class Maximum(NamedTuple):
    """Where it is, how high, and whether the slope has come to nothing there."""

    at: list[float]
    value: float
    found: bool


def maximum(function: Function, start: Sequence[float]) -> Maximum:
    """Climb from ``start`` to where it is flat.

    Args:
        function: value and gradient at a point; finite at the start. Values of about 1 are best.
        start: the point to begin with.

    The same function and start give the same steps, so the same answer to the last bit.
    """
    at = list(start)
    value, slope = function(at)
    size = len(at)
    inverse = _identity(size)
    fresh = True
    for _ in range(_MOST_STEPS):
        if max(map(abs, slope)) < _FLAT:
            return Maximum(at, value, found=True)
        step = [sum(row[j] * slope[j] for j in range(size)) for row in inverse]
        longest = max(map(abs, step))
        if longest > _LONGEST:
            step = [_LONGEST / longest * part for part in step]
        rise = sum(part * up for part, up in zip(step, slope, strict=True))
        moved = _line(function, at, value, step, rise) if rise > 0 else None
        if moved is None:
            if fresh:
                break  # not even straight up
            inverse, fresh = _identity(size), True
            continue
        new, new_value, new_slope = moved
        moves = [b - a for a, b in zip(at, new, strict=True)]
        bends = [a - b for a, b in zip(slope, new_slope, strict=True)]
        _update(inverse, moves, bends)
        fresh = False
        at, value, slope = new, new_value, new_slope
    return Maximum(at, value, found=max(map(abs, slope)) < 100 * _FLAT)


def _line(
    function: Function, at: list[float], value: float, step: list[float], rise: float
) -> tuple[list[float], float, list[float]] | None:
    """The first of ever shorter steps that goes up enough."""
    length = 1.0
    for _ in range(_MOST_HALVINGS):
        new = [a + length * part for a, part in zip(at, step, strict=True)]
        new_value, new_slope = function(new)
        if isfinite(new_value) and new_value >= value + _ENOUGH * length * rise:
            return new, new_value, new_slope
        length /= 2
    return None


def _update(inverse: list[list[float]], moves: list[float], bends: list[float]) -> None:
    """The BFGS update of the inverse of the curvature; left out where the function does not bend down."""
    size = len(moves)
    curve = sum(m * b for m, b in zip(moves, bends, strict=True))
    if curve <= 0:
        return
    times = [sum(inverse[i][j] * bends[j] for j in range(size)) for i in range(size)]
    scale = (1.0 + sum(b * t for b, t in zip(bends, times, strict=True)) / curve) / curve
    for i in range(size):
        for j in range(size):
            inverse[i][j] += scale * moves[i] * moves[j] - (times[i] * moves[j] + moves[i] * times[j]) / curve


def _identity(size: int) -> list[list[float]]:
    return [[float(i == j) for j in range(size)] for i in range(size)]
