"""Ingest over HTTP: what goes to Kafka, what is refused, and when it is answered."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream import topics
from stream.api.outbox import Outbox, Outgoing
from stream.api.problems import Failed
from stream.api.telemetry import ApiTelemetry
from stream.intake import Limits, Rejection, decode, partition_of
from tests.api.conftest import INGEST, Server, bearer
from tests.api.test_guard import problem

if TYPE_CHECKING:
    from collections.abc import Callable

AT = "2026-01-12T07:30:00Z"
CLOUD = {"specversion": "1.0", "id": "c", "source": "/shop", "type": "x"}


def reply(customer: str, score: Any = 3, **more: Any) -> dict[str, Any]:
    """A reply with an id of its own."""
    return {
        "event_id": uuid.uuid4().hex,
        "customer_id": customer,
        "occurred_at": AT,
        "metric": "nps",
        "score": score,
        **more,
    }


def ticket(customer: str) -> dict[str, Any]:
    """A touchpoint with an id of its own."""
    return {
        "event_id": uuid.uuid4().hex,
        "customer_id": customer,
        "occurred_at": AT,
        "kind": "ticket_opened",
        "ref": "T",
    }


def post(
    server: Server, content: bytes | str, media_type: str = "application/json", **headers: str
) -> httpx.Response:
    """Post a body with the key for it."""
    given = {**bearer(INGEST), "Content-Type": media_type, **headers}
    return server.client.post("/v1/events", content=content, headers=given)


def on_kafka(bootstrap: str, customer: str) -> list[tuple[str, int, bytes, list[tuple[str, bytes]]]]:
    """Topic, partition, value and headers of a customer's records in both input topics, in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    found = []
    try:
        sources = [TopicPartition(topic, partition, 0) for topic in topics.INPUTS for partition in range(4)]
        left = sum(consumer.get_watermark_offsets(source, timeout=10)[1] for source in sources)
        consumer.assign(sources)
        while left:
            message = consumer.poll(10)
            assert message is not None, f"{left} records did not come"
            left -= 1
            if message.key() == customer.encode():
                found.append((message.topic(), message.partition(), message.value(), message.headers() or []))
    finally:
        consumer.close()
    return sorted(found, key=lambda each: each[0], reverse=True)  # touchpoints first; else as they came


def test_bytes_come_to_kafka_as_they_were_sent(server: Server, broker: str) -> None:
    """Replies and touchpoints go to their topics, by the customer's partition, in order, byte for byte."""
    name = uuid.uuid4().hex
    sent = [json.dumps(reply(name), indent=1), json.dumps(ticket(name)), json.dumps(reply(name, 9.50))]
    answer = post(server, f"[ {sent[0]} ,\n{sent[1]},{sent[2]}]")
    assert (answer.status_code, answer.json()) == (200, {"accepted": 3, "refused": 0, "errors": []})
    at = partition_of(name.encode(), 4)
    assert on_kafka(broker, name) == [
        (topics.TOUCHPOINTS, at, sent[1].encode(), []),
        (topics.REPLIES, at, sent[0].encode(), []),
        (topics.REPLIES, at, sent[2].encode(), []),
    ]


def test_every_way_to_send_events_is_taken(server: Server, broker: str) -> None:
    """One object, lines, a CloudEvent in either mode, and a batch of them."""
    name = uuid.uuid4().hex
    one = json.dumps(reply(name))
    structured = json.dumps({**CLOUD, "data": reply(name)})
    for content, media_type, count in [
        (one, "application/json", 1),
        (one, "application/json; charset=utf-8", 1),
        (f"{one}\n\n{one}\r\n", "application/x-ndjson", 2),
        (structured, "application/cloudevents+json", 1),
        (f"[{structured},{structured}]", "application/cloudevents-batch+json", 2),
    ]:
        answer = post(server, content, media_type)
        assert answer.json() == {"accepted": count, "refused": 0, "errors": []}, media_type
    binary = {f"ce-{key}": value for key, value in CLOUD.items()}
    assert post(server, one, **binary).json()["accepted"] == 1
    found = on_kafka(broker, name)
    assert len(found) == 8
    assert dict(found[-1][3])["ce_id"] == b"c"


