"""Redis killed, emptied, paused, and workers that begin anew: the streams go on, and it equals the tables soon."""

from __future__ import annotations

import json
import signal
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from schemas import CustomerProfile
from stream import topics
from stream.customers.profile import moment
from tests.e2e.equality import Tables, alerts_in, customers_in, newest_in, told
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send, value
from tests.e2e.traffic import POLICY, RULES, traffic
from tests.serving.conftest import RedisProcess
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer
    from stream.customers import Customer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WITHIN_S = 30.0
EVERY = {"CX_PROFILE_EVERY": "1s", **POLICY}


class World:
    """A deployment with a Redis, and what both must come to say."""

    def __init__(self, kafka: KafkaServer, redis: RedisProcess, folder: Path) -> None:
        self.redis = redis
        self.deployment = Deployment(kafka.bootstrap, folder, RULES, CX_REDIS_URL=redis.url, **EVERY).create()
        self._traffic: Iterator[ToSend] = traffic(4)

    def send(self, number: int) -> None:
        """Some more of the traffic."""
        send(self.deployment.bootstrap, islice(self._traffic, number))

    def _records(self, topic: str) -> list[tuple[str, bytes]]:
        return [((each.key() or b"").decode(), value(each)) for each in self.deployment.read(topic)]

    def customers(self) -> dict[str, Customer]:
        """The table, as its changelog says."""
        return customers_in(self._records(self.deployment.changelog(topics.CUSTOMERS_TABLE)))

    def newest(self, topic: str) -> dict[str, dict[str, Any]]:
        """The newest value of each key of a compacted topic, by its moment."""
        return newest_in(self._records(topic))

    def differences(self) -> list[str]:
        """What Redis says otherwise than tables and topics; empty where it says the same."""
        alerts = alerts_in(self._records(topics.ALERTS))
        return Tables(self.customers(), self.newest(topics.METRICS), alerts).differences(self.redis.url)

    def equal(self, within: float = WITHIN_S) -> None:
        """Wait until Redis says what the tables say."""
        found: list[list[str]] = []

        def look() -> bool:
            found.append(self.differences())
            return not found[-1]

        try:
            until("Redis equals the tables", look, within)
        except AssertionError as error:
            raise AssertionError(f"{error}: {len(found[-1])}: {found[-1][:10]}") from None


@pytest.fixture
def world(kafka: KafkaServer, redis_process: RedisProcess, tmp_path: Path) -> World:
    """Topics of a new deployment, and an empty Redis."""
    return World(kafka, redis_process, tmp_path)


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running server; killed at the end."""
    server = RedisProcess(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.timeout(300)
def test_redis_comes_to_equal_the_tables_whatever_befalls_it(world: World) -> None:
    """Killed, emptied, paused, under way and at rest, and with a worker that has not seen any of it before."""
    world.send(1_200)
    with world.deployment.worker() as worker:
        worker.wait_ready()
        world.deployment.drained(worker)
        world.equal()
        every_profile_fits(world)

        world.redis.kill()
        world.send(200)
        world.deployment.drained(worker)  # with no Redis there
        assert "redis" in json.dumps(worker.readiness())
        world.redis.start()
        world.equal()

        with world.redis.client() as client:
            client.flushall()
        world.equal()

        assert world.redis.process is not None
        world.redis.process.send_signal(signal.SIGSTOP)
        world.send(200)
        world.deployment.drained(worker)
        world.redis.process.send_signal(signal.SIGCONT)
        world.equal()

        worker.kill()
        with world.redis.client() as client:
            client.flushall()
    with world.deployment.worker() as worker:  # nothing of this is in its memory
        worker.wait_ready()
        world.equal()
        series_go_back(world)
        assert worker.stop() == 0


def every_profile_fits(world: World) -> None:
    """What is on ``cx.customers`` fits the contract, and is of every customer."""
    profiles = {
        (message.key() or b"").decode(): CustomerProfile.model_validate_json(value(message))
        for message in world.deployment.read(topics.CUSTOMERS)
    }
    assert {key: each.events for key, each in profiles.items()} == {
        key: each.events for key, each in world.customers().items()
    }


def series_go_back(world: World) -> None:
    """The history of the whole was found again on ``cx.metrics``."""
    with world.redis.client() as client:
        rings = client.hgetall(f"{topics.REDIS_SERIES}:{{}}")
    assert rings
    assert any(len(ring) > 0 for ring in rings.values())  # type: ignore[union-attr]


@pytest.mark.timeout(300)
def test_profiles_owed_at_a_crash_are_made_up_for(world: World) -> None:
    """Killed at any moment, the next worker publishes whom the one before had not told of, and nobody else."""
    world.send(800)
    worker = world.deployment.worker(CX_PROFILE_EVERY="1h")
    with worker:
        worker.wait_ready()
        world.deployment.drained(worker)
        world.send(300)
        world.deployment.drained(worker)
        worker.kill()
    with world.deployment.worker() as after:
        after.wait_ready()
        until("profiles of all", lambda: not behind(world), WITHIN_S)
        assert after.stop() == 0


def behind(world: World) -> set[str]:
    """Customers whose newest profile on the topic is not that of their state."""
    profiles = world.newest(topics.CUSTOMERS)
    return {
        key
        for key, each in world.customers().items()
        if told(profiles.get(key)) != (each.events, each.replies, moment(each.last_ms), each.purchases)
    }
