"""The event stream: what comes, in which order, and that nothing is missing after a cut."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from confluent_kafka import Producer

from stream import topics
from stream.api import live
from stream.api.live import RecentAlerts
from stream.brokers.embedded import EmbeddedKafka
from stream.measures import slice_key
from stream.topics import layout
from tests.api.conftest import INGEST, KEYS, OPERATE, READ, Server, bearer, settings_of
from tests.api.test_guard import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT = "2026-01-12T07:30:00Z"


def alert_of(number: int, *, customer: bool = False, state: str = "firing") -> dict[str, Any]:
    """An event of ``cx.alerts``."""
    mark = f"{number:016x}"
    subject = f"customer:c{number}" if customer else f"nps{{segment=s{number}}}"
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": "cx-pulse",
        "type": f"cx.alert.{state}.v1",
        "time": AT,
        "subject": subject,
        "severitytext": "critical",
        "data": {
            "alert": "NpsLow",
            "state": state,
            "reason": "first_crossing",
            "fingerprint": mark,
            "labels": {"segment": f"s{number}"},
            "annotations": {"summary": f"alert {number}"},
            "starts_at": AT,
            "ends_at": None,
            "as_of": AT,
            "claim": {"metric": "nps", "window": "1h", "value": 1.0, "n": 50, "below": 30.0},
        },
    }


def metrics_of(members: dict[str, str], n: int) -> dict[str, Any]:
    """A value of ``cx.metrics``."""
    value = {"value": 1.0, "n": n, "parts": {}}
    return {"slice": members, "as_of": AT, "final": True, "metrics": {"nps": {"1h": value}}}


class Publisher:
    """Publishes as workers do."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 0, "log_level": 0}
        )

    def alerts(self, *events: dict[str, Any]) -> None:
        """To ``cx.alerts``."""
        for event in events:
            self.put(topics.ALERTS, event["data"]["fingerprint"].encode(), json.dumps(event).encode())
        self._producer.flush(10)

    def metrics(self, members: dict[str, str], n: int) -> None:
        """To ``cx.metrics``."""
        self.put(topics.METRICS, slice_key(members).encode(), json.dumps(metrics_of(members, n)).encode())
        self._producer.flush(10)

    def put(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Any record."""
        self._producer.produce(topic, value, key)

    def flush(self) -> None:
        """Wait until the broker has all."""
        self._producer.flush(10)


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """An empty broker of the test's own."""
    with EmbeddedKafka(layout("cx-pulse", 4)) as kafka:
        yield kafka.bootstrap


class Events:
    """An open event stream, read event by event."""

    def __init__(self, server: Server, last_id: str | None = None, **query: Any) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=20)
        headers = {**bearer(READ), **({} if last_id is None else {"Last-Event-ID": last_id})}
        self._stream = self._client.stream("GET", "/v1/stream", headers=headers, params=query)
        self.answer = self._stream.__enter__()
        assert self.answer.status_code == 200
        self.lines = self.answer.iter_lines()
        self.last_id = ""

    def next(self) -> tuple[str, Any]:
        """Name and data of the next event; its id is kept as browsers keep it."""
        fields: dict[str, str] = {}
        for line in self.lines:
            if not line:
                if "id" in fields:
                    self.last_id = fields["id"]
                if "data" in fields:
                    return fields["event"], json.loads(fields["data"])
                fields = {}
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
        return "end", None

    def until_ready(self) -> list[Any]:
        """All that comes before what is new."""
        found = []
        while (event := self.next())[0] != "ready":
            found.append(event)
        return found

    def close(self) -> None:
        """Cut the connection."""
        self._stream.__exit__(None, None, None)
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_alerts_and_metrics_come_as_they_are_published(server: Server, broker: str) -> None:
    """Each event is the record as it is on its topic; single customers' only where they are asked for."""
    publish = Publisher(broker)
    with Events(server) as plain, Events(server, customers=True, only="alerts") as whole:
        assert plain.until_ready() == whole.until_ready() == []
        told, about = alert_of(1), alert_of(2, customer=True)
        publish.alerts(told)
        assert plain.next() == whole.next() == ("alert", told)
        publish.alerts(about)
        assert whole.next() == ("alert", about)
        publish.metrics({"segment": "vip"}, 7)
        assert plain.next() == ("metrics", metrics_of({"segment": "vip"}, 7))


def test_what_people_do_is_told_once_it_is_in_the_lists(server: Server, broker: str) -> None:
    """An action and a silence come as `changed`, to everybody, and the list that is read then has them."""
    publish = Publisher(broker)
    told = alert_of(6)
    mark = told["data"]["fingerprint"]

    def listed() -> dict[str, Any]:
        answer = server.client.get("/v1/alerts", headers=bearer(READ), params={"state": "all"})
        return next(row for row in answer.json()["alerts"] if row["fingerprint"] == mark)

    with (
        Events(server, only="alerts") as one,
        Events(server) as other,
        Events(server, only="metrics") as deaf,
    ):
        for each in (one, other, deaf):
            each.until_ready()
        publish.alerts(told)
        assert one.next() == other.next() == ("alert", told)
        done = server.client.post(
            f"/v1/alerts/{mark}/actions", headers=bearer(OPERATE), json={"status": "acknowledged"}
        )
        assert done.status_code == 201
        assert one.next() == other.next() == ("changed", {"what": "alerts"})
        assert listed()["action"]["status"] == "acknowledged"
        asked = {"matchers": ["segment=s6"], "for": "1h", "comment": "known"}
        silence = server.client.post("/v1/silences", headers=bearer(OPERATE), json=asked)
        assert silence.status_code == 201
        assert one.next() == other.next() == ("changed", {"what": "alerts"})
        assert listed()["silences"] == [silence.json()["id"]]
        publish.metrics({}, 9)
        assert deaf.next()[0] == "metrics"


