"""Shares of the partitions on as many processes as are worth it, each reading the files by itself."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from schemas.times import MAX_MS
from stream.compute.lines import Unreadable, tail
from stream.compute.reading import Reading
from stream.compute.share import NAMED, Share, ShareResult
from stream.deployment import load_book, pipeline_config
from stream.intake import Event, decode
from stream.measures import WHOLE
from stream.pipeline import MetricsPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from stream.measures import Stats
    from stream.pipeline import PipelineConfig
    from stream.pipeline.metrics import MetricsRecord
    from stream.settings import Settings

#: Files smaller than this together are not worth a second process.
WORTH_BYTES: Final = 4 << 20
#: How much of a file's end is looked at, to guess at the newest event.
_TAIL_BYTES: Final = 1 << 18
#: How often a process says how far it is.
_TOLD_BYTES: Final = 4 << 20

_End = Any  # a multiprocessing connection, either way


class Broken(RuntimeError):  # noqa: N818 - reads as what happened
    """A process of the computation has ended before its work was done."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be computed.

    Attributes:
        files: regular files, read in this order.
        settings: of the deployment, the rules file among them.
        now_ms: the present, to find events that are too early; None: none is.
    """

    files: tuple[Path, ...]
    settings: Settings
    now_ms: int | None = None


@dataclass(slots=True)
class Computed:
    """What it came to.

    Attributes:
        metrics: final values of every slice, as of the end of the newest event's pane; the whole first.
        verdicts: records by verdict: applied, duplicate, late, deadletter; together all lines that are not blank.
        reasons: records that were not taken, by reason.
        refused: the first of those: file, line in it from 1, reason, detail.
        others: the groupings of which some member had to be counted as ``other``.
    """

    metrics: list[MetricsRecord]
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Path, int, str, str]] = field(default_factory=list)
    others: set[str] = field(default_factory=set)


def compute(
    job: Job,
    processes: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    start: Literal["spawn", "fork"] = "spawn",
) -> Computed:
    """Read all files to their end and compute the final metrics.

    Args:
        job: what is to be computed.
        processes: at most this many; None: one for each processor, where there is enough to do.
        advance: called now and then with the bytes read so far.
        start: how to start processes; ``fork`` is quicker, for callers without any thread.

    Raises:
        Unreadable: a file cannot be read.
        Broken: a process was ended from outside, most likely for want of memory.
        RuleError, ValueError: as ``load_book``.
    """
    book = load_book(job.settings)
    config = pipeline_config(job.settings, book)
    metrics = MetricsPartition(0, config, book, {})
    if processes is None:
        worth = sum(file.stat().st_size for file in job.files) >= WORTH_BYTES
        processes = multiprocessing.cpu_count() if worth else 1
    processes = min(processes, config.partitions)
    instant = guess(job, config)
    if processes == 1:
        instant, found, starts = _alone(job, instant, advance)
    else:
        instant, found, starts = _side_by_side(job, instant, processes, advance, start)
    done = Computed([])
    for result in found:
        done.verdicts.update(result.verdicts)
        done.reasons.update(result.reasons)
        done.others |= result.others
    for line, reason, detail in sorted(_named(found))[:NAMED]:
        number = max(at for at, start in enumerate(starts) if start <= line)
        done.refused.append((job.files[number], line - starts[number] + 1, reason, detail))
    settled = metrics.settled(_cells(found), instant)
    done.metrics = sorted(settled, key=lambda record: (record.slice_key != WHOLE, record.slice_key))
    return done


def read_share(
    job: Job, partitions: Sequence[int], instant: int, advance: Callable[[int], None]
) -> tuple[Share, list[int]]:
    """One share with all lines taken; and the line at which each file begins."""
    config = pipeline_config(job.settings, load_book(job.settings))
    share = Share(
        partitions,
        config,
        instant,
        strays=0 in partitions,
        now_ms=job.now_ms,
    )
    reading = Reading(job.files, config.limits.max_bytes, config.topics)
    while reading.step(share):
        advance(reading.bytes_read)
    return share, reading.starts


def _named(found: list[ShareResult]) -> Iterator[tuple[int, str, str]]:
    for result in found:
        for each in result.refused:
            yield each.line, each.reason, each.detail


def _cells(found: list[ShareResult]) -> Iterator[tuple[str, int, Stats]]:
    for result in found:
        for slice_key, panes in result.cells.items():
            for pane, stats in panes.items():
                yield slice_key, pane, stats


def guess(job: Job, config: PipelineConfig) -> int:
    """The last instant, by the ends of the files: right where the newest event is among a file's last lines.

    When it proves wrong all is read once more.
    """
    newest_ms = -1
    last_ms = MAX_MS if job.now_ms is None else job.now_ms + config.panes.max_ahead_ms
    for file in job.files:
        for line in tail(file, _TAIL_BYTES):
            event = decode(line, (), config.limits, config.declared.questions)
            if isinstance(event, Event) and newest_ms < event.time_ms <= last_ms:
                newest_ms = event.time_ms
    return newest_ms // config.panes.pane_ms + 1


def _alone(
    job: Job, instant: int, advance: Callable[[int], None]
) -> tuple[int, list[ShareResult], list[int]]:
    while True:
        share, starts = read_share(job, range(job.settings.partitions), instant, advance)
        proved = share.finish() + 1
        if proved == instant:
            return instant, [share.result()], starts
        instant = proved


def _side_by_side(
    job: Job, instant: int, processes: int, advance: Callable[[int], None], start: Literal["spawn", "fork"]
) -> tuple[int, list[ShareResult], list[int]]:
    """The instant, every share's result, and the line at which each file begins."""
    context: Any = multiprocessing.get_context(start)
    ends: list[_End] = []
    started: list[BaseProcess] = []
    try:
        for number in range(processes):
            end, other = context.Pipe()
            partitions = range(number, job.settings.partitions, processes)
            # A fork would keep our ends open, and never learn that we are gone.
            ours = [*ends, end] if start == "fork" else []
            work = (other, job, partitions, instant, ours)
            started.append(context.Process(target=_work, args=work, daemon=True))
            started[-1].start()
            other.close()
            ends.append(end)
        while True:
            proved, starts = _read(ends, started, advance)
            for end in ends:
                end.send(proved)
            if proved == instant:
                break
            instant = proved
        return instant, [hear(end, process) for end, process in zip(ends, started, strict=True)], starts
    finally:
        for process in started:
            process.kill()
            process.join()


