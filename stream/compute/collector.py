"""The panes of a source, kept instead of published.

Judging, watermark and members are those of ``SourcePanes``. What differs is the end of a batch: nothing has to
be made durable, so sums are rolled up once in a while, by distinct sets of slices, and a pane that has left a
window's reach is joined with its neighbours, as coarsely as the windows that still cover it allow.
"""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Final

from stream.measures.panes import PaneChanges, PaneConfig, SourcePanes
from stream.measures.stats import CUSTOMERS, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.measures.slices import Dims, Groupings
    from stream.measures.windows import WindowConfig

#: Batches between two roll-ups: bounds what is held by event instead of by pane.
GATHER_EVERY: Final = 32
#: Sums held before panes are joined for the first time; then whenever they have doubled.
JOIN_FROM: Final = 50_000

_At = tuple[int, str]  # pane, part key


class Collector(SourcePanes):
    """``SourcePanes`` of a source that is read once, from its beginning to its end, and never restored.

    Args:
        source: topic and partition.
        config: event-time policy.
        groupings: which slices are kept.
        windows: what the sums are for.

    Attributes:
        overflow: observations counted in an ``other`` member, by grouping; complete after ``cells``.
    """

    def __init__(self, source: str, config: PaneConfig, groupings: Groupings, windows: WindowConfig) -> None:
        super().__init__(source, config, groupings)
        self._windows = windows
        self.overflow: Final = self._overflow
        self._ends = 0
        self._join_at = JOIN_FROM
        self._sums: dict[tuple[str, ...], dict[_At, list[int]]] = {}
        self._held = 0  # sums in it
        self._newest_of: dict[Dims, dict[int, int]] = {}  # customer -> newest pane
        self._customers: dict[str, dict[int, int]] = {}  # the same by slice

    @property
    def newest(self) -> int:
        """Pane of the newest event; -1 before the first."""
        return self._max_time_ms // self._pane_ms

    def begin(self) -> None:
        """Begin a batch; what earlier ones left is still to be rolled up."""

    def seen(self, offset: int, time_ms: int, dims: Dims, customer: int) -> None:  # noqa: ARG002
        """Note that a customer was there. Only the newest pane counts: all windows end together."""
        panes = self._newest_of.get(dims)
        if panes is None:
            self._batch.setdefault(dims, {})  # keeps the order in which members are admitted
            self._newest_of[dims] = panes = {}
        pane = time_ms // self._pane_ms
        if panes.get(customer, -1) < pane:
            panes[customer] = pane

    def end(self, last_offset: int) -> PaneChanges:
        """End a batch. Nothing is to be made durable or published."""
        self.offset = max(self.offset, last_offset)
        self._ends += 1
        if not self._ends % GATHER_EVERY:
            self._roll_up()
            if self._held > self._join_at:
                self._join()
                self._join_at = max(JOIN_FROM, 2 * self._held)
        return PaneChanges([], [], self._mark(idle=False), ("", b""), [], {})

    def cells(self) -> Iterator[tuple[str, int, Stats]]:
        """(slice key, pane, sums) of all there is, each slice and pane once; the source is at its end."""
        self._roll_up()
        self._join()
        by_slice: dict[str, dict[int, Stats]] = {}
        for slices, sums in self._sums.items():
            for slice_key in slices:
                panes = by_slice.setdefault(slice_key, {})
                for (pane, key), vec in sums.items():
                    stats = panes.setdefault(pane, {})
                    old = stats.get(key)
                    stats[key] = vec if old is None else [*map(add, old, vec)]
        for slice_key, customers in self._customers.items():
            panes = by_slice.setdefault(slice_key, {})
            there: dict[int, list[int]] = {}
            for customer, pane in customers.items():
                there.setdefault(pane, []).append(customer)
            for pane, those in there.items():
                panes.setdefault(pane, {})[CUSTOMERS] = sorted(those)
        for slice_key, panes in by_slice.items():
            for pane, stats in panes.items():
                yield slice_key, pane, {key: vec for key, vec in stats.items() if any(vec)}

    def _roll_up(self) -> None:
        """From what came since to sums by set of slices."""
        members = self._members
        for dims, counts in self._batch.items():
            slices = members.of(dims)
            sums = self._sums.setdefault(slices, {})
            for (_, pane, key, vec), times in counts.items():
                at = (pane, key)
                old = sums.get(at)
                if old is None:
                    self._held += 1
                    sums[at] = [x * times for x in vec]
                elif times == 1:
                    sums[at] = [*map(add, old, vec)]
                else:
                    sums[at] = [x + times * y for x, y in zip(old, vec, strict=True)]
            if members.full:
                for slice_key in slices:
                    grouping = members.others.get(slice_key)
                    if grouping is not None:
                        held = self._overflow.get(grouping, 0)
                        self._overflow[grouping] = held + sum(counts.values())
            for slice_key in slices if dims in self._newest_of else ():
                _take_newer(self._customers.setdefault(slice_key, {}), self._newest_of[dims])
        self._batch.clear()
        self._newest_of.clear()

    def _join(self) -> None:
        """Join the panes that no window will tell apart any more."""
        newest = self.newest
        joins = {
            pane: coarse(self._windows, pane, newest)
            for pane in {pane for sums in self._sums.values() for pane, _ in sums}
        }
        self._held = 0
        for slices, sums in self._sums.items():
            joined: dict[_At, list[int]] = {}
            for (pane, key), vec in sums.items():
                at = (joins[pane], key)
                old = joined.get(at)
                joined[at] = vec if old is None else [*map(add, old, vec)]
            self._sums[slices] = joined
            self._held += len(joined)


def coarse(windows: WindowConfig, pane: int, newest: int) -> int:
    """The first of the panes with which ``pane`` may be joined, now that ``newest`` has begun.

    Those of the finest tier that has a window which covers it still, or will once more: windows only move on.
    Spans are not joined across their ends.
    """
    pane_ms = windows.pane_ms
    found = 0
    for tier_ms in windows.tiers:
        first_ms = pane * pane_ms // tier_ms * tier_ms
        if any(
            first_ms + w.length_ms + max(w.shifts_ms, default=0) > newest * pane_ms
            for w in windows.windows
            if w.tier_ms == tier_ms
        ):
            found = first_ms // pane_ms
            break
    for span in windows.spans:
        for edge_ms in (span.since_ms, span.until_ms):
            edge = None if edge_ms is None else -(-edge_ms // pane_ms)
            if edge is not None and edge <= pane:
                found = max(found, edge)
    return found


def _take_newer(into: dict[int, int], panes: dict[int, int]) -> None:
    held = into.get
    into.update({customer: pane for customer, pane in panes.items() if held(customer, -1) < pane})
