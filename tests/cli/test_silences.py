"""``cx silences``: add, list, expire."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from schemas import Silence, to_ms
from stream import topics
from stream.feeds import decode_silence
from tests.cli.conftest import consume

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from stream.brokers.embedded import EmbeddedKafka


@pytest.fixture
def run(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``cx silences …``."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return cx("silences", *arguments, CX_BROKERS=embedded_kafka.bootstrap)

    return call


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """JSON objects, one a line."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_silence_is_added_listed_and_ended(
    run: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """It begins now and lasts as long as was said; ended, it is listed with --all only."""
    before = int(time.time())
    said = ("segment=vip", "channel=~chat|web", "--for", "2h", "--comment", "new tills", "--author", "ada")
    [added] = objects(run("add", *said, "--json"))
    assert added["matchers"] == ['segment="vip"', 'channel=~"chat|web"']
    silence = Silence.model_validate(added)
    starts = to_ms(silence.starts_at)
    assert before * 1000 <= starts <= time.time() * 1000
    assert to_ms(silence.ends_at) - starts == 2 * 3_600_000
    assert (silence.author, silence.comment) == ("ada", "new tills")
    [message] = consume(embedded_kafka.bootstrap, topics.SILENCES, 1)
    assert decode_silence(message.key(), message.value()).ends_at_ms == starts + 2 * 3_600_000
    [listed] = objects(run("list", "--json"))
    assert (listed["id"], listed["state"]) == (silence.id, "active")
    line = run("list").stdout
    assert line.startswith(f'{silence.id}  active  ends in 1h59m  segment="vip"')
    assert line.endswith("ada: new tills\n")
    assert run("expire", silence.id).stdout == f"{silence.id}: is over\n"
    assert run("list", "--json").stdout == ""
    [listed] = objects(run("list", "--all", "--json"))
    assert listed["state"] == "expired"
    done = run("expire", silence.id)
    assert (done.returncode, done.stdout) == (1, f"{silence.id}: was over already\n")


def test_a_silence_to_come_is_called_off(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """It never was: its end is its start."""
    said = ("severity=info", "--starts", "2100-01-01T00:00:00Z", "--ends", "2100-01-02T00:00:00Z")
    [added] = objects(run("add", *said, "--comment", "closed", "--json"))
    assert objects(run("list", "--json"))[0]["state"] == "pending"
    [ended] = objects(run("expire", added["id"], "--json"))
    assert ended["ends_at"] == ended["starts_at"] == "2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("segment", "--for", "2h", "--comment", "c"), "is no matcher"),
        (("segment=~(", "--for", "2h", "--comment", "c"), "not a regular expression"),
        (("segment!=vip", "--for", "2h", "--comment", "c"), "matches every alert"),
        (("segment=vip", "--for", "2h", "--comment", " "), "--comment is empty"),
        (("segment=vip", "--for", "2h"), "--comment"),
        (("segment=vip", "--comment", "c"), "--for DURATION or --ends TIME"),
        (("segment=vip", "--for", "later", "--comment", "c"), "'later' is no duration"),
        (("segment=vip", "--ends", "2026-03-01", "--comment", "c"), "is no time"),
        (
            (
                "segment=vip",
                "--starts",
                "2100-01-01T00:00:00Z",
                "--ends",
                "2099-01-01T00:00:00Z",
                "--comment",
                "c",
            ),
            "ends_at must not be before starts_at",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    cx: Callable[..., subprocess.CompletedProcess[str]], said: tuple[str, ...], why: str
) -> None:
    """Exit code 2 and the reason, without asking a broker."""
    done = cx("silences", "add", *said, CX_BROKERS="127.0.0.1:1")
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_an_id_that_is_not_known(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Nothing is written, not even for those that are known."""
    [added] = objects(run("add", "a=b", "--for", "1h", "--comment", "c", "--json"))
    done = run("expire", added["id"], "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no silence has the id nothing" in done.stderr
    assert objects(run("list", "--json"))[0]["state"] == "active"
