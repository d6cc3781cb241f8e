"""What should have happened and did not is told once, at its time, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from schemas.times import format_ms
from stream.topics import REPLIES, TOUCHPOINTS
from tests.e2e.checks import by_id, same
from tests.e2e.harness import Deployment, WorkerProcess
from tests.e2e.records import Feed, ToSend
from tests.e2e.test_kills import die, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = int(os.environ.get("E2E_SEED", "20260112"))
START_MS = 1_768_204_800_000
MINUTE_MS = 60_000
TICKETS = 4_000
STEP_MS = 2_000
WITHIN_MS = 20 * MINUTE_MS
KILLS = 5
RULES = """
groups:
  - name: promises
    rules:
      - alert: TicketUnanswered
        expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 20m}
"""

Transition = tuple[str, str, str]
"""Customer, state, time."""


def story(rng: Random) -> tuple[list[ToSend], list[Transition]]:
    """Tickets that are resolved in time, too late or never, in the order of time; and what has to be told."""
    moments: list[tuple[int, ToSend]] = []
    told: list[Transition] = []

    def say(at_ms: int, kind: str, customer: str, topic: str = REPLIES) -> None:
        event = {
            "event_id": f"{kind}-{customer}-{at_ms}",
            "customer_id": customer,
            "occurred_at": at_ms,
            "kind": kind,
            "ref": f"ticket of {customer}",
        }
        moments.append((at_ms, ToSend(topic, customer.encode(), json.dumps(event).encode())))

    for number in range(TICKETS):
        customer = f"c{number}"
        opened = START_MS + number * STEP_MS
        due = opened + WITHIN_MS
        say(opened, "ticket_opened", customer)
        # Time goes on in either topic alike.
        say(opened, "session_started", f"clock-{number % 16}", TOUCHPOINTS)
        fate = rng.random()
        if fate < 0.5:
            say(opened + rng.randrange(MINUTE_MS, WITHIN_MS - MINUTE_MS), "ticket_resolved", customer)
            continue
        told.append((customer, "firing", format_ms(due)))
        if fate < 0.8:
            late = due + rng.randrange(3 * MINUTE_MS, 20 * MINUTE_MS)
            say(late, "ticket_resolved", customer)
            told.append((customer, "resolved", format_ms(late)))
    moments.sort(key=lambda moment: moment[0])
    return [record for _, record in moments], told


def transitions(alerts: dict[str, set[bytes]]) -> dict[Transition, int]:
    """How many alerts, by id, tell each transition."""
    found: dict[Transition, int] = {}
    for values in alerts.values():
        (value,) = values  # an alert that is told again is the same, byte for byte
        alert: dict[str, Any] = json.loads(value)
        customer = alert["subject"].removeprefix("customer:")
        at = (customer, alert["data"]["state"], alert["data"]["as_of"])
        found[at] = found.get(at, 0) + 1
    return found


def fed(feed: Feed, records: list[ToSend], pieces: int) -> Iterator[None]:
    """Send the records in so many pieces, each on the broker before the next."""
    size = -(-len(records) // pieces)
    for at in range(0, len(records), size):
        feed.send(records[at : at + size])
        feed.flush()
        yield


@pytest.mark.timeout(300)
def test_timers_fire_once_across_kills(kafka: KafkaServer, tmp_path: Path) -> None:
    """Each broken promise is told once at its deadline, and once more when it is kept late."""
    rng = Random(SEED)
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    records, told = story(rng)
    feed = Feed(kafka.bootstrap)
    started: list[WorkerProcess] = []
    try:
        for _ in fed(feed, records, KILLS):
            # Nothing is idle before the end: what has come is not all that will.
            worker = deployment.worker(CX_IDLE_AFTER_MS="600000", **plan(rng))
            started.append(worker)
            die(deployment, rng, worker)
        last = deployment.worker()
        started.append(last)
        deployment.drained(last)
        assert last.stop() == 0, last.log[-4000:]
    finally:
        for worker in started:
            worker.close()
    assert len(told) > 2_000
    same("alerts", transitions(by_id(deployment.alerts())), dict.fromkeys(told, 1))
