"""The source side: what one source topic-partition knows, pane by pane.

A reply of pane p that arrives while panes below w are closed (w from the partition's own watermark, before
this record) goes to the cell (slice, pane p, known max(p, w)). ``known == pane`` is on time, ``known > pane``
late. Both depend on the log before the record and on nothing else, so cells do not depend on how the log was
cut into batches. A cell with ``known`` below the watermark pane is closed: nothing can reach it any more.

A contribution is what a record says about another moment than its own: a retraction in a pane long closed, an
abandoned cart at its deadline. It is known by the same rule, and moves no watermark.

Exactness over a crash. ``end`` returns what is to be made durable: first the cells (and admitted members), in
any order, and the partials and the mark; last of all the source entry {offset, newest event time}, which says
that everything up to that offset is in. After a crash the caller replays from the source entry's offset. A
cell may then be ahead of it, by its own stamp; records up to that stamp are not added to it again, and it is
published once more. Closed cells are deleted one batch later, when the source entry that closed them is
durable; cells that opened and closed inside one batch are never written at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.measures.partials import NOTHING_YET, Mark, Partial
from stream.measures.stats import CUSTOMERS, Stats, add

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.measures.slices import Dims, Groupings
    from stream.measures.stats import Observation

OK: Final = "ok"
TOO_LATE: Final = "too_late"
TOO_EARLY: Final = "too_early"

_NEVER: Final = -1
_At = tuple[int, int, str, tuple[int, ...]]  # known, pane, part key, vector
_encode: Final = msgspec.json.Encoder().encode
_decode_cell: Final = msgspec.json.Decoder(tuple[int, Stats]).decode
_decode_source: Final = msgspec.json.Decoder(tuple[int, int]).decode


class PaneConfig(msgspec.Struct, frozen=True):
    """Event-time policy of a source, all in milliseconds.

    Attributes:
        pane_ms: Length of a pane.
        lateness_ms: How far the watermark trails the newest event.
        late_horizon_ms: Events further than this behind the watermark are ``too_late``.
        max_ahead_ms: Events further than this ahead of their record are ``too_early``.
    """

    pane_ms: int = 10_000
    lateness_ms: int = 10_000
    late_horizon_ms: int = 24 * 3600 * 1000
    max_ahead_ms: int = 5 * 60 * 1000


class Cell(msgspec.Struct, gc=False):
    """Sums of one (slice, pane, known).

    Attributes:
        stats: Sufficient statistics; empty where what came was taken back.
        seen: Hashes of the customers seen, published as the key ``customers``; None for none.
        offset: All records up to this source offset are in; -1 while only in memory.
        durable: Whether the table holds it.
    """

    stats: Stats
    seen: set[int] | None = None
    offset: int = _NEVER
    durable: bool = False

    def note(self, customers: set[int]) -> None:
        """Join these customers to those seen."""
        self.seen = customers.copy() if self.seen is None else self.seen | customers

    def encoded(self) -> bytes:
        """The sums, and the customers in order, as compact JSON."""
        return _encode(self.stats if self.seen is None else self.stats | {CUSTOMERS: sorted(self.seen)})


class PaneChanges(msgspec.Struct, frozen=True):
    """What one batch changed, in the order in which it is to be made durable.

    Attributes:
        cells: Table (key, value) to write, before ``source``, in any order.
        partials: To publish before ``source``.
        mark: To publish after the partials, to every partition of the topic.
        source: Table (key, value) to write when all of the above is acknowledged.
        closed: Table keys to delete, at any moment: an earlier source entry has closed them.
        overflow: Observations of this batch counted in an ``other`` member, by grouping.
    """

    cells: list[tuple[str, bytes]]
    partials: list[Partial]
    mark: Mark
    source: tuple[str, bytes]
    closed: list[str]
    overflow: dict[str, int]


def source_of(key: str) -> str:
    """The source that a table key belongs to."""
    return key.split("|", 1)[0]


class SourcePanes:
    """The cells of one source topic-partition. Pure: no clock, no I/O.

    Use: ``restore`` every table entry, ``ready``; then per batch ``begin``, per record beyond ``offset``
    ``judge`` and ``add``, and ``end``.

    Args:
        source: Topic and partition, ``cx.replies/3``; must not contain ``|``.
        config: Event-time policy.
        groupings: Which slices are kept.

    Attributes:
        offset: Last source offset wholly in; -1 at first. Skip records up to it.
        floor_ms: Events older than this are too late; for callers that judge inline.
    """

    def __init__(self, source: str, config: PaneConfig, groupings: Groupings) -> None:
        if "|" in source:
            raise ValueError("a source name must not contain '|'")
        self.source: Final = source
        self.offset = _NEVER
        self.floor_ms = 0
        self._config = config
        self._pane_ms = config.pane_ms
        self._max_ahead_ms = config.max_ahead_ms
        self._trail_ms = config.lateness_ms + config.late_horizon_ms
        self._members = groupings.tracker()
        self._max_time_ms = _NEVER
        self._closed = NOTHING_YET  # the watermark pane
        self._next_close_ms = 0  # an event of this time or later closes another pane
        self._cells: dict[int, dict[tuple[int, str], Cell]] = {}  # known -> (pane, slice)
        # Counts of equal observations, by dims first: its order is the order in which members are admitted.
        self._batch: dict[Dims, dict[_At, int]] = {}
        self._seen: dict[Dims, dict[tuple[int, int], set[int]]] = {}  # customers by (known, pane)
        self._touched: dict[tuple[int, int, str], Cell] = {}  # (known, pane, slice)
        self._delete: list[str] = []
        self._overflow: dict[str, int] = {}
        self._replay_until = _NEVER  # some restored cell holds records up to here

    def restore(self, key: str, value: bytes | None) -> None:
        """Take back the final entry of one key, keys in any order; None (deleted) is ignored.

        Raises:
            ValueError: The key is none of this source's.
        """
        if value is None:
            return
        source, kind, *rest = key.split("|", 4)
        if source != self.source:
            raise ValueError("the table entry belongs to another source")
        if kind == "s":
            self.offset, newest = _decode_source(value)
            if newest >= 0:
                self._move(newest)
        elif kind == "m":
            self._members.restore(key.split("|", 2)[2])
        elif kind == "c":
            known, pane, slice_key = rest
            offset, stats = _decode_cell(value)
            seen = stats.pop(CUSTOMERS, None)
            cell = Cell(stats, None if seen is None else set(seen), offset, durable=True)
            self._cells.setdefault(int(known), {})[int(pane), slice_key] = cell
        else:
            raise ValueError("the table entry is of no known kind")

    def ready(self) -> None:
        """All entries are back: find what was cut short."""
        self._close_cells()
        for known, cells in self._cells.items():
            for (pane, slice_key), cell in cells.items():
                if cell.offset > self.offset:
                    self._touched[known, pane, slice_key] = cell
                    self._replay_until = max(self._replay_until, cell.offset)

    @property
    def panes_closed(self) -> int:
        """The watermark pane: panes below it are closed here; -1 before the first event."""
        return self._closed

    @property
    def watermark_ms(self) -> int | None:
        """Newest event time less the lateness; None before the first event."""
        return None if self._max_time_ms == _NEVER else self._max_time_ms - self._config.lateness_ms

    def judge(self, time_ms: int, record_ts_ms: int) -> str:
        """``ok``, ``too_late`` or ``too_early`` of an event time, at this point of the log; moves nothing.

        Times before 1970 are too late. A negative record time (the broker has none) is not compared.
        """
        if time_ms < self.floor_ms:
            return TOO_LATE
        if time_ms > record_ts_ms + self._max_ahead_ms and record_ts_ms >= 0:
            return TOO_EARLY
        return OK

    def begin(self) -> None:
        """Begin a batch. What an abandoned batch left behind cannot be undone: restore instead.

        Raises:
            RuntimeError: The batch before was not ended.
        """
        if self._batch:
            raise RuntimeError("the batch before was not ended: restore from the table")

    def add(self, offset: int, time_ms: int, dims: Dims, key: str | None, vec: tuple[int, ...]) -> None:
        """Fold one accepted record; offsets rise. ``key`` None: it only moves the watermark."""
        if time_ms > self._max_time_ms:
            # The record that moves the watermark is never itself late, so moving first is the same.
            if time_ms >= self._next_close_ms:
                self._move(time_ms)
            else:
                self._max_time_ms = time_ms
                floor_ms = time_ms - self._trail_ms
                if floor_ms > self.floor_ms:  # noqa: PLR1730 - the hot path: a call costs more
                    self.floor_ms = floor_ms
        if key is not None:
            self.contribute(offset, time_ms, dims, key, vec)

    def contribute(self, offset: int, time_ms: int, dims: Dims, key: str, vec: tuple[int, ...]) -> None:
        """Fold what a record says about any moment; the watermark stays. After the record's own ``add``.

        Args:
            offset: Of the record that says so.
            time_ms: The moment, from 1970 on; may be far behind the watermark, or ahead of every event.
            dims: Where it counts.
            key: Part key.
            vec: Additive vector; negative to take back.
        """
        pane = time_ms // self._pane_ms
        closed = self._closed
        known = pane if pane > closed else closed  # noqa: FURB136 - the hot path: a call costs more
        if offset <= self._replay_until:
            self._add_again(offset, dims, (known, pane, key, vec))
            return
        at = (known, pane, key, vec)
        counts = self._batch.get(dims)
        if counts is None:
            self._batch[dims] = {at: 1}
        else:
            counts[at] = counts.get(at, 0) + 1

    def seen(self, offset: int, time_ms: int, dims: Dims, customer: int) -> None:
        """Note that a customer (a 64-bit hash) was there. After the record's own ``add``."""
        pane = time_ms // self._pane_ms
        known = max(pane, self._closed)
        if offset <= self._replay_until:
            for slice_key in self._members.of(dims):
                held = self._cells.get(known, {}).get((pane, slice_key))
                if held is None or offset > held.offset:
                    self._cell((known, pane, slice_key)).note({customer})
            return
        self._batch.setdefault(dims, {})  # keeps the order in which members are admitted
        self._seen.setdefault(dims, {}).setdefault((known, pane), set()).add(customer)

    def add_many(self, records: Iterable[tuple[int, int, int, Dims, Observation | None]]) -> list[str]:
        """Judge and fold (offset, time_ms, record_ts_ms, dims, observation) in order; a verdict for each."""
        verdicts = []
        for offset, time_ms, record_ts_ms, dims, seen in records:
            verdict = self.judge(time_ms, record_ts_ms)
            verdicts.append(verdict)
            if verdict is OK:
                self.add(offset, time_ms, dims, *(seen or (None, ())))
        return verdicts

    def end(self, last_offset: int) -> PaneChanges:
        """Roll the batch up to slices and say what must be made durable; ``offset`` becomes ``last_offset``."""
        self._roll_up()
        self.offset = max(self.offset, last_offset)
        closed = self._closed
        delete, self._delete = self._delete, []
        overflow, self._overflow = self._overflow, {}
        partials = []
        writes = []
        for (known, pane, slice_key), cell in self._touched.items():
            cell.offset = max(cell.offset, last_offset)
            sums = cell.encoded()
            partials.append(
                Partial(slice_key, self.source, pane, known, msgspec.Raw(sums), cell.offset),
            )
            if known >= closed:  # a closed one is never added to again, so there is nothing to remember
                cell.durable = True
                writes.append(
                    (f"{self.source}|c|{known}|{pane}|{slice_key}", b"[%d,%b]" % (cell.offset, sums))
                )
        self._close_cells()
        self._touched.clear()
        writes += [(f"{self.source}|m|{key}", b"1") for key in self._members.take_new()]
        return PaneChanges(
            cells=writes,
            partials=partials,
            mark=self._mark(idle=False),
            source=(f"{self.source}|s", _encode((self.offset, self._max_time_ms))),
            closed=delete,
            overflow=overflow,
        )

    def idle_mark(self) -> Mark:
        """The mark that lets others go on without this source; only between batches."""
        return self._mark(idle=True)

    def _mark(self, *, idle: bool) -> Mark:
        newest = self._max_time_ms // self._pane_ms  # -1 stays -1
        return Mark(self.source, self._closed, idle, (self.offset, idle), newest)

    def _move(self, newest_ms: int) -> None:
        """Set the newest event time, and with it the watermark pane and the floor."""
        lateness_ms = self._config.lateness_ms
        self._max_time_ms = newest_ms
        self._closed = max((newest_ms - lateness_ms) // self._pane_ms, 0)
        self._next_close_ms = (self._closed + 1) * self._pane_ms + lateness_ms
        self.floor_ms = max(newest_ms - self._trail_ms, 0)

    def _cell(self, at: tuple[int, int, str]) -> Cell:
        known, pane, slice_key = at
        cells = self._cells.setdefault(known, {})
        cell = cells.get((pane, slice_key))
        if cell is None:
            cell = cells[pane, slice_key] = Cell({})
        self._touched[at] = cell
        return cell

    def _add_again(self, offset: int, dims: Dims, at: _At) -> None:
        """Fold one record that some restored cell may hold already."""
        known, pane, key, vec = at
        for slice_key in self._members.of(dims):
            held = self._cells.get(known, {}).get((pane, slice_key))
            if held is None or offset > held.offset:
                add(self._cell((known, pane, slice_key)).stats, key, vec)

    def _roll_up(self) -> None:
        """From the batch's distinct combinations to cells."""
        members = self._members
        rolled: dict[_At, dict[str, int]] = {}
        for dims, counts in self._batch.items():
            slices = members.of(dims)
            for at, times in counts.items():
                by_slice = rolled.get(at)
                if by_slice is None:
                    rolled[at] = dict.fromkeys(slices, times)
                else:
                    for slice_key in slices:
                        by_slice[slice_key] = by_slice.get(slice_key, 0) + times
            if members.full:
                for key in slices:
                    grouping = members.others.get(key)
                    if grouping is not None:
                        held = self._overflow.get(grouping, 0)
                        self._overflow[grouping] = held + sum(counts.values())
            if dims in self._seen:
                self._roll_up_seen(self._seen.pop(dims), slices)
        self._batch.clear()
        self._add_up(rolled)

    def _roll_up_seen(self, seen: dict[tuple[int, int], set[int]], slices: tuple[str, ...]) -> None:
        for (known, pane), customers in seen.items():
            for slice_key in slices:
                self._cell((known, pane, slice_key)).note(customers)

    def _add_up(self, rolled: dict[_At, dict[str, int]]) -> None:
        touched = self._touched
        for (known, pane, key, vec), by_slice in rolled.items():
            for slice_key, times in by_slice.items():
                cell = touched.get((known, pane, slice_key))
                stats = (self._cell((known, pane, slice_key)) if cell is None else cell).stats
                old = stats.get(key)
                if old is None:
                    stats[key] = [x * times for x in vec]
                else:
                    for place, x in enumerate(vec):
                        old[place] += x * times
                    if not (old[0] or any(old)):
                        del stats[key]

    def _close_cells(self) -> None:
        """Forget the cells below the watermark pane; those in the table are deleted next time."""
        closed = self._closed
        for known in [known for known in self._cells if known < closed]:
            self._delete += [
                f"{self.source}|c|{known}|{pane}|{slice_key}"
                for (pane, slice_key), cell in self._cells.pop(known).items()
                if cell.durable
            ]
