"""The panes of a source, kept instead of published.

Judging, watermark and members are those of ``SourcePanes``. What differs is what is kept: for a file only the
last instant matters, and there a pane is no more than the windows that it is in. So panes that are in the same
windows are one from the start, and nothing has to be made durable.
"""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Final

from stream.measures.distinct import needed
from stream.measures.panes import PaneChanges, PaneConfig, SourcePanes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.measures.slices import Dims, Groupings
    from stream.measures.windows import Windows

#: Batches between two looks at how much is held.
LOOK_EVERY: Final = 32
#: Sums and customers held by dimensions when they are rolled up to slices.
ROLL_UP_FROM: Final = 100_000
#: Customers of a slice that are kept, in multiples of those that are counted exactly, before they are thinned.
THIN_FROM: Final = 16

_CACHED: Final = 100_000
_At = tuple[int, str]  # pane that stands for others, part key
_Vector = tuple[int, ...]


class Alike(dict[int, int | None]):
    """Pane -> the pane that stands for all that are in the same windows at an instant; None: it comes later.

    Args:
        windows: which windows there are; its sums are not looked at.
        instant: number of panes that are final.
    """

    def __init__(self, windows: Windows, instant: int) -> None:
        super().__init__()
        self.instant: Final = instant
        self._windows = windows
        self._first: dict[tuple[int, ...], int] = {}

    def __missing__(self, pane: int) -> int | None:
        if len(self) >= _CACHED:
            self.clear()
        stands = None
        if pane < self.instant:
            stands = self._first.setdefault(self._windows.counting(pane, self.instant), pane)
        self[pane] = stands
        return stands


class _Held:
    """What is held of one combination of dimensions."""

    __slots__ = ("present", "sums")

    def __init__(self) -> None:
        self.sums: dict[_At, _Vector] = {}
        self.present: dict[int, set[int]] = {}  # customers by pane


class Collector(SourcePanes):
    """``SourcePanes`` of a source that is read once, from its beginning to its end, and never restored.

    Args:
        source: topic and partition.
        config: event-time policy.
        groupings: which slices are kept.
        alike: which panes are one.
        capacity: customers that are counted exactly.

    Attributes:
        overflow: the groupings of which some member had to be counted as ``other``.
    """

    def __init__(
        self, source: str, config: PaneConfig, groupings: Groupings, alike: Alike, capacity: int
    ) -> None:
        super().__init__(source, config, groupings)
        self.overflow: Final[set[str]] = set()
        self._alike = alike
        self._capacity = capacity
        self._ends = 0
        # By dimensions, in the order in which they came first: it is that in which members are admitted.
        self._fresh: dict[Dims, _Held] = {}
        # What was looked up last: it mostly serves again, and to hash and compare so many values costs more.
        self._dims: Dims | None = None
        self._held = _Held()
        self._pane = -1
        self._stands: int | None = alike[-1]
        self._sums: dict[tuple[str, ...], dict[_At, _Vector]] = {}
        self._customers: dict[str, dict[int, set[int]]] = {}

    @property
    def newest(self) -> int:
        """Pane of the newest event; -1 before the first."""
        return self._max_time_ms // self._pane_ms

    def begin(self) -> None:
        """Begin a batch; what earlier ones left is rolled up later."""

    def contribute(self, offset: int, time_ms: int, dims: Dims, key: str, vec: _Vector) -> None:  # noqa: ARG002
        """Add up what a record says about any moment."""
        if dims is not self._dims:
            self._turn(dims)
        pane = time_ms // self._pane_ms
        if pane != self._pane:
            self._pane = pane
            self._stands = self._alike[pane]
        stands = self._stands
        if stands is None:
            return
        at = (stands, key)
        sums = self._held.sums
        old = sums.get(at)
        sums[at] = vec if old is None else (*map(add, old, vec),)

    def seen(self, offset: int, time_ms: int, dims: Dims, customer: int) -> None:  # noqa: ARG002
        """Note that a customer was there."""
        if dims is not self._dims:
            self._turn(dims)
        pane = time_ms // self._pane_ms
        if pane != self._pane:
            self._pane = pane
            self._stands = self._alike[pane]
        stands = self._stands
        present = self._held.present
        if stands in present:
            present[stands].add(customer)
        elif stands is not None:
            present[stands] = {customer}

    def end(self, last_offset: int) -> PaneChanges:
        """End a batch. Nothing is to be made durable or published."""
        self.offset = max(self.offset, last_offset)
        self._ends += 1
        if not self._ends % LOOK_EVERY and self._size() > ROLL_UP_FROM:
            self._roll_up()
        return PaneChanges([], [], self._mark(idle=False), ("", b""), [], {})

    def sums(self) -> Iterator[tuple[tuple[str, ...], int, str, _Vector]]:
        """What was contributed: (slice keys, a pane, part key, sum)."""
        self._roll_up()
        for slices, sums in self._sums.items():
            for (pane, key), vec in sums.items():
                yield slices, pane, key, vec

    def customers(self) -> Iterator[tuple[str, dict[int, int]]]:
        """Who was there: (slice key, customers and the newest panes they were in), as far as it is needed."""
        self._roll_up()
        for slice_key, present in self._customers.items():
            yield slice_key, self._thinned(present)

    def _turn(self, dims: Dims) -> None:
        held = self._fresh.get(dims)
        if held is None:
            held = self._fresh[dims] = _Held()
        self._dims = dims
        self._held = held

    def _size(self) -> int:
        return sum(len(held.sums) + sum(map(len, held.present.values())) for held in self._fresh.values())

    def _roll_up(self) -> None:
        """From dimensions to slices."""
        members = self._members
        for dims, held in self._fresh.items():
            slices = members.of(dims)
            _add(self._sums.setdefault(slices, {}), held.sums)
            if members.full:
                self.overflow.update(members.others[key] for key in slices if key in members.others)
            for slice_key in slices if held.present else ():
                customers = self._customers.setdefault(slice_key, {})
                for stands, those in held.present.items():
                    customers.setdefault(stands, set()).update(those)
        self._fresh.clear()
        self._dims = None
        for slice_key, present in self._customers.items():
            if sum(map(len, present.values())) > THIN_FROM * self._capacity:
                kept: dict[int, set[int]] = {}
                for customer, stands in self._thinned(present).items():
                    kept.setdefault(stands, set()).add(customer)
                self._customers[slice_key] = kept

    def _thinned(self, present: dict[int, set[int]]) -> dict[int, int]:
        """The newest pane of each customer, of those that are needed."""
        newest: dict[int, int] = {}
        for stands in sorted(present):
            newest.update(dict.fromkeys(present[stands], stands))
        return needed(newest, self._capacity)


def _add(into: dict[_At, _Vector], sums: dict[_At, _Vector]) -> None:
    held = into.get
    for at, vec in sums.items():
        old = held(at)
        into[at] = vec if old is None else (*map(add, old, vec),)
