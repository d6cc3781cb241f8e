"""How a worker starts when something is not there or not right, and how it goes on without Redis."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from stream import topics
from stream.brokers import admin
from stream.brokers.child import Child
from stream.brokers.embedded import _redis_server
from stream.brokers.kafka import free_port
from stream.topics import Cleanup, TopicSpec
from tests.conftest import in_thread
from tests.e2e.harness import Deployment
from tests.e2e.records import send
from tests.e2e.traffic import traffic
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

#: Time to say what is wrong and end, on a busy machine.
SOON_S = 40.0


def refused(deployment: Deployment) -> str:
    """What a worker says that must not start: exit code 2, one message, no traceback."""
    with deployment.worker() as worker:
        assert worker.process.wait(SOON_S) == 2, worker.log
    messages = [line for line in worker.log.splitlines() if line.startswith("cx: ")]
    assert len(messages) == 1, worker.log
    assert "Traceback" not in worker.log
    return worker.log[worker.log.index("cx: ") :]


@pytest.mark.timeout(120)
def test_a_broker_that_is_away_is_waited_for(kafka: KafkaServer, tmp_path: Path) -> None:
    """Without a broker the worker says so, tries again and is not ready; when it comes the worker works."""
    deployment = Deployment(kafka.bootstrap, tmp_path).create()
    kafka.kill()
    try:
        with deployment.worker() as worker:
            until("two attempts", lambda: worker.alive() and worker.log.count("trying again") >= 2, SOON_S)
            assert f"CX_BROKERS {kafka.bootstrap}: not reachable" in worker.log
            assert "Traceback" not in worker.log
            assert worker.readiness()["ready"] is False
            live = worker.get("/health/live")
            assert live is not None
            assert live[0] == 200
            kafka.restart()
            worker.wait_ready()
            assert worker.stop() == 0
    finally:
        kafka.restart()


@pytest.mark.timeout(60)
def test_a_worker_that_waits_for_its_broker_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends a worker that has never seen a broker, in good order."""
    deployment = Deployment(f"127.0.0.1:{free_port()}", tmp_path)
    with deployment.worker() as worker:
        until("an attempt", lambda: worker.alive() and "trying again" in worker.log, SOON_S)
        assert worker.stop() == 0


@pytest.mark.timeout(60)
def test_a_wrong_layout_stops_the_start(kafka: KafkaServer, tmp_path: Path) -> None:
    """Wrong partitions, a wrong clean-up policy and a missing topic are listed at once; exit code 2."""
    deployment = Deployment(kafka.bootstrap, tmp_path).create()
    windows = deployment.changelog(topics.WINDOWS_TABLE)
    in_thread(admin.delete(kafka.bootstrap, [topics.REPLIES, windows, topics.CLAIMS]))
    wrong = [TopicSpec(topics.REPLIES, Cleanup.DELETE, 3), TopicSpec(windows, Cleanup.DELETE, 4)]
    in_thread(admin.create(kafka.bootstrap, wrong))
    try:
        said = refused(deployment)
        assert f"{topics.REPLIES}: partitions is 3, must be 4" in said
        assert f"{windows}: cleanup.policy is delete, must be compact" in said
        assert f"{topics.CLAIMS}: missing" in said
        assert "cx topics create" in said
    finally:
        in_thread(admin.delete(kafka.bootstrap, [topics.REPLIES, windows]))


@pytest.mark.timeout(60)
def test_a_wrong_rule_stops_the_start(tmp_path: Path) -> None:
    """The message names file, line, rule and field, before any broker is asked."""
    rules = (
        "groups:\n  - name: g\n    rules:\n      - alert: NpsLow\n"
        "        metric: nps\n        window: 1h\n        below: high\n"
    )
    said = refused(Deployment("127.0.0.1:1", tmp_path, rules))
    assert said.startswith(f"cx: {tmp_path / 'rules.yml'}:7: rule 'NpsLow': below: ")


@pytest.mark.timeout(150)
def test_streams_go_on_without_redis(kafka: KafkaServer, tmp_path: Path) -> None:
    """Redis killed: readiness names it, records are processed all the same, and it is filled when back."""
    port = free_port()
    server = shutil.which("redis-server") or _redis_server()
    command = [server, "--port", str(port), "--save", "", "--appendonly", "no"]
    deployment = Deployment(kafka.bootstrap, tmp_path, CX_REDIS_URL=f"redis://127.0.0.1:{port}/0").create()
    redis = Child(command, cwd=tmp_path, log=tmp_path / "redis.log")
    try:
        with deployment.worker() as worker:
            worker.wait_ready()
            redis.kill()
            until("redis not ready", lambda: not worker.readiness()["checks"]["redis"]["ok"])
            readiness = worker.readiness()
            assert readiness["ready"] is False
            assert readiness["checks"]["partitions"]["ok"]
            assert readiness["checks"]["redis"]["reason"]
            send(kafka.bootstrap, islice(traffic(6), 2_000))
            deployment.drained(worker)
            assert json.dumps(deployment.final_metrics()["{}"]["metrics"]).count('"n"') >= 12
            redis = Child(command, cwd=tmp_path, log=tmp_path / "redis.log")
            worker.wait_ready()
            assert worker.stop() == 0
            assert "Traceback" not in worker.log
    finally:
        redis.kill()
