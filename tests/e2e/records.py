"""Records to and from a Kafka, with the C client."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, Message, Producer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ToSend(NamedTuple):
    """A record for an input topic; ``truth`` travels as a header, for the offline computations."""

    topic: str
    key: bytes | None
    value: bytes | None
    truth: str = "good"


def value(message: Message) -> bytes:
    """A record's value; empty for a tombstone."""
    held = message.value()
    return held if isinstance(held, bytes) else b""


def consumer_of(bootstrap: str, group: str | None = None) -> Consumer:
    """One that reads from the beginning and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group or f"e2e-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,  # the next partition is not asked for before
            "log_level": 0,
        }
    )


def read(bootstrap: str, topic: str) -> list[Message]:
    """Everything in a topic, partition by partition in offset order."""
    consumer = consumer_of(bootstrap)
    found: list[Message] = []
    try:
        for partition in sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
            if low == high:
                continue
            consumer.assign([TopicPartition(topic, partition, low)])
            deadline = time.monotonic() + 60
            # The position passes the end even where compaction has left no last record.
            while consumer.position([TopicPartition(topic, partition)])[0].offset < high:
                assert time.monotonic() < deadline, f"{topic}/{partition} cannot be read to its end"
                found += [m for m in consumer.consume(10_000, timeout=0.2) if m.error() is None]
    finally:
        consumer.close()
    return found


class Feed:
    """A producer of input records; keys go where every Kafka client would put them."""

    def __init__(self, bootstrap: str, compression: str = "none") -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "compression.type": compression,
                "linger.ms": 20,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )
        self.sent = 0

    def send(self, records: Iterable[ToSend]) -> None:
        """Hand records over; ``flush`` to know that they are there."""
        for record in records:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                headers=[("truth", record.truth.encode())],
            )
            self.sent += 1
            if not self.sent % 100:
                self._producer.poll(0)

    @property
    def waiting(self) -> int:
        """Records handed over that the broker has not confirmed."""
        return len(self._producer)

    def flush(self) -> None:
        """Wait until the broker has all of it."""
        self._producer.poll(0)
        assert self._producer.flush(60) == 0


def send(bootstrap: str, records: Iterable[ToSend]) -> int:
    """Send records and wait until the broker has them; returns how many."""
    feed = Feed(bootstrap)
    feed.send(records)
    feed.flush()
    return feed.sent


def chunks(records: Iterator[ToSend], size: int) -> Iterator[list[ToSend]]:
    """Records in lists of ``size``."""
    chunk: list[ToSend] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
