"""Windows that only take in: everything since the beginning, and spans between two moments.

A total is kept as a single pane that never leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.plans import EVER, Span, WindowConfig
from stream.measures.stats import CUSTOMERS, Stats, plus
from stream.measures.stores import Store, Sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.measures.packing import Packing

_PANE: Final = 0


class Total:
    """Sums of some part keys over all panes of a range.

    Args:
        name: Of the window.
        prefix: What the table keys begin with.
        packing: The layouts of the owner's slices.
        stems: Of the part keys that are kept. Customers cannot be.
        first: First finest pane.
        end: Finest pane before which it ends; None: never.
        span: Which slices; None for all.

    Attributes:
        store: The packed sums, in the pane 0.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        packing: Packing,
        stems: tuple[str, ...],
        first: int,
        end: int | None,
        span: Span | None,
    ) -> None:
        self.name: Final = name
        self.store: Final = Store(f"{prefix}{name}|", Sums(packing))
        self._packing: Final = packing
        self._stems: Final = frozenset(stems) - {CUSTOMERS}
        self._first: Final = first
        self._end: Final = end
        self._span: Final = span
        self._keys: dict[str, bool] = {}  # part key -> whether it is kept
        self._slices: dict[str, bool] = {}  # slice -> whether it is covered

    def fold(self, pane: int, arrived: Mapping[str, Stats], changed: set[str]) -> None:
        """Take in what became known about a finest pane."""
        if self.covers(pane):
            changed.update(self.put(arrived))

    def put(self, arrived: Mapping[str, Stats]) -> Iterable[str]:
        """Take in what is known of panes that it covers; returns the slices that changed."""
        kept = {
            key: self._packing.pack(key, news)
            for key, stats in arrived.items()
            if self._takes(key) and (news := self.of(stats))
        }
        if kept:
            self.store.add(_PANE, kept)
        return kept

    def covers(self, pane: int) -> bool:
        """Whether the finest pane lies in it."""
        return pane >= self._first and (self._end is None or pane < self._end)

    def add(self, slice_key: str, stats: Stats, pane: int, more: Stats) -> Stats:
        """``stats`` with what ``more`` says of a finest pane of the slice."""
        return plus(stats, self.of(more)) if self.covers(pane) and self._takes(slice_key) else stats

    def of(self, stats: Stats) -> Stats:
        """What is kept of it."""
        return {key: vec for key, vec in stats.items() if self._keeps(key)}

    def base(self) -> Mapping[str, int]:
        """Packed sums by slice."""
        return self.store.at(_PANE)

    def _takes(self, slice_key: str) -> bool:
        if self._span is None:
            return True
        known = self._slices.get(slice_key)
        if known is None:
            known = self._slices[slice_key] = self._span.covers(slice_key)
        return known

    def _keeps(self, key: str) -> bool:
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = key.partition("|")[0] in self._stems
        return known


def totals(config: WindowConfig, prefix: str, packing: Packing) -> tuple[Total, ...]:
    """All windows of a configuration that only take in, in the order in which they are published."""
    found = [Total(EVER, prefix, packing, config.ever, 0, None, None)] if config.ever else []
    for span in config.spans:
        end = None if span.until_ms is None else -(-span.until_ms // config.pane_ms)
        first = -(-span.since_ms // config.pane_ms)
        found.append(Total(span.name, prefix, packing, span.stems, first, end, span))
    return tuple(found)
