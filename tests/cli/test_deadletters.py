"""``cx deadletters``: list, show, redrive."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from schemas import DeadLetterHeaders, Reason, to_ms
from schemas.deadletter import REDRIVEN
from schemas.times import parse
from stream import topics
from stream.cli.letters import own_headers
from tests.cli.conftest import consume
from tests.docs.pages import ROOT, blocks
from tests.e2e.harness import PARTITIONS, Deployment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka
    from stream.brokers.kafka import KafkaServer

    Cx = Callable[..., subprocess.CompletedProcess[str]]

MARK = "Zanzibar"  # in keys and contents, and nowhere that it is not asked for
AT = to_ms(parse("2026-03-01T12:00:05Z"))
DETAILS = {
    "scale_conflict": "scale: not that of the question",
    "too_late": "occurred_at: behind the horizon",
    "not_json": "not JSON",
}
ALL = [
    ("cx.touchpoints/1/51", "too_late"),
    ("cx.touchpoints/1/52", "too_late"),
    ("cx.replies/2/1417", "scale_conflict"),
]
CONTENT = b'{"event_id": "e1", "customer_id": "Zanzibar", "metric": "csat", "scale": [1, 7]}' + b" " * 5


class Post:
    """Writes dead letters as workers do, a second apart."""

    def __init__(self, bootstrap: str, at_ms: int = AT) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2_000_000})
        self._at = at_ms

    def letter(
        self,
        place: str,
        reason: str,
        value: bytes | None = CONTENT,
        key: bytes | None = MARK.encode(),
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> None:
        """One, and wait until the broker has it."""
        topic, partition, offset = place.split("/")
        why = DeadLetterHeaders(
            reason=Reason(reason),
            detail=DETAILS[reason],
            topic=topic,
            partition=int(partition),
            offset=int(offset),
        )
        self.write(topics.DEADLETTERS, int(partition) % 4, key, value, [*(headers or []), *why.to_kafka()])

    def write(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: list[Any]
    ) -> None:
        """Any record."""
        self._producer.produce(topic, value, key, partition=partition, headers=headers, timestamp=self._at)
        self._at += 1000
        assert self._producer.flush(20) == 0


@pytest.fixture
def post(embedded_kafka: EmbeddedKafka) -> Post:
    """Of the embedded broker."""
    return Post(embedded_kafka.bootstrap)


@pytest.fixture
def run(cx: Cx, embedded_kafka: EmbeddedKafka) -> Cx:
    """``cx deadletters …``."""

    def call(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return cx("deadletters", *arguments, CX_BROKERS=embedded_kafka.bootstrap, **more)

    return call


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object of a command that ended well."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_page_shows_what_the_commands_say(run: Cx, post: Post) -> None:
    """docs/operations.md: its commands in their order, word for word."""
    for place, reason in ALL:
        post.letter(place, reason)
    [page] = [each for each in blocks(ROOT / "docs" / "operations.md") if each.word == "deadletters"]
    parts = [part.partition("\n") for part in page.text.split("$ ")[1:]]
    assert len(parts) == 4
    for command, _, answer in parts:
        done = run(*shlex.split(command)[2:])
        assert (done.stdout, done.stderr, done.returncode) == (answer, "", 0), command


def test_letters_are_counted_and_listed_without_their_content(run: Cx, post: Post) -> None:
    """One a place, the newest first, by reason, topic and time; nobody's data; what is no letter is named."""
    assert run("list").stderr == "no dead letters\n"
    for place, reason in (*ALL, ALL[0]):  # the first once more, as after a crash
        post.letter(place, reason)
    post.write(topics.DEADLETTERS, 0, None, MARK.encode(), [("reason", b"because")])
    forged = DeadLetterHeaders(
        reason=Reason.NOT_JSON, detail="not JSON", topic=topics.RULES, partition=0, offset=7
    )
    post.write(topics.DEADLETTERS, 0, None, b"groups: []", forged.to_kafka())
    done = run("list", "--json")
    found = told(done)
    assert (found["letters"], found["open"]) == (3, 3)
    assert found["counts"] == [
        {"reason": "too_late", "topic": topics.TOUCHPOINTS, "letters": 2, "open": 2},
        {"reason": "scale_conflict", "topic": topics.REPLIES, "letters": 1, "open": 1},
    ]
    assert [each["offset"] for each in found["newest"]] == [1417, 52, 51]
    assert found["newest"][0] == {
        "topic": topics.REPLIES, "partition": 2, "offset": 1417, "reason": "scale_conflict",
        "detail": DETAILS["scale_conflict"], "at": "2026-03-01T12:00:07Z", "bytes": len(CONTENT),
        "redriven": 0, "open": True,
    }  # fmt: skip
    assert "2 records of cx.deadletters are no dead letters" in done.stderr
    for said, offsets in (
        (("--limit", "1"), [1417]),
        (("--reason", "too_late"), [52, 51]),
        (("--topic", topics.REPLIES, "--topic", topics.TOUCHPOINTS, "--limit", "2"), [1417, 52]),
        (("--since", "2026-03-01T12:00:06Z", "--topic", topics.TOUCHPOINTS), [52]),
        (("--limit", "0"), []),
    ):
        assert [each["offset"] for each in told(run("list", "--json", *said))["newest"]] == offsets, said
    done = run("list", "--limit", "1")
    assert "and 2 more: --limit 3\n" in done.stderr
    assert MARK not in done.stdout + done.stderr + json.dumps(found)


