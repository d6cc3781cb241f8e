"""Publishing: in order, in bulk, where the Java client would put it, and never half done in silence."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from stream.engine import Outgoing, PublishFailed
from stream.engine.producer import partition_of
from tests.engine.rig import Rig, hanging, producing

if TYPE_CHECKING:
    from stream.brokers.kafka import KafkaServer

TIGHT = {"producer_request_timeout": 2.0}


async def test_order_inside_a_partition_over_many_batches(rig: Rig) -> None:
    """Records of one partition arrive in the order given, however many requests they need."""
    topic = await rig.topic(2)
    records = [
        Outgoing(b"k%d" % n, b"%d " % n + b"x" * 2_000, [("n", b"%d" % n), ("empty", b"")], n % 2)
        for n in range(2_500)  # 5 MB: more than one batch of 1 MB each
    ]
    async with producing(rig.app()) as producer:
        assert await producer.send_many(topic, records) == len(records)
        found = await rig.read(topic)
    for partition in (0, 1):
        sent = [record for record in records if record.partition == partition]
        got = [(r.key, r.value, list(r.headers)) for r in found[partition]]
        assert got == [(r.key, r.value, list(r.headers)) for r in sent]


async def test_keys_go_where_the_java_client_puts_them(rig: Rig) -> None:
    """A key's partition is murmur2's, so that records of other producers meet ours."""
    dice = random.Random(7)
    keys = [b"", b"a", "ключ".encode(), *(dice.randbytes(dice.randint(1, 40)) for _ in range(300))]
    ours, theirs = await rig.topic(7), await rig.topic(7)
    rig.send(theirs, [(key, b"v") for key in keys], partitioner="murmur2")
    async with producing(rig.app()) as producer:
        await producer.send_many(ours, [Outgoing(key, b"v") for key in keys])
        found = {p: [r.key for r in records] for p, records in (await rig.read(ours)).items()}
        expected = {p: [r.key for r in records] for p, records in (await rig.read(theirs)).items()}
    # librdkafka takes an empty key for none and throws dice.
    for partition in range(7):
        assert [k for k in found[partition] if k] == [k for k in expected[partition] if k]


def test_partition_of_known_keys() -> None:
    """Kafka's own test vectors of murmur2 hold."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, murmur in vectors.items():
        assert partition_of(key, 1_000) == (murmur & 0x7FFFFFFF) % 1_000


async def test_keys_and_values_may_be_missing(rig: Rig) -> None:
    """A record without a key goes to partition 0, one without a value is a tombstone; neither becomes empty."""
    topic = await rig.topic(3)
    async with producing(rig.app()) as producer:
        sent = [Outgoing(None, b"v"), Outgoing(b"", b""), Outgoing(b"k", None, (), 0), Outgoing(None, None)]
        await producer.send_many(topic, sent)
        assert await producer.send_many(topic, []) == 0
        found = [(r.key, r.value) for records in (await rig.read(topic)).values() for r in records]
    assert sorted(map(repr, found)) == sorted(repr((r.key, r.value)) for r in sent)


async def test_a_topic_that_is_not_there_is_said(rig: Rig) -> None:
    """Publishing to an unknown topic fails in bounded time and names it."""
    started = time.monotonic()
    async with producing(rig.app(**TIGHT)) as producer:
        with pytest.raises(PublishFailed, match="no-such-topic"):
            await producer.send_many("no-such-topic", [Outgoing(b"k", b"v")])
    assert time.monotonic() - started < 15


async def test_a_record_too_large_for_the_broker_is_said(rig: Rig) -> None:
    """A record above the broker's limit is refused with the topic's name, not tried for ever."""
    topic = await rig.topic()
    async with producing(rig.app(**TIGHT)) as producer:
        with pytest.raises(PublishFailed, match=topic):
            await producer.send_many(topic, [Outgoing(b"k", b"x" * 2_000_000)])
        assert await producer.send_many(topic, [Outgoing(b"k", b"x" * 1_000_000)]) == 1


async def test_a_broker_that_hangs_is_waited_for_in_vain_only_so_long(rig: Rig, kafka: KafkaServer) -> None:
    """With no broker answering, publishing fails after the time-out, and stopping does not hang either."""
    topic = await rig.topic()
    app = rig.app(**TIGHT)
    async with producing(app) as producer:
        await producer.send_many(topic, [Outgoing(b"k", b"before", (), 0)])
        async with hanging(kafka):
            started = time.monotonic()
            with pytest.raises(PublishFailed, match="is the broker reachable"):
                await producer.send_many(topic, [Outgoing(b"k", b"lost", (), 0)])
            with pytest.raises(PublishFailed, match="is the broker reachable"):
                await producer.flush()
            await producer.stop()
            assert time.monotonic() - started < 15
    assert next(iter((await rig.read(topic)).values()))[0].value == b"before"
