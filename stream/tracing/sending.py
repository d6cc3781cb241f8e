"""Spans on their way to a collector: resource, sampler, batches and exporter, as OTEL_* variables say."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from importlib import metadata
from time import monotonic
from typing import Final

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from stream.tracing.otel import SCHEMA, Otel

#: At the end of a process, what is left of its spans may take this long: a collector may be away.
STOP_S: Final = 3.0
#: A collector that is away is told of this often, and not with every batch.
QUIET_S: Final = 60.0
_PATH: Final = re.compile(r"url: \S+")


def sending(service: str) -> Otel:
    """Hooks with spans that go to the collector of OTEL_EXPORTER_OTLP_ENDPOINT.

    Nothing global is set: other libraries with spans, whose attributes nobody has looked at, stay silent.
    """
    logging.getLogger(trace_exporter.__name__).addFilter(Seldom())
    for handler in logging.getLogger().handlers:
        handler.addFilter(named)
    version = metadata.version("cx-pulse")
    provider = TracerProvider(resource=resource_of(service, version), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))

    def stop() -> None:
        last = threading.Thread(target=provider.shutdown, name="cx-traces", daemon=True)
        last.start()
        last.join(STOP_S)

    return Otel(provider.get_tracer("cx-pulse", version, schema_url=SCHEMA), stop)


def resource_of(service: str, version: str) -> Resource:
    """Who sends: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    said = Resource.create()
    own = {SERVICE_VERSION: version, SERVICE_INSTANCE_ID: str(uuid.uuid4())}
    found = Resource(own).merge(said)
    if str(said.attributes[SERVICE_NAME]).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: service}))
    return found


def named(record: logging.LogRecord) -> bool:
    """Give a line of the log the ids of the span that it was written in, as other logs have them.

    https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/
    """
    context = get_current_span().get_span_context()
    if context.is_valid:
        ids = {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
        record.fields = {**getattr(record, "fields", {}), **ids}
    return True


class Seldom(logging.Filter):
    """Lets each message through once in a while, and takes the endpoint's path out of it: tokens may be there."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said."""
        now = monotonic()
        said = self._said.get(str(record.msg))
        if said is not None and now - said < QUIET_S:
            return False
        self._said[str(record.msg)] = now
        if isinstance(record.args, tuple):
            record.args = tuple(_told(arg) for arg in record.args)
        return True


def _told(arg: object) -> object:
    if not isinstance(arg, BaseException):
        return arg
    name = type(arg).__name__
    # What requests has against a URL repeats all of it.
    return name if isinstance(arg, ValueError) else f"{name}: {_PATH.sub('url', str(arg))}"