def test_content_is_shown_only_when_asked_for(run: Cx, post: Post) -> None:
    """Byte for byte with --raw, and as JSON with key and own headers; a place without a letter is a finding."""
    post.letter(*ALL[2], headers=[("reason", b"the producer's own"), ("trace", b"\xff")])
    post.letter("cx.replies/2/1418", "not_json", b"\xff\x1b[2J")
    for said in ((), ("--json",)):
        done = run("show", ALL[2][0], *said)
        assert done.returncode == 0, done.stderr
        assert "scale_conflict" in done.stdout
        assert MARK not in done.stdout + done.stderr
    assert run("show", ALL[2][0], "--raw").stdout.encode() == CONTENT
    found = told(run("show", ALL[2][0], "--raw", "--json"))
    assert (found["key"], found["value"]) == (MARK, CONTENT.decode())
    assert found["headers"] == [["reason", "the producer's own"], ["trace", {"base64": "/w=="}]]
    assert told(run("show", "cx.replies/2/1418", "--raw", "--json"))["value"] == {"base64": "/xtbMko="}
    done = run("show", "cx.replies/9/1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no dead letter is from there" in done.stderr


@pytest.mark.parametrize(
    "said",
    [
        ("show", "cx.replies/2"),
        ("show", "cx.rules/0/1"),
        ("show", "cx.replies/2/-1"),
        ("show", f"cx.replies/2/{'9' * 5000}"),
        ("list", "--reason", "because"),
        ("list", "--since", "2026-03-01"),
        ("list", "--topic", "cx.rules"),
        ("redrive", "--at-most", "0"),
    ],
)
def test_what_cannot_be_meant_is_refused(cx: Cx, said: tuple[str, ...]) -> None:
    """Exit code 2 and the reason, without asking a broker."""
    done = cx("deadletters", *said, CX_BROKERS="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Invalid value" in done.stderr


def test_a_record_is_sent_again_as_it_came(run: Cx, post: Post, embedded_kafka: EmbeddedKafka) -> None:
    """Key, content, partition and own headers, those of equal names too; how often is added. Once only."""
    own: list[tuple[str, bytes | None]] = [("reason", b"ours"), (REDRIVEN, b"1"), ("trace", None)]
    post.letter(*ALL[2], headers=own)
    post.letter(*ALL[2], headers=own)  # again, as after a crash
    post.letter("cx.replies/3/5", "not_json", None, None)
    post.letter("cx.replies/77/5", "not_json", b"x", b"k")  # a partition that is no more
    post.letter(*ALL[0])
    done = run("redrive", "--topic", topics.REPLIES, "--yes", "--json")
    assert told(done) == {
        "sent": 3, "found": 3, "left": 0,
        "counts": [
            {"reason": "not_json", "topic": topics.REPLIES, "letters": 2},
            {"reason": "scale_conflict", "topic": topics.REPLIES, "letters": 1},
        ],
    }  # fmt: skip
    sent = {each.value(): each for each in consume(embedded_kafka.bootstrap, topics.REPLIES, 3)}
    again = sent[CONTENT]
    assert (again.key(), again.partition()) == (MARK.encode(), 2)
    assert again.headers() == [("reason", b"ours"), ("trace", None), (REDRIVEN, b"2")]
    assert again.timestamp()[1] > AT + 10**9, "the broker would delete it with what is as old"
    assert (sent[None].key(), sent[None].partition(), sent[None].headers()) == (None, 3, [(REDRIVEN, b"1")])
    assert sent[b"x"].key() == b"k"
    done = run("redrive", "--topic", topics.REPLIES, "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing to send again\n")
    found = told(run("list", "--json"))
    assert (found["letters"], found["open"]) == (4, 1)
    assert {each["offset"] for each in found["newest"] if each["open"]} == {51}
    assert "refused again after 1, sent again" in run("show", ALL[2][0]).stdout
    assert told(run("redrive", "--yes", "--json"))["sent"] == 1
    [again] = consume(embedded_kafka.bootstrap, topics.TOUCHPOINTS, 1)
    assert again.partition() == 1


def test_it_asks_before_it_sends(run: Cx, post: Post, embedded_kafka: EmbeddedKafka) -> None:
    """No, no answer and a dry run send nothing; yes does."""
    post.letter(*ALL[2])
    done = run("redrive", "--dry-run")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 would be sent again")
    done = run("redrive", stdin="n\n")
    assert (done.returncode, done.stderr) == (1, "send 1 again? [y/N] cx: nothing was sent\n")
    done = run("redrive")
    assert (done.returncode, "--yes does not ask" in done.stderr) == (2, True)
    assert told(run("list", "--json"))["open"] == 1
    done = run("redrive", stdin="y\n")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 sent again")
    assert len(consume(embedded_kafka.bootstrap, topics.REPLIES, 1)) == 1


def test_what_is_refused_again_and_again_is_left(run: Cx, post: Post) -> None:
    """A letter redriven as often as the limit is left, and said to be; a higher limit sends it."""
    post.letter(*ALL[2], headers=[(REDRIVEN, b"3")])
    done = run("redrive", "--yes", "--json")
    assert (told(done)["sent"], told(done)["left"]) == (0, 1)
    assert "1 left: redriven 3 times or more" in done.stderr
    assert told(run("redrive", "--yes", "--at-most", "4", "--json"))["sent"] == 1


def test_a_broker_that_is_away(cx: Cx) -> None:
    """One line, exit code 2."""
    for said in (("list",), ("show", ALL[2][0]), ("redrive", "--yes")):
        done = cx("deadletters", *said, CX_BROKERS="127.0.0.1:1")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "CX_BROKERS=127.0.0.1:1" in done.stderr


_headers = st.lists(
    st.tuples(
        st.sampled_from(["reason", "detail", "topic", "partition", "offset", "trace"]),
        st.none() | st.binary(max_size=3),
    ),
    max_size=8,
)


@given(_headers)
def test_headers_come_back_as_they_were(headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever a producer wrote, refusing and redriving adds nothing but the count."""
    why = DeadLetterHeaders(reason=Reason.NOT_JSON, detail="d", topic="t", partition=1, offset=2).to_kafka()
    assert own_headers([*headers, *why]) == headers
    assert own_headers([*headers, (REDRIVEN, b"1"), *why]) == headers


def reply(number: int, **more: Any) -> bytes:
    """A reply of this moment."""
    line = {"event_id": f"e{number}", "customer_id": MARK, "occurred_at": int(time.time() * 1000)}
    return json.dumps({**line, "metric": "nps", "score": 9, **more}).encode()


def test_what_the_broker_does_not_take_stays_open(cx: Cx, deploy: Callable[..., Any]) -> None:
    """On a real Kafka: one that is too large for its topic holds up no other, and is told with the reason."""
    settings = {"CX_BROKERS": deploy().bootstrap}
    post = Post(settings["CX_BROKERS"], round(time.time() * 1000))  # Kafka deletes what is old
    post.letter(*ALL[0], value=b"x" * 1_200_000)
    post.letter(*ALL[1])
    done = cx("deadletters", "redrive", "--yes", "--json", **settings)
    assert (done.returncode, json.loads(done.stdout)["sent"]) == (2, 1)
    assert "cx: 1 were not sent: Broker: Message size too large (1)" in done.stderr
    done = cx("deadletters", "list", "--json", **settings)
    assert [each["offset"] for each in told(done)["newest"] if each["open"]] == [51]
    [again] = consume(settings["CX_BROKERS"], topics.TOUCHPOINTS, 1)
    assert again.value() == CONTENT


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_workers_take_what_they_refused_once_the_cause_is_gone(
    kafka: KafkaServer, cx: Cx, tmp_path: Path
) -> None:
    """On a real Kafka: too large for one worker, applied by the next, once; what stays wrong is a new letter."""
    deployment = Deployment(kafka.bootstrap, tmp_path).create()
    settings = {**deployment.env, "CX_PARTITIONS": str(PARTITIONS)}
    large = reply(1, comment="x" * 400)
    lines = b"\n".join([reply(0), large, reply(2, score=99)])
    assert cx("send", "-", stdin=lines, **settings).returncode == 0
    before = time.time()
    deployment.run(CX_MAX_RECORD_BYTES="300")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return cx("deadletters", *arguments, **settings)

    found = told(run("list", "--json"))
    assert sorted(each["reason"] for each in found["newest"]) == ["out_of_range", "too_large"]
    assert MARK not in json.dumps(found)
    [place] = [
        f"{each['topic']}/{each['partition']}/{each['offset']}"
        for each in found["newest"]
        if each["reason"] == "too_large"
    ]
    assert run("show", place, "--raw").stdout.encode() == large
    recent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before - 60))
    assert told(run("list", "--json", "--since", recent))["letters"] == 2
    assert told(run("list", "--json", "--since", "2100-01-01T00:00:00Z"))["letters"] == 0
    assert told(run("redrive", "--reason", "too_large", "--yes", "--json"))["sent"] == 1
    assert told(run("redrive", "--yes", "--json"))["sent"] == 1
    assert told(run("redrive", "--yes", "--json"))["sent"] == 0
    assert cx("send", "-", stdin=large, **settings).returncode == 0  # as if it had been sent twice
    with deployment.worker() as worker:
        worker.wait_ready()
        deployment.drained(worker)
        counts = worker.counters("cx_records_total")
        ends = {
            verdict: sum(n for labels, n in counts.items() if f'verdict="{verdict}"' in labels)
            for verdict in ("applied", "duplicate", "deadletter", "late")
        }
        assert worker.stop() == 0
    assert ends == {"applied": 1, "duplicate": 1, "deadletter": 1, "late": 0}
    found = told(run("list", "--json"))
    assert (found["letters"], found["open"]) == (3, 1)
    [again] = [each for each in found["newest"] if each["open"]]
    assert (again["reason"], again["redriven"]) == ("out_of_range", 1)
    assert told(run("redrive", "--yes", "--at-most", "1", "--json"))["left"] == 1
