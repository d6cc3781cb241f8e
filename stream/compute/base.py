"""The customers of files, folded as workers fold them, and nothing else. Pure: lines in, customers out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace as replace_struct

from schemas import Reason
from stream.compute.share import Intake, Part
from stream.customers import decode as decode_customer
from stream.measures import Groupings
from stream.measures.panes import SourcePanes
from stream.pipeline.changes import DEADLETTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream.customers import Customer
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

    def finish(self) -> None:
        """All lines were taken."""
        for part in self._parts.values():
            self._run(part, ())

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
        return changes

    def _refuse(self, dead: DeadLetter) -> None:
        if self._cut and dead.reason == Reason.TOO_EARLY:
            self.left_out += 1
        else:
            super()._refuse(dead)
