"""Rules and silences that come while workers run: at the moment they name, and the same on every replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from schemas import format_ms
from schemas.times import parse, to_ms
from stream import topics
from tests.e2e.harness import Deployment, WorkerProcess
from tests.e2e.records import ToSend, send, value
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

START_MS = 1_768_204_800_000
MINUTE_MS = 60_000
RULES = """
slices: [[segment]]
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 5m, below: 30, min_n: 3}
      - {alert: Stays, metric: nps, by: [segment], window: 5m, below: 40, min_n: 3}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 1}}}
"""
NEXT = """
groups:
  - name: g
    rules:
      - {alert: Stays, metric: nps, by: [segment], window: 5m, below: 40, min_n: 3}
      - {alert: Other, metric: nps, by: [segment], window: 5m, below: 50, min_n: 3}
      - {alert: One, on: reply, when: {metric: nps, score: {gte: 2}}}
"""
MORE = "groups: [{name: g, rules: [{alert: Far, metric: nps, by: [region], window: 5m, below: 1}]}]"
SWAP, QUIET = 20, 24
END = 30


def replies(begin: int, end: int) -> list[ToSend]:
    """A bad reply every five seconds of these minutes, of forty customers in turn, each within a session.

    So every partition of both topics says how far it is, and none has to be silent for the others to go on.
    """
    found = []
    for number in range(begin * 12, end * 12):
        customer = f"c{number % 40}"
        common = {"customer_id": customer, "occurred_at": START_MS + number * 5_000}
        session = {**common, "event_id": f"s{number}", "kind": "session_started"}
        reply = {
            **common,
            "event_id": f"e{number}",
            "metric": "nps",
            "score": 1 + number % 3,
            "segment": "vip",
        }
        found.append(ToSend(topics.TOUCHPOINTS, customer.encode(), json.dumps(session).encode()))
        found.append(ToSend(topics.REPLIES, customer.encode(), json.dumps(reply).encode()))
    return found


def at(minute: float) -> str:
    """A minute of the story, as on the wire."""
    return format_ms(START_MS + round(minute * MINUTE_MS))


class Story:
    """A deployment whose rules change at SWAP, while Other is silenced up to QUIET."""

    def __init__(self, kafka: KafkaServer, folder: Path, *, keep_inputs: bool = False, **env: str) -> None:
        self.folder = folder
        self.deployment = Deployment(kafka.bootstrap, folder, RULES, **env).create(keep_inputs=keep_inputs)
        (folder / "next.yml").write_text(NEXT)
        (folder / "more.yml").write_text(MORE)

    def cx(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command with the settings of the workers."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("CX_")}
        return subprocess.run(
            [sys.executable, "-m", "stream.cli", *arguments],
            cwd=self.folder,
            env={**clean, **self.deployment.env, "CX_PARTITIONS": "4"},
            capture_output=True,
            text=True,
            check=False,
        )

    def change(self) -> None:
        """Apply the rules, and silence what they bring."""
        times = ("--starts", at(0), "--ends", at(QUIET))
        said = self.cx("silences", "add", "alertname=Other", *times, "--comment", "wait")
        assert said.returncode == 0, said.stderr
        said = self.cx("rules", "apply", "next.yml", "--from", at(SWAP))
        assert said.returncode == 0, said.stderr

    def alerts(self) -> list[bytes]:
        """What was told, each event once."""
        return sorted(set(self.deployment.alerts()))


def told(alerts: list[bytes], name: str) -> list[tuple[str, str, float]]:
    """State, reason and minute of a rule's events, in order."""
    found = [event["data"] for event in map(json.loads, alerts)]
    return sorted(
        (
            (data["state"], data["reason"], (to_ms(parse(data["as_of"])) - START_MS) / MINUTE_MS)
            for data in found
            if data["alert"] == name
        ),
        key=lambda each: each[2],
    )


def decisions(story: Story) -> dict[tuple[str, str], dict[str, Any]]:
    """The newest of each rule and stage, of rules over windows."""
    found = {}
    for message in story.deployment.read(topics.DECISIONS):
        decision = json.loads(value(message))
        found[decision["alert"], decision["stage"]] = decision
    return found


def knows(worker: WorkerProcess, text: str) -> bool:
    """Whether the worker has said so."""
    return worker.alive() and text in worker.log


@pytest.mark.timeout(300)
def test_rules_change_at_their_moment_and_a_replay_tells_the_same(kafka: KafkaServer, tmp_path: Path) -> None:
    """Rules applied while a worker runs judge from their moment on; replayed, cut anew or killed: the same."""
    live = Story(kafka, tmp_path)
    # No partition is taken for idle between the two halves: what came to the others first would make it late.
    with live.deployment.worker(CX_IDLE_AFTER_MS="600000") as worker:
        worker.wait_ready()
        send(kafka.bootstrap, replies(0, 12))
        until("the first alert", lambda: told(live.alerts(), "Low"))
        live.change()
        until("the worker to read them", lambda: knows(worker, f"hold from {at(SWAP)} on"))
        refused = live.cx("rules", "apply", "more.yml")
        assert refused.returncode == 1, refused.stdout
        assert "slices by region are not kept" in refused.stderr
        send(kafka.bootstrap, replies(12, END))
        until("all is in", lambda: worker.alive() and live.deployment.lag(*topics.INPUTS) == 0)
        seen = worker.counters("cx_feed_records_total")
        assert {name: n for name, n in seen.items() if n and "cx.models" not in name} == {
            '{topic="cx.rules",verdict="applied"}': 1,
            '{topic="cx.silences",verdict="applied"}': 1,
        }
        assert worker.stop() == 0
    live.deployment.run()
    once = live.alerts()

    firing, over = told(once, "Low")
    assert firing[:2] == ("firing", "first_crossing")
    assert over == ("resolved", "rule_removed", SWAP)
    assert [each[0] for each in told(once, "Stays")] == ["firing"]
    assert told(once, "Other") == [("firing", "silence_ended", QUIET)]
    ones = told(once, "One")
    scores = [1 + number % 3 for number in range(END * 12)]
    assert sum(minute < SWAP for *_, minute in ones) == scores[: SWAP * 12].count(1)
    assert sum(minute >= SWAP for *_, minute in ones) == sum(s >= 2 for s in scores[SWAP * 12 :])

    why = decisions(live)
    assert why["Low", "judge"]["reason"] == "rule_removed"
    assert why["Other", "lane"]["reason"] == "told"
    assert "c1" not in {label for each in why.values() for label in each["labels"].values()}
    said = live.cx("alerts", "explain", "Other")
    assert said.returncode == 0, said.stderr
    assert "the silence is over, and it still fires (silence_ended)" in said.stdout
    assert (
        "fires when  nps over the last 5m is below 50, on at least 3 replies; for each segment" in said.stdout
    )

    again = Story(kafka, tmp_path, keep_inputs=True, CX_MAX_BATCH_RECORDS="7", CX_MAX_INFLIGHT_RECORDS="50")
    again.change()
    again.deployment.run(2)
    assert again.alerts() == once

    killed = Story(kafka, tmp_path, keep_inputs=True, CX_MAX_BATCH_RECORDS="3", CX_MAX_INFLIGHT_RECORDS="9")
    killed.change()
    for name in ("Low", "Stays"):
        with killed.deployment.worker() as worker:
            until("an alert", lambda n=name: told(killed.alerts(), n))
            worker.kill()
    killed.deployment.run()
    assert killed.alerts() == once
