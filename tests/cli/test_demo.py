"""``cx demo`` as a newcomer runs it: a child worker, an embedded broker and Redis."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from stream.cli.demo_view import alert_line, cell, chosen, named_slice, ordered
from stream.cli.scrape import Scrape
from stream.measures import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INCIDENT_RULES = ("CsatLowOnChannel", "NpsLowForSegment", "EffortRoseAtTouchpoint")


def accounted(summary: dict[str, Any]) -> int:
    """Records with a verdict."""
    return sum(summary[verdict] for verdict in ("applied", "duplicates", "deadletters", "late"))


def test_a_short_run_accounts_for_every_event(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """One JSON object on stdout, exit code 0, every record with one verdict, whatever the CX_ variables."""
    done = cx("demo", "--events", "2000", "--seed", "5", "--json", CX_PARTITIONS="77")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["events_in"] == 2000
    assert accounted(summary) == 2000
    assert summary["duplicates"] > 0
    assert summary["deadletters"] == sum(summary["deadletters_by_reason"].values()) > 0
    assert set(summary["alerts"]) == {*INCIDENT_RULES, "UnhappyWithTicketOpen"}
    hour = summary["metrics"]["nps"]["1h"]
    assert hour["interval"][0] < hour["value"] < hour["interval"][1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_declared_incident_fires_and_resolves(
    cx: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Six and a half simulated hours: each incident's rule fires and resolves, in a second run as well.

    Customers' own alerts may differ by a few: the order between a customer's events in two topics is open.
    """
    runs = [json.loads(cx("demo", "--events", "22000", "--json", timeout=140).stdout) for _ in range(2)]
    for rule in INCIDENT_RULES:
        assert runs[0]["alerts"][rule]["fired"] >= 1
        assert runs[0]["alerts"][rule]["resolved"] == runs[0]["alerts"][rule]["fired"]
        assert runs[0]["alerts"][rule] == runs[1]["alerts"][rule]
    assert runs[0]["alerts"]["UnhappyWithTicketOpen"]["fired"] > 0
    for name in ("events_in", "applied", "duplicates", "deadletters", "late"):
        assert runs[0][name] == runs[1][name]


def test_off_a_terminal_it_prints_lines_and_ends_in_order(tmp_path: Path) -> None:
    """Metrics within seconds as plain lines; an interrupt ends it with 0 and leaves no process behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo", "--speed", "600"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    while " | nps 1h " not in process.stdout.readline():
        assert time.monotonic() < deadline, "no metrics within a minute"
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    for pid in children.stdout.split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_json_needs_an_end(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A summary of something endless is bad usage."""
    done = cx("demo", "--json")
    assert done.returncode == 2
    assert "--json needs --events" in done.stderr


def alert(number: int, subject: str) -> dict[str, Any]:
    """As `cx.alerts` has it, as far as it is shown."""
    return {
        "time": f"2026-01-12T09:00:{number:02}Z",
        "severitytext": "critical",
        "subject": subject,
        "data": {
            "alert": "NpsLow",
            "state": "firing",
            "labels": {"segment": "vip"},
            "annotations": {"summary": f"number {number}"},
        },
    }


def test_single_customers_do_not_crowd_out_the_rest() -> None:
    """Alerts about one customer take half the room at most, or what the others leave; order is kept."""
    singles = [alert(number, f"customer:{number}") for number in range(10, 30)]
    others = [alert(number, "nps{}") for number in range(5)]
    assert chosen([*others, *singles], 6) == [*others[-3:], *singles[-3:]]
    assert chosen([*others[:1], *singles], 6) == [*others[:1], *singles[-5:]]
    assert chosen([*singles[:1], *others], 4) == [singles[0], *others[-3:]]
    assert chosen([], 4) == []


