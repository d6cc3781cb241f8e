"""``cx customers erase ID --rewrite --wait``: of the person no byte is left, of everybody else all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream import topics
from tests.e2e.harness import Deployment
from tests.e2e.records import send
from tests.privacy.erased import COMMENT, ID, RULES, contents, customers, cx, in_redis, on_disk, places, world

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

POLICY = {"CX_LATENESS_MS": "1000", "CX_LATE_HORIZON_MS": str(24 * 3600 * 1000), "CX_MAX_AHEAD_MS": "300000"}


@pytest.mark.timeout(240)
def test_no_byte_is_left_and_nobody_else_is_touched(
    quick_kafka: KafkaServer, tmp_path: Path, redis_url: str
) -> None:
    """Logs, tables, outputs and Redis hold neither id nor comment, a replay neither; others are as before."""
    deployment = Deployment(quick_kafka.bootstrap, tmp_path, RULES, CX_REDIS_URL=redis_url, **POLICY).create()
    send(quick_kafka.bootstrap, world())
    deployment.run()
    assert ID in customers(deployment)
    assert in_redis(redis_url, ID) == [ID]
    seen = on_disk(quick_kafka, ID, COMMENT)
    for name in (
        *topics.INPUTS,
        topics.DEADLETTERS,
        topics.ALERTS,
        deployment.changelog(topics.CUSTOMERS_TABLE),
    ):
        assert any(path.startswith(f"{name}-") for path in seen[ID]), (name, seen)
    before = {name: contents(deployment, name) for name in topics.INPUTS}
    others = {who: state for who, state in customers(deployment).items() if who != ID}
    metrics = deployment.final_metrics()

    done = cx(deployment, "customers", "erase", ID, "--rewrite", "--wait", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["proven"]
    assert ID not in done.stdout + done.stderr
    assert on_disk(quick_kafka, ID, COMMENT) == {}
    assert in_redis(redis_url, ID, COMMENT) == []

    for name in topics.INPUTS:
        kept = contents(deployment, name)
        gone = before[name] - kept
        assert kept - before[name] == {}  # nothing is new, nothing is there twice
        assert gone.total() == told["records"][name]
        assert all(ID.encode() in (each[1] or b"") + (each[2] or b"") for each in gone)
    assert customers(deployment) == others
    ends = places(deployment, *topics.INPUTS)
    assert deployment.committed(*topics.INPUTS) == {at: end for at, (_, end) in ends.items()}

    news = world(10, begin=60, person=False)
    send(quick_kafka.bootstrap, news)
    with deployment.worker() as worker:
        deployment.drained(worker)
        applied = worker.counters("cx_records_total")
        assert sum(n for labels, n in applied.items() if "applied" in labels) == len(news), applied
        assert sum(n for labels, n in applied.items() if "applied" not in labels) == 0, applied
        assert worker.stop() == 0
    after = customers(deployment)
    assert ID not in after
    assert sum(state[0] for state in after.values()) == sum(s[0] for s in others.values()) + len(news)
    total = deployment.final_metrics()["{}"]["metrics"]["nps"]["24h"]["n"]
    assert total == metrics["{}"]["metrics"]["nps"]["24h"]["n"] + len(news) // 2

    replay = Deployment(quick_kafka.bootstrap, tmp_path, RULES, **POLICY).create(keep_inputs=True)
    replay.run()
    assert customers(replay) == after
    assert on_disk(quick_kafka, ID, COMMENT) == {}
