"""When there are traces, when not, and what is said about it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from stream.cli.logs import LineFormatter
from stream.tracing import OFF, problem, start, starting
from stream.tracing.otel import Otel
from stream.tracing.sending import Seldom, named, resource_of
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own variables are none of ours; the exporter's logger is left as it was."""
    for name in ("ENDPOINT", "PROTOCOL", "TRACES_ENDPOINT", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in (
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
    ):
        monkeypatch.delenv(name, raising=False)
    exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    before = list(exporter.filters)
    yield
    exporter.filters[:] = before
    for handler in logging.getLogger().handlers:
        handler.removeFilter(named)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_being_asked_there_are_no_traces(environ: dict[str, str]) -> None:
    """Traces are off, without a word, unless an endpoint is set and no variable disables them."""
    assert start("cx-worker", environ) is OFF
    assert problem(environ) is None


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_endpoint_is_all_it_takes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Either of the two standard variables turns traces on, and lines of the log name their spans."""
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = start("cx-worker", {name: "http://127.0.0.1:9"})
    assert isinstance(found, Otel)
    assert all(named in handler.filters for handler in logging.getLogger().handlers)
    found.stop()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf is spoken",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin: only otlp"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "secret@collector:4317"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: begins with http:// or https://",
        ),
    ],
)
def test_what_is_in_the_way_is_a_warning(
    more: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The process goes on without traces, and one warning names the variable and the way out."""
    assert start("cx-worker", ENDPOINT | more) is OFF
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"no traces: {said}" in record.getMessage()
    assert "secret" not in caplog.text


def test_without_the_extra_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without the extra is no error: it may be set for everything in a cluster."""
    monkeypatch.setattr(starting, "_MODULES", ("opentelemetry.no_such_part.of_it",))
    assert problem(ENDPOINT) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the extra otel is not installed: pip install 'cx-pulse[otel]', "
        "or unset it"
    )


def test_who_sends_is_said_by_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is ours by default, and OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    found = resource_of("cx-worker", "1.2.3").attributes
    assert (found["service.name"], found["service.version"]) == ("cx-worker", "1.2.3")
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.version=b,deployment.environment.name=c"
    )
    found = resource_of("cx-worker", "1.2.3").attributes
    assert (found["service.name"], found["service.version"]) == ("a", "b")
    assert found["deployment.environment.name"] == "c"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    assert resource_of("cx-worker", "1.2.3").attributes["service.name"] == "named"


def test_nothing_is_loaded_where_nobody_asks() -> None:
    """Off, the worker and the API load neither spans nor an exporter; the SDK's odd module comes with redis."""
    code = (
        "import sys, stream.app, stream.api.serving; from stream.tracing import start, OFF; "
        "assert start('cx-worker', {}) is OFF; "
        "unwanted = {'stream.tracing.otel', 'opentelemetry.sdk.trace.export', 'opentelemetry.exporter'}; "
        "sys.exit(bool(unwanted & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_collector_that_hangs_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is given up after a few seconds, though the collector takes the connection and says nothing."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setattr("stream.tracing.sending.STOP_S", 0.5)
        found = start("cx-worker", {"OTEL_EXPORTER_OTLP_ENDPOINT": url})
        assert isinstance(found, Otel)
        with found._tracer.start_as_current_span("one"):
            pass
        began = time.monotonic()
        found.stop()
        assert 0.4 < time.monotonic() - began < 4
        for thread in threading.enumerate():
            if thread.name == "cx-traces":
                thread.join(20)  # it would speak up in another test


def test_a_collector_that_is_away_is_told_of_once_in_a_while() -> None:
    """Of messages that differ only in their figures one a minute is let through."""
    seldom = Seldom()

    def said(text: str, *args: object) -> bool:
        return seldom.filter(logging.LogRecord("x", logging.ERROR, "x.py", 1, text, args, None))

    assert said("away: %s", 1)
    assert not said("away: %s", 2)
    assert said("other")


def test_lines_of_the_log_name_their_span() -> None:
    """What is logged within a span has its ids, so that one finds the other; what is logged elsewhere has none."""

    def line() -> str:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "said", (), None)
        assert named(record)
        return LineFormatter().format(record)

    with TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("one") as span:
        ids = span.get_span_context()
        assert line().endswith(f"msg=said trace_id={ids.trace_id:032x} span_id={ids.span_id:016x}")
    assert line().endswith("msg=said")


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1/sent?token=hush-hush", "http://me:hush-hush@127.0.0.1:1 /"]
)
def test_tokens_in_an_endpoint_are_not_logged(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    """Why spans do not arrive is said without the endpoint's path, query and user."""
    exporter = OTLPSpanExporter(endpoint, timeout=1)
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(Seldom())
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("x").start_as_current_span("one") as span:
        pass
    exporter.export([span])
    assert caplog.records
    assert "hush-hush" not in caplog.text


def test_the_image_has_the_extra() -> None:
    """Who runs the image needs nothing but the variable."""
    synced = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "uv sync" in line]
    assert synced
    assert all("--extra otel" in line for line in synced)
