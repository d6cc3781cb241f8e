"""The customers of files, folded as workers fold them, and nothing else. Pure: lines in, customers out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace as replace_struct

from schemas import Reason
from stream.compute.share import Intake, Part
from stream.customers import Customer
from stream.customers import decode as decode_customer
from stream.customers.ids import TO
from stream.customers.joining import join
from stream.intake import partition_of
from stream.measures import Groupings
from stream.measures.panes import SourcePanes
from stream.pipeline.changes import DEADLETTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream.pipeline import CustomersChanges, PipelineConfig
    from stream.pipeline.changes import DeadLetter


#: Days with purchases held of a customer: all of them, for a file may be in any order.
_ALL_DAYS: Final = 1_000_000
_FOREVER_MS: Final = 2**60


class Base(Intake[SourcePanes]):
    """All customers of some files, as of a moment.

    Duplicate and bad lines are treated as workers treat them. None is too late: a file is a whole, however it is
    sorted. What is later than the moment is left out as if it were not in the files.

    Args:
        config: What decides the outcome; what only concerns metrics is not looked at.
        now_ms: The present: events ``max_ahead_ms`` beyond it are too early; None: none is.
        until_ms: The moment; None: there is none.

    Attributes:
        left_out: Lines with events later than the moment; they are in no other count.
    """

    def __init__(self, config: PipelineConfig, now_ms: int | None, until_ms: int | None) -> None:
        latest_ms = None if now_ms is None else now_ms + config.panes.max_ahead_ms
        self._cut = until_ms is not None and (latest_ms is None or until_ms <= latest_ms)
        if self._cut:
            latest_ms = until_ms
        quiet = replace(
            config,
            groupings=Groupings((), config.groupings.max_members),
            panes=replace_struct(config.panes, max_ahead_ms=0, late_horizon_ms=_FOREVER_MS),
            customers=replace_struct(config.customers, profile=True, max_purchase_days=_ALL_DAYS),
            declared=replace(
                config.declared, metrics=(), goals=(), experiments=(), drivers=None, at_risk=False
            ),
        )
        parts = {number: Part(number, quiet, SourcePanes) for number in range(config.partitions)}
        super().__init__(parts, quiet, strays=True, now_ms=latest_ms)
        self.left_out = 0
        self._limits = quiet.customers
        self._identified: list[tuple[int, str, str]] = []  # moment, alias, id that stays

    def finish(self) -> None:
        """All lines were taken: ids of one person become one customer, in the order of the moments that say so."""
        for part in self._parts.values():
            self._run(part, ())
        went: dict[str, str] = {}
        for _, alias, to in sorted(self._identified):
            while to in went:
                to = went[to]  # noqa: PLW2901 - the end of a chain
            if alias not in went and alias != to:
                went[alias] = to
                self._join(alias, to)

    def _join(self, alias: str, to: str) -> None:
        theirs, mine = (self._parts[partition_of(one.encode(), len(self._parts))] for one in (alias, to))
        packed = theirs.packed.pop(alias.encode(), None)
        other = theirs.alive.pop(alias, None) or (None if packed is None else decode_customer(packed))
        if other is None:
            return
        if to not in mine.alive:
            held = mine.packed.get(to.encode())
            mine.alive[to] = Customer() if held is None else decode_customer(held)
        join(mine.alive[to], other, (to, alias), 0, self._limits)

    def customers(self) -> Iterator[tuple[str, Customer]]:
        """After ``finish``: ids and states, in no order that means anything."""
        for part in self._parts.values():
            yield from part.alive.items()
            for name, held in part.packed.items():
                customer_id = name.decode()
                if customer_id not in part.alive:  # the object may be ahead of what was packed away
                    yield customer_id, decode_customer(held)

    def _run(self, part: Part[SourcePanes], waiting: Sequence[str]) -> CustomersChanges:
        before = self.left_out
        changes = super()._run(part, waiting)
        self.verdicts[DEADLETTER] -= self.left_out - before
        for each in changes.passed:
            if each.topic == self._config.topics[0]:
                said = msgspec.json.decode(each.value)
                self._identified.append((said["occurred_at"], said["customer_id"], said["attributes"][TO]))
        return changes

    def _refuse(self, dead: DeadLetter) -> None:
        if self._cut and dead.reason == Reason.TOO_EARLY:
            self.left_out += 1
        else:
            super()._refuse(dead)
