"""Distinct customers of every slice: on the way through the panes, and counted in the windows.

Panes hold the hashes of their customers, above ``capacity`` only a sample of one level: those that begin with l
zero bits, where l is the smallest number that leaves at most ``capacity``. Samples of parts, joined, give the
sample of the whole. A window that covers the pane has more than ``capacity`` at every lower level too, so what
the sample left out is never asked for, and ``Distinct`` counts the same from samples as from all customers.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream.measures.distinct import BITS, Distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream.measures.distinct import Count
    from stream.measures.plans import WindowConfig

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[int, list[int]]).decode


class Sample(NamedTuple):
    """Customers of a pane: all whose hash begins with ``level`` zero bits, sorted."""

    level: int
    customers: array[int]


class Samples:
    """Samples of at most ``capacity`` customers. Implements ``Codec``."""

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity

    def of(self, customers: Iterable[int], level: int = 0) -> Sample:
        """The sample of all customers that qualify for ``level``; of others there may be some."""
        seen = {customer for customer in customers if customer >> (BITS - level) == 0}
        while len(seen) > self._capacity:
            level += 1
            seen = {customer for customer in seen if customer >> (BITS - level) == 0}
        return Sample(level, array("Q", sorted(seen)))

    def join(self, held: Sample, news: Sample) -> Sample:
        """The sample of both."""
        return self.of((*held.customers, *news.customers), max(held.level, news.level))

    def encode(self, slice_key: str, value: Sample) -> bytes:
        """As JSON [level, [hash, ...]]."""
        return _encode((value.level, list(value.customers)))

    def decode(self, slice_key: str, data: bytes) -> Sample:
        """Back from JSON."""
        return self.of(*reversed(_decode(data)))


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
        self._at = -1  # the instant of what follows: it is the same for all slices
        self._of_windows: list[tuple[str, int]] = []
        self._longest = 0

    def add(self, pane: int, arrived: Mapping[str, Sample]) -> None:
        """Note the customers of a finest pane, or of a longer one by the finest pane with which it begins."""
        for slice_key, sample in arrived.items():
            distinct = self._slices.get(slice_key)
            if distinct is None:
                distinct = self._slices[slice_key] = Distinct(self._capacity)
            for customer in sample.customers:
                distinct.add(customer, pane)
            if sample.level:
                distinct.lose(sample.level, pane)

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
        firsts, longest = self._firsts(frontier)
        distinct.forget(longest)
        if not distinct:
            self._slices.pop(slice_key, None)
        found = {}
        end = max(end, frontier)
        for name, first in firsts:
            more = [customer for pane, seen in also if pane >= first for customer in seen] if also else ()
            count = distinct.count(first, end, more)
            if count.n:
                found[name] = summary(count)
        return found

    def slices(self) -> set[str]:
        """Slices in which a customer was seen."""
        return set(self._slices)

    def _firsts(self, frontier: int) -> tuple[list[tuple[str, int]], int]:
        """Window -> the first finest pane that it covers at an instant, and the earliest of them."""
        if self._at != frontier:
            self._at = frontier
            now_ms = frontier * self._pane_ms
            starts = [(w.name, -(-now_ms // w.tier_ms) * w.tier_ms - w.length_ms) for w in self._windows]
            self._of_windows = [(name, max(start_ms // self._pane_ms, 0)) for name, start_ms in starts]
            self._longest = min(first for _, first in self._of_windows)
        return self._of_windows, self._longest


def summary(count: Count) -> list[int]:
    """[n, 1 if exact else 0, relative error in 1e-4]."""
    return [count.n, 1, 0] if count.exact else [count.n, 0, round(count.relative_error * 10_000)]
