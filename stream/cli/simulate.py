"""``cx simulate``: a plausible customer base as NDJSON, or straight to Kafka."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from stream.cli.problems import Problem
from stream.cli.progress import progress
from stream.cli.shape import Command
from stream.simulate import DEFAULT_START_MS, Simulated, Simulation, outcomes, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.cli.progress import Step

_EVENTS: Final = 10_000
_PER_HOUR: Final = 3_400.0
_SHARE: Final = click.FloatRange(0, 1)
_AHEAD_SECONDS: Final = 0.05  # waits shorter than this are not worth a pause


@click.command(
    cls=Command,
    examples="""
    cx simulate --events 1000 --out events.ndjson
    cx simulate --seed 7 --bad 0.05 | cx send -
    cx simulate --send --rate 50
    """,
)
@click.option("--events", type=click.IntRange(1), help=f"How many.  [default: {_EVENTS}; with --rate no end]")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same events.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="As it happens: so many a second, from now on."
)
@click.option(
    "--start", help="Time of the first event, RFC 3339 with offset.  [default: 2026-01-12T08:00:00Z]"
)
@click.option(
    "--customers", type=click.IntRange(1), default=2_000, show_default=True, help="How many there are."
)
@click.option("--bad", type=_SHARE, default=0.0, help="Share of bad records.")
@click.option("--duplicates", type=_SHARE, default=0.0, help="Share of records sent a second time.")
@click.option("--late", type=_SHARE, default=0.0, help="Share of records minutes behind their time.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
@click.option(
    "--incidents",
    "told",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what goes wrong, and when, to this file: outcomes for cx rules test.",
)
@click.option("--send", "to_kafka", is_flag=True, help="Send to the Kafka of CX_BROKERS instead.")
def simulate(
    events: int | None,
    seed: int,
    rate: float | None,
    start: str | None,
    customers: int,
    bad: float,
    duplicates: float,
    late: float,
    out: Path | None,
    told: Path | None,
    to_kafka: bool,
) -> None:
    """Make up the events of a customer base: segments, journeys, the rhythm of a day, and incidents.

    Without --rate the events are of a fixed past day and come as fast as they can be written; 20,000 of
    them are six hours with three incidents. With --rate they happen now, in real time.
    """
    if to_kafka and out is not None:
        raise click.UsageError("--send and --out exclude each other")
    if rate is not None and start is not None:
        raise click.UsageError("--rate is real time: it begins now, without --start")
    simulation = Simulation(
        seed,
        customers=customers,
        start_ms=_now_ms() if rate is not None else _start_ms(start),
        events_per_hour=_PER_HOUR if rate is None else rate * 3_600,
        bad=bad,
        duplicates=duplicates,
        late=late,
    )
    wanted = events if events is not None or rate is not None else _EVENTS
    records: Iterator[Simulated] = islice(simulation.records(), wanted)
    if told is not None:
        records = _telling(records, simulation, told)
    if rate is not None:
        records = _paced(records)
    # On stdout they may be for a command that says itself how far it is.
    with progress("making up events", wanted, hidden=out is None and not to_kafka) as step:
        records = _counted(records, step)
        if to_kafka:
            _send(records, real_time=rate is not None)
        else:
            _write(records, out, flush=rate is not None)


def _write(records: Iterator[Simulated], out: Path | None, *, flush: bool) -> None:
    with contextlib.ExitStack() as opened:
        try:
            target: IO[bytes] = sys.stdout.buffer if out is None else opened.enter_context(out.open("wb"))
        except OSError as error:
            raise Problem(f"{out}: {error.strerror}") from None
        for record in records:
            target.write(record.value.replace(b"\n", b" ") + b"\n")
            if flush:
                target.flush()
        target.flush()


def _send(records: Iterator[Simulated], *, real_time: bool) -> None:
    from stream.brokers.security import confluent_config  # noqa: PLC0415 - only for this option
    from stream.cli.config import load_settings  # noqa: PLC0415
    from stream.cli.sending import Sender  # noqa: PLC0415

    sender = Sender(confluent_config(load_settings()))
    try:
        for record in records:
            # With timestamps of a past day a broker would soon delete it: retention goes by them. Those of a day
            # to come are its own, or all of it would be too early.
            stamp = None if real_time else max(record.time_ms, _now_ms())
            sender.put(record.topic, record.key.encode(), record.value, stamp)
    finally:
        sender.flush()
        for topic, count in sorted(sender.delivered.items()):
            click.echo(f"{count} sent to {topic}", err=True)
    if sender.failed:
        raise Problem(f"{sender.failed.total()} records were not taken by the broker")


def _telling(records: Iterator[Simulated], simulation: Simulation, told: Path) -> Iterator[Simulated]:
    """The same records; at last all that went wrong meanwhile is in a file, an incident a line."""
    until_ms = simulation.start_ms
    try:
        for record in records:
            until_ms = max(until_ms, record.time_ms)
            yield record
    finally:
        lines = [to_json(each) + b"\n" for each in outcomes(simulation.incidents, until_ms)]
        try:
            told.write_bytes(b"".join(lines))
        except OSError as error:
            raise Problem(f"{told}: {error.strerror}") from None


def _counted(records: Iterator[Simulated], step: Step) -> Iterator[Simulated]:
    for record in records:
        yield record
        step.add()


def _paced(records: Iterator[Simulated]) -> Iterator[Simulated]:
    """Each record when its time has come."""
    newest = 0
    for record in records:
        newest = max(newest, record.time_ms)
        if (ahead := newest / 1000 - time.time()) > _AHEAD_SECONDS:
            time.sleep(ahead)
        yield record


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _start_ms(text: str | None) -> int:
    if text is None:
        return DEFAULT_START_MS
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise Problem(f"--start: {text!r} is not a time like 2026-01-12T08:00:00Z (the offset is needed)")
    return int(start.timestamp() * 1000)
