"""The panes of a source that is read once: handed over as sums, and never made durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.intake import partition_of
from stream.measures.panes import PaneChanges, PaneConfig, SourcePanes
from stream.measures.partials import ALONE, Owners
from stream.measures.stats import CUSTOMERS, Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.measures.slices import Groupings

Cells = dict[int, dict[int, dict[str, Stats]]]
"""known -> pane -> slice key -> sums over all sources."""

News = list[Cells]
"""Of each metrics partition, what becomes known in its slices."""


class Homes(dict[str, int]):
    """Slice key -> the metrics partition that it belongs to, as the agents' producer has it.

    Args:
        partitions: how many there are.
        owners: which slices belong together.
    """

    def __init__(self, partitions: int, owners: Owners = ALONE) -> None:
        super().__init__()
        self._partitions = partitions
        self._owners = owners

    def __missing__(self, slice_key: str) -> int:
        self[slice_key] = home = partition_of(self._owners.key(slice_key).encode(), self._partitions)
        return home


class Kept(SourcePanes):
    """``SourcePanes`` of a source that is read from its beginning to its end, and never restored.

    Judging, watermark, members, and when what becomes known are those of ``SourcePanes``.

    Args:
        source: topic and partition.
        config: event-time policy.
        groupings: which slices are kept.

    Attributes:
        oldest_ms: time of the first event; None before it.
    """

    def __init__(self, source: str, config: PaneConfig, groupings: Groupings) -> None:
        super().__init__(source, config, groupings)
        self.oldest_ms: int | None = None

    @property
    def newest(self) -> int:
        """Pane of the newest event; -1 before the first."""
        return self._max_time_ms // self._pane_ms

    def begin(self) -> None:
        """Begin a batch; what earlier ones left is handed over later."""

    def end(self, last_offset: int) -> PaneChanges:
        """End a batch. Nothing is to be made durable or published."""
        self.offset = max(self.offset, last_offset)
        return PaneChanges([], [], self._mark(idle=False), ("", b""), [], {})

    def hand_over(self, news: News, homes: Homes) -> None:
        """Add what came since last asked to ``news``."""
        members = self._members
        places: dict[str, Cells]
        for dims, counts in self._batch.items():
            slices = members.of(dims)
            places = {slice_key: news[homes[slice_key]] for slice_key in slices}
            for (known, pane, key, vec), times in counts.items():
                for slice_key, cells in places.items():
                    _add(_stats(cells, known, pane, slice_key), key, vec, times)
            for (known, pane), customers in self._seen.pop(dims, {}).items():
                for slice_key, cells in places.items():
                    stats = _stats(cells, known, pane, slice_key)
                    stats[CUSTOMERS] = sorted(customers.union(stats.get(CUSTOMERS, ())))
        self._batch.clear()

    def _move(self, newest_ms: int) -> None:
        if self.oldest_ms is None:
            self.oldest_ms = newest_ms
        super()._move(newest_ms)


def join(into: Cells, cells: Cells) -> None:
    """Add cells to others; they are not to be used any more."""
    for known, panes in cells.items():
        held = into.setdefault(known, panes)
        if held is panes:
            continue
        for pane, slices in panes.items():
            for slice_key, stats in slices.items():
                sums = _stats(into, known, pane, slice_key)
                for key, vec in stats.items():
                    if key == CUSTOMERS:
                        sums[CUSTOMERS] = sorted({*vec, *sums.get(CUSTOMERS, ())})
                    else:
                        _add(sums, key, vec, 1)


def _stats(cells: Cells, known: int, pane: int, slice_key: str) -> Stats:
    panes = cells.get(known)
    if panes is None:
        cells[known] = panes = {}
    slices = panes.get(pane)
    if slices is None:
        panes[pane] = slices = {}
    stats = slices.get(slice_key)
    if stats is None:
        slices[slice_key] = stats = {}
    return stats


def _add(stats: Stats, key: str, vec: Sequence[int], times: int) -> None:
    old = stats.get(key)
    if old is None:
        stats[key] = [x * times for x in vec]
        return
    for place, x in enumerate(vec):
        old[place] += x * times
    if not (old[0] or any(old)):
        del stats[key]
