"""Models fitted while events come: the published figures from the published data, and the same on every replay."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.cdnow import EVERY, PUBLISHED, WEEK_39, events, mean_error, reference_fit, shoppers
from schemas import ModelVersion
from stream import topics
from stream.customers.value import ValueModel, expected_purchases
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send, value
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RULES = """
groups:
  - name: g
    rules:
      - alert: WorthACall
        on: touchpoint
        when: {kind: purchase, customer.expected_purchases: {gte: 6}}
"""


#: Longer than any pause of a busy machine: a partition that counts as idle goes on without the others, and what it
#: tells then is not the same on a replay (docs/customers.md).
IDLE = "8000"


def versions(deployment: Deployment) -> list[ModelVersion]:
    """What is on ``cx.models``, each key's newest, by moment and name."""
    newest = {message.key(): value(message) for message in deployment.read(topics.MODELS)}
    found = [ModelVersion.model_validate_json(each) for each in newest.values()]
    return sorted(found, key=lambda each: (each.as_of, each.name))


def story(deployment: Deployment) -> list[bytes]:
    """The alerts, each once."""
    return sorted(set(deployment.alerts()))


@pytest.mark.timeout(300)
def test_cdnow_is_fitted_as_published_and_a_replay_tells_the_same(kafka: KafkaServer, tmp_path: Path) -> None:
    """Every purchase through Kafka: at week 39 the published parameters; replayed, the same again."""
    live = Deployment(kafka.bootstrap, tmp_path, RULES, CX_MODELS_EVERY=EVERY, CX_IDLE_AFTER_MS=IDLE).create()
    inputs = [
        ToSend(topics.TOUCHPOINTS, each["customer_id"].encode(), json.dumps(each).encode())
        for each in events()
    ]
    half = len(inputs) // 2
    with live.worker() as worker:
        worker.wait_ready()
        send(kafka.bootstrap, inputs[:half])
        until("the first half", lambda: worker.alive() and live.lag(*topics.INPUTS) == 0)
        send(kafka.bootstrap, inputs[half:])
        live.drained(worker)
        assert "cx_models_not_awaited_total 0.0" in worker.get("/metrics")[1]  # type: ignore[index]
        assert worker.stop() == 0
    once, told = versions(live), story(live)

    [fitted] = [each for each in once if each.name == "bgnbd" and each.as_of == WEEK_39]
    assert (fitted.outcome, fitted.n, fitted.of) == ("fitted", 2357, 2357)
    assert fitted.parameters == pytest.approx(PUBLISHED, rel=0.02)
    model = ValueModel(**fitted.parameters)
    expected = [expected_purchases(model, each.x, each.recency, each.age) for each in shoppers()]
    assert mean_error(expected) <= mean_error(reference_fit()[1]) + 5e-7
    assert told

    again = Deployment(
        kafka.bootstrap,
        tmp_path,
        RULES,
        CX_MODELS_EVERY=EVERY,
        CX_IDLE_AFTER_MS=IDLE,
        CX_MAX_BATCH_RECORDS="97",
    )
    again.create(keep_inputs=True).run(2)
    assert versions(again) == once
    assert story(again) == told
