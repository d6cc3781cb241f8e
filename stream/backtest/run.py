"""Files to alerts: one process, or several that each read all files and work on a share of the partitions.

Processes go round by round. In a round each reads a little, gives every other what becomes known in the slices
that are the other's, and judges its own slices up to the pane that all of them have closed. The lane is with
whoever started them.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from stream.backtest.needs import Needs
from stream.backtest.replay import Customers, Judges, Ordered, empty_news, in_order
from stream.backtest.sources import join
from stream.compute import Broken, Unreadable
from stream.compute.processes import WORTH_BYTES, hear
from stream.compute.reading import Reading
from stream.compute.share import NAMED
from stream.deployment import load_book, pipeline_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.backtest.sources import Cells
    from stream.compute import Job
    from stream.compute.share import Refused

__all__ = ["Broken", "Replayed", "Unreadable", "replay"]

#: Blocks of the files that are read in a round, by one process alone and by several.
_BLOCKS: Final = 1
_BLOCKS_EACH: Final = 4

_End = Any  # a multiprocessing connection, either way


@dataclass(slots=True)
class Replayed:
    """What a history comes to.

    Attributes:
        book: the rules.
        alerts: what is published on ``cx.alerts``, in order of time, fingerprint and id.
        since_ms: time of the first event; None without any.
        until_ms: end of the pane of the newest event; None without any.
        decisions: how often each reason was given, for alerts that went out and for those that did not.
        verdicts: records by verdict: applied, duplicate, late, deadletter; together all lines that are not blank.
        reasons: records that were not taken, by reason.
        refused: the first of those: file, line in it from 1, reason, detail.
    """

    book: RuleBook
    alerts: list[Claim]
    since_ms: int | None = None
    until_ms: int | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Path, int, str, str]] = field(default_factory=list)


class _Full(Exception):  # noqa: N818 - what happened, not what is wrong
    """Some grouping has more members than places: all that is deployed has to be computed."""


class _Round(NamedTuple):
    """How far a process is after a round, and what becomes known in the slices of whom it is told."""

    closed: int
    newest: int
    over: bool
    cells: dict[int, Cells]


class _Part(NamedTuple):
    """What a process has at the end: claims on customers, by partition, and what it counted."""

    claims: dict[int, list[Claim]]
    oldest_ms: int | None
    newest: int
    decisions: Counter[str]
    verdicts: Counter[str]
    reasons: Counter[str]
    refused: list[Refused]
    starts: list[int]


_Judged = list[tuple[int, list["Claim"], int | None]]
"""Of metrics partitions: claims, and the lane's mark."""


class _Peer(NamedTuple):
    """Another process: its partitions, and whether we speak first."""

    end: _End
    partitions: Sequence[int]
    first: bool


@dataclass(frozen=True, slots=True)
class _Task:
    """The part of one process."""

    job: Job
    book: RuleBook
    partitions: Sequence[int]
    all_of_it: bool


def replay(
    job: Job,
    processes: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    book: RuleBook | None = None,
    least: bool = True,
    start: Literal["spawn", "fork"] = "spawn",
) -> Replayed:
    """Read all files to their end and say which alerts they lead to.

    Args:
        job: files, and the deployment with its rules.
        processes: at most this many; None: one for each processor, where there is enough to do.
        advance: called now and then with the bytes read so far.
        book: in place of the rules of the deployment.
        least: compute only what the rules look at, where that gives the same alerts.
        start: how to start processes; ``fork`` is quicker, for callers without any thread.

    Raises:
        Unreadable: a file cannot be read.
        Broken: a process was ended from outside, most likely for want of memory.
        RuleError, ValueError: as ``load_book``.
    """
    if processes is None:
        worth = sum(file.stat().st_size for file in job.files) >= WORTH_BYTES
        processes = multiprocessing.cpu_count() if worth else 1
    if book is not None and start == "spawn":
        processes = 1  # rules are handed to another process as a file only
    processes = min(processes, job.settings.partitions)
    known = load_book(job.settings) if book is None else book
    collecting = gc.isenabled()
    gc.disable()  # nothing here makes cycles, and there is much to walk through
    try:
        return _replay(job, known, processes, advance, start, least=least)
    finally:
        if collecting:
            gc.enable()


