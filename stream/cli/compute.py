"""``cx compute``: the metrics of files, as a worker would publish them, without Kafka."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final, Literal

import click
from pydantic_core import PydanticCustomError

from schemas.times import format_ms, parse, to_ms
from stream.cli.config import load_settings
from stream.cli.problems import Problem
from stream.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream.compute import Computed
    from stream.measures import MetricValue

_BAR_AFTER_S: Final = 2.0
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
    now_ms = time.time_ns() // 1_000_000 if now is None else _moment_ms(now)
    settings = load_settings(**({} if rules is None else {"rules": rules}))
    for file in files:
        if str(file) != "-" and (file.is_dir() or not file.exists()):
            raise Problem(f"{file}: {'is a directory' if file.is_dir() else 'no such file'}")
    from stream.alerting.rules import RuleError  # noqa: PLC0415 - only when all else is well
    from stream.compute import Broken, Job, Unreadable  # noqa: PLC0415
    from stream.compute import compute as run  # noqa: PLC0415

    with _on_disk(files) as paths, _progress(paths) as advance:
        try:
            # Nothing here has a thread when processes start: the bar has one, but is shown later.
            start: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
            done = run(Job(paths, settings, now_ms), processes, advance, start=start)
        except (RuleError, Unreadable, Broken) as error:
            raise Problem(str(error)) from None
        except ValueError as error:
            if str(error).startswith("CX_"):  # a setting that only proves wrong when used
                raise Problem(str(error)) from None
            raise
        names = dict(zip(paths, files, strict=True))
        for file, line, reason, detail in done.refused:
            click.echo(f"cx: {names[file]}:{line}: {reason}: {detail}", err=True)
    click.echo(_summary(done), err=True)
    if as_json:
        for record in done.metrics:
            click.echo(record.payload)
    else:
        _show(done)


def _moment_ms(text: str) -> int:
    try:
        return to_ms(parse(text))
    except PydanticCustomError as error:
        raise Problem(f"--now: {text!r}: {error.message()}, like 2026-01-12T08:00:00Z") from None


def _summary(done: Computed) -> str:
    verdicts = done.verdicts
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(done.reasons.items()) if reason != "too_late")
    dead = f"{verdicts['deadletter']} dead letters" + (f" ({reasons})" if reasons else "")
    others = [
        f"cx: more than CX_MAX_MEMBERS members of {grouping}: the rest is in 'other'"
        for grouping in sorted(done.others)
    ]
    total = (
        f"cx: {verdicts.total()} events: {verdicts['applied']} applied, {verdicts['duplicate']} duplicates"
    )
    return "\n".join([f"{total}, {dead}, {verdicts['late']} too late", *others])


@contextlib.contextmanager
def _on_disk(files: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """The files, with standard input in a temporary one: every process reads it from its beginning."""
    with contextlib.ExitStack() as held:
        paths = []
        for file in files:
            if str(file) == "-":
                spool = held.enter_context(NamedTemporaryFile(prefix="cx-compute-"))
                shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
                spool.flush()
                paths.append(Path(spool.name))
            else:
                paths.append(file)
        yield tuple(paths)


@contextlib.contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of all files, on a terminal's stderr and not for what is done at once."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where somebody watches
    from rich.progress import Progress  # noqa: PLC0415

    began = time.monotonic()
    with contextlib.ExitStack() as shown:
        bar = Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task("computing", total=sum(file.stat().st_size for file in files))

        def advance(read: int) -> None:
            if not bar.live.is_started and time.monotonic() - began >= _BAR_AFTER_S:
                shown.enter_context(bar)
            bar.update(task, completed=read)

        yield advance


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
