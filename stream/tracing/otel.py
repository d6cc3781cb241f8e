"""The hooks with spans, by the semantic conventions 1.44 (and what of them is left out, for people's sake).

Messaging: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
HTTP: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
CloudEvents' context: https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md

In no span: keys and values of records, paths and queries (ids of customers are in them), addresses of clients
and of receivers (tokens are in them), texts of exceptions.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream.tracing.off import Asgi, Tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span, Tracer

    from stream.tracing.off import B, Handler, Headers, Message, O, Place, R, Record

SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
#: A span is linked to so many contexts at most; a collector has its own bounds, often not far above.
MOST_LINKS: Final = 32
#: So many alerts' contexts are kept for their delivery, the newest.
MOST_TOLD: Final = 10_000
#: Asked every few seconds by machines: their spans would bury the others.
POLLED: Final = ("/health/", "/metrics")
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_CONVERTER: Final = re.compile(r":\w+}")
_FAULT: Final = 500
#: Of a ``traceparent``: 00-(32 digits)-(16 digits)-(flags); the last bit of the flags is "sampled".
_FLAGS_END: Final = 54
_SAMPLED: Final = frozenset(b"13579bdf")
_ROOT: Final = Context()

# W3C's trace context alone: baggage may hold anything, and would go on to receivers.
_w3c: Final = TraceContextTextMapPropagator()


class Otel(Tracing):
    """Spans by a tracer.

    Args:
        tracer: of the process.
        stop: sends what is left.
    """

    def __init__(self, tracer: Tracer, stop: Callable[[], None] = lambda: None) -> None:
        self._tracer = tracer
        self._stop = stop
        self._told: dict[Place, Link] = {}

    def rounds(self, group: str, handler: Handler[B, R]) -> Handler[B, R]:
        """A CONSUMER span a round; of a round over both input topics one each, the second in the first."""

        async def handle(partition: int, batches: list[B]) -> R:
            topics: dict[str, list[Record]] = {}
            for batch in batches:
                topics.setdefault(batch.topic, []).extend(batch.records)
            with ExitStack() as spans:
                context: Context | None = _ROOT  # whatever task this one was begun in
                for topic, records in topics.items():
                    attributes = {
                        "messaging.system": "kafka",
                        "messaging.operation.name": "process",
                        "messaging.operation.type": "process",
                        "messaging.destination.name": topic,
                        "messaging.destination.partition.id": str(partition),
                        "messaging.consumer.group.name": group,
                        "messaging.batch.message_count": len(records),
                    }
                    kind, links = SpanKind.CONSUMER, links_of(records)
                    spans.enter_context(self._span(f"process {topic}", kind, attributes, links, context))
                    context = None
                return await handler(partition, batches)

        return handle

    def context(self) -> dict[str, str]:
        """``traceparent``, and ``tracestate`` where there is one."""
        carrier: dict[str, str] = {}
        _w3c.inject(carrier)
        return carrier

    def headers(self) -> Headers:
        """The same, as bytes."""
        return [(name, value.encode()) for name, value in self.context().items()]

    def told(self, place: Place, record: Record) -> None:
        """Keep where an alert was published; after a restart that is forgotten, and attempts have no link."""
        for link in links_of((record,)):
            if len(self._told) >= MOST_TOLD:
                del self._told[next(iter(self._told))]
            self._told[place] = link

    async def attempt(self, target: str, alerts: Iterable[Place], send: Callable[[], Awaitable[O]]) -> O:
        """A CLIENT span of a trace of its own: what is owed may be sent much later, and again."""
        links = [self._told[place] for place in alerts if place in self._told][:MOST_LINKS]
        attributes = {"service.peer.name": target}
        with self._span(f"deliver {target}", SpanKind.CLIENT, attributes, links, _ROOT) as span:
            outcome = await send()
            protocol, _, status = outcome.why.partition("_")
            if protocol == "http" and status.isdecimal():
                span.set_attribute("http.request.method", "POST")
                span.set_attribute("http.response.status_code", int(status))
            span.set_attribute("cx.delivery.outcome", outcome.kind)
            if outcome.kind != "delivered":
                _failed(span, outcome.why)
            return outcome

    def served(self, app: Asgi) -> Asgi:
        """A SERVER span a request; of an event stream it ends with the head of the answer."""

        async def serve(
            scope: Message,
            receive: Callable[[], Awaitable[Message]],
            send: Callable[[Message], Awaitable[None]],
        ) -> None:
            if scope["type"] != "http" or scope["path"].startswith(POLLED):
                await app(scope, receive, send)
                return
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
            parent = _w3c.extract(_carrier(scope["headers"]), _ROOT)
            begun = False
            with self._span(method, SpanKind.SERVER, attributes, (), parent) as span:

                async def answer(message: Message) -> None:
                    nonlocal begun
                    if message["type"] == "http.response.start":
                        begun = True
                        _answered(span, method, scope, message)
                    await send(message)

                await app(scope, receive, answer)
                if not begun:
                    _name(span, method, scope)
                    _failed(span, "disconnected")

        return serve

    def stop(self) -> None:
        """Send what is left."""
        self._stop()

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        links: Sequence[Link],
        context: Context | None,
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:  # a handler that is cancelled as well; a text may repeat a record
                _failed(span, type(error).__qualname__)
                raise


def links_of(records: Iterable[Record]) -> list[Link]:
    """Links to the contexts of those who published records, of those that are recorded: at most `MOST_LINKS`.

    The context is in the header ``traceparent``, or ``ce_traceparent`` of a binary CloudEvent.
    """
    links: dict[bytes, Link] = {}
    for record in records:
        if not record.headers:
            continue
        given = dict(record.headers)
        value = given.get("traceparent") or given.get("ce_traceparent")
        if value is None or len(value) <= _FLAGS_END or value[_FLAGS_END] not in _SAMPLED or value in links:
            continue
        found = _w3c.extract({"traceparent": value.decode("latin-1")}, _ROOT)
        context = get_current_span(found).get_span_context()
        if context.is_valid:
            links[value] = Link(context)
            if len(links) == MOST_LINKS:
                break
    return list(links.values())


def _failed(span: Span, why: str) -> None:
    if span.is_recording():  # else it has ended, or nobody wants it
        span.set_attribute("error.type", why)
        span.set_status(StatusCode.ERROR)


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    wanted = (b"traceparent", b"tracestate")
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in wanted}


def _name(span: Span, method: str, scope: Message) -> None:
    """Give it the route's template, once the router has found it; never the path."""
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        route = _CONVERTER.sub("}", route)
        span.set_attribute("http.route", route)
        span.update_name(f"{method} {route}")


def _answered(span: Span, method: str, scope: Message, message: Message) -> None:
    if not span.is_recording():
        return
    status = message["status"]
    _name(span, method, scope)
    span.set_attribute("http.response.status_code", status)
    if status >= _FAULT:
        _failed(span, str(status))
    if dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream"):
        span.end()
