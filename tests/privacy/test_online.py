"""``cx customers erase ID`` while a worker runs: tables and outputs forget; a replay does not bring them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream import topics
from stream.brokers import admin
from tests.conftest import in_thread
from tests.e2e.harness import PARTITIONS, Deployment
from tests.e2e.records import send
from tests.privacy.erased import RULES, customers, cx, in_redis, world
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: Not those whom other tests on the same broker search for.
ID = "grace.hopper@example.org"
COMMENT = "it was a moth"
POLICY = {"CX_LATENESS_MS": "1000", "CX_LATE_HORIZON_MS": str(24 * 3600 * 1000)}


def newest(deployment: Deployment, topic: str) -> dict[bytes | None, bytes | None]:
    """What a compacted topic holds."""
    return {message.key(): message.value() for message in deployment.read(topic)}


@pytest.mark.timeout(300)
def test_a_running_worker_forgets(quick_kafka: KafkaServer, tmp_path: Path, redis_url: str) -> None:
    """The person is gone within seconds, who comes back is a new one, and a replay refuses what was before."""
    deployment = Deployment(quick_kafka.bootstrap, tmp_path, RULES, CX_REDIS_URL=redis_url, **POLICY).create()
    send(quick_kafka.bootstrap, world(30, 0, ID, COMMENT))
    with deployment.worker() as worker:
        deployment.drained(worker)
        until("the profile is in Redis", lambda: in_redis(redis_url, ID), 60)
        others = {who: state for who, state in customers(deployment).items() if who != ID}

        refused = cx(deployment, "customers", "erase", "--rewrite", "--yes")
        assert refused.returncode == 2
        assert "stop workers" in refused.stderr
        done = cx(deployment, "customers", "erase", ID, "--yes", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["carried_out"]
        assert told["bytes_until"][topics.REPLIES]
        assert ID not in done.stdout + done.stderr + worker.log

        assert customers(deployment) == others
        assert newest(deployment, topics.CUSTOMERS).get(ID.encode()) is None
        assert in_redis(redis_url, ID, COMMENT) == []
        shown = cx(deployment, "customers", "show", ID)
        assert (shown.returncode, shown.stdout) == (1, "")

        send(
            quick_kafka.bootstrap,
            [each for each in world(4, 30, ID, COMMENT) if b"bad-" not in (each.value or b"")],
        )
        until("they are back", lambda: ID in customers(deployment), 60)
        deployment.drained(worker)
        assert worker.stop() == 0
    back = customers(deployment)[ID]
    assert back[0] == 4  # two minutes of the four, a reply and a ticket in each

    replay = Deployment(quick_kafka.bootstrap, tmp_path, RULES, **POLICY)
    in_thread(admin.create(quick_kafka.bootstrap, topics.layout(replay.app_id, PARTITIONS)))
    with replay.worker() as worker:
        until("all was read", lambda: replay.lag(*topics.INPUTS) == 0, 120)
        counted = worker.counters("cx_records_total")
        assert worker.stop() == 0
    assert customers(replay)[ID] == back
    assert sum(n for labels, n in counted.items() if "erased" in labels) == 32, counted
    letters = [message.value() or b"" for message in replay.read(topics.DEADLETTERS)]
    assert (
        sum(ID.encode() in letter for letter in letters) == 4
    )  # the two of before, and two broken ones of after
