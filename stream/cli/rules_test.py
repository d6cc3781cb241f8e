"""``cx rules test``: which alerts a rules file would have led to, and how good they would have been."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from schemas.times import format_ms
from stream.cli.config import load_settings
from stream.cli.files import event_files, look_for, moment_ms, on_disk, size, summary, tell_refused
from stream.cli.moments import DURATION, MOMENT
from stream.cli.problems import Problem, as_problem
from stream.cli.progress import progress
from stream.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.backtest import Replayed, Report
    from stream.backtest.outcomes import Incident, Judgement
    from stream.backtest.report import Compared

FILE: Final = click.Path(path_type=Path, dir_okay=False)
JUDGED: Final = {"right", "wrong", "precision", "recall", "delay"}


@click.command(
    cls=Command,
    examples="""
    cx rules test rules.yml --events day-*.ndjson.gz
    cx rules test rules.yml --events events.ndjson --outcomes incidents.ndjson --html report.html
    cx rules test rules.yml --against old.yml --events events.ndjson
    cx rules test rules.yml --events events.ndjson --json > alerts.ndjson
    """,
)
@click.argument("rules", type=FILE)
@event_files
@click.option("--outcomes", type=FILE, help="NDJSON of incidents or actions, to hold the alerts against.")
@click.option("--against", type=FILE, help="Another rules file, to compare with.")
@click.option(
    "--grace", type=DURATION, default="10m", show_default=True, help="An alert so long after is right."
)
@click.option("--json", "as_json", is_flag=True, help="One cx.alerts object a line on stdout, in order.")
@click.option("--html", type=FILE, help="Write a report to this file, with a chart of every rule.")
@click.option(
    "--now", help="Time, RFC 3339: events CX_MAX_AHEAD_MS beyond are too_early.  [default: the present]"
)
@click.option(
    "--until", type=MOMENT, help="Time goes on to here after the last event: what is overdue by then is told."
)
@click.option("--processes", type=click.IntRange(1), help="At most so many.  [default: one a processor]")
def test(
    rules: Path,
    more: tuple[Path, ...],
    events: tuple[Path, ...],
    outcomes: Path | None,
    against: Path | None,
    grace: int,
    as_json: bool,
    html: Path | None,
    now: str | None,
    until: int | None,
    processes: int | None,
) -> None:
    """Replay history: which alerts would have gone out, when, and how good they would have been.

    The alerts are those that workers publish when the same files are sent with cx send, byte for byte. With
    outcomes every alert is right, wrong or neither. Lines that are not taken are told on stderr, with a
    summary; they do not change the exit code.
    """
    files = (*events, *more)
    now_ms = time.time_ns() // 1_000_000 if now is None else moment_ms(now, "--now")
    look_for(files)
    from stream.backtest import report  # noqa: PLC0415 - only when all else is well

    incidents, judgements = ([], []) if outcomes is None else read(outcomes)
    reports: list[Report] = []
    with on_disk(files) as paths:
        names = dict(zip(paths, files, strict=True))
        for number, book in enumerate([rules] if against is None else [rules, against]):
            done = replayed(book, paths, now_ms, processes, until_ms=until)
            with progress("judging alerts"):
                reports.append(report(done, incidents, judgements, grace))
            if number:
                continue
            tell_refused(done.refused, names)
            click.echo(summary(done.verdicts, done.reasons), err=True)
            if as_json:
                _print_alerts(done.alerts)
    _tell(reports, as_json=as_json)
    if html is not None:
        _write(html, reports)


def read(outcomes: Path) -> tuple[list[Incident], list[Judgement]]:
    """The incidents and judgements of a file.

    Raises:
        Problem: it cannot be read, or a line is neither.
    """
    from stream.backtest import BadOutcome, read_outcomes  # noqa: PLC0415

    try:
        return read_outcomes(outcomes.read_bytes().splitlines())
    except OSError as error:
        raise Problem(f"{outcomes}: {error.strerror}") from None
    except BadOutcome as error:
        raise Problem(f"{outcomes}:{error}") from None


def load(rules: Path) -> RuleBook:
    """A rules file, as the deployment would have it.

    Raises:
        Problem: rules or settings are wrong.
    """
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.deployment import load_book  # noqa: PLC0415

    settings = load_settings(rules=rules)
    try:
        return load_book(settings)
    except (RuleError, ValueError) as error:
        raise Problem(str(error).removeprefix("CX_RULES: ")) from None


def replayed(
    rules: Path,
    paths: tuple[Path, ...],
    now_ms: int,
    processes: int | None,
    book: RuleBook | None = None,
    until_ms: int | None = None,
) -> Replayed:
    """Files through the cores, by the settings of the deployment and a rules file, or ``book`` in its place.

    Raises:
        Problem: rules, settings or files are wrong.
    """
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.backtest import replay  # noqa: PLC0415
    from stream.compute import Broken, Job, Unreadable  # noqa: PLC0415

    with as_problem(RuleError, Unreadable, Broken):
        job = Job(paths, load_settings(rules=rules), now_ms)
        start: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
        with progress("replaying", size(paths), forks=True) as step:
            return replay(job, processes, step.at, book=book, until_ms=until_ms, start=start)


def _print_alerts(alerts: Sequence[Claim]) -> None:
    from stream.alerting.events import encode_event  # noqa: PLC0415

    out = sys.stdout.buffer
    for claim in alerts:
        out.write(encode_event(claim) + b"\n")
    out.flush()


def _tell(reports: Sequence[Report], *, as_json: bool) -> None:
    """The tables: on stdout, or where that holds the alerts, on stderr."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from stream.backtest.report import HEADINGS, cells, compare  # noqa: PLC0415

    width = None if (sys.stderr if as_json else sys.stdout).isatty() else 160
    console = Console(width=width, markup=False, highlight=False, stderr=as_json)
    for each in reports:
        if each.span_ms is None:
            console.print(f"{each.filename}: no events")
            continue
        since, until = (format_ms(at) for at in each.span_ms)
        console.print(f"{each.filename}: {len(each.episodes)} alerts from {since} to {until}")
        table = Table(box=None)
        wanted = [at for at, name in enumerate(HEADINGS) if each.judged or name not in JUDGED]
        for at in wanted:
            table.add_column(HEADINGS[at], justify="right" if at else "left", no_wrap=bool(at))
        for score in each.scores:
            row = cells(score)
            table.add_row(*(row[at] for at in wanted))
        console.print(table)
    if len(reports) > 1:
        first, second = reports
        console.print(f"only in {first.filename}, and only in {second.filename}:")
        table = Table(box=None)
        for name in ("rule", "first", "second", "only first", "only second"):
            table.add_column(name, justify="left" if name == "rule" else "right")
        for one in compare(first, second):
            table.add_row(*_compared(one))
        console.print(table)


def _compared(one: Compared) -> tuple[str, ...]:
    first, second = ("-" if score is None else str(score.alerts) for score in (one.first, one.second))
    return one.rule, first, second, str(one.only_first), str(one.only_second)


def _write(html: Path, reports: Sequence[Report]) -> None:
    from stream.backtest.html import page  # noqa: PLC0415

    try:
        html.write_text(page(reports), encoding="utf-8")
    except OSError as error:
        raise Problem(f"{html}: {error.strerror}") from None
