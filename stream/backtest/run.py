"""Files to alerts: one process, or several that each read all files and work on a share of the partitions."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream.backtest.needs import Needs
from stream.backtest.replay import Customers, Judges, Ordered, empty_news, in_order
from stream.compute.reading import Reading
from stream.compute.share import NAMED
from stream.deployment import load_book, pipeline_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.compute import Job
    from stream.compute.share import Refused


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
    since_ms: int | None
    until_ms: int | None
    decisions: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Path, int, str, str]] = field(default_factory=list)


class _Full(Exception):  # noqa: N818 - what happened, not what is wrong
    """Some grouping has more members than places: all that is deployed has to be computed."""


def replay(job: Job, advance: Callable[[int], None] = lambda _: None, *, least: bool = True) -> Replayed:
    """Read all files to their end and say which alerts they lead to.

    Args:
        job: files, and the deployment with its rules.
        advance: called now and then with the bytes read so far.
        least: compute only what the rules look at, where that gives the same alerts.

    Raises:
        Unreadable: a file cannot be read.
        RuleError, ValueError: as ``load_book``.
    """
    book = load_book(job.settings)
    try:
        return _alone(job, book, advance, all_of_it=not least)
    except _Full:
        return _alone(job, book, advance, all_of_it=True)


def _alone(job: Job, book: RuleBook, advance: Callable[[int], None], *, all_of_it: bool) -> Replayed:
    needs = Needs(pipeline_config(job.settings, book), book, all_of_it=all_of_it)
    config = needs.config
    everyone = range(config.partitions)
    customers = Customers(everyone, needs, strays=True, now_ms=job.now_ms)
    judges = Judges(everyone, needs)
    lane = Ordered(config.partitions)
    news = empty_news(config.partitions)
    alerts: list[Claim] = []

    def close(instant: int) -> None:
        for partition, claims, mark_ms in judges.close(news, instant):
            lane.take(partition, claims, mark_ms)
        alerts.extend(lane.release())

    with closing(Reading(job.files, config.limits.max_bytes, config.topics)) as reading:
        while reading.step(customers):
            customers.hand_over(news)
            if needs.full and not all_of_it:
                raise _Full
            close(customers.closed)
            advance(reading.bytes_read)
    customers.finish()
    customers.hand_over(news)
    if needs.full and not all_of_it:
        raise _Full
    close(customers.newest + 1)
    for claims in customers.claims.values():
        alerts.extend(claims)
    done = Replayed(book, in_order(alerts), customers.oldest_ms, None)
    if done.since_ms is not None:
        done.until_ms = (customers.newest + 1) * config.panes.pane_ms
    done.decisions = judges.decisions + customers.decisions
    done.verdicts, done.reasons = customers.verdicts, customers.reasons
    done.refused = named(job.files, reading.starts, customers.refused)
    return done


def named(
    files: tuple[Path, ...], starts: list[int], refused: Iterable[Refused]
) -> list[tuple[Path, int, str, str]]:
    """The first refused lines by file and number."""
    found = []
    for line, reason, detail in sorted((r.line, r.reason, r.detail) for r in refused)[:NAMED]:
        number = max(at for at, start in enumerate(starts) if start <= line)
        found.append((files[number], line - starts[number] + 1, reason, detail))
    return found
