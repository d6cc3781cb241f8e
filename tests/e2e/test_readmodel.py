"""Redis killed, emptied, paused, and workers that begin anew: the streams go on, and it equals the tables soon."""

from __future__ import annotations

import json
import signal
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from schemas import CustomerProfile
from stream import topics
from stream.customers import Customer, decode, stamp_of
from stream.customers.profile import moment
from stream.serving.reader import BlockingReader
from tests.e2e.harness import Deployment, until
from tests.e2e.records import ToSend, send, value
from tests.e2e.traffic import POLICY, RULES, traffic
from tests.serving.conftest import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WITHIN_S = 30.0
EVERY = {"CX_PROFILE_EVERY": "1s", **POLICY}


class World:
    """A deployment with a Redis, and what both must come to say."""

    def __init__(self, kafka: KafkaServer, redis: RedisProcess, folder: Path) -> None:
        self.redis = redis
        self.deployment = Deployment(kafka.bootstrap, folder, RULES, CX_REDIS_URL=redis.url, **EVERY).create()
        self._records: Iterator[ToSend] = traffic(4)

    def send(self, number: int) -> None:
        """Some more of the traffic."""
        send(self.deployment.bootstrap, islice(self._records, number))

    def customers(self) -> dict[str, Customer]:
        """The table, as its changelog says."""
        held: dict[str, bytes] = {}
        for message in self.deployment.read(self.deployment.changelog(topics.CUSTOMERS_TABLE)):
            key, state = (message.key() or b"").decode(), value(message)
            if key not in held or stamp_of(state) >= stamp_of(held[key]):
                held[key] = state
        found = {key: decode(state) for key, state in held.items()}
        return {key: customer for key, customer in found.items() if customer.events}

    def newest(self, topic: str) -> dict[str, dict[str, Any]]:
        """The newest value of each key of a compacted topic, by its moment."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.deployment.read(topic):
            key, each = (message.key() or b"").decode(), json.loads(value(message))
            version = (each["as_of"], each.get("final", False))
            if key not in found or version >= (found[key]["as_of"], found[key].get("final", False)):
                found[key] = each
        return found

    def differences(self) -> list[str]:
        """What Redis says otherwise than tables and topics; empty where it says the same."""
        with self.redis.client() as client:
            held = {
                key.decode(): json.loads(each) for key, each in client.hgetall(topics.REDIS_CUSTOMERS).items()
            }  # type: ignore[union-attr]
            orders = list(client.scan_iter(f"{topics.REDIS_AT_RISK}:*"))
            order = dict(pair for key in orders for pair in client.zrange(key, 0, -1, withscores=True))  # type: ignore[union-attr]
        wrong = [
            f"profiles: {key}"
            for key, each in self.customers().items()
            if told(held.pop(key, None)) != (each.events, each.replies, moment(each.last_ms), each.purchases)
        ]
        wrong += [f"stranger: {key}" for key in held]
        wrong += [f"order: {key!r}" for key, risk in order.items() if risk < 0]
        reader = BlockingReader(self.redis.url)
        metrics = reader.metrics()
        wrong += [
            f"metrics: {key}"
            for key, each in self.newest(topics.METRICS).items()
            if metrics.get(key, {}).get("as_of", "") < each["as_of"] or "metrics" not in metrics[key]
        ]
        firing = {
            key
            for key, each in self.alerts().items()
            if each["data"]["state"] not in {"resolved", "withdrawn"}
        }
        wrong += [f"alert: {key}" for key in firing ^ set(reader.active_alerts())]
        reader.close()
        return wrong

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The newest event of each alert."""
        return {
            (message.key() or b"").decode(): json.loads(value(message))
            for message in self.deployment.read(topics.ALERTS)
        }

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


def told(profile: dict[str, Any] | None) -> tuple[Any, ...] | None:
    """What of a profile the events alone decide."""
    if profile is None:
        return None
    return profile["events"], profile["replies"], profile["last_event"], profile["purchases"]


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
