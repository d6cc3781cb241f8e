"""``cx send`` against the embedded broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream import topics
from tests.cli.conftest import consume

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka

REPLY = {"event_id": "r1", "customer_id": "c-1", "occurred_at": 1, "metric": "nps", "score": 9}
TOUCH = {"event_id": "t1", "customer_id": "c-2", "occurred_at": 1, "kind": "purchase"}


def test_kinds_go_to_their_topics_as_they_are(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Bytes are untouched, the key is the customer, either kind finds its topic, CloudEvents too."""
    spaced = '{"metric" :  "csat", "customer_id":"Jürgen 😀"}'
    wrapped = json.dumps({"specversion": "1.0", "id": "1", "data": REPLY})
    (tmp_path / "a.ndjson").write_text(f"{json.dumps(REPLY)}\n\n{json.dumps(TOUCH)}\r\n", encoding="utf-8")
    (tmp_path / "b.ndjson").write_text(f"{spaced}\n{wrapped}", encoding="utf-8")
    done = cx("send", "a.ndjson", "b.ndjson", CX_BROKERS=embedded_kafka.bootstrap)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 sent to cx.replies\n1 sent to cx.touchpoints\n"
    replies = {(m.key(), m.value()) for m in consume(embedded_kafka.bootstrap, topics.REPLIES, 3)}
    assert replies == {
        (b"c-1", json.dumps(REPLY).encode()),
        ("Jürgen 😀".encode(), spaced.encode()),
        (b"c-1", wrapped.encode()),
    }
    [touch] = consume(embedded_kafka.bootstrap, topics.TOUCHPOINTS, 1)
    assert (touch.key(), touch.value()) == (b"c-2", json.dumps(TOUCH).encode())


@pytest.mark.parametrize(
    ("option", "topic"), [("--replies", topics.REPLIES), ("--touchpoints", topics.TOUCHPOINTS)]
)
def test_all_to_one_topic(
    cx: Callable[..., subprocess.CompletedProcess[str]],
    embedded_kafka: EmbeddedKafka,
    option: str,
    topic: str,
) -> None:
    """A producer that needs strict order puts both kinds into one topic; '-' is standard input."""
    lines = f"{json.dumps(REPLY)}\n{json.dumps(TOUCH)}\n"
    done = cx("send", "-", option, "--json", stdin=lines, CX_BROKERS=embedded_kafka.bootstrap)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sent": {topic: 2}, "refused": 0, "failed": 0}


def test_lines_that_are_no_objects_are_refused_by_number_and_the_rest_is_sent(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """Exit code 1; the message holds the place and the reason, not the line."""
    deep = b"[" * 100_000
    lines = b'{"kind": "x"}\n[1]\nMy name is Jane\n\xff\xfe\n' + deep + b'\n{"customer_id": 5}\n'
    done = cx("send", "-", stdin=lines, CX_BROKERS=embedded_kafka.bootstrap)
    assert done.returncode == 1
    assert done.stdout == "2 sent to cx.touchpoints\n"
    assert done.stderr.splitlines() == [
        "cx: -:2: not a JSON object, not sent",
        "cx: -:3: not JSON, not sent",
        "cx: -:4: not JSON, not sent",
        "cx: -:5: not JSON, not sent",
        "cx: 4 lines were not sent",
    ]
    assert {m.key() for m in consume(embedded_kafka.bootstrap, topics.TOUCHPOINTS, 2)} == {None}


def test_a_record_larger_than_the_broker_takes(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """It is refused by its line; its neighbours are sent."""
    lines = f'{{"kind": "{"x" * 2_000_000}"}}\n{json.dumps(TOUCH)}\n'
    done = cx("send", "-", stdin=lines, CX_BROKERS=embedded_kafka.bootstrap)
    assert done.returncode == 1
    assert "cx: -:1: larger than the broker takes, not sent" in done.stderr
    assert done.stdout == "1 sent to cx.touchpoints\n"


def test_no_file_and_no_broker_are_one_line_each(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Exit code 2, nothing sent, no traceback."""
    done = cx("send", "absent.ndjson")
    assert (done.returncode, done.stderr) == (2, "cx: absent.ndjson: no such file\n")
    (tmp_path / "a.ndjson").write_text("{}\n")
    done = cx("send", "a.ndjson", CX_BROKERS="127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("cx: no Kafka broker answers at 127.0.0.1:1 (CX_BROKERS)")
    assert len(done.stderr.splitlines()) == 1


def test_a_customers_partition_is_the_one_java_clients_choose(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """Keys go by Kafka's murmur2, so every client finds the same partition for a customer."""
    from aiokafka.partitioner import DefaultPartitioner  # noqa: PLC0415

    lines = "".join(json.dumps({**TOUCH, "customer_id": f"c-{number}"}) + "\n" for number in range(50))
    assert cx("send", "-", stdin=lines, CX_BROKERS=embedded_kafka.bootstrap).returncode == 0
    everyone = [0, 1, 2, 3]
    for message in consume(embedded_kafka.bootstrap, topics.TOUCHPOINTS, 50):
        assert message.partition() == DefaultPartitioner()(message.key(), everyone, everyone)
