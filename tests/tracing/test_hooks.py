"""What spans say, and what they keep to themselves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from stream.api.app import routed
from stream.delivery.records import Outcome
from stream.tracing import OFF
from stream.tracing.otel import MOST_LINKS, MOST_TOLD, Otel, links_of
from tests.docs.pages import ROOT, code, rows, section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


@dataclass
class Record:
    """A Kafka record, as far as anybody looks."""

    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class Batch:
    """Records of a topic."""

    topic: str
    records: list[Record] = field(default_factory=list)


class Spans:
    """Hooks that keep their spans here."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Otel(provider.get_tracer("test"))

    def ended(self) -> Sequence[ReadableSpan]:
        """In the order in which they ended."""
        return self._kept.get_finished_spans()

    def only(self) -> ReadableSpan:
        """The one that there is."""
        (span,) = self.ended()
        return span


@pytest.fixture
def spans() -> Spans:
    """Hooks whose spans stay in memory."""
    return Spans()


def traceparent(number: int, flags: str = "01") -> bytes:
    """A context of a producer."""
    return f"00-{number:032x}-{number:016x}-{flags}".encode()


def linked(span: ReadableSpan) -> list[int]:
    """The numbers of the contexts that a span is linked to."""
    return [link.context.span_id for link in span.links]


async def test_a_round_is_one_span_as_the_conventions_have_it(spans: Spans) -> None:
    """All batches that a handler gets at once are one CONSUMER span, linked to those who produced them."""
    first = Batch("cx.alerts", [Record(), Record([("traceparent", traceparent(7))])])
    second = Batch("cx.alerts", [Record([("ce_traceparent", traceparent(8))])])

    async def handle(partition: int, batches: list[Batch]) -> list[Batch]:
        assert partition == 3
        return batches[:1]

    assert await spans.tracing.rounds("app", handle)(3, [first, second]) == [first]
    span = spans.only()
    assert (span.name, span.kind, span.parent) == ("process cx.alerts", SpanKind.CONSUMER, None)
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "cx.alerts",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "app",
        "messaging.batch.message_count": 3,
    }
    assert linked(span) == [7, 8]


async def test_a_round_over_two_topics_is_one_trace(spans: Spans) -> None:
    """Each topic has its span, and what is published is in the inner one."""
    seen: dict[str, str] = {}

    async def handle(_partition: int, _batches: list[Batch]) -> None:
        seen.update(spans.tracing.context())

    await spans.tracing.rounds("app", handle)(0, [Batch("a", [Record()]), Batch("b", [Record()])])
    inner, outer = spans.ended()
    assert (inner.name, outer.name) == ("process b", "process a")
    assert inner.parent is not None
    assert inner.parent == outer.context
    ids = inner.get_span_context()
    assert seen == {
        "traceparent": f"00-{format_trace_id(ids.trace_id)}-{format_span_id(ids.span_id)}-{ids.trace_flags:02x}",
    }


async def test_rounds_do_not_follow_from_each_other(spans: Spans) -> None:
    """A round that was begun from within another is a trace of its own; one without batches has no span."""

    async def inner(_partition: int, _batches: list[Batch]) -> None:
        return

    async def outer(_partition: int, _batches: list[Batch]) -> None:
        traced = spans.tracing.rounds("app", inner)
        await asyncio.create_task(traced(0, [Batch("b", [Record()])]))
        await traced(0, [])

    await spans.tracing.rounds("app", outer)(0, [Batch("a", [Record()])])
    assert [(span.name, span.parent) for span in spans.ended()] == [("process b", None), ("process a", None)]


async def test_what_fails_is_said_without_its_text(spans: Spans) -> None:
    """A span of a handler that raises has the exception's type, and neither its text nor where it was."""

    async def handle(_partition: int, _batches: list[Batch]) -> None:
        raise KeyError("ada")

    with pytest.raises(KeyError):
        await spans.tracing.rounds("app", handle)(0, [Batch("a", [Record()])])
    span = spans.only()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "KeyError"
    assert (span.events, span.status.description) == ((), None)


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.binary(max_size=80),
            st.builds(traceparent, st.integers(0, 50), st.sampled_from(["00", "01", "03", "fe", "ff"])),
        ),
        max_size=200,
    )
)
def test_links_are_bounded_and_of_recorded_traces(values: list[bytes | None]) -> None:
    """Whatever is in headers: each recorded context once, in the records' order, and at most 32 of them."""
    found = [link.context.span_id for link in links_of([_record(value) for value in values])]
    wanted: dict[int, None] = {}
    for value in values:
        if value is not None and value[:3] == b"00-" and len(value) == 55 and int(value[53:], 16) & 1:
            wanted[int(value[36:52], 16)] = None
    wanted.pop(0, None)  # a trace has no such number
    flags = {value[53:] for value in values if value is not None}
    if not {b"01", b"03"} <= flags and b"ff" not in flags:  # else one trace may come with several flags
        assert found == list(wanted)[:MOST_LINKS]
    assert len(found) <= MOST_LINKS
    assert set(found) <= set(wanted)


def _record(value: bytes | None) -> Record:
    return Record([]) if value is None else Record([("other", b"x"), ("traceparent", value)])