def test_each_refused_event_is_named(server: Server, broker: str) -> None:
    """Of a mixed batch the good ones are on Kafka, and of each bad one place, reason and rule are told."""
    name = uuid.uuid4().hex
    batch = [reply(name), reply(name, "ten"), {"event_id": "x"}, 7, ticket(name), reply(name, 11)]
    answer = post(server, json.dumps(batch))
    assert answer.status_code == 207
    told = answer.json()
    assert (told["accepted"], told["refused"]) == (2, 4)
    expected = []
    for index, event in enumerate(batch):
        judged = decode(json.dumps(event).encode(), (), Limits())
        if isinstance(judged, Rejection):
            expected.append({"index": index, "reason": judged.reason, "detail": judged.detail})
    assert told["errors"] == expected
    assert len(on_kafka(broker, name)) == 2


def test_where_nothing_is_accepted_it_is_a_problem(server: Server) -> None:
    """A client that only looks at the status must not take a whole batch of refusals for success."""
    found = problem(post(server, json.dumps([{}, {}])), 422, "events-refused")
    assert [each["index"] for each in found["errors"]] == [0, 1]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "kind"),
    [
        ("", "application/json", 422, "events-refused"),
        ("[]", "application/json", 400, "bad-request"),
        ("[", "application/json", 400, "bad-request"),
        ("[" * 100_000, "application/json", 400, "bad-request"),
        ("{", "application/json", 422, "events-refused"),
        ("\xff", "application/json", 422, "events-refused"),
        ("{}", "text/plain", 415, "media-type"),
        ("{}", "", 415, "media-type"),
        ("a=1", "application/x-www-form-urlencoded", 415, "media-type"),
        ("[" + "{}," * 5_000 + "{}]", "application/json", 413, "too-large"),
    ],
)
def test_what_is_no_body_of_events(
    server: Server, content: str, media_type: str, status: int, kind: str
) -> None:
    """Empty, broken, deep, of another type, or more than a request may hold: each is told what it is."""
    problem(post(server, content, media_type), status, kind)


def test_events_that_kafka_does_not_have_are_not_accepted(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a broker the answer is 503 with Retry-After, and readiness says so; it never says accepted."""
    monkeypatch.setattr("stream.api.outbox._DELIVERY_MS", 500)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        away = serve(f"127.0.0.1:{taken.getsockname()[1]}")
        answer = away.client.post("/v1/events", json=reply("a"))
        problem(answer, 503, "kafka")
        assert int(answer.headers["retry-after"]) >= 1
        problem(away.client.get("/v1/alerts"), 503, "kafka")
        assert away.client.get("/health/ready").status_code == 503
        assert away.client.get("/health/live").status_code == 200


async def test_more_than_there_is_room_for_is_told_to_wait(broker: str) -> None:
    """Records on their way are bounded: what comes beyond is refused at once, and room comes back."""
    outbox = Outbox({"bootstrap.servers": broker}, ApiTelemetry(), most=3)
    record = Outgoing(topics.REPLIES, b"k", b"{}")
    first = asyncio.create_task(outbox.publish([record] * 3))
    await asyncio.sleep(0)
    with pytest.raises(Failed) as refused:
        await outbox.publish([record])
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "2")
    outbox.start()
    await first
    await outbox.publish([record])
    await outbox.stop()


def test_many_at_once_are_all_there(server: Server, broker: str) -> None:
    """Requests side by side lose nothing and double nothing, and keep each customer's order."""
    names = [uuid.uuid4().hex for _ in range(8)]

    def send(name: str) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for start in range(0, 100, 20):
                batch = [reply(name, number % 11, survey=str(number)) for number in range(start, start + 20)]
                assert client.post("/v1/events", json=batch, headers=bearer(INGEST)).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, names))
    for name in names[:2]:
        surveys = [json.loads(value)["survey"] for _, _, value, _ in on_kafka(broker, name)]
        assert surveys == [str(number) for number in range(100)]
