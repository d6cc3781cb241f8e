"""What other tests stand on: fresh topics for each, on the one real Kafka of the run."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Producer

from stream.brokers.admin import plan
from stream.brokers.kafka import KafkaServer
from stream.topics import REPLIES
from tests.conftest import Deployment, in_thread


async def test_a_deployment_starts_empty(kafka: KafkaServer, deploy: Callable[..., Deployment]) -> None:
    """Each deployment has the layout's topics with no records of the one before, and an app id of its own."""
    first = deploy(partitions=2)
    producer = Producer({"bootstrap.servers": first.bootstrap})
    producer.produce(REPLIES, b"left behind", partition=1)
    assert producer.flush(20) == 0
    second = deploy()
    assert second.app_id != first.app_id
    assert second.partitions == 4
    assert await plan(second.bootstrap, second.topics) == []
    read = kafka.run_tool("org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", kafka.bootstrap)
    inputs = [line for line in read.stdout.splitlines() if line.startswith(f"{REPLIES}:")]
    assert sorted(inputs) == [f"{REPLIES}:{partition}:0" for partition in range(4)]


def test_coroutines_run_from_plain_tests(kafka: KafkaServer) -> None:
    """The helper gives a coroutine's result to a test that is not async."""

    async def answer() -> int:
        return 42

    assert in_thread(answer()) == 42