async def test_an_attempt_leads_to_the_alert_and_on_to_the_receiver(spans: Spans) -> None:
    """A CLIENT span an attempt: of its own trace, linked to where its alerts were published."""
    sent: dict[str, str] = {}

    async def send() -> Outcome:
        sent.update(spans.tracing.context())
        return Outcome("failed", "http_503", None, "ada is unhappy")

    spans.tracing.told((0, 5), Record([("traceparent", traceparent(9))]))
    spans.tracing.told((0, 6), Record())
    outcome = await spans.tracing.attempt("care/slack", [(0, 5), (0, 6), (1, 5)], send)
    assert outcome.why == "http_503"
    span = spans.only()
    assert (span.name, span.kind, span.parent) == ("deliver care/slack", SpanKind.CLIENT, None)
    assert span.attributes == {
        "service.peer.name": "care/slack",
        "cx.delivery.outcome": "failed",
        "http.request.method": "POST",
        "http.response.status_code": 503,
        "error.type": "http_503",
    }
    assert linked(span) == [9]
    assert format_span_id(span.get_span_context().span_id) in sent["traceparent"]


async def test_what_is_kept_of_alerts_is_bounded(spans: Spans) -> None:
    """The oldest alert's context goes; its attempts have no link any more."""
    for offset in range(MOST_TOLD + 1):
        spans.tracing.told((0, offset), Record([("traceparent", traceparent(offset + 1))]))

    async def send() -> Outcome:
        return Outcome("delivered", "smtp_250")

    for offset in (0, 1, MOST_TOLD):
        await spans.tracing.attempt("care/email", [(0, offset)], send)
    assert [linked(span) for span in spans.ended()] == [[], [2], [MOST_TOLD + 1]]
    assert spans.ended()[0].attributes == {
        "service.peer.name": "care/email",
        "cx.delivery.outcome": "delivered",
    }


async def asked(spans: Spans, path: str, status: int | None, method: str = "GET", **given: Any) -> None:
    """A request to an app that answers so."""

    class Route:
        path = "/v1/customers/{customer:id}"

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        scope["route"] = Route()
        if status is not None:
            headers = [(b"content-type", given.get("media", b"application/json"))]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            given.get("begun", lambda: None)()
            await send({"type": "http.response.body", "body": b""})

    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"who=ada",
        "client": ("10.0.0.7", 1),
        "headers": given.get("headers", []),
    }
    await spans.tracing.served(app)(scope, nothing, nothing)


async def test_a_request_is_named_by_its_route(spans: Spans) -> None:
    """A SERVER span has the route's template and the status, and nothing of path, query or client."""
    await asked(spans, "/v1/customers/ada", 200, headers=[(b"traceparent", traceparent(5))])
    span = spans.only()
    assert (span.name, span.kind) == ("GET /v1/customers/{customer}", SpanKind.SERVER)
    assert span.parent is not None
    assert span.parent.span_id == 5
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/v1/customers/{customer}",
        "http.response.status_code": 200,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("status", "error"), [(404, None), (500, "500"), (503, "503"), (None, "disconnected")]
)
async def test_faults_of_the_server_are_errors(spans: Spans, status: int | None, error: str | None) -> None:
    """5xx, and a client that left before the answer, are errors; what a client did wrong is none."""
    await asked(spans, "/v1/customers/ada", status, method="BREW")
    span = spans.only()
    assert span.attributes is not None
    assert span.attributes.get("error.type") == error
    assert (span.status.status_code is StatusCode.ERROR) == (error is not None)
    assert span.name == "_OTHER /v1/customers/{customer}"  # a method of a client's own making is no name


async def test_frameworks_add_no_spans_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a provider of someone else's, FastAPI would put paths into spans: of our API there are none."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    for app, spans in ((FastAPI(), True), (routed(), False)):
        kept.clear()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            assert (await client.get("/v1/customers")).status_code in {401, 404}
        assert bool(kept.get_finished_spans()) is spans


async def test_event_streams_do_not_keep_a_span_open(spans: Spans) -> None:
    """The span of an event stream has ended once its answer has begun."""
    ended: list[int] = []
    await asked(
        spans, "/v1/stream", 200, media=b"text/event-stream", begun=lambda: ended.append(len(spans.ended()))
    )
    assert ended == [1]
    assert len(spans.ended()) == 1


@pytest.mark.parametrize("path", ["/health/ready", "/health/live", "/metrics"])
async def test_polls_have_no_span(spans: Spans, path: str) -> None:
    """What is asked every few seconds by machines is not traced."""
    await asked(spans, path, 200)
    assert not spans.ended()


async def test_the_page_lists_what_spans_have(spans: Spans) -> None:
    """docs/tracing.md names every span and every attribute that there is, and no other."""

    async def handle(_partition: int, _batches: list[Batch]) -> None:
        return

    async def send() -> Outcome:
        return Outcome("delivered", "http_200")

    await spans.tracing.rounds("app", handle)(0, [Batch("cx.replies", [Record()])])
    await asked(spans, "/v1/events", 200)
    await spans.tracing.attempt("care/slack", [], send)
    listed = rows(section(ROOT / "docs" / "tracing.md", "Spans"))
    assert [(row[1], set(code(row[2]))) for row in listed] == [
        (span.kind.name.lower(), set(span.attributes or ())) for span in spans.ended()
    ]


async def test_off_means_nothing_in_between() -> None:
    """Off, the hooks hand back the very objects that they were given, and no context."""

    async def handle(_partition: int, _batches: list[Batch]) -> None:
        return

    async def app(*_: Any) -> None:
        return

    assert OFF.rounds("app", handle) is handle
    assert OFF.served(app) is app
    assert (OFF.context(), OFF.headers()) == ({}, ())
