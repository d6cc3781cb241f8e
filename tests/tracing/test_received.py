"""Spans of real processes on a real Kafka, as a collector gets them by OTLP over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from stream import topics
from tests.api.conftest import INGEST, KEYS, READ, ServeProcess, bearer
from tests.delivery.receivers import hook
from tests.e2e.harness import Deployment
from tests.e2e.records import read
from tests.tracing.collector import Collector
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer
    from tests.e2e.harness import WorkerProcess
    from tests.tracing.collector import Received

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RULES = """
groups:
  - name: first
    rules:
      - alert: UnhappyWithTicketOpen
        on: reply
        when: {metric: nps, score: {lte: 6}, customer.open_tickets: {gte: 1}}
        annotations: {summary: "A reply of {score} with a ticket open"}
"""
DELIVERY = """
allow_private: [127.0.0.0/8]
route: {receiver: care}
receivers: [{name: care, webhook_configs: [{url: "%s?token=hush-hush"}]}]
"""
TICKET: dict[str, Any] = {
    "event_id": "t",
    "customer_id": "ada-lovelace",
    "occurred_at": "2026-01-12T07:30:00Z",
    "kind": "ticket_opened",
    "ref": "T-4711",
}
REPLY: dict[str, Any] = {
    "event_id": "r",
    "customer_id": "ada-lovelace",
    "occurred_at": "2026-01-12T07:40:00Z",
    "metric": "nps",
    "score": 2,
    "comment": "no-more",
}
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"  # the trace of whoever posts
PRIVATE = (b"ada-lovelace", b"no-more", b"T-4711", b"hush-hush", READ.encode(), INGEST.encode(), b"127.0.0.1")


def posted(collector: Collector) -> Received:
    """The request that brought events in."""
    return collector.wait(lambda span: (span.name, span.trace) == ("POST /v1/events", CALLER))


def context(traceparent: str) -> tuple[str, str]:
    """Trace and span of a header."""
    _, trace, span, flags = traceparent.split("-")
    assert int(flags, 16) & 1  # recorded
    return trace, span


@pytest.mark.timeout(120)
async def test_a_request_can_be_followed_to_the_receiver(kafka: KafkaServer, tmp_path: Path) -> None:
    """From a caller's trace over ingest, worker and delivery to the receiver, and nothing private in any span."""
    path = tmp_path / "delivery.yml"
    with Collector() as collector:
        async with hook() as server:
            path.write_text(DELIVERY % server.url)
            deployment = Deployment(kafka.bootstrap, tmp_path, RULES, CX_DELIVERY=str(path)).create()
            try:
                with (
                    deployment.worker(**collector.env) as worker,
                    ServeProcess(
                        tmp_path,
                        **{**deployment.env, "CX_API_KEYS": KEYS, "OTEL_SERVICE_NAME": "our-api"},
                        **collector.env,
                    ) as api,
                ):
                    await asyncio.to_thread(worker.wait_ready)
                    await asyncio.to_thread(api.wait_ready)
                    await asyncio.to_thread(ask, api.url, worker)
                    await server.wait(1)
                    arrived = context(server.posts[0].headers["traceparent"])
                    attempt = await asyncio.to_thread(collector.wait, lambda span: span.kind == "CLIENT")
                    assert (attempt.trace, attempt.id) == arrived
                    looked = await asyncio.to_thread(
                        collector.wait, lambda span: (span.name, span.service) == (CUSTOMER, "our-api")
                    )
                    assert worker.stop() == 0
            finally:
                deployment.close()
        alerts = read(kafka.bootstrap, topics.ALERTS)
    assert looked.attributes["http.response.status_code"] == 503  # there is no read model
    followed(collector, attempt, alerts)
    for private in PRIVATE:
        assert private not in collector.raw
    assert collector.paths == {"/v1/traces"}
    assert "traces are sent to the collector of OTEL_EXPORTER_OTLP_ENDPOINT" in worker.log
    # What is told of the alert is what is told without traces: the same on every replay.
    (alert,) = alerts
    assert alert.value() == server.posts[0].body
    for span in collector.spans:
        assert span.trace.encode() not in server.posts[0].body


CUSTOMER = "GET /v1/customers/{customer_id}"


def ask(url: str, worker: WorkerProcess) -> None:
    """Open a ticket, and, once it is known, reply from within a trace; then look at the customer."""
    assert httpx.post(f"{url}/v1/events", json=TICKET, headers=bearer(INGEST)).status_code == 200
    # The two are on two topics, and live no alert waits for the other one.
    until("the ticket is in", lambda: sum(worker.counters("cx_records_total").values()) >= 1)
    headers = {**bearer(INGEST), "traceparent": f"00-{CALLER}-00f067aa0ba902b7-01"}
    assert httpx.post(f"{url}/v1/events", json=REPLY, headers=headers).status_code == 200
    httpx.get(f"{url}/v1/customers/ada-lovelace", headers=bearer(READ))


def followed(collector: Collector, attempt: Received, alerts: list[Any]) -> None:
    """Every span on the way leads to the one before it."""
    (alert,) = alerts
    headers = {name: value.decode() for name, value in alert.headers()}
    assert attempt.links == [context(headers["traceparent"])]
    told = next(span for span in collector.spans if (span.trace, span.id) == attempt.links[0])
    assert told.name.startswith("process cx.")
    same = [span for span in collector.spans if span.trace == told.trace and span.kind == "CONSUMER"]
    request = posted(collector)
    assert [link for span in same for link in span.links if link == (request.trace, request.id)]
    assert (request.trace, request.parent, request.kind) == (CALLER, "00f067aa0ba902b7", "SERVER")
    assert request.service == "our-api"
    assert (told.service, attempt.service) == ("cx-worker", "cx-worker")
    assert re.fullmatch(r"[0-9a-f-]{36}", told.resource["service.instance.id"])
    taken = next(span for span in collector.spans if span.name == "process cx.alerts")
    assert attempt.links[0] in taken.links
    assert json.loads(alert.value())["data"]["alert"] == "UnhappyWithTicketOpen"