def test_how_things_are_shown() -> None:
    """The whole comes first, values carry interval and n, an alert is one line."""
    whole, one, two = "{}", '{"segment":"vip"}', '{"channel":"chat","touchpoint":"support"}'
    assert ordered([two, one, whole]) == [whole, one, two]
    assert [named_slice(key) for key in (whole, one)] == ["everyone", "segment vip"]
    assert cell({"value": 12.345, "n": 7, "interval": [1, 22.22]}) == "12.3 [1.0, 22.2] n=7"
    assert cell({"value": None, "n": 1, "interval": None}) == "? n=1"
    money = {"value": None, "n": 2, "interval": None, "parts": {"EUR": 5.0, "GBP": 2.25}}
    assert cell(money) == "EUR 5.0, GBP 2.2 n=2"
    assert (
        cell({"value": 5, "n": 2, "interval": None, "parts": {"mean": 2.5}, "currency": "EUR"})
        == "EUR 5.0 n=2"
    )
    assert alert_line(alert(3, "nps{}")) == "2026-01-12T09:00:03Z firing   critical NpsLow (vip): number 3"


def test_the_screen_fits_the_terminal() -> None:
    """However many slices and alerts there are, no more lines than the terminal has."""
    from types import SimpleNamespace  # noqa: PLC0415

    from stream.cli.demo_view import screen  # noqa: PLC0415

    value = {"value": 1.5, "n": 3, "interval": [1.0, 2.0]}
    values = {metric: dict.fromkeys(("5m", "1h", "24h"), value) for metric in ("nps", "csat", "ces")}
    metrics = {json.dumps({"product": str(n)}): {"as_of": "x", "metrics": values} for n in range(50)}
    watch: Any = SimpleNamespace(
        stack=SimpleNamespace(page_url=""),
        metrics={"{}": {"as_of": "now", "metrics": values}, **metrics},
        alerts=[alert(n, "customer:1[bold]") for n in range(50)],
        verdicts={"applied": 3},
        rate=12.0,
        lag=3,
    )
    for height in (24, 40, 60):
        out = io.StringIO()
        Console(file=out, width=120, height=height).print(screen(watch, height))
        assert len(out.getvalue().splitlines()) <= height


def test_everyone_has_all_metrics_and_slices_the_headlines() -> None:
    """On a terminal that is tall enough everyone has all metrics; slices have the first three."""
    from types import SimpleNamespace  # noqa: PLC0415

    from stream.cli.demo_view import HEADLINES, screen  # noqa: PLC0415

    values = {metric: {"5m": {"value": 1.5, "n": 3, "interval": None}} for metric in METRICS}
    metrics = {key: {"as_of": "x", "metrics": values} for key in ("{}", '{"region":"south"}')}
    stack = SimpleNamespace(page_url="http://localhost:8080")
    watch: Any = SimpleNamespace(metrics=metrics, alerts=[], verdicts={}, rate=1.0, lag=0, stack=stack)
    out = io.StringIO()
    Console(file=out, width=120, height=80).print(screen(watch, 80))
    rows = [line.split("│") for line in out.getvalue().splitlines() if line.count("│") > 3]
    shown = [(row[1].strip(), row[2].strip()) for row in rows]
    assert [metric for name, metric in shown if name == "everyone"] == list(METRICS)
    assert [metric for name, metric in shown if name == "region south"] == list(HEADLINES)


def test_reading_metrics_back() -> None:
    """Sums over labels, escapes and exponents; business values are left out."""
    scrape = Scrape(
        '# HELP cx_x x\ncx_x_total{a="1",b="q\\"}"} 2.0\ncx_x_total{a="2",b="r"} 3e+00\n'
        'cx_metric_value{slice="all"} 9\ncx_plain 4\nprocess_x 1\n'
    )
    assert scrape.total("cx_x_total") == 5
    assert scrape.total("cx_x_total", a="2") == 3
    assert scrape.by("cx_x_total", "a") == {"1": 2, "2": 3}
    assert scrape.by("cx_x_total", "a", b="r") == {"2": 3}
    assert scrape.total("cx_plain") == 4
    assert scrape.total("cx_metric_value") == 0
