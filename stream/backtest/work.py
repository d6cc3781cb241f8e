"""What one process does: read, work on its customers, tell the others, judge its slices; round by round.

In a round each reads a little, gives every other what becomes known in the slices that are the other's, and judges
its own slices up to the pane that all of them have closed. One process alone is the same without the others.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream.backtest.needs import Needs
from stream.backtest.replay import Customers, Judges, empty_news
from stream.backtest.sources import join
from stream.compute.reading import Reading
from stream.deployment import load_book, pipeline_config

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.backtest.sources import Cells
    from stream.compute import Job
    from stream.compute.share import Refused

#: Blocks of the files that are read in a round, by one process alone and by several.
_BLOCKS: Final = 1
_BLOCKS_EACH: Final = 4


class Full(Exception):  # noqa: N818 - reads as what happened
    """Some grouping has more members than places: all that is deployed has to be computed."""


class Round(NamedTuple):
    """How far a process is after a round, and what becomes known in the slices of whom it is told."""

    closed: int
    newest: int
    over: bool
    cells: dict[int, Cells]


class Found(NamedTuple):
    """What a process has at the end: claims on customers, by partition, and what it counted."""

    claims: dict[int, list[Claim]]
    oldest_ms: int | None
    newest: int
    decisions: Counter[str]
    verdicts: Counter[str]
    reasons: Counter[str]
    refused: list[Refused]
    starts: list[int]


Judged = list[tuple[int, list["Claim"], int | None]]
"""Of metrics partitions: claims, and the lane's mark."""


class Peer(NamedTuple):
    """Another process: its partitions, and whether we speak first."""

    end: Any
    partitions: Sequence[int]
    first: bool


@dataclass(frozen=True, slots=True)
class Task:
    """The part of one process.

    Attributes:
        job: files, and the deployment with its rules.
        book: the rules; None: those of the deployment.
        partitions: of customers and of slices alike.
        all_of_it: whether all that is deployed is computed, not only what the rules look at.
        until_ms: up to when time goes on after the last event; None: not at all.
    """

    job: Job
    book: RuleBook | None
    partitions: Sequence[int]
    all_of_it: bool
    until_ms: int | None


def work(
    task: Task, peers: Sequence[Peer], judged: Callable[[Judged], None], advance: Callable[[int], None]
) -> Found:
    """Read everything and work on the partitions of a task.

    Args:
        task: the part of this process.
        peers: the others, in an order in which no two wait for each other.
        judged: takes what was judged in a round.
        advance: called with the bytes read so far.
    """
    job, ours = task.job, task.partitions
    book = load_book(job.settings) if task.book is None else task.book
    needs = Needs(pipeline_config(job.settings, book), book, all_of_it=task.all_of_it)
    config = needs.config
    customers = Customers(ours, needs, strays=0 in ours, now_ms=job.now_ms)
    judges = Judges(ours, needs)
    news = empty_news(config.partitions)
    blocks = _BLOCKS_EACH if peers else _BLOCKS
    over = False
    with closing(Reading(job.files, config.limits.max_bytes, config.topics)) as reading:
        while True:
            for _ in range(blocks):
                if not over and not reading.step(customers):
                    over = True
                    customers.finish(task.until_ms)
            customers.hand_over(news)
            if needs.full and not task.all_of_it:
                raise Full
            rounds = _exchange(peers, customers, news, over=over)
            for other in rounds:
                for number, cells in other.cells.items():
                    join(news[number], cells)
            judged(list(judges.close(news, _instant(rounds))))
            advance(reading.bytes_read)
            if all(other.over for other in rounds):
                break
    return Found(
        customers.claims,
        customers.oldest_ms,
        customers.newest,
        judges.decisions + customers.decisions,
        customers.verdicts,
        customers.reasons,
        customers.refused,
        reading.starts,
    )


def _instant(rounds: Sequence[Round]) -> int:
    """The number of panes that are final: those that all have closed who go on, at last up to the newest event."""
    going = [each.closed for each in rounds if not each.over]
    return min(going) if going else max(each.newest for each in rounds) + 1


def _exchange(peers: Sequence[Peer], customers: Customers, news: list[Cells], *, over: bool) -> list[Round]:
    """Tell the others how far we are and what is theirs; how far all are, and what is ours."""
    ours = Round(customers.closed, customers.newest, over, {})
    rounds = [ours]
    for peer in peers:
        due = {number: _due(news[number], ours) for number in peer.partitions}
        told = ours._replace(cells={number: cells for number, cells in due.items() if cells})
        if peer.first:
            peer.end.send(told)
        heard = peer.end.recv()
        if not peer.first:
            peer.end.send(told)
        rounds.append(heard)
    return rounds


def _due(cells: Cells, ours: Round) -> Cells:
    """What nothing of ours can be added to any more."""
    return {known: cells.pop(known) for known in list(cells) if ours.over or known < ours.closed}
