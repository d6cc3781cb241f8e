"""Some partitions of the inputs, from lines to sums, as the agents would have them. Pure: lines in, sums out.

A line goes to the topic and the partition where ``cx send`` would send it. Its number, counted over all files,
stands for its offset: rising in each partition, which is all that is asked of an offset.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace as replace_struct

from stream.compute.collector import Alike, Collector
from stream.customers import Customer
from stream.customers import encode as encode_customer
from stream.intake import partition_of, route
from stream.intake.routing import read_head
from stream.measures.panes import SourcePanes
from stream.measures.stats import CUSTOMERS, Stats, add
from stream.measures.value_at_risk import AT_RISK
from stream.measures.wanted import window_config
from stream.measures.windows import Windows
from stream.pipeline import CustomersPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.alerting.customer_rules import CustomerRules
    from stream.measures import Groupings, PaneConfig
    from stream.pipeline import CustomersChanges
    from stream.pipeline.changes import DeadLetter

P = TypeVar("P", bound=SourcePanes)

#: Records of a partition that are taken in at once, so that they stay in the processor's cache.
RUN: Final = 512
#: Customers kept as objects; when a partition has more than its part of them, all of its are packed away.
ALIVE: Final = 400_000
#: Refused lines that are remembered one by one.
NAMED: Final = 20
#: Customers of which it is remembered where they belong.
_PLACED: Final = 1_000_000
_NO_CLOCK: Final = 2**62


class Line(msgspec.Struct, gc=False):
    """A line as a record of a partition. Implements ``SourceRecord``; nobody here asks for the key."""

    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


_Place = tuple[list[Line], list[Line]] | tuple[()]
"""Where a customer's lines are put, touchpoints and replies; () for nowhere here."""


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """A line that was not taken: its number over all files from 0, and why; ``detail`` holds no value of it."""

    line: int
    reason: str
    detail: str


class ShareResult(msgspec.Struct, array_like=True):
    """What the partitions of a share come to.

    Attributes:
        verdicts: records by verdict: applied, duplicate, late, deadletter.
        reasons: those that were not taken, by reason.
        refused: the first of those, in order.
        others: the groupings of which some member had to be counted as ``other``.
        cells: slice key -> pane -> sums, all that windows at the end can tell apart.
    """

    verdicts: dict[str, int]
    reasons: dict[str, int]
    refused: list[Refused]
    others: set[str]
    cells: dict[str, dict[int, Stats]]


class Part(Generic[P]):
    """One partition of both topics, and the lines that are to go in next, touchpoints and replies.

    Args:
        partition: its number.
        config: what decides the outcome.
        panes: makes the panes of a source.
        rules: rules on customers, compiled.
    """

    def __init__(
        self,
        partition: int,
        config: PipelineConfig,
        panes: Callable[[str, PaneConfig, Groupings], P],
        rules: CustomerRules | None = None,
    ) -> None:
        self.sources: list[P] = []

        def kept(source: str, policy: PaneConfig, groupings: Groupings) -> P:
            self.sources.append(panes(source, policy, groupings))
            return self.sources[-1]

        self.alive: dict[str, Customer] = {}
        self.packed: dict[bytes, bytes] = {}
        self.core = CustomersPartition(
            partition, config, rules, self.packed, {}, alive=self.alive, source_panes=kept
        )
        self.fresh: tuple[list[Line], list[Line]] = ([], [])


