"""``cx rules apply`` and ``cx rules show``: rules put in place while workers run."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from schemas import RulesVersion, to_ms
from schemas.times import parse
from stream import topics
from tests.cli.conftest import consume

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka
    from stream.brokers.kafka import KafkaServer

BASE = """\
slices: [[segment]]
groups:
  - name: journey
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30}
      - {alert: Gone, on: reply, when: {metric: nps, score: {lte: 6}}}
"""
NEXT = """\
groups:
  - name: other name
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 20}
      - {alert: Fell, metric: csat, window: 1h, drop: {points: 10, from: 24h}}
"""


@pytest.fixture
def run(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``cx rules …`` where the workers have started with BASE; next.yml is NEXT."""
    (tmp_path / "base.yml").write_text(BASE)
    (tmp_path / "next.yml").write_text(NEXT)

    def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = {"CX_BROKERS": embedded_kafka.bootstrap, "CX_RULES": "base.yml", **env}
        return cx("rules", *arguments, **given)

    return call


def versions(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Of ``cx rules show --json``."""
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["versions"]
    return found


def test_rules_hold_from_the_next_pane_half_a_minute_from_now(
    run: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """The record is a version as the contract has it, keyed by its moment, and the command says what changes."""
    before = time.time() * 1000
    done = run("apply", "next.yml", "--author", "ada", "--comment", "less", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    at_ms = to_ms(parse(said.pop("valid_from")))
    assert said == {"ok": True, "rules": 2, "added": ["Fell"], "removed": ["Gone"], "changed": ["NpsLow"]}
    assert at_ms % 10_000 == 0
    assert before + 30_000 <= at_ms <= time.time() * 1000 + 40_000
    [message] = consume(embedded_kafka.bootstrap, topics.RULES, 1)
    record = RulesVersion.model_validate_json(message.value())
    assert (record.rules, record.name, record.author, record.comment) == (NEXT, "next.yml", "ada", "less")
    assert message.key().decode() == json.loads(message.value())["valid_from"]
    assert to_ms(record.valid_from) == at_ms


def test_what_is_in_force_is_shown(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Before the first version the file of CX_RULES; a version for the same moment replaces the first."""
    assert [each["in_force"] for each in versions(run("show", "--json"))] == [True]
    done = run("apply", "next.yml", "--from", "2026-03-01T12:00:00Z")
    assert "that is past" in done.stderr
    assert "  added: Fell\n" in done.stdout
    done = run("apply", "base.yml", "--from", "2026-03-01T14:00:00+02:00", "--json")
    assert json.loads(done.stdout)["changed"] == []
    run("apply", "next.yml", "--from", "2100-01-01T00:00:00Z")
    found = versions(run("show", "--json"))
    assert [(each["from"], each["name"], each["in_force"]) for each in found] == [
        (None, "base.yml", False),
        ("2026-03-01T12:00:00Z", "base.yml", True),
        ("2100-01-01T00:00:00Z", "next.yml", False),
    ]
    assert run("show", "--text").stdout == BASE
    assert run("show", "--text", "--at", "2100-01-01T00:00:00Z").stdout == NEXT
    assert run("show", "--text", "--at", "2026-01-01T00:00:00Z").stdout == BASE
    assert run("show").stdout.splitlines()[1].startswith("* 2026-03-01T12:00:00Z")


def test_rules_that_need_more_than_is_kept_are_refused(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Exit code 1, each reason with its rule, the way out, and nothing on the topic; wrong rules alike."""
    (tmp_path / "more.yml").write_text(NEXT.replace("by: [segment]", "by: [region]"))
    done = run("apply", "more.yml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "rule 'NpsLow' (line 4): slices by region are not kept" in done.stderr
    assert "restart the workers, then apply" in done.stderr
    (tmp_path / "wrong.yml").write_text(NEXT.replace("below: 20", "below: deep"))
    done = run("apply", "wrong.yml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["line"] == 4
    assert run("apply", "absent.yml").returncode == 2
    assert run("apply", "next.yml", "--from", "2026-03-01T12:00:00").returncode == 2
    assert run("apply", "next.yml", CX_RULES="wrong.yml").returncode == 2
    assert len(versions(run("show", "--json"))) == 1


def test_versions_that_workers_refuse_are_shown_as_such(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A version that fits one CX_RULES need not fit another: then show says what workers say."""
    assert run("apply", "next.yml", "--from", "2026-03-01T12:00:00Z").returncode == 0
    (tmp_path / "none.yml").write_text("groups: []")
    found = versions(run("show", "--json", CX_RULES="none.yml"))
    assert "slices by segment are not kept" in found[1]["refused"]
    assert [each["in_force"] for each in found] == [True, False]
    assert "REFUSED" in run("show", CX_RULES="none.yml").stdout


def test_a_broker_without_the_topic(
    cx: Callable[..., subprocess.CompletedProcess[str]], kafka: KafkaServer, tmp_path: Path
) -> None:
    """One line that says how to make it; exit code 2. A broker that is away is one line, too."""
    (tmp_path / "next.yml").write_text("groups: []")
    done = cx("rules", "show", CX_BROKERS="127.0.0.1:1")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "CX_BROKERS=127.0.0.1:1" in done.stderr
    from stream.brokers import admin  # noqa: PLC0415
    from tests.conftest import in_thread  # noqa: PLC0415

    in_thread(admin.delete(kafka.bootstrap, [topics.RULES]))
    done = cx("rules", "apply", "next.yml", CX_BROKERS=kafka.bootstrap)
    assert done.returncode == 2
    assert done.stderr == "cx: cx.rules: no such topic; create what is missing with: cx topics create\n"
