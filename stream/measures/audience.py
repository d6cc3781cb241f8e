"""Distinct customers of every slice: on the way through the panes, and counted in the windows.

Panes hold the hashes of their customers, above ``capacity`` only a sample of one level: those that begin with l
zero bits, where l is the smallest number that leaves at most ``capacity``. Samples of parts, joined, give the
sample of the whole. A window that covers the pane has more than ``capacity`` at every lower level too, so what
the sample left out is never asked for, and ``Distinct`` counts the same from samples as from all customers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.distinct import BITS, Distinct
from stream.measures.stats import CUSTOMERS, CUSTOMERS_LEVEL, Stats, bare, joined, plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream.measures.distinct import Count
    from stream.measures.plans import WindowConfig

_ALL: Final = (0,)


def sampled(stats: Stats, capacity: int) -> Stats:
    """The same with at most ``capacity`` customers; the same object where there are no more."""
    seen = stats.get(CUSTOMERS, ())
    if len(seen) <= capacity:
        return stats
    (level,) = stats.get(CUSTOMERS_LEVEL, _ALL)
    while len(seen) > capacity:
        level += 1
        seen = [customer for customer in seen if customer >> (BITS - level) == 0]
    return stats | {CUSTOMERS: list(seen), CUSTOMERS_LEVEL: [level]}


def joiner(capacity: int) -> Callable[[Stats, Stats], Stats]:
    """How panes are put together: as ``joined``, with at most ``capacity`` customers of one level."""

    def together(left: Stats, right: Stats) -> Stats:
        if CUSTOMERS not in right:
            return plus(left, right)
        (one,), (other,) = left.get(CUSTOMERS_LEVEL, _ALL), right.get(CUSTOMERS_LEVEL, _ALL)
        out = joined(left, right)
        level = max(one, other)
        if level:
            out[CUSTOMERS_LEVEL] = [level]
            out[CUSTOMERS] = [c for c in out[CUSTOMERS] if c >> (BITS - level) == 0]
        return sampled(out, capacity)

    return together if capacity else _without


def _without(left: Stats, right: Stats) -> Stats:
    return plus(left, bare(right))


class Audience:
    """The customers in the windows of every slice. Of rolling windows only.

    Args:
        config: The windows, and the number up to which they are counted exactly; 0: not at all.
    """

    def __init__(self, config: WindowConfig) -> None:
        self._pane_ms: Final = config.pane_ms
        self._capacity: Final = config.customers
        self._windows: Final = tuple(window for window in config.windows if not window.shifts_ms)
        self._slices: dict[str, Distinct] = {}

    def add(self, pane: int, arrived: Mapping[str, Stats]) -> None:
        """Note the customers of a finest pane, or of a longer one by the finest pane with which it begins."""
        for slice_key, stats in arrived.items():
            seen = stats.get(CUSTOMERS)
            if seen is None:
                continue
            distinct = self._slices.get(slice_key)
            if distinct is None:
                distinct = self._slices[slice_key] = Distinct(self._capacity)
            for customer in seen:
                distinct.add(customer, pane)
            if CUSTOMERS_LEVEL in stats:
                distinct.lose(stats[CUSTOMERS_LEVEL][0], pane)

    def fill(self, slice_key: str, panes: Mapping[int, int]) -> None:
        """Note all customers of a slice at once, hash -> newest finest pane; only while it has none."""
        self._slices[slice_key] = Distinct.of(self._capacity, panes)

    def counts(
        self, slice_key: str, frontier: int, end: int = -1, also: Sequence[tuple[int, Iterable[int]]] = ()
    ) -> dict[str, list[int]]:
        """Window -> [n, 1 if exact else 0, relative error in 1e-4] at an instant; windows without any left out.

        Args:
            slice_key: Slice.
            frontier: The instant; every call lets go of what is older than its longest window.
            end: Up to where ``also`` goes, if beyond the instant.
            also: (finest pane, customers) of what is not added yet.
        """
        distinct = self._slices.get(slice_key)
        if distinct is None:
            if not also:
                return {}
            distinct = Distinct(self._capacity)
        firsts = {
            window.name: self._first(window.length_ms, window.tier_ms, frontier) for window in self._windows
        }
        distinct.forget(min(firsts.values()))
        if not distinct:
            self._slices.pop(slice_key, None)
        found = {}
        for name, first in firsts.items():
            more = [customer for pane, seen in also if pane >= first for customer in seen]
            count = distinct.count(first, max(end, frontier), more)
            if count.n:
                found[name] = summary(count)
        return found

    def slices(self) -> set[str]:
        """Slices in which a customer was seen."""
        return set(self._slices)

    def _first(self, length_ms: int, tier_ms: int, frontier: int) -> int:
        aligned = -(-frontier * self._pane_ms // tier_ms) * tier_ms
        return max((aligned - length_ms) // self._pane_ms, 0)


def summary(count: Count) -> list[int]:
    """[n, 1 if exact else 0, relative error in 1e-4]."""
    return [count.n, int(count.exact), round(count.relative_error * 10_000)]
