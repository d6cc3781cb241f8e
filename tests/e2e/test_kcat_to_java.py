"""From other people's tools to other people's tools: kcat in, Kafka's own Java console consumer out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from schemas.alert import AlertEvent
from stream import topics
from tests.e2e.harness import Deployment

if TYPE_CHECKING:
    from stream.brokers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

START_MS = 1_768_204_800_000
SCHEMA = json.loads(Path("schemas/json/alert.json").read_text())

RULES = """
slices:
  - [segment]
groups:
  - name: journey
    rules:
      - alert: NpsLowForVip
        metric: nps
        by: [segment]
        where: {segment: vip}
        window: 1h
        below: 30
        evidence: interval
        confidence: 0.95
        min_n: 50
        severity: critical
        labels: {team: retail}
        annotations: {summary: "NPS of {segment} is {value} on {n} replies"}
        action: {type: callback, owner: retail, within: 2h}
      - alert: Unhappy
        on: reply
        when: {metric: nps, score: {lte: 2}}
        severity: warning
"""

#: The contract's example, as far as this version fills it: the order in which people read an alert.
EVENT_FIELDS = ["specversion", "id", "source", "type", "time", "subject", "severitytext", "data"]
DATA_FIELDS = [
    "alert", "state", "reason", "fingerprint", "labels", "annotations", "starts_at", "ends_at", "as_of",
    "claim", "baseline", "drivers", "at_risk", "action", "hold_out",
]  # fmt: skip


def ndjson(first: str, scores: list[int], *, keyed: bool) -> str:
    """Replies of one segment, a second apart; with keys as ``kcat -K '|'`` wants them."""
    lines = []
    for number, score in enumerate(scores):
        event = {
            "event_id": f"{first}{number}",
            "customer_id": f"{first}-customer-{number}",
            "occurred_at": START_MS + number * 1000,
            "segment": "vip",
            "metric": "nps",
            "score": score,
        }
        text = json.dumps(event)
        lines.append(f"{event['customer_id']}|{text}" if keyed else text)
    return "".join(f"{line}\n" for line in lines)


def pipe(kcat: str, bootstrap: str, text: str, *options: str) -> None:
    """``… | kcat -P``."""
    command = [kcat, "-b", bootstrap, "-t", topics.REPLIES, "-P", *options]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()


def console_consumer(kafka: KafkaServer, count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """(headers, key, value) of the first alerts, read as people do in a terminal."""
    done = kafka.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", kafka.bootstrap, "--topic", topics.ALERTS, "--from-beginning"),
        *("--max-messages", str(count), "--timeout-ms", "20000"),
        *("--property", "print.key=true", "--property", "print.headers=true"),
        *("--property", "key.separator=|", "--property", "headers.separator=,"),
    )
    lines = [line.split("|", 2) for line in done.stdout.splitlines() if line]
    assert len(lines) == count, done.stdout + done.stderr
    return [(headers, key, json.loads(text)) for headers, key, text in lines]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("keyed", [True, False], ids=["with keys", "without keys"])
def test_ndjson_through_kcat_comes_out_as_alerts_in_java(
    kafka: KafkaServer, kcat: str, tmp_path: Path, keyed: bool
) -> None:
    """NDJSON piped in with kcat comes out of Java's console consumer as alerts of the contract."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    text = ndjson("a", [0, 1, 2] + [5] * 70 + [10] * 7, keyed=keyed)
    pipe(kcat, kafka.bootstrap, text, *(["-K", "|"] if keyed else []))
    deployment.run()

    published = deployment.alerts()
    got = console_consumer(kafka, len(published))
    assert sorted(json.dumps(event) for _, _, event in got) == sorted(
        json.dumps(json.loads(alert)) for alert in published
    )
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for headers, key, event in got:
        assert headers == "content-type:application/cloudevents+json"
        assert key == event["data"]["fingerprint"]
        validator.validate(event)
        AlertEvent.model_validate(event)
        assert [name for name in event if name in EVENT_FIELDS] == EVENT_FIELDS
        assert list(event["data"]) == DATA_FIELDS

    by_rule: dict[str, list[dict[str, Any]]] = {}
    for _, _, event in got:
        by_rule.setdefault(event["data"]["alert"], []).append(event)
    assert sorted(event["subject"] for event in by_rule["Unhappy"]) == [
        "customer:a-customer-0", "customer:a-customer-1", "customer:a-customer-2",
    ]  # fmt: skip
    (low,) = by_rule["NpsLowForVip"]
    data = low["data"]
    assert (low["subject"], low["type"]) == ("nps{segment=vip}", "cx.alert.firing.v1")
    assert (data["state"], data["reason"], data["labels"]) == (
        "firing", "first_crossing", {"team": "retail", "segment": "vip"},
    )  # fmt: skip
    assert data["claim"]["n"] >= 50
    assert data["claim"]["interval"][1] < 30
    assert data["action"]["owner"] == "retail"