def _replay(
    job: Job,
    known: RuleBook,
    processes: int,
    advance: Callable[[int], None],
    start: Literal["spawn", "fork"],
    *,
    least: bool,
) -> Replayed:
    for all_of_it in [False, True] if least else [True]:
        with contextlib.suppress(_Full):
            if processes == 1:
                return _alone(_Task(job, known, range(job.settings.partitions), all_of_it), advance)
            return _side_by_side(job, known, processes, advance, start, all_of_it=all_of_it)
    raise AssertionError("all of it is always enough")


def _alone(task: _Task, advance: Callable[[int], None]) -> Replayed:
    lane = Ordered(task.job.settings.partitions)
    alerts: list[Claim] = []

    def judged(found: _Judged) -> None:
        for partition, claims, mark_ms in found:
            lane.take(partition, claims, mark_ms)
        alerts.extend(lane.release())

    return _together(task.job, task.book, alerts, [_work(task, (), judged, advance)])


def _work(
    task: _Task, peers: Sequence[_Peer], judged: Callable[[_Judged], None], advance: Callable[[int], None]
) -> _Part:
    """Read everything and work on the partitions of a task.

    Args:
        task: the part of this process.
        peers: the others, in an order in which no two wait for each other.
        judged: takes what was judged in a round.
        advance: called with the bytes read so far.
    """
    job, ours = task.job, task.partitions
    needs = Needs(pipeline_config(job.settings, task.book), task.book, all_of_it=task.all_of_it)
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
                    customers.finish()
            customers.hand_over(news)
            if needs.full and not task.all_of_it:
                raise _Full
            rounds = _exchange(peers, customers, news, over=over)
            for other in rounds:
                for number, cells in other.cells.items():
                    join(news[number], cells)
            judged(list(judges.close(news, _instant(rounds))))
            advance(reading.bytes_read)
            if all(other.over for other in rounds):
                break
    return _Part(
        customers.claims,
        customers.oldest_ms,
        customers.newest,
        judges.decisions + customers.decisions,
        customers.verdicts,
        customers.reasons,
        customers.refused,
        reading.starts,
    )


def _instant(rounds: Sequence[_Round]) -> int:
    """The number of panes that are final: those that all have closed who go on, at last up to the newest event."""
    going = [each.closed for each in rounds if not each.over]
    return min(going) if going else max(each.newest for each in rounds) + 1


def _exchange(peers: Sequence[_Peer], customers: Customers, news: list[Cells], *, over: bool) -> list[_Round]:
    """Tell the others how far we are and what is theirs; how far all are, and what is ours."""
    ours = _Round(customers.closed, customers.newest, over, {})
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


def _due(cells: Cells, ours: _Round) -> Cells:
    """What nothing of ours can be added to any more."""
    return {known: cells.pop(known) for known in list(cells) if ours.over or known < ours.closed}


def _together(job: Job, book: RuleBook, alerts: list[Claim], parts: Sequence[_Part]) -> Replayed:
    """Everything that processes found."""
    done = Replayed(book, alerts)
    for part in parts:
        for claims in part.claims.values():
            done.alerts.extend(claims)
        done.decisions.update(part.decisions)
        done.verdicts.update(part.verdicts)
        done.reasons.update(part.reasons)
    done.alerts = in_order(done.alerts)
    done.since_ms = min((part.oldest_ms for part in parts if part.oldest_ms is not None), default=None)
    if done.since_ms is not None:
        done.until_ms = (max(part.newest for part in parts) + 1) * job.settings.pane_ms
    refused = sorted((r.line, r.reason, r.detail) for part in parts for r in part.refused)
    starts = parts[0].starts
    for line, reason, detail in refused[:NAMED]:
        number = max(at for at, begins in enumerate(starts) if begins <= line)
        done.refused.append((job.files[number], line - starts[number] + 1, reason, detail))
    return done


