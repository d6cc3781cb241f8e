"""Mistakes about Redis and the worker: each made, each found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from stream.brokers.embedded import EmbeddedRedis
from stream.doctor import Facts, Finding, examine
from stream.doctor.facts import RedisState
from stream.doctor.look import _redis, _worker
from stream.serving import Health, OpsServer, Telemetry
from stream.settings import Settings

NOW = round(time.time() * 1000)
FINE = RedisState("7.2.4", NOW, 1, 0, "noeviction", 0, 5)


def settings_of(**given: Any) -> Settings:
    """Settings and nothing of the environment's files."""
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]


def findings(**facts: Any) -> dict[str, Finding]:
    """What is found, by check."""
    return {each.check: each for each in examine(Facts(NOW, **facts))}


@pytest.fixture
def store(redis_url: str) -> Iterator[redis.Redis]:
    """A real Redis, as it was before once the test is over."""
    with redis.Redis.from_url(redis_url) as client:
        before: Any = client.config_get("maxmemory*")
        yield client
        client.config_set("maxmemory", before["maxmemory"])
        client.config_set("maxmemory-policy", before["maxmemory-policy"])


def test_a_redis_that_is_well_is_passed_over(redis_url: str) -> None:
    """Nothing is found; what was read is there."""
    found = _redis(settings_of(redis_url=redis_url))
    assert found["redis"].version[0] in "67"
    assert not examine(Facts(round(time.time() * 1000), **found))


def test_redis_away() -> None:
    """Nobody listens, and the address is told without the password."""
    finding = findings(**_redis(settings_of(redis_url="redis://:hush@localhost:9/0")))["redis-away"]
    assert "localhost:9" in finding.what
    assert "hush" not in finding.what


def test_redis_away_by_password(tmp_path: Path) -> None:
    """A password that Redis does not know."""
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "right")
        url = server.url.replace("unix://", "unix://:wrong@")
        finding = findings(**_redis(settings_of(redis_url=url)))["redis-away"]
        client.config_set("requirepass", "")
    assert "password" in finding.what.lower()
    assert "wrong@" not in finding.what


def test_redis_old() -> None:
    """Older than what is tried."""
    assert "5.0.7" in findings(redis=FINE._replace(version="5.0.7"))["redis-old"].what


def test_redis_full_and_evicts(store: redis.Redis, redis_url: str) -> None:
    """So little memory that keys are thrown away."""
    used: Any = store.info("memory")
    store.config_set("maxmemory", used["used_memory"] + 200_000)
    store.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(40):
        store.set(f"filler-{number}", b"x" * 20_000)
    found = findings(**_redis(settings_of(redis_url=redis_url)))
    assert "allkeys-lru" in found["redis-evicts"].what
    assert "redis-full" in found


def test_read_model_empty(redis_url: str) -> None:
    """Values on the topic, none in this database."""
    found = findings(**_redis(settings_of(redis_url=redis_url)), metrics_records=7)
    assert "7 records" in found["read-model-empty"].what


def test_clocks_apart() -> None:
    """A minute between two machines."""
    assert "60 s apart" in findings(redis=FINE._replace(clock_ms=NOW - 60_000))["clocks-apart"].what


async def test_worker_not_ready() -> None:
    """The worker here says which of its checks fails."""
    health = Health()
    health.register("kafka", lambda: (False, "cut off"))
    server = OpsServer("127.0.0.1", 0, Telemetry(), health)
    await server.start()
    try:
        why = await asyncio.to_thread(_worker, settings_of(http_port=server.port))
    finally:
        await server.stop()
    assert "kafka: cut off" in findings(worker_problem=why)["worker-not-ready"].what
