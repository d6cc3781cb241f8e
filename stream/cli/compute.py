"""``cx compute``: the metrics of files, as a worker would publish them, without Kafka."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from schemas.times import format_ms
from stream.cli.config import load_settings
from stream.cli.files import look_for, moment_ms, on_disk, size, summary, tell_refused
from stream.cli.problems import as_problem
from stream.cli.progress import progress
from stream.cli.shape import Command

if TYPE_CHECKING:
    from stream.compute import Computed
    from stream.measures import MetricValue

_FAR: Final = 1e6  # figures from here on are shown without digits after the point


@click.command(
    cls=Command,
    examples="""
    cx compute events.ndjson
    cx compute --rules rules.yml --json day-*.ndjson.gz > metrics.ndjson
    cx simulate --events 20000 | cx compute -
    """,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rules", type=click.Path(path_type=Path, dir_okay=False), help="Rules file.  [default: CX_RULES]"
)
@click.option("--json", "as_json", is_flag=True, help="One cx.metrics object a line on stdout.")
@click.option(
    "--now", help="Time, RFC 3339: events CX_MAX_AHEAD_MS beyond are too_early.  [default: the present]"
)
@click.option("--processes", type=click.IntRange(1), help="At most so many.  [default: one a processor]")
def compute(
    files: tuple[Path, ...], rules: Path | None, as_json: bool, now: str | None, processes: int | None
) -> None:
    """Compute the final metrics of NDJSON files, plain or gzip; '-' is standard input.

    They are what a worker publishes when the same files are sent with cx send and all is quiet: touchpoints
    and replies mixed, duplicates, late and bad records treated alike. Values are as of the end of the newest
    event. Lines that are not taken are told on stderr, with a summary; they do not change the exit code.
    """
    now_ms = time.time_ns() // 1_000_000 if now is None else moment_ms(now, "--now")
    settings = load_settings(**({} if rules is None else {"rules": rules}))
    look_for(files)
    from stream.alerting.rules import RuleError  # noqa: PLC0415 - only when all else is well
    from stream.compute import Broken, Job, Unreadable  # noqa: PLC0415
    from stream.compute import compute as run  # noqa: PLC0415

    with on_disk(files) as paths, as_problem(RuleError, Unreadable, Broken):
        start: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
        with progress("computing", size(paths), forks=True) as step:
            done = run(Job(paths, settings, now_ms), processes, step.at, start=start)
        tell_refused(done.refused, dict(zip(paths, files, strict=True)))
    click.echo(summary(done.verdicts, done.reasons, done.others), err=True)
    if as_json:
        for record in done.metrics:
            click.echo(record.payload)
    else:
        _show(done)


def _show(done: Computed) -> None:
    """A table: a row for each slice and metric, a column for each window that has values."""
    from rich.console import Console  # noqa: PLC0415 - not for --json
    from rich.table import Table  # noqa: PLC0415

    from stream.measures import METRICS, parse_slice  # noqa: PLC0415

    if not done.metrics:
        return
    windows = dict.fromkeys(w for record in done.metrics for values in record.values.values() for w in values)
    click.echo(f"as of {format_ms(done.metrics[0].as_of_ms)}; in brackets, how many each value rests on")
    table = Table(box=None)
    table.add_column("slice", overflow="fold")
    table.add_column("metric", no_wrap=True)
    for window in windows:
        table.add_column(window, justify="right", no_wrap=True)
    for record in done.metrics:
        name = ", ".join(f"{key}={value}" for key, value in parse_slice(record.slice_key).items()) or "(all)"
        for metric in [metric for metric in METRICS if metric in record.values]:
            values, unit = record.values[metric], METRICS[metric].unit
            table.add_row(name, metric, *(_cell(values.get(window), unit) for window in windows))
            name = ""
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False).print(table)


def _cell(value: MetricValue | None, unit: str) -> str:
    if value is None:
        return ""
    if value.value is None:
        return f"- ({value.n})"
    currency = f" {value.currency}" if value.currency else ""
    digits = 0 if unit == "count" or abs(value.value) >= _FAR else 1
    return f"{value.value:.{digits}f}{currency} ({value.n})"
