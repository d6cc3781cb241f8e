"""The clients: each event once, again when it may help, and never when it cannot."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Reply
from stream.client import AsyncClient, Client, EventsRefused, SendFailed, reply, touchpoint
from stream.client.events import AT_ONCE, Request, Taken, pause_s, read_answer, requests
from stream.intake import Event as TakenIn
from stream.intake import Limits, decode

NOW = datetime(2026, 3, 1, 9, 15, tzinfo=UTC)
Answer = tuple[int, dict[str, str], Any]


class Ingest(ThreadingHTTPServer):
    """An HTTP server that gives the answers it was told to, then accepts everything."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.bodies: list[list[dict[str, Any]]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request of `Ingest`."""

    protocol_version = "HTTP/1.1"
    server: Ingest

    def do_POST(self) -> None:
        """Take the events down and answer."""
        events = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(events)
        self.server.keys.append(self.headers["authorization"])
        accepted = {"accepted": len(events), "refused": 0, "errors": []}
        status, headers, body = self.server.answers.pop(0) if self.server.answers else (200, {}, accepted)
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    """A server that answers as it is told."""
    with Ingest() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Send = Callable[[str, Any], Any]


@pytest.fixture(params=["sync", "async"])
async def send(request: pytest.FixtureRequest) -> Send:
    """``send`` of either client, to be awaited."""

    async def by_sync(url: str, events: Any, **more: Any) -> int:
        with Client(url, **more) as client:
            return client.send(events)

    async def by_async(url: str, events: Any, **more: Any) -> int:
        async with AsyncClient(url, **more) as client:
            return await client.send(events)

    return by_sync if request.param == "sync" else by_async


async def test_one_event_or_many_are_sent_with_the_key(ingest: Ingest, send: Send) -> None:
    """An event alone goes as a list of one; the key goes into a header."""
    assert await send(ingest.url, touchpoint("c-1", "purchase"), key="secret-key") == 1  # type: ignore[call-arg]
    assert await send(ingest.url, [reply("c-1", "nps", 3), reply("c-2", "csat", 5)]) == 2
    assert [len(body) for body in ingest.bodies] == [1, 2]
    assert ingest.keys == ["Bearer secret-key", None]


async def test_what_is_sent_again_is_the_same_event(ingest: Ingest, send: Send) -> None:
    """An event gets its id before the first try, so that a repeated one counts once."""
    ingest.answers = [(503, {"Retry-After": "0"}, {"title": "Kafka does not answer"}), (429, {}, {})]
    assert await send(ingest.url, touchpoint("c-1", "purchase")) == 1
    assert len(ingest.bodies) == 3
    assert len({body[0]["event_id"] for body in ingest.bodies}) == 1


async def test_a_refused_event_is_named_by_its_place_and_the_others_are_in(
    ingest: Ingest, send: Send
) -> None:
    """Places count from the front of what was given, not of a request."""
    error = {"index": 1, "reason": "missing_field", "detail": "$.score: missing"}
    whole: Answer = (200, {}, {"accepted": AT_ONCE, "refused": 0, "errors": []})
    ingest.answers = [whole, (207, {}, {"accepted": 1, "refused": 1, "errors": [error]})]
    with pytest.raises(EventsRefused, match="number 501: missing_field") as refused:
        await send(ingest.url, [reply("c-1", "nps", 3)] * (AT_ONCE + 2))
    assert refused.value.accepted == AT_ONCE + 1
    assert refused.value.errors[0].index == AT_ONCE + 1


async def test_a_wrong_key_is_not_tried_again(ingest: Ingest, send: Send) -> None:
    """Trying again cannot help."""
    ingest.answers = [(401, {}, {"title": "A key is needed", "status": 401})]
    with pytest.raises(SendFailed, match="HTTP 401: A key is needed") as failed:
        await send(ingest.url, [reply("c-1", "nps", 3)])
    assert (failed.value.status, failed.value.sent) == (401, 0)
    assert len(ingest.bodies) == 1


async def test_patience_ends(ingest: Ingest, send: Send) -> None:
    """Who waits for longer than told to gives up, and says how much is known to be there."""
    whole: Answer = (200, {}, {"accepted": AT_ONCE, "refused": 0, "errors": []})
    ingest.answers = [whole, *[(503, {"Retry-After": "9"}, {"title": "Too much is going on"})] * 9]
    with pytest.raises(SendFailed, match=r"503: Too much is going on; given up after 0\.5 s") as failed:
        await send(ingest.url, [reply("c-1", "nps", 3)] * (AT_ONCE + 1), patience_s=0.5)  # type: ignore[call-arg]
    assert failed.value.sent == AT_ONCE


async def test_nobody_there_is_said(send: Send) -> None:
    """Without an answer there is no status."""
    with pytest.raises(SendFailed, match="no answer") as failed:
        await send("http://127.0.0.1:9", reply("c-1", "nps", 3), patience_s=0.1)  # type: ignore[call-arg]
    assert failed.value.status is None


async def test_nothing_asks_for_no_request(ingest: Ingest, send: Send) -> None:
    """No events, no traffic."""
    assert await send(ingest.url, []) == 0
    assert ingest.bodies == []


def test_what_the_helpers_make_fits_the_contract() -> None:
    """An event made with them is taken by the workers' own decoder; a model goes as it is."""
    model = Reply(event_id="r", customer_id="c", occurred_at=NOW, metric="ces", score=2.0)
    made = [
        touchpoint("c", "promise_made", due_at=NOW + timedelta(hours=1), ref=None),
        reply("c", "nps", 9, occurred_at=NOW.astimezone(timezone(timedelta(hours=2)))),
        model,
    ]
    [request] = requests(made, NOW)
    for event in json.loads(request.body):
        assert isinstance(decode(json.dumps(event).encode(), (), Limits()), TakenIn)


def test_a_time_without_offset_is_refused_at_once() -> None:
    """Nobody can say when it was."""
    with pytest.raises(ValueError, match="need an offset"):
        requests(touchpoint("c", "purchase", occurred_at=datetime(2026, 1, 1)), NOW)  # noqa: DTZ001


@given(st.integers(0, 40), st.sampled_from([None, "2", "x", "-1"]), st.integers())
def test_a_pause_is_bounded_and_at_least_what_was_asked_for(
    attempt: int, asked: str | None, seed: int
) -> None:
    """Never less than Retry-After, never more than half a minute beyond it."""
    pause = pause_s(attempt, asked, random.Random(seed))
    least = 2.0 if asked == "2" else 0.0
    assert least <= pause <= least + min(30.0, 0.25 * 2**attempt)


@given(st.sampled_from([200, 207, 302, 400, 404, 422, 500]), st.binary(max_size=20))
def test_whatever_a_proxy_answers_is_a_problem_in_words(status: int, body: bytes) -> None:
    """No answer makes the client fail in another way."""
    found = read_answer(Request(0, 1, b"[]"), status, body)
    assert isinstance(found, (str, Taken))
