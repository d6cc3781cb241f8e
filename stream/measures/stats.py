"""Sufficient statistics: named vectors of integers that only ever add up.

Everything that is kept per slice and pane is a ``Stats``. Because the vectors are integers and the only
operations are elementwise sums and differences, results are exact and do not depend on the order in which
replies, partitions or panes came together; that is what makes replay after a crash comparable to the digit.
"""

from __future__ import annotations

from operator import add as _plus
from operator import sub as _minus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Stats = dict[str, list[int]]
"""Metric part key -> additive vector. A vector of zeros is left out, so equal content means equal dicts.

Part keys: ``nps`` -> [promoters, passives, detractors]; ``csat`` -> [satisfied, n];
``ces|<min>|<max>|<+ or ->`` -> [n, sum, sum of squares] in the units of :mod:`stream.measures.ces`; so on,
as the class of each metric says. What comes before the first ``|`` is the key's stem. Integers have no bound,
in memory or in JSON: a sum never saturates.
"""

CUSTOMERS: Final = "customers"
"""The one part key that is no sum: a sorted list of distinct 64-bit hashes in cells and partials, joined where
others are added. In the sums of windows it is a summary: [n, 1 if exact else 0, relative error in 1e-4].
"""

Observation = tuple[str, tuple[int, ...]]
"""What one reply adds: (part key, vector)."""


def add(into: Stats, key: str, vec: Sequence[int], times: int = 1) -> None:
    """Add ``times`` (may be negative) copies of ``vec`` to ``into[key]``, in place."""
    old = into.get(key)
    new = [x * times for x in vec] if old is None else [x + y * times for x, y in zip(old, vec, strict=True)]
    if any(new):
        into[key] = new
    elif old is not None:
        del into[key]


def merge(into: Stats, other: Stats) -> None:
    """Add all of ``other`` to ``into``, in place; ``other`` is not touched and shares nothing with it."""
    for key, vec in other.items():
        add(into, key, vec)


def subtract(into: Stats, other: Stats) -> None:
    """Take all of ``other`` out of ``into``, in place; ``other`` is not touched."""
    for key, vec in other.items():
        add(into, key, vec, -1)


def is_empty(stats: Stats) -> bool:
    """Whether there is nothing in it. Holds because vectors of zeros are dropped."""
    return not stats


def plus(left: Stats, right: Stats) -> Stats:
    """Sum as a new dict. Vectors are shared with the operands, so treat all three as frozen."""
    out = left.copy()
    for key, vec in right.items():
        old = out.get(key)
        if old is None:
            out[key] = vec
        else:
            new = [*map(_plus, old, vec)]
            if new[0] or any(new):  # the hot path of windows: the call is mostly saved
                out[key] = new
            else:
                del out[key]
    return out


def minus(left: Stats, right: Stats) -> Stats:
    """Difference as a new dict. Vectors are shared with ``left``, so treat it and the result as frozen."""
    out = left.copy()
    for key, vec in right.items():
        old = out.get(key)
        new = [-x for x in vec] if old is None else [*map(_minus, old, vec)]
        if new[0] or any(new):
            out[key] = new
        elif old is not None:
            del out[key]
    return out


def joined(left: Stats, right: Stats) -> Stats:
    """As ``plus``, with the customers of both, each once."""
    seen = right.get(CUSTOMERS)
    if seen is None:
        return plus(left, right)
    out = plus(left, bare(right))
    out[CUSTOMERS] = sorted({*left.get(CUSTOMERS, ()), *seen})
    return out


def parted(left: Stats, right: Stats) -> Stats:
    """As ``minus``, with the customers that only ``left`` has."""
    out = minus(bare(left), bare(right))
    seen = set(left.get(CUSTOMERS, ())).difference(right.get(CUSTOMERS, ()))
    if seen:
        out[CUSTOMERS] = sorted(seen)
    return out


def bare(stats: Stats) -> Stats:
    """Without the customers: what can be added and taken away. The same object where there are none."""
    if CUSTOMERS not in stats:
        return stats
    out = stats.copy()
    del out[CUSTOMERS]
    return out