def _side_by_side(
    job: Job,
    book: RuleBook,
    processes: int,
    advance: Callable[[int], None],
    start: Literal["spawn", "fork"],
    *,
    all_of_it: bool,
) -> Replayed:
    context: Any = multiprocessing.get_context(start)
    everyone = [range(number, job.settings.partitions, processes) for number in range(processes)]
    pairs = [(one, other) for one in range(processes) for other in range(one + 1, processes)]
    pipes: dict[tuple[int, int], tuple[_End, _End]] = {pair: context.Pipe() for pair in pairs}
    between = [end for pipe in pipes.values() for end in pipe]
    ends: list[_End] = []
    started: list[BaseProcess] = []
    try:
        for number in range(processes):
            end, other = context.Pipe()
            ends.append(end)
            peers = [
                _Peer(pipes[pair][number != pair[0]], everyone[sum(pair) - number], number == pair[0])
                for pair in pairs
                if number in pair
            ]
            held = {id(peer.end) for peer in peers}
            # A fork would keep the ends of others open, and nobody would learn that somebody is gone.
            strange = [*ends, *(each for each in between if id(each) not in held)] if start == "fork" else []
            task = _Task(job, book, everyone[number], all_of_it)
            given = None if start == "spawn" else task.book
            args = (other, job, given, everyone[number], all_of_it, peers, strange)
            started.append(context.Process(target=_child, args=args, daemon=True))
            started[-1].start()
            other.close()
        for each in between:
            each.close()
        alerts: list[Claim] = []
        parts = list(_gather(ends, started, Ordered(job.settings.partitions), alerts, advance))
        return _together(job, book, alerts, parts)
    finally:
        for process in started:
            process.kill()
            process.join()
        for each in (*ends, *between):
            each.close()


def _gather(
    ends: list[_End],
    started: list[BaseProcess],
    lane: Ordered,
    alerts: list[Claim],
    advance: Callable[[int], None],
) -> Iterator[_Part]:
    """Put what processes judge into order, until each has said what it has at the end."""
    read = [0] * len(ends)
    left = set(range(len(ends)))
    while left:
        for end in cast("list[_End]", wait([ends[number] for number in left])):
            number = ends.index(end)
            said = hear(end, started[number])
            if isinstance(said, _Full):
                raise said
            if isinstance(said, _Part):
                left.discard(number)
                yield said
                continue
            read[number], found = said
            for partition, claims, mark_ms in found:
                lane.take(partition, claims, mark_ms)
            alerts.extend(lane.release())
            advance(sum(read) // len(ends))


def _child(
    end: _End,
    job: Job,
    book: RuleBook | None,
    partitions: Sequence[int],
    all_of_it: bool,
    peers: Sequence[_Peer],
    strange: Iterable[_End],
) -> None:
    """The life of a process: after each round it says how far it is and what it judged, at last what it has."""
    for each in strange:
        each.close()
    gc.disable()  # nothing here makes cycles, and there is much to walk through
    read = 0

    def advance(so_far: int) -> None:
        nonlocal read
        read = so_far

    def judged(found: _Judged) -> None:
        end.send((read, [one for one in found if one[1] or one[2] is not None]))

    known = load_book(job.settings) if book is None else book
    with contextlib.suppress(BrokenPipeError, EOFError, ConnectionResetError, KeyboardInterrupt):
        try:
            end.send(_work(_Task(job, known, partitions, all_of_it), peers, judged, advance))
        except (Unreadable, _Full) as error:
            end.send(error)
            end.recv()  # those who wait for us must not take our end for the reason
