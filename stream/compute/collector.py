"""The panes of a source, kept instead of published.

Judging, watermark and members are those of ``SourcePanes``. What differs is the end of a batch: nothing has to
be made durable, so sums stay with their dimensions and are rolled up to slices once in a while. Panes that no
window will tell apart any more are joined then; at the end, when the last instant is known, hardly any are left.
"""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Final

from stream.measures.distinct import needed
from stream.measures.panes import PaneChanges, PaneConfig, SourcePanes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.measures.slices import Dims, Groupings
    from stream.measures.windows import WindowConfig, Windows

#: Batches between two looks at how much is held.
LOOK_EVERY: Final = 32
#: Sums held when they are rolled up for the first time; then whenever there are twice as many as were left.
ROLL_UP_FROM: Final = 100_000

_At = tuple[int, str]  # pane, part key
_Vector = tuple[int, ...]


class Collector(SourcePanes):
    """``SourcePanes`` of a source that is read once, from its beginning to its end, and never restored.

    Args:
        source: topic and partition.
        config: event-time policy.
        groupings: which slices are kept.
        windows: what the sums are for.

    Attributes:
        overflow: the groupings of which some member had to be counted as ``other``.
    """

    def __init__(self, source: str, config: PaneConfig, groupings: Groupings, windows: WindowConfig) -> None:
        super().__init__(source, config, groupings)
        self.overflow: Final[set[str]] = set()
        self._windows = windows
        self._ends = 0
        self._roll_up_at = ROLL_UP_FROM
        # By dims, in the order in which they came first: it is the order in which members are admitted.
        self._fresh: dict[Dims, dict[_At, _Vector]] = {}
        self._present: dict[Dims, dict[int, int]] = {}  # customer -> newest pane
        self._sums: dict[tuple[str, ...], dict[_At, _Vector]] = {}
        self._customers: dict[str, dict[int, int]] = {}

    @property
    def newest(self) -> int:
        """Pane of the newest event; -1 before the first."""
        return self._max_time_ms // self._pane_ms

    def begin(self) -> None:
        """Begin a batch; what earlier ones left is rolled up later."""

    def contribute(self, offset: int, time_ms: int, dims: Dims, key: str, vec: _Vector) -> None:  # noqa: ARG002
        """Add up what a record says about any moment."""
        at = (time_ms // self._pane_ms, key)
        sums = self._fresh.get(dims)
        if sums is None:
            self._fresh[dims] = {at: vec}
            return
        old = sums.get(at)
        sums[at] = vec if old is None else (*map(add, old, vec),)

    def seen(self, offset: int, time_ms: int, dims: Dims, customer: int) -> None:  # noqa: ARG002
        """Note that a customer was there. Only the newest pane counts: all windows end together."""
        panes = self._present.get(dims)
        if panes is None:
            self._present[dims] = panes = {}
            self._fresh.setdefault(dims, {})
        pane = time_ms // self._pane_ms
        if panes.get(customer, -1) < pane:
            panes[customer] = pane

    def end(self, last_offset: int) -> PaneChanges:
        """End a batch. Nothing is to be made durable or published."""
        self.offset = max(self.offset, last_offset)
        self._ends += 1
        if not self._ends % LOOK_EVERY and self._held() > self._roll_up_at:
            newest = self.newest
            self._roll_up_by({pane: coarse(self._windows, pane, newest) for pane in self._panes()})
            self._roll_up_at = max(ROLL_UP_FROM, 2 * self._held())
        return PaneChanges([], [], self._mark(idle=False), ("", b""), [], {})

    def finish(self, windows: Windows, instant: int) -> None:
        """Roll everything up: every pane now counts in the windows that it is in at the instant, or in none."""
        alike: dict[tuple[int, ...], int] = {}
        panes = [pane for pane in self._panes() if pane < instant]
        self._roll_up_by({pane: alike.setdefault(windows.counting(pane, instant), pane) for pane in panes})

    def sums(self) -> Iterator[tuple[tuple[str, ...], int, str, _Vector]]:
        """What ``finish`` left: (slice keys, a pane, part key, sum)."""
        for slices, sums in self._sums.items():
            for (pane, key), vec in sums.items():
                yield slices, pane, key, vec

    def customers(self) -> Iterator[tuple[str, dict[int, int]]]:
        """What ``finish`` left: (slice key, customers with their newest panes), as far as they are needed."""
        for slice_key, customers in self._customers.items():
            yield slice_key, needed(customers, self._windows.customers)

    def _panes(self) -> set[int]:
        held = (*self._fresh.values(), *self._sums.values())
        return {pane for sums in held for pane, _ in sums}

    def _held(self) -> int:
        sums = sum(map(len, self._fresh.values())) + sum(map(len, self._sums.values()))
        return sums + sum(map(len, self._present.values()))

    def _roll_up_by(self, joins: dict[int, int]) -> None:
        """From dimensions to slices, and from panes to the panes that stand for them; others are left out."""
        members = self._members
        before, self._sums = self._sums, {}
        for slices, sums in before.items():
            _join(self._sums.setdefault(slices, {}), sums, joins)
        for dims, sums in self._fresh.items():
            slices = members.of(dims)
            _join(self._sums.setdefault(slices, {}), sums, joins)
            if members.full:
                self.overflow.update(members.others[key] for key in slices if key in members.others)
            present = self._present.get(dims)
            if present is not None:
                for slice_key in slices:
                    _take_newer(self._customers.setdefault(slice_key, {}), present)
        self._fresh.clear()
        self._present.clear()
        most = 16 * self._windows.customers
        for slice_key, customers in self._customers.items():
            if len(customers) > most:
                self._customers[slice_key] = needed(customers, self._windows.customers)


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


def _join(into: dict[_At, _Vector], sums: dict[_At, _Vector], joins: dict[int, int]) -> None:
    held = into.get
    for (pane, key), vec in sums.items():
        stands = joins.get(pane)
        if stands is None:
            continue
        at = (stands, key)
        old = held(at)
        into[at] = vec if old is None else (*map(add, old, vec),)


def _take_newer(into: dict[int, int], panes: dict[int, int]) -> None:
    held = into.get
    into.update({customer: pane for customer, pane in panes.items() if held(customer, -1) < pane})