def test_metrics_are_narrowed_to_slices(server: Server, broker: str) -> None:
    """Only the grouping and members that the query names come."""
    publish = Publisher(broker)
    with (
        Events(server, by="segment", only="metrics") as by,
        Events(server, by="whole", only="metrics") as whole,
    ):
        by.until_ready()
        whole.until_ready()
        publish.metrics({"channel": "chat"}, 1)
        publish.metrics({}, 2)
        publish.metrics({"segment": "new"}, 3)
        assert by.next()[1]["slice"] == {"segment": "new"}
        assert whole.next()[1]["slice"] == {}


def test_after_a_cut_nothing_is_missing_and_nothing_comes_twice(server: Server, broker: str) -> None:
    """With the last id every alert since comes, once, whatever was published meanwhile and whoever is asked."""
    publish = Publisher(broker)
    sent = [alert_of(100 + number) for number in range(40)]
    seen, last = [], None
    for start in range(0, 40, 10):
        with Events(server, last, only="alerts") as events:
            seen += [data for _, data in events.until_ready()]
            publish.alerts(*sent[start : start + 5])
            while len(seen) < start + 5:
                seen += [data for name, data in [events.next()] if name == "alert"]
            last = events.last_id
        publish.alerts(*sent[start + 5 : start + 10])  # while nobody listens
    with Events(server, last, only="alerts") as events:
        while len(seen) < len(sent):
            seen += [data for name, data in [events.next()] if name == "alert"]
    assert sorted(each["id"] for each in seen) == sorted(each["id"] for each in sent)


def test_another_copy_resumes_from_kafka(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy does not hold in memory is read from the topic: the id of one copy is good at the next."""
    monkeypatch.setattr(RecentAlerts.__init__, "__defaults__", (5,))
    publish = Publisher(bootstrap)
    with (
        Server(settings_of(bootstrap, api_keys=KEYS)) as first,
        Events(first.ready(), only="alerts") as events,
    ):
        events.until_ready()
        publish.alerts(alert_of(0))
        events.next()
        last = events.last_id
    sent = [alert_of(number) for number in range(1, 60)]
    publish.alerts(*sent)
    with (
        Server(settings_of(bootstrap, api_keys=KEYS)) as second,
        Events(second.ready(), last, only="alerts") as events,
    ):
        seen = [data["id"] for _, data in events.until_ready()]
        publish.alerts(alert_of(60))
        assert events.next()[1]["subject"] == "nps{segment=s60}"
    assert sorted(seen) == sorted(each["id"] for each in sent)


def test_what_cannot_be_resumed_is_said(server: Server, broker: str) -> None:
    """An id from beyond what is on the topics, of a Kafka that is gone, brings a reset, and no silence."""
    Publisher(broker).alerts(alert_of(5))
    with Events(server, "a0:99999999;m0:99999999") as events:
        said = events.until_ready()
    assert said == [("reset", {"what": "metrics"}), ("reset", {"what": "alerts"})]


@pytest.mark.parametrize("last", ["nonsense", "a0:1;m0:x", "a0", "a" + "9" * 20, ";;", "a0:1,;m"])
def test_an_id_of_another_stream_is_refused(server: Server, last: str) -> None:
    """What is no id is told so."""
    problem(
        server.client.get("/v1/stream", headers={**bearer(READ), "Last-Event-ID": last}), 400, "bad-request"
    )


def test_event_streams_end_with_the_server(bootstrap: str) -> None:
    """A stop does not wait for those who listen."""
    with Server(settings_of(bootstrap, api_keys=KEYS)) as server:
        events = Events(server.ready())
        events.until_ready()
        server.server.should_exit = True
        assert events.next() == ("end", None)
        events.close()


def test_open_streams_are_bounded(serve: Callable[..., Server], broker: str) -> None:
    """Beyond the limit comes 503 with Retry-After; who leaves makes room."""
    server = serve(broker, api_keys=KEYS, api_streams=1).ready()
    with Events(server) as events:
        events.until_ready()
        answer = server.client.get("/v1/stream", headers=bearer(READ))
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"]
    left = threading.Event()
    for _ in range(100):
        if server.server.config.app.state.parts.streams == 0:  # type: ignore[union-attr]
            left.set()
            break
        left.wait(0.05)
    assert left.is_set()


def test_a_quiet_stream_is_kept_alive(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then a comment comes with the id, so that nobody between closes the connection."""
    monkeypatch.setattr("stream.api.stream.KEEP_ALIVE_S", 0.1)
    with Events(server) as events:
        events.until_ready()
        assert next(line for line in events.lines if line) == ": still there"
        assert next(events.lines).startswith("id: a0:")


def test_what_somebody_else_wrote_does_no_harm(server: Server, broker: str) -> None:
    """Records that are no alerts and no metrics are passed over; what follows them comes."""
    publish = Publisher(broker)
    with Events(server) as events:
        events.until_ready()
        for topic in live.FOLLOWED:
            for value in (
                b"\xff",
                b"[]",
                b"{}",
                b'{"data": 7}',
                b'{"data": {"fingerprint": 7}}',
                b"null",
                None,
            ):
                publish.put(topic, b"\xffkey", value)
        publish.flush()
        told = alert_of(77)
        publish.alerts(told)
        while (event := events.next())[0] != "alert":
            pass
        assert event[1] == told
    assert server.client.get("/v1/alerts", headers=bearer(READ), params={"state": "all"}).status_code == 200
    assert server.client.get("/v1/rules", headers=bearer(READ)).status_code == 200
    assert server.client.get("/v1/silences", headers=bearer(READ)).status_code == 200
    assert INGEST not in server.client.get("/metrics", headers=bearer(READ)).text
