"""Churn learned while events come, over a kill -9: the versions that the cohorts come to, and what shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas import ModelVersion, format_ms, to_ms
from stream import topics
from tests.customers.contracts import cohorts, learn_all, people, unhappy_leave
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send, value
from tests.pipeline.test_lessons import stored
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DAYS = 330
PEOPLE = 300
SEED = 4
RULES = """
groups:
  - name: g
    rules:
      - alert: LikelyToLeave
        on: touchpoint
        when: {kind: session_started, customer.churn_probability: {gte: 0.25}}
"""


def versions(deployment: Deployment) -> list[ModelVersion]:
    """Versions of the model of churn, the newest of each key."""
    newest = {message.key(): value(message) for message in deployment.read(topics.MODELS)}
    found = [ModelVersion.model_validate_json(each) for each in newest.values()]
    return sorted((each for each in found if each.name == "churn"), key=lambda each: each.as_of)


@pytest.mark.timeout(300)
def test_churn_is_learned_live_and_over_a_kill(kafka: KafkaServer, tmp_path: Path) -> None:
    """Cohorts of every partition make the versions, killed or replayed; /metrics says how good the newest is."""
    live = Deployment(kafka.bootstrap, tmp_path, RULES, CX_IDLE_AFTER_MS="8000").create()
    events = sorted(
        (event for person in people(PEOPLE, DAYS, SEED, unhappy_leave) for event in person.events),
        key=lambda each: each.time_ms,
    )
    inputs = [ToSend(topics.TOUCHPOINTS, each.customer_id.encode(), stored(each, 0).value) for each in events]
    half = len(inputs) // 2
    with live.worker() as worker:
        worker.wait_ready()
        send(kafka.bootstrap, inputs[:half])
        until("something learned", lambda: worker.alive() and versions(live))
        worker.kill()
    with live.worker() as worker:
        worker.wait_ready()
        send(kafka.bootstrap, inputs[half:])
        live.drained(worker)
        shown = worker.counters("cx_model_figure")
        assert worker.stop() == 0
    found = versions(live)
    last = found[-1]
    as_of_ms = to_ms(last.as_of)

    everyone = cohorts(people(PEOPLE, DAYS, SEED, unhappy_leave), DAYS)
    learned = learn_all({at_ms: held for at_ms, held in everyone.items() if at_ms <= as_of_ms}).learned
    assert last.outcome == "fitted"
    assert last.n == learned.learner.examples > 1_000
    assert learned.version is not None
    assert last.parameters == pytest.approx(learned.version.parameters, abs=1e-6)
    assert last.figures == pytest.approx(learned.figures, abs=1e-6)
    assert {name: shown[f'{{figure="{name}",model="churn"}}'] for name in last.figures} == pytest.approx(
        last.figures
    )

    holds_from = next(format_ms(to_ms(each.valid_from)) for each in found if each.outcome == "fitted")
    told = sorted(set(live.alerts()))
    assert any(json.loads(each)["time"] > holds_from for each in told)
    again = Deployment(kafka.bootstrap, tmp_path, RULES, CX_IDLE_AFTER_MS="8000", CX_MAX_BATCH_RECORDS="97")
    again.create(keep_inputs=True).run(2)
    assert versions(again) == found
    assert sorted(set(again.alerts())) == told
