"""``cx rules test`` and ``cx rules tune`` as people run them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Cx = "Callable[..., subprocess.CompletedProcess[str]]"

RULES = """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: 0, evidence: interval, min_n: 30}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 3}}, cooldown: 24h}
"""


@pytest.fixture
def world(cx: Cx, tmp_path: Path) -> Path:
    """Six hours of a simulated customer base, what went wrong in them, and rules."""
    made = cx("simulate", "--events", "20000", "--out", "events.ndjson", "--incidents", "incidents.ndjson")
    assert made.returncode == 0, made.stderr
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "quiet.yml").write_text(RULES.replace("below: 0", "below: -90"))
    return tmp_path


def test_a_backtest_in_the_terminal_and_as_json(cx: Cx, world: Path) -> None:
    """A table of every rule; with --json only the alerts are on stdout, in order of time."""
    done = cx("rules", "test", "rules.yml", "--events", "events.ndjson", "--outcomes", "incidents.ndjson")
    assert done.returncode == 0, done.stderr
    assert "20000 applied" in done.stderr
    low = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["Low"])
    assert low[1] == "1"
    assert "100%" in low
    assert "(1/1)" in low, "the incident of the checkout was not found"
    found = cx("rules", "test", "rules.yml", "--events", "events.ndjson", "--json")
    alerts = [json.loads(line) for line in found.stdout.splitlines()]
    assert [alert["time"] for alert in alerts] == sorted(alert["time"] for alert in alerts)
    assert {alert["data"]["alert"] for alert in alerts} == {"Low", "One"}
    assert "Low" in found.stderr
    assert found.returncode == 0


def test_two_rules_files_are_compared(cx: Cx, world: Path) -> None:
    """What is told only by one of them, and a page about both."""
    files = ("rules.yml", "--against", "quiet.yml", "--events", "events.ndjson")
    done = cx("rules", "test", *files, "--html", "r.html")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["Low"] == ["1", "0", "1", "0"]
    assert rows["One"][0] == rows["One"][1]
    assert rows["One"][2:] == ["0", "0"]
    assert (world / "r.html").read_text().count("<svg") == 3


def test_several_files_and_standard_input(cx: Cx, world: Path) -> None:
    """Files after --events as the shell lists them; '-' is standard input."""
    text = (world / "events.ndjson").read_text().splitlines(keepends=True)
    (world / "a.ndjson").write_text("".join(text[:9_000]))
    (world / "b.ndjson").write_text("".join(text[9_000:]))
    whole = cx("rules", "test", "rules.yml", "--json", "--events", "events.ndjson")
    parts = cx("rules", "test", "rules.yml", "--json", "--events", "a.ndjson", "b.ndjson")
    piped = cx("rules", "test", "rules.yml", "--json", "--events", "-", stdin="".join(text))
    assert parts.stdout == whole.stdout == piped.stdout
    assert whole.stdout


def test_what_is_not_taken_is_told_on_stderr(cx: Cx, world: Path) -> None:
    """By file and line and reason, as cx compute does; it does not change the exit code."""
    with (world / "events.ndjson").open("a") as more:
        more.write('no json\n{"metric": "nps", "customer_id": "secret"}\n')
    done = cx("rules", "test", "rules.yml", "--events", "events.ndjson", "--json")
    assert done.returncode == 0
    assert "cx: events.ndjson:20001: not_json" in done.stderr
    assert "cx: events.ndjson:20002: missing_field" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rules.yml", "--events", "none.ndjson"], "none.ndjson: no such file"),
        (["none.yml", "--events", "events.ndjson"], "none.yml"),
        (["bad.yml", "--events", "events.ndjson"], "bad.yml:1"),
        (["rules.yml", "--events", "events.ndjson", "--outcomes", "bad.yml"], "bad.yml:1: $: "),
        (["rules.yml", "--events", "events.ndjson", "--now", "noon"], "--now: 'noon'"),
        (["rules.yml", "--events", "events.ndjson", "--html", "none/r.html"], "none/r.html: "),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], says: str, cx: Cx, world: Path) -> None:
    """Exit code 2 and one line, never a traceback."""
    (world / "bad.yml").write_text("nonsense: 1\n")
    done = cx("rules", "test", *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_tuning_shows_the_trade_off(cx: Cx, world: Path) -> None:
    """The rule as it is, what is proposed, and what lies between; as JSON an object a rule."""
    tune = ("rules", "tune", "rules.yml", "--events", "events.ndjson", "--outcomes", "incidents.ndjson")
    done = cx(*tune)
    assert done.returncode == 0, done.stderr
    assert "Low (below)" in done.stdout
    assert "proposed" in done.stdout
    (low,) = map(json.loads, cx(*tune, "--json", "--rule", "Low", "--false-alarms", "0").stdout.splitlines())
    assert low["now"]["recall"] == low["proposed"]["recall"] == 1.0
    assert low["proposed"]["false_alarms_per_week"] == 0
    assert low["proposed"]["delay_s"] <= low["now"]["delay_s"]
    rates = [one["false_alarms_per_week"] for one in low["trade_off"]]
    assert rates == sorted(rates)
    wrong = cx(*tune, "--rule", "One")
    assert (wrong.returncode, "'One'" in wrong.stderr) == (2, True)
