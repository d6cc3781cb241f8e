"""Files to alerts: one process, or several that each read all files and work on a share of the partitions.

The lane, which puts all alerts in order, is with whoever started them.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
from collections import Counter
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Literal, cast

from stream.backtest.replay import Ordered, in_order
from stream.backtest.work import Found, Full, Judged, Peer, Task, work
from stream.compute import Broken, Unreadable
from stream.compute.processes import WORTH_BYTES, hear
from stream.compute.share import NAMED
from stream.deployment import load_book

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.compute import Job

__all__ = ["Broken", "Replayed", "Unreadable", "replay"]

_End = Any  # a multiprocessing connection, either way
Start = Literal["spawn", "fork"]


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


def replay(
    job: Job,
    processes: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    book: RuleBook | None = None,
    least: bool = True,
    until_ms: int | None = None,
    start: Start = "spawn",
) -> Replayed:
    """Read all files to their end and say which alerts they lead to.

    Args:
        job: files, and the deployment with its rules.
        processes: at most this many; None: one for each processor, where there is enough to do.
        advance: called now and then with the bytes read so far.
        book: in place of the rules of the deployment.
        least: compute only what the rules look at, where that gives the same alerts.
        until_ms: up to when time goes on after the last event, for what is waited for; None: not at all.
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
        return _replay(job, known, processes, advance, start, least=least, until_ms=until_ms)
    finally:
        if collecting:
            gc.enable()


def _replay(
    job: Job,
    book: RuleBook,
    processes: int,
    advance: Callable[[int], None],
    start: Start,
    *,
    least: bool,
    until_ms: int | None,
) -> Replayed:
    for all_of_it in [False, True] if least else [True]:
        with contextlib.suppress(Full):
            task = Task(job, book, range(job.settings.partitions), all_of_it, until_ms)
            return _once(task, book, processes, advance, start)
    raise AssertionError("all of it is always enough")


def _once(
    task: Task, book: RuleBook, processes: int, advance: Callable[[int], None], start: Start
) -> Replayed:
    lane = Ordered(len(task.partitions), book)
    if processes == 1:
        found = [work(task, (), lambda judged: _put(judged, lane), advance)]
    else:
        found = _side_by_side(task, processes, lane, advance, start)
    return _together(task, book, lane, found)


def _put(judged: Judged, lane: Ordered) -> None:
    for partition, claims, mark_ms in judged:
        lane.take(partition, claims, mark_ms)
    lane.release()


def _together(task: Task, book: RuleBook, lane: Ordered, parts: Sequence[Found]) -> Replayed:
    """Everything that processes found."""
    job = task.job
    done = Replayed(book, lane.alerts, decisions=lane.decisions)
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
    whole: Task, processes: int, lane: Ordered, advance: Callable[[int], None], start: Start
) -> list[Found]:
    context: Any = multiprocessing.get_context(start)
    everyone = [whole.partitions[number::processes] for number in range(processes)]
    pairs = [(one, other) for one in range(processes) for other in range(one + 1, processes)]
    pipes: dict[tuple[int, int], tuple[_End, _End]] = {pair: context.Pipe() for pair in pairs}
    between = [end for pipe in pipes.values() for end in pipe]
    ends: list[_End] = []
    started: list[BaseProcess] = []
    try:
        for number in range(processes):
            end, other = context.Pipe()
            ends.append(end)
            # In the order of pairs, which is the same for all: so no two wait for each other.
            peers = [
                Peer(pipes[pair][number != pair[0]], everyone[sum(pair) - number], number == pair[0])
                for pair in pairs
                if number in pair
            ]
            held = {id(peer.end) for peer in peers}
            # A fork would keep the ends of others open, and nobody would learn that somebody is gone.
            strange = [*ends, *(each for each in between if id(each) not in held)] if start == "fork" else []
            book = whole.book if start == "fork" else None
            task = replace(whole, partitions=everyone[number], book=book)
            started.append(context.Process(target=_child, args=(other, task, peers, strange), daemon=True))
            started[-1].start()
            other.close()
        for each in between:
            each.close()
        return list(_gather(ends, started, lane, advance))
    finally:
        for process in started:
            process.kill()
            process.join()
        for each in (*ends, *between):
            each.close()


def _gather(
    ends: list[_End], started: list[BaseProcess], lane: Ordered, advance: Callable[[int], None]
) -> Iterator[Found]:
    """Put what processes judge into order, until each has said what it has at the end."""
    read = [0] * len(ends)
    left = set(range(len(ends)))
    while left:
        for end in cast("list[_End]", wait([ends[number] for number in left])):
            number = ends.index(end)
            said = hear(end, started[number])
            if isinstance(said, Full):
                raise said
            if isinstance(said, Found):
                left.discard(number)
                yield said
                continue
            read[number], judged = said
            _put(judged, lane)
            advance(sum(read) // len(ends))


def _child(end: _End, task: Task, peers: Sequence[Peer], strange: Iterable[_End]) -> None:
    """The life of a process: after each round it says how far it is and what it judged, at last what it has."""
    for each in strange:
        each.close()
    gc.disable()
    read = 0

    def advance(so_far: int) -> None:
        nonlocal read
        read = so_far

    def tell(judged: Judged) -> None:
        end.send((read, [one for one in judged if one[1] or one[2] is not None]))

    with contextlib.suppress(BrokenPipeError, EOFError, ConnectionResetError, KeyboardInterrupt):
        try:
            end.send(work(task, peers, tell, advance))
        except (Unreadable, Full) as error:
            end.send(error)
            end.recv()  # those who wait for us must not take our end for the reason