def _read(
    ends: list[_End], started: list[BaseProcess], advance: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Wait until every process has read all: the instant that their newest events make, and the files' starts."""
    read = [0] * len(ends)
    newest: dict[int, int] = {}
    starts: list[int] = []
    while len(newest) < len(ends):
        for end in cast("list[_End]", wait([end for number, end in enumerate(ends) if number not in newest])):
            number = ends.index(end)
            said = hear(end, started[number])
            if isinstance(said, int):
                read[number] = said
                advance(sum(read) // len(ends))
            else:
                newest[number], starts = said
    return max(newest.values()) + 1, starts


def hear(end: _End, process: BaseProcess) -> Any:
    """What a process says next; raises what it could not do."""
    try:
        said = end.recv()
    except EOFError:
        process.join()
        raise Broken(_ended(process.exitcode)) from None
    if isinstance(said, Unreadable):
        raise said
    return said


def _work(end: _End, job: Job, partitions: Sequence[int], instant: int, others: list[_End]) -> None:
    """The life of a process.

    It says how far it has read, and at the end its newest pane; told the instant that this makes, it sends its
    result if that is the one it was given, and else reads again.
    """
    for other in others:
        other.close()
    gc.disable()  # nothing here makes cycles, and there is much to walk through
    told = 0

    def tell(read: int) -> None:
        nonlocal told
        if read - told >= _TOLD_BYTES:
            told = read
            end.send(read)

    with contextlib.suppress(BrokenPipeError, EOFError, KeyboardInterrupt):  # nobody is waiting any more
        try:
            while True:
                told = 0
                share, starts = read_share(job, partitions, instant, tell)
                end.send((share.finish(), starts))
                proved = end.recv()
                if proved == instant:
                    break
                instant = proved
        except Unreadable as error:
            end.send(error)
        else:
            end.send(share.result())


def _ended(code: int | None) -> str:
    why = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"a process of the computation ended early ({why}); is there enough memory?"
