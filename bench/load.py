"""Topics and input of the benchmarks; the same seed makes the same events."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.counts import COUNTS, CUSTOMERS, TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
BASE_CUSTOMERS = 100_000
START_MS = 1_760_000_000_000
METRICS = (("nps", 0, 10), ("csat", 1, 5), ("ces", 1, 7))
SEGMENTS = ("vip", "regular", "new", "business")
TOUCHPOINTS = ("website", "app", "checkout", "support", "delivery")
CHANNELS = ("web", "app", "chat", "phone")


def events(
    n: int, seed: int = 1, *, start_ms: int = START_MS, step_ms: float = 10, customers: int = BASE_CUSTOMERS
) -> Iterator[tuple[str, bytes]]:
    """(customer id, JSON of about 300 bytes), purchases and replies in turn, customers uniformly at random."""
    rng = random.Random(seed)
    encode = msgspec.json.encode
    for i in range(n):
        customer = f"customer-{rng.randrange(customers):08d}"
        event: dict[str, Any] = {
            "event_id": f"{seed:04d}-{i:012d}",
            "customer_id": customer,
            "occurred_at": start_ms + int(i * step_ms),
            "segment": rng.choice(SEGMENTS),
            "stage": "engage",
            "touchpoint": rng.choice(TOUCHPOINTS),
            "channel": rng.choice(CHANNELS),
            "product": "standard",
            "region": "it-lombardia",
        }
        if i % 2:
            metric, low, high = rng.choice(METRICS)
            event |= {"metric": metric, "score": rng.randint(low, high), "survey": "after-contact"}
        else:
            event |= {"kind": "purchase", "value": rng.randint(100, 9999) / 100, "currency": "EUR"}
        yield customer, encode(event)


def make_topics(bootstrap: str, names: dict[str, bool], partitions: int = PARTITIONS) -> None:
    """Create topics; the value says whether it is compacted."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [
        NewTopic(name, partitions, 1, config={"cleanup.policy": "compact" if compacted else "delete"})
        for name, compacted in names.items()
    ]
    for done in admin.create_topics(wanted).values():
        done.result()


def changelogs(app_id: str) -> dict[str, bool]:
    """Changelog topics of the job."""
    return {f"{app_id}-{table}-changelog": True for table in (COUNTS, CUSTOMERS)}


def produce(bootstrap: str, topic: str, n: int, seed: int = 1, *, start_ms: int = START_MS) -> float:
    """Fill a topic; returns seconds taken."""
    began = time.perf_counter()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for i, (customer, value) in enumerate(events(n, seed, start_ms=start_ms)):
        producer.produce(topic, value, customer)
        if i % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return time.perf_counter() - began


def read_all(bootstrap: str, topic: str) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(partition, key, value) of everything in a topic now."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bench-reader", "enable.auto.commit": False}
    )
    try:
        for partition in consumer.list_topics(topic).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition))
            if low >= high:
                continue
            consumer.assign([TopicPartition(topic, partition, low)])
            at = low
            while at < high:
                for message in consumer.consume(10_000, 0.2):
                    at = message.offset() + 1
                    yield partition, message.key(), message.value()
    finally:
        consumer.close()


def input_topic() -> dict[str, bool]:
    """The job's input topic."""
    return {TOPIC: False}
