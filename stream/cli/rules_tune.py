"""``cx rules tune``: other thresholds, ``min_n`` and windows, tried on history."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.cli.files import event_files, look_for, moment_ms, on_disk, summary, tell_refused
from stream.cli.moments import DURATION
from stream.cli.problems import Problem
from stream.cli.progress import progress
from stream.cli.rules_test import FILE, load, read, replayed
from stream.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.backtest.tuning import Tried, Tuned

_ROWS = 12


@click.command(
    cls=Command,
    examples="""
    cx rules tune rules.yml --events day-*.ndjson.gz --outcomes incidents.ndjson
    cx rules tune rules.yml --events quiet.ndjson --rule NpsLow --false-alarms 0.5
    """,
)
@click.argument("rules", type=FILE)
@event_files
@click.option("--outcomes", type=FILE, help="NDJSON of incidents. Without it every alert is a false one.")
@click.option("--rule", "only", metavar="NAME", multiple=True, help="Only this rule; may be repeated.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="At most so many of each rule a week, over all its slices.",
)
@click.option(
    "--grace", type=DURATION, default="10m", show_default=True, help="An alert so long after is right."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a rule on stdout.")
@click.option(
    "--now", help="Time, RFC 3339: events CX_MAX_AHEAD_MS beyond are too_early.  [default: the present]"
)
@click.option("--processes", type=click.IntRange(1), help="At most so many.  [default: one a processor]")
def tune(
    rules: Path,
    more: tuple[Path, ...],
    events: tuple[Path, ...],
    outcomes: Path | None,
    only: tuple[str, ...],
    false_alarms: float,
    grace: int,
    as_json: bool,
    now: str | None,
    processes: int | None,
) -> None:
    """Try other thresholds, min_n and windows of the rules below, above, drop and rise.

    Of the settings that would have given few enough false alarms the one is proposed that would have found the
    most incidents, and the soonest. Nothing is written to the rules file. What was best on the past need not be
    on what comes: try a proposal on events that it was not made of.
    """
    files = (*events, *more)
    now_ms = time.time_ns() // 1_000_000 if now is None else moment_ms(now, "--now")
    look_for(files)
    from stream.backtest import report  # noqa: PLC0415 - only when all else is well
    from stream.backtest.tuning import trials, tune  # noqa: PLC0415

    incidents, _ = ([], []) if outcomes is None else read(outcomes)
    book = load(rules)
    if unknown := [name for name in only if name not in {rule.alert for rule in book.metric_rules}]:
        raise Problem(f"{rules}: no rule over a window is named {unknown[0]!r}")
    tried, meant = trials(book, only)
    if not meant:
        raise Problem(f"{rules}: no rule has a threshold: only below, above, drop and rise can be tuned")
    with on_disk(files) as paths:
        done = replayed(rules, paths, now_ms, processes, tried)
        tell_refused(done.refused, dict(zip(paths, files, strict=True)))
    click.echo(summary(done.verdicts, done.reasons), err=True)
    with progress("weighing what was tried"):
        found = report(done, incidents, [], grace)
        if found.span_ms is None:
            raise Problem("no events: there is nothing to learn from")
        tuned = tune(book, meant, found.scores, found.span_ms, false_alarms, judged=bool(incidents))
    if as_json:
        for one in tuned:
            click.echo(json.dumps(_object(one, false_alarms)))
    else:
        _show(tuned, false_alarms)


def _object(tuned: Tuned, wanted: float) -> dict[str, Any]:
    return {
        "rule": tuned.rule.alert,
        "false_alarms_per_week_wanted": wanted,
        "now": _tried(tuned.now),
        "proposed": None if tuned.proposed is None else _tried(tuned.proposed),
        "trade_off": [_tried(one) for one in tuned.trade_off],
    }


def _tried(one: Tried) -> dict[str, Any]:
    score = one.score
    return {
        **one.setting._asdict(),
        "alerts": score.alerts,
        "false_alarms_per_week": round(one.false_per_week, 3),
        "false_alarms_per_week_at_most": round(one.at_most, 3),
        "precision": score.precision,
        "recall": score.recall,
        "delay_s": None if score.delay_ms is None else score.delay_ms / 1000,
    }


def _show(tuned: Sequence[Tuned], wanted: float) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    for one in tuned:
        table = Table(box=None, title=f"{one.rule.alert} ({one.rule.kind})", title_justify="left")
        for name in (
            "",
            "threshold",
            "min_n",
            "window",
            "alerts",
            "false a week",
            "at most",
            "recall",
            "delay",
        ):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for each in _rows(one):
            table.add_row(*_row(one, each))
        console.print(table)
        if one.proposed is None:
            console.print(f"no setting that was tried has {wanted:g} false alarms a week or fewer")
        console.print()


def _rows(tuned: Tuned) -> list[Tried]:
    """The rule as it is, what is proposed, and an even choice of the rest of the trade-off."""
    rest = [one for one in tuned.trade_off if one not in (tuned.now, tuned.proposed)]
    step = max(-(-len(rest) // _ROWS), 1)
    found = [tuned.now, *rest[::step]]
    if tuned.proposed is not None and tuned.proposed != tuned.now:
        found.append(tuned.proposed)
    return sorted(found, key=lambda one: one.false_per_week)


def _row(tuned: Tuned, one: Tried) -> tuple[str, ...]:
    from stream.backtest.report import length  # noqa: PLC0415

    marks = [name for name, is_it in (("now", tuned.now), ("proposed", tuned.proposed)) if one == is_it]
    score = one.score
    return (
        ", ".join(marks),
        f"{one.setting.threshold:g}",
        str(one.setting.min_n),
        one.setting.window,
        str(score.alerts),
        f"{one.false_per_week:.2f}",
        f"{one.at_most:.2f}",
        "-" if score.recall is None else f"{score.recall:.0%}",
        "-" if score.delay_ms is None else length(score.delay_ms),
    )
