"""``cx simulate``."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stream import topics
from tests.cli.conftest import consume

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka


def occurred(event: dict[str, Any]) -> float:
    """Epoch seconds of an event, which has them in either of the contract's ways."""
    at = event["occurred_at"]
    return at / 1000 if isinstance(at, int) else datetime.fromisoformat(at).timestamp()


def test_the_same_seed_writes_the_same_lines_to_stdout_and_file(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """NDJSON of the contract, as many lines as asked for; another seed, other lines."""
    one = cx("simulate", "--events", "500", "--seed", "3").stdout
    done = cx("simulate", "--events", "500", "--seed", "3", "--out", "e.ndjson")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "e.ndjson").read_text() == one
    assert one.count("\n") == 500
    assert all(
        {"event_id", "customer_id", "occurred_at"} <= json.loads(line).keys() for line in one.splitlines()
    )
    assert cx("simulate", "--events", "500", "--seed", "4").stdout != one


def test_start_moves_the_events(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The first event is soon after the time asked for; a time without offset is refused."""
    done = cx("simulate", "--events", "1", "--start", "2026-03-01T10:00:00+01:00")
    asked = datetime.fromisoformat("2026-03-01T09:00:00Z").timestamp()
    assert 0 <= occurred(json.loads(done.stdout)) - asked < 120
    done = cx("simulate", "--events", "1", "--start", "2026-03-01")
    assert done.returncode == 2
    assert "the offset is needed" in done.stderr


def test_at_a_rate_events_happen_now(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Event times are those of the clock, and the pace is about the rate."""
    began = time.time()
    done = cx("simulate", "--events", "100", "--rate", "50")
    ended = time.time()
    times = [occurred(json.loads(line)) for line in done.stdout.splitlines()]
    assert all(began - 0.1 <= each <= ended + 0.1 for each in times)
    assert 0.5 < ended - began < 20


def test_send_puts_each_kind_in_its_topic(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """Counts are told, keys are customers, and the timestamps of a past day are not of the past."""
    done = cx("simulate", "--events", "200", "--send", CX_BROKERS=embedded_kafka.bootstrap)
    assert (done.returncode, done.stdout) == (0, "")
    counts = {line.split()[3]: int(line.split()[0]) for line in done.stderr.splitlines()}
    assert sum(counts.values()) == 200
    for message in consume(embedded_kafka.bootstrap, topics.REPLIES, counts[topics.REPLIES]):
        reply = json.loads(message.value())
        assert message.key() == reply["customer_id"].encode()
        assert abs(message.timestamp()[1] / 1000 - max(time.time(), occurred(reply))) < 60


def test_bad_usage(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Options that contradict each other, or shares above one, end with 2."""
    for arguments in (
        ["--send", "--out", "x"],
        ["--rate", "5", "--start", "2026-01-01T00:00Z"],
        ["--bad", "2"],
    ):
        assert cx("simulate", "--events", "1", *arguments).returncode == 2
    assert cx("simulate", "--events", "1", "--out", "no/such/folder/x").returncode == 2
