"""A rolling upgrade: workers stopped and started one after the other, while events come in."""

from __future__ import annotations

import json
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from stream import app, topics
from stream.engine.formats import HEADER
from tests.e2e import harness
from tests.e2e.harness import Deployment
from tests.e2e.records import value
from tests.waiting import until

if TYPE_CHECKING:
    from stream.brokers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

RULES = "groups: [{name: g, rules: [{alert: Unhappy, on: reply, when: {metric: nps, score: {lte: 6}}}]}]"
EVERY_S = 0.02


class Feed(threading.Thread):
    """An unhappy reply of a new customer every 20 ms, until told to stop: each must lead to one alert."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self._over = threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "log_level": 0}
        )

    def run(self) -> None:
        """Send."""
        while not self._over.wait(EVERY_S):
            customer = f"c-{self.count}"
            reply = {"event_id": f"r-{self.count}", "customer_id": customer, "metric": "nps", "score": 1}
            reply["occurred_at"] = round(time.time() * 1000)
            self._producer.produce(topics.REPLIES, json.dumps(reply), customer)
            self._producer.poll(0)
            self.count += 1

    def end(self) -> int:
        """Stop; returns how many the broker has."""
        self._over.set()
        self.join()
        assert self._producer.flush(30) == 0
        return self.count


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_rolling_upgrade_loses_nothing_and_pauses_for_a_rebalance(
    kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers replaced under load: one alert for every event, and no wait for a session to run out."""
    # As deployed: the tests' own main has a short session, and what is shown here is that none has to run out.
    monkeypatch.setattr(harness, "MAIN", Path(sys.executable).with_name("cx"))
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    feed = Feed(kafka.bootstrap)
    workers = [deployment.worker(), deployment.worker()]
    try:
        for worker in workers:
            worker.wait_ready()
        feed.start()
        until("the first alerts", deployment.alerts)
        for old in list(workers):
            assert old.stop() == 0, old.log[-3000:]
            new = deployment.worker()
            workers.append(new.wait_ready())
        sent = feed.end()
        until("everything told", lambda: len(deployment.alerts()) >= sent, 60)
        told = [json.loads(value(message)) for message in deployment.read(topics.ALERTS)]
        assert {each["data"]["claim"]["event_id"] for each in told} == {f"r-{n}" for n in range(sent)}
        assert len({each["id"] for each in told}) == sent
        at = sorted(message.timestamp()[1] / 1000 for message in deployment.read(topics.ALERTS))
        longest = max(later - earlier for earlier, later in pairwise(at))
        assert longest < app.SESSION_TIMEOUT_S, f"{longest:.1f} s without an alert"
        for worker in workers[2:]:
            assert worker.stop() == 0, worker.log[-3000:]
            assert "Traceback" not in worker.log
    finally:
        for worker in workers:
            worker.close()
        deployment.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("where", ["table", "message"])
def test_state_of_a_newer_version_ends_an_older_worker(
    kafka: KafkaServer, tmp_path: Path, where: str
) -> None:
    """A record in a format to come: exit code 2, the place is named, nothing is committed or repeated."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    topic = deployment.changelog(topics.WINDOWS_TABLE) if where == "table" else topics.PARTIALS
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    producer.produce(topic, b"GEHEIM", b"k", 0, headers=[(HEADER, b"7")])
    assert producer.flush(20) == 0
    try:
        with deployment.worker() as worker:
            assert worker.process.wait(60) == 2, worker.log[-3000:]
            assert f"{topic}/0 offset 0: written in format 7 by a newer version" in worker.log
            assert "GEHEIM" not in worker.log
        assert deployment.committed(topics.PARTIALS)[topics.PARTIALS, 0] == 0
    finally:
        deployment.close()
