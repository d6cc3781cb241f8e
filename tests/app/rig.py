"""A worker in the test's own process: settings, input, what it has published and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from confluent_kafka import Consumer, Producer, TopicPartition

from stream import topics
from stream.settings import Settings
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream.app import Worker
    from stream.brokers.embedded import EmbeddedKafka
    from tests.conftest import Deployment

RULES = """
slices:
  - [segment]
groups:
  - name: g
    rules:
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 6}}}
"""


def settings(kafka: EmbeddedKafka | Deployment, **more: Any) -> Settings:
    """Settings of a worker on this broker, quick to commit and to notice the end of the input."""
    given = {
        "brokers": kafka.bootstrap,
        "redis_url": None,
        "http_port": 0,
        "commit_interval_ms": 100,
        "idle_after_ms": 500,
    }
    return Settings(_env_file=None, **given | more)


def reply(number: int, **fields: Any) -> bytes:
    """A reply of a minute ago; fields of None are left out."""
    event = {
        "event_id": f"e{number}",
        "customer_id": f"c{number % 50}",
        "occurred_at": int(time.time() * 1000) - 60_000 + number,
        "metric": "nps",
        "score": 9,
        "segment": "vip",
    }
    return json.dumps({k: v for k, v in (event | fields).items() if v is not None}).encode()


def later() -> bytes:
    """A touchpoint of now: what was a minute ago is final when all has become idle."""
    return reply(
        10_000_000, occurred_at=int(time.time() * 1000), metric=None, score=None, kind="session_started"
    )


def send(kafka: EmbeddedKafka | Deployment, values: list[bytes | None], key: bytes | None = None) -> None:
    """Write replies, keyed by their customer unless a key is given; done when the broker has them."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "log_level": 0})
    for value in values:
        own = re.search(rb'"customer_id": "([^"]*)"', value or b"")
        producer.produce(topics.REPLIES, value, key or (own[1] if own else b"?"))
        producer.poll(0)
    assert producer.flush(30) == 0


def everything(kafka: EmbeddedKafka, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of all records of a topic, partition after partition."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "log_level": 0})
    found = []
    try:
        for partition in range(kafka.partitions[topic]):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None, message.error()
                found.append((message.key(), message.value()))
                low = message.offset() + 1
    finally:
        consumer.close()
    return found


def final_replies(kafka: EmbeddedKafka) -> int:
    """NPS replies of the last hour in the newest final value of the whole."""
    final: dict[str, Any] = {}
    for key, value in everything(kafka, topics.METRICS):
        record = json.loads(value or b"{}")
        if key == b"{}" and record["final"]:
            final = record
    return int(final["metrics"]["nps"]["1h"]["n"]) if final else 0


class Asked:
    """A worker's HTTP endpoint, as an orchestrator or Prometheus sees it."""

    def __init__(self, worker: Worker, session: aiohttp.ClientSession) -> None:
        self._worker = worker
        self._session = session

    async def ready(self) -> tuple[int, dict[str, str]]:
        """Status, and the reason of each check."""
        async with self._session.get(f"http://127.0.0.1:{self._worker.server.port}/health/ready") as answer:
            checks = json.loads(await answer.text())["checks"]
            return answer.status, {name: found["reason"] for name, found in checks.items()}

    async def is_ready(self) -> bool:
        """Whether it says 200."""
        return (await self.ready())[0] == 200

    async def samples(self) -> dict[str, float]:
        """Samples of ``/metrics`` by name and labels."""
        async with self._session.get(f"http://127.0.0.1:{self._worker.server.port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[tuple[Asked, asyncio.Task[int]]]:
    """Run a worker; whoever has not waited for its end has it stopped here, in good order."""
    task = asyncio.create_task(worker.run())
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: worker.server.port or task.done())
            yield Asked(worker, session), task
    finally:
        if not task.done():
            worker.stop()
            assert await asyncio.wait_for(task, 40) == 0
