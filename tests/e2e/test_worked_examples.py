"""The worked examples of the metrics' definitions, from records on Kafka to `cx.metrics`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

START_MS = 1_768_204_800_000

EXAMPLES: list[tuple[str, list[float], dict[str, Any]]] = [
    ("nps", [10] * 60 + [9] * 28 + [7] * 2 + [8] * 2 + [6] * 5 + [0] * 3, {}),
    ("csat", [5] * 20 + [4] * 17 + [3] * 8 + [1] * 5, {}),
    ("ces", [10, 10, 8, 6, 9], {"scale": [1, 10]}),
]


def replies() -> list[ToSend]:
    """All examples' replies, at the rate of one a second, and a last event that closes their panes."""
    records = []
    for metric, scores, more in EXAMPLES:
        for number, score in enumerate(scores):
            event = {
                "event_id": f"{metric}-{number}",
                "customer_id": f"customer-{number}",
                "occurred_at": START_MS + number * 1000,
                "segment": "vip" if number % 2 else "new",
                "metric": metric,
                "score": score,
                **more,
            }
            records.append(ToSend(topics.REPLIES, event["customer_id"].encode(), json.dumps(event).encode()))
    last = {
        "event_id": "end",
        "customer_id": "clock",
        "occurred_at": START_MS + 150_000,
        "kind": "session_started",
    }
    return [*records, ToSend(topics.TOUCHPOINTS, b"clock", json.dumps(last).encode())]


@pytest.mark.timeout(120)
def test_worked_examples_hold_end_to_end(kafka: KafkaServer, tmp_path: Path) -> None:
    """88 % promoters and 8 % detractors are 80, 37 of 50 are 74 %, and 10, 10, 8, 6, 9 are 8.6."""
    rules = "slices: [[segment]]\n"
    deployment = Deployment(kafka.bootstrap, tmp_path, rules).create()
    send(kafka.bootstrap, replies())
    deployment.run()

    found = deployment.final_metrics()
    whole = found["{}"]["metrics"]
    for window in ("5m", "1h", "24h", "7d"):
        assert whole["nps"][window]["value"] == 80
        assert whole["nps"][window]["n"] == 100
        assert whole["nps"][window]["parts"] == {"promoters": 0.88, "passives": 0.04, "detractors": 0.08}
        assert whole["csat"][window]["value"] == 74
        assert whole["csat"][window]["n"] == 50
        assert whole["ces"][window]["value"] == 8.6
        assert whole["ces"][window]["n"] == 5
    assert found.keys() == {"{}", '{"segment":"new"}', '{"segment":"vip"}'}
    assert found['{"segment":"vip"}']["metrics"]["ces"]["1h"]["value"] == 8.0  # 10 and 6
