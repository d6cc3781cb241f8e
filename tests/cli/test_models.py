"""``cx models``: the versions on the topic, what is in force, and what a fit to files gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from bench.cdnow import PUBLISHED, WEEK_39, events
from schemas import format_ms
from stream import topics
from stream.brokers.embedded import EmbeddedKafka
from stream.cli.root import cx
from stream.feeds import model_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

WEEK = 7 * 24 * 3600 * 1000
AT = 2_900 * WEEK


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """An embedded broker with the topic of models."""
    monkeypatch.chdir(tmp_path)
    with EmbeddedKafka(topics.layout("cx-pulse", 4)) as kafka:
        monkeypatch.setenv("CX_BROKERS", kafka.bootstrap)
        yield kafka


def run(*arguments: str) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(cx, ["models", *arguments], catch_exceptions=False)


def tell(kafka: EmbeddedKafka, *versions: dict[str, Any]) -> None:
    """Publish versions, and something that is none."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for each in versions:
        record = {"as_of": each["valid_from"] - WEEK, **each}
        key = model_key(each["name"], each["valid_from"])
        producer.produce(topics.MODELS, json.dumps(record).encode(), key, partition=0)
    producer.produce(topics.MODELS, b"[]", b"what", partition=0)
    assert producer.flush(20) == 0


def test_versions_are_listed_and_the_one_in_force_is_shown(broker: EmbeddedKafka) -> None:
    """The moment decides which; what workers refuse is left out, and stderr says so."""
    later = {**PUBLISHED, "r": 0.3}
    tell(
        broker,
        {"name": "bgnbd", "valid_from": AT, "parameters": PUBLISHED, "n": 2357, "of": 4714},
        {
            "name": "bgnbd",
            "valid_from": AT + WEEK,
            "parameters": later,
            "outcome": "kept",
            "reason": "too few",
        },
    )
    listed = run("list", "--at", format_ms(AT + 1), "--json")
    assert [json.loads(line)["in_force"] for line in listed.stdout.splitlines()] == [True, False]
    assert "refused by workers" in listed.stderr
    shown = run("show", "bgnbd", "--at", format_ms(AT + 1))
    assert shown.exit_code == 0
    assert "2,357 customers, a sample of about 4,714" in shown.stdout
    assert "0.243" in shown.stdout
    assert json.loads(run("show", "bgnbd", "--json").stdout)["reason"] == "too few"
    early = run("show", "bgnbd", "--at", format_ms(AT - 1))
    assert early.exit_code == 1
    assert "the declared parameters hold" in early.stderr
    assert "as before: too few" in run("list").stdout


def test_a_fit_to_files_gives_what_workers_would(tmp_path: Path) -> None:
    """The published parameters at week 39 of the published data; too few customers are a finding."""
    (tmp_path / "cdnow.ndjson").write_text("\n".join(map(json.dumps, events())))
    fitted = run("fit", str(tmp_path / "cdnow.ndjson"), "--as-of", WEEK_39.isoformat(), "--json")
    assert fitted.exit_code == 0, fitted.stderr
    purchases, amounts = map(json.loads, fitted.stdout.splitlines())
    assert purchases["parameters"] == pytest.approx(PUBLISHED, rel=0.02)
    assert (amounts["name"], amounts["currency"], amounts["n"]) == ("gamma_gamma", "USD", 2349)
    few = run("fit", str(tmp_path / "cdnow.ndjson"), "--as-of", "1997-01-02T00:00:00Z")
    assert few.exit_code == 1
    assert "40 customers have bought, 100 are needed" in few.stdout
