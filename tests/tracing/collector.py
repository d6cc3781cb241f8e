"""A collector on this machine: takes OTLP over HTTP, and keeps the spans that it was sent."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

KINDS = trace_pb2.Span.SpanKind
ERROR = trace_pb2.Status.STATUS_CODE_ERROR


@dataclass
class Received:
    """A span as it was sent; ids in hex."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: bool
    resource: dict[str, Any] = field(repr=False)

    @property
    def service(self) -> str:
        """Whose it is."""
        return str(self.resource["service.name"])


class Collector:
    """A server for as long as the context lasts; ``url`` is what OTEL_EXPORTER_OTLP_ENDPOINT is set to."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.raw = b""
        self.paths: set[str] = set()
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def env(self) -> dict[str, str]:
        """Variables of a process that is to send here, soon after each span."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def take(self, path: str, body: bytes) -> None:
        """Take in a request."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.paths.add(path)
            self.raw += body
            for resource in request.resource_spans:
                about = attributes(resource.resource.attributes)
                self.spans += [received(span, about) for each in resource.scope_spans for span in each.spans]
            self._came.notify_all()

    def wait(self, wanted: Callable[[Received], Any], within: float = 60) -> Received:
        """The first span that is wanted, once it has come."""
        with self._came:
            assert self._came.wait_for(lambda: any(wanted(span) for span in self.spans), within), self.spans
            return next(span for span in self.spans if wanted(span))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def attributes(given: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in given}


def received(span: Any, resource: dict[str, Any]) -> Received:
    """A span as plain values."""
    return Received(
        span.name,
        KINDS.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        attributes(span.attributes),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == ERROR,
        resource,
    )
