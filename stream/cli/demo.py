"""``cx demo``: the whole program on one machine, with nothing but Python."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import ExitStack
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import click

from stream.alerting.rules import load_rules
from stream.cli.demo_feed import Feeder, simulated
from stream.cli.demo_stack import Stack
from stream.cli.demo_watch import VERDICTS, Watch
from stream.cli.problems import Finding
from stream.cli.sending import Sender
from stream.cli.shape import Command
from stream.serving.reader import BlockingReader

if TYPE_CHECKING:
    from collections.abc import Callable


_SPEED: Final = 180.0
_LOOK_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 5.0
_QUIET_SECONDS: Final = 3.0  # longer than the worker takes to notice that its input is idle
_STUCK_SECONDS: Final = 60.0


@click.command(
    cls=Command,
    examples="""
    cx demo
    cx demo --speed 300
    cx demo --events 20000 --seed 1 --json
    """,
)
@click.option("--events", type=click.IntRange(1), help="Feed this many records as fast as they go, then end.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other customers.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help=f"Event time over wall time.  [default: {_SPEED:.0f}; with --events as fast as it goes]",
)
@click.option("--json", "as_json", is_flag=True, help="With --events: only a summary, as one JSON object.")
def demo(events: int | None, seed: int, speed: float | None, as_json: bool) -> None:
    """See it work: an embedded broker and Redis, a worker, simulated customers, and what comes of them.

    Shows rolling metrics with their intervals and alerts as they fire and resolve, here and on the live page,
    whose address is said. Everything is in memory and gone at the end; settings and .env do not matter here.
    """
    if as_json and events is None:
        raise click.UsageError("--json needs --events: a summary has to have an end")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rules = resources.files("stream.cli").joinpath("demo.yml").read_text(encoding="utf-8")
    pace = speed if speed is not None else (None if events is not None else _SPEED)
    try:
        _run(rules, events, seed, pace, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("ended", err=True)


def _run(rules: str, events: int | None, seed: int, pace: float | None, *, as_json: bool) -> None:
    click.echo("starting broker, Redis and worker ...", err=True)
    with ExitStack() as opened:
        stack = opened.enter_context(Stack(rules, page=not as_json))
        if stack.page_url:
            click.echo(f"the live page: {stack.page_url}", err=True)
        reader = BlockingReader(stack.redis_url)
        opened.callback(reader.close)
        feeder = Feeder(Sender({"bootstrap.servers": stack.bootstrap}), simulated(seed, events), pace)
        opened.callback(feeder.stop)
        watch = Watch(stack, reader, feeder)
        began = time.monotonic()
        feeder.start()
        if as_json:
            took = _until_quiet(watch, began, lambda _new: None)
        elif sys.stdout.isatty():
            took = _live(watch, began)
        else:
            took = _lines(watch, began)
        summary = _summary(watch, rules, took)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(
            f"{summary['events_in']} records in {took:.1f} s: "
            + ", ".join(
                f"{summary[name]} {name}" for name in ("applied", "duplicates", "late", "deadletters")
            )
        )
    if watch.processed != feeder.sent:
        raise Finding(f"the worker accounts for {watch.processed} of {feeder.sent} records")


def _until_quiet(watch: Watch, began: float, show: Callable[[list[dict[str, Any]]], None]) -> float:
    """Look until all that was sent is accounted for and nothing moves; returns the seconds that took.

    Ends too when nothing moves for long and records are missing: the caller says so.
    """
    before: tuple[object, ...] | None = None
    moved = time.monotonic()
    while True:
        show(watch.look())
        now, activity = time.monotonic(), watch.activity()
        if activity != before:
            before, moved = activity, now
        quiet = now - moved
        if watch.feeder.done and not watch.busy() and quiet >= _QUIET_SECONDS:
            return moved - began
        if watch.feeder.done and quiet >= _STUCK_SECONDS:
            return moved - began
        time.sleep(_LOOK_SECONDS)


def _live(watch: Watch, began: float) -> float:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.live import Live  # noqa: PLC0415

    from stream.cli.demo_view import screen  # noqa: PLC0415

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        return _until_quiet(
            watch, began, lambda _new: live.update(screen(watch, console.size.height), refresh=True)
        )


def _lines(watch: Watch, began: float) -> float:
    from stream.cli.demo_view import alert_line, line  # noqa: PLC0415 - brings rich along

    shown = began - _LINE_SECONDS / 2  # the first one soon

    def show(new: list[dict[str, Any]]) -> None:
        nonlocal shown
        for alert in new:
            click.echo(alert_line(alert))
        if time.monotonic() - shown >= _LINE_SECONDS:
            shown = time.monotonic()
            click.echo(line(watch))

    return _until_quiet(watch, began, show)


def _summary(watch: Watch, rules: str, took: float) -> dict[str, Any]:
    figures = watch.figures
    verdicts = {verdict: watch.verdicts.get(verdict, 0) for verdict in VERDICTS}
    fired = figures.by("cx_alerts_total", "alert", state="firing")
    resolved = figures.by("cx_alerts_total", "alert", state="resolved")
    book = load_rules(rules, "demo.yml")
    names = [rule.alert for rule in book.metric_rules] + [rule.alert for rule in book.customer_rules]
    return {
        "events_in": watch.feeder.sent,
        "applied": verdicts["applied"],
        "duplicates": verdicts["duplicate"],
        "deadletters": verdicts["deadletter"],
        "late": verdicts["late"],
        "deadletters_by_reason": figures.by("cx_deadletters_total", "reason"),
        "metrics": watch.metrics.get("{}", {}).get("metrics", {}),
        "alerts": {name: {"fired": fired.get(name, 0), "resolved": resolved.get(name, 0)} for name in names},
        "seconds": round(took, 3),
        "events_per_s": round(watch.feeder.sent / took, 1) if took > 0 else None,
    }