class Intake(Generic[P]):
    """Lines, put before the cores of their partitions as ``cx send`` and the agents would put them.

    Args:
        parts: some partitions, over both topics, by number.
        config: what decides the outcome.
        strays: whether lines of no customer are counted here; exactly one share of all does.
        now_ms: what the events' times are compared with, to find those too early; None: with nothing.

    Attributes:
        verdicts: records by verdict: applied, duplicate, late, deadletter.
        reasons: those that were not taken, by reason.
        refused: the first of those, in order.
    """

    def __init__(
        self, parts: dict[int, Part[P]], config: PipelineConfig, *, strays: bool, now_ms: int | None = None
    ) -> None:
        self._config = config
        self._parts = parts
        self._stray = next(iter(self._parts.values())) if strays else None
        self._timestamp = _NO_CLOCK if now_ms is None else now_ms
        self._places: dict[str, _Place] = {}
        self._alive = ALIVE // max(len(self._parts), 1)
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.refused: list[Refused] = []

    def take(
        self, first: int, lines: Sequence[bytes], *, topics: Sequence[str], waiting: Sequence[str]
    ) -> None:
        """Take neighbouring lines in; blank ones and those of other shares are passed over.

        Args:
            first: number of the first.
            lines: without their ends.
            topics: lines of these input topics are taken; the others come, or came, in another call.
            waiting: topics of which there is more to come.
        """
        takes = [topic in topics for topic in self._config.topics]
        place_of = self._places.get
        timestamp = self._timestamp
        for number, line in enumerate(lines, first):
            try:
                head = read_head(line)
                place = place_of(head.customer_id)
                reply = head.metric is not None
                plain = head.specversion is UNSET
            except (msgspec.DecodeError, RecursionError, TypeError):  # no JSON, or an id that is no text
                place, reply, plain = None, False, False
            if place is None or not plain:
                place, reply = self._place(line)
            if place and takes[reply]:
                place[reply].append(Line(number, timestamp, line))
        for part in self._parts.values():
            touchpoints, replies = part.fresh
            if len(touchpoints) + len(replies) >= RUN:
                self._run(part, waiting)

    def kept(self, topic: str) -> int:
        """Records of a topic that wait for the other topic."""
        return sum(part.core.kept(topic) for part in self._parts.values())

    def _place(self, line: bytes) -> tuple[_Place, bool]:
        """Where a line goes, and whether as a reply."""
        try:
            reply, customer = route(line)
        except (msgspec.DecodeError, RecursionError):
            reply, customer = False, None
            if not line or line.isspace():
                return (), False
        if customer is None:
            return (() if self._stray is None else self._stray.fresh), reply
        part = self._parts.get(partition_of(customer.encode(), self._config.partitions))
        if len(self._places) >= _PLACED:
            self._places.clear()
        self._places[customer] = place = () if part is None else part.fresh
        return place, reply

    def _run(self, part: Part[P], waiting: Sequence[str]) -> CustomersChanges:
        """Take in what is there of a partition."""
        touchpoints, replies = self._config.topics
        batches = list(zip((touchpoints, replies), part.fresh, strict=True))
        changes = part.core.run([batch for batch in batches if batch[1]], waiting)
        for fresh in part.fresh:
            fresh.clear()
        for (_, verdict), n in changes.verdicts.items():
            self.verdicts[verdict] += n
        for dead in changes.deadletters:
            self._refuse(dead)
        if len(self.refused) > NAMED:  # partitions take turns, so they do not come in order
            self.refused.sort(key=attrgetter("line"))
            del self.refused[NAMED:]
        if len(part.alive) > self._alive:
            part.packed.update((name.encode(), encode_customer(c)) for name, c in part.alive.items())
            part.alive.clear()
        return changes

    def _refuse(self, dead: DeadLetter) -> None:
        """Note a line that was not taken."""
        self.reasons[str(dead.reason)] += 1
        self.refused.append(Refused(dead.record.offset, str(dead.reason), dead.detail))


class Share(Intake[Collector]):
    """Some partitions, over both topics, and what their sums come to.

    Args:
        partitions: their numbers.
        config: what decides the outcome.
        instant: number of panes that are final at the end; a guess will do, as long as it proves right.
        strays: as of ``Intake``.
        now_ms: as of ``Intake``.
    """

    def __init__(
        self,
        partitions: Iterable[int],
        config: PipelineConfig,
        instant: int,
        *,
        strays: bool,
        now_ms: int | None = None,
    ) -> None:
        windows = window_config(config.declared, config.panes.pane_ms)
        alike = Alike(Windows(0, windows, ()), instant)
        # Values do not depend on what else is known of a customer, and it is a quarter of the work.
        spend = AT_RISK in config.declared.metrics
        config = replace(
            config,
            customers=replace_struct(config.customers, profile=False, spend=spend),
            declared=replace(config.declared, at_risk=False),
        )

        def panes(source: str, policy: PaneConfig, groupings: Groupings) -> Collector:
            return Collector(source, policy, groupings, alike, windows.customers)

        parts = {number: Part(number, config, panes) for number in partitions}
        super().__init__(parts, config, strays=strays, now_ms=now_ms)

    def finish(self) -> int:
        """All lines were taken: the pane of the newest event here; -1 without any."""
        for part in self._parts.values():
            self._run(part, ())
            part.alive.clear()
            part.packed.clear()
        return max((c.newest for part in self._parts.values() for c in part.sources), default=-1)

    def result(self) -> ShareResult:
        """After ``finish``: what all lines come to, if the newest event of all shares proves the instant right."""
        cells: dict[str, dict[int, Stats]] = {}
        others: set[str] = set()
        for collector in [collector for part in self._parts.values() for collector in part.sources]:
            for slices, pane, key, vec in collector.sums():
                for slice_key in slices:
                    add(cells.setdefault(slice_key, {}).setdefault(pane, {}), key, vec)
            for slice_key, customers in collector.customers():
                of_slice = cells.setdefault(slice_key, {})
                for customer, pane in customers.items():
                    of_slice.setdefault(pane, {}).setdefault(CUSTOMERS, []).append(customer)
            others |= collector.overflow
        return ShareResult(dict(self.verdicts), dict(self.reasons), self.refused, others, cells)
