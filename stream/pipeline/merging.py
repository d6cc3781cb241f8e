"""Two topics as one: the records of a partition number on their way in, by event time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stream.customers import APPLIED, DUPLICATE
from stream.intake import Event
from stream.pipeline.changes import ERASED, FORWARDED

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream.measures import SourcePanes
    from stream.pipeline.changes import CustomersChanges


class SourceRecord(Protocol):
    """What is read of a Kafka record; ``timestamp`` in epoch milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


@dataclass(slots=True)
class Inlet:
    """One input topic of a partition: its panes, what its mark last said, and where the run at hand is."""

    topic: str
    code: str
    panes: SourcePanes
    known: int = -1  # customers hold the records up to here, though the panes may not
    marked: tuple[int, int] | None = None  # panes closed, newest pane
    applied: int = 0
    duplicates: int = 0
    read: int = -1  # offset of the last record decoded
    fresh: list[SourceRecord] = field(default_factory=list)  # not decoded yet
    left: list[Decoded] = field(default_factory=list)  # decoded, and kept back
    misrouted: int = 0
    forwarded: int = 0  # passed on to another partition
    erased: int = 0  # refused, their customers having been erased

    def again(self) -> list[Decoded]:
        """Take out what only the panes lack, which waits for nothing."""
        known = self.known
        again = [each for each in self.left if each[1].offset <= known]
        self.left = self.left[len(again) :]
        return again

    def end(self, changes: CustomersChanges) -> None:
        """A run is over: tell what came of the records, and hand over what the panes have made of them."""
        topic = self.topic
        changes.verdicts[topic, APPLIED] += self.applied
        changes.verdicts[topic, DUPLICATE] += self.duplicates
        changes.misrouted[topic] += self.misrouted
        if self.erased:
            changes.verdicts[topic, ERASED] += self.erased
        if self.forwarded:
            changes.verdicts[topic, FORWARDED] += self.forwarded
        self.forwarded = self.applied = self.duplicates = self.misrouted = self.erased = 0
        offset = self.left[0][1].offset - 1 if self.left else self.read
        changes.done[topic] = offset
        done = self.panes.end(offset)
        changes.other_members.update(done.overflow)
        changes.cells += [(key.encode(), value) for key, value in done.cells]
        changes.partials += done.partials
        says = (done.mark.panes_closed, done.mark.newest)
        if self.marked != says:  # else it would be nothing new
            self.marked = says
            changes.marks.append(done.mark)
        key, value = done.source
        changes.sources.append((key.encode(), value))
        changes.sources += [(key.encode(), None) for key in done.closed]


Decoded = tuple[Event, SourceRecord, Inlet]


def merge(first: Inlet, second: Inlet, *, waiting: Collection[str] = ()) -> list[Decoded]:
    """Take what is due from two topics by event time, each kept in its own order; the rest stays ``left``.

    The order inside a topic is never changed: an event waits for those before it in its topic, whatever
    their times. Of the events at the two heads the earlier goes first, of equal ones that of the first topic.
    When a topic has run out and is waited for, the other topic's events stay: one of them might be preceded.
    """
    ones, others = first.left, second.left
    found: list[Decoded] = []
    take = found.append
    at = 0
    for place, other in enumerate(others):
        time_ms = other[0].time_ms
        while at < len(ones) and ones[at][0].time_ms <= time_ms:
            take(ones[at])
            at += 1
        if at == len(ones) and first.topic in waiting:
            second.left = others[place:]
            break
        take(other)
    else:
        second.left = []
        if second.topic not in waiting:
            found += ones[at:]
            at = len(ones)
    first.left = ones[at:]
    return found
