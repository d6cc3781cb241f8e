"""From the broker to the handler and back as a commit: every record, untouched, and not before its time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient

from stream.engine import Batch, Lanes, PublishFailed
from tests.engine.rig import Gate, Rig, Seen, crashed, hanging, running, stop, values
from tests.waiting import eventually

if TYPE_CHECKING:
    from faust.types import StreamT

    from stream.brokers.kafka import KafkaServer


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "snappy", "zstd"])
async def test_every_codec(rig: Rig, codec: str) -> None:
    """Input compressed in any of Kafka's ways arrives complete, in order, and is committed to the end."""
    topic = await rig.topic()
    sent = [(b"k%d" % n, b'{"n": %d, "text": "%s"}' % (n, b"x" * 200)) for n in range(3_000)]
    rig.send(topic, sent, compression=codec)
    app = rig.app(topic)
    seen = Seen()
    rig.consume(app, Lanes(app, seen), topic)
    async with running(app):
        await eventually(lambda: seen.count >= len(sent))
    assert [(r.key, r.value) for batch in seen.batches for r in batch.records] == sent
    assert [r.offset for batch in seen.batches for r in batch.records] == list(range(len(sent)))
    assert rig.committed(topic) == len(sent)


async def test_bytes_reach_the_handler_untouched(rig: Rig) -> None:
    """Missing keys and values, headers, and bytes that are no text or JSON at all come as they were sent."""
    topic = await rig.topic()
    sent = [
        (None, b"no key"),
        (b"no value", None),
        (b"", b""),
        (b"\xff\xfe", b"\x00\x80\xff" * 100),
        (b"half", b'{"open": '),
        (b"deep", b"[" * 10_000),
    ]
    rig.send(topic, sent)
    app = rig.app(topic)
    seen = Seen()
    rig.consume(app, Lanes(app, seen), topic)
    async with running(app):
        await eventually(lambda: seen.count >= len(sent))
    records = [record for batch in seen.batches for record in batch.records]
    assert [(r.key, r.value) for r in records] == sent
    assert rig.committed(topic) == len(sent)


async def test_a_topic_that_is_not_hot_is_stock_faust(rig: Rig) -> None:
    """Beside a hot topic, another one comes a record a message and is committed as ever."""
    hot, cold = await rig.topic(), await rig.topic()
    app = rig.app(hot)
    seen, singles = Seen(), list[Any]()
    rig.consume(app, Lanes(app, seen), hot)

    async def single(stream: StreamT[Any]) -> None:
        async for event in stream.events():
            singles.append((event.key, event.value, event.message.offset, dict(event.headers or {})))

    topic = app.topic(cold, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name="single")(single)
    rig.send(hot, [(b"h", b"%d" % n) for n in range(500)])
    rig.send(cold, [(b"c%d" % n, b"%d" % n) for n in range(500)])
    async with running(app):
        await eventually(lambda: seen.count == 500 and len(singles) == 500)
    assert singles == [(b"c%d" % n, b"%d" % n, n, {}) for n in range(500)]
    assert values(seen.batches) == [b"%d" % n for n in range(500)]
    assert (rig.committed(hot), rig.committed(cold)) == (500, 500)


async def test_memory_is_bounded_with_a_slow_handler(rig: Rig) -> None:
    """No more than the bound and one batch is ever in flight, and what waits on the broker stays there."""
    limit, batch = 2_000, 500
    topic = await rig.topic(4)
    record = b"x" * 2_000
    total = rig.send(topic, ((b"k%d" % n, record) for n in range(40_000)))  # 80 MB
    app = rig.app(topic, max_inflight_records=limit, max_batch_records=batch, stall_after_s=600.0)
    gate, most = Gate(), 0

    async def slow(partition: int, batches: list[Batch]) -> None:
        nonlocal most
        consumer = app.batch_consumer
        assert consumer is not None
        most = max(most, consumer.in_flight.records)
        assert all(len(one) <= batch for one in batches)
        gate.began.put_nowait((partition, []))
        await gate.go.wait()
        most = max(most, consumer.in_flight.records)
        for one in batches:
            one.records.clear()  # a handler may free memory before it is done

    rig.consume(app, Lanes(app, slow), topic)
    async with running(app):
        await gate.next()
        consumer = app.batch_consumer
        assert consumer is not None
        await eventually(lambda: not consumer._room.is_set())
        before = resident_mb()
        for _ in range(20):  # the fetcher has every chance to go on
            await asyncio.sleep(0.05)
            assert limit <= consumer.in_flight.records <= limit + batch
        assert resident_mb() - before < 15
        gate.go.set()
        await eventually(lambda: rig.committed_total(topic, 4) == total, within=60, every=0.1)
    assert limit <= most <= limit + batch


def resident_mb() -> float:
    """Memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize(("room", "records"), [(400, 5_000), (1, 50)])
async def test_a_topic_that_is_kept_back_leaves_room_for_the_one_it_waits_for(
    rig: Rig, room: int, records: int
) -> None:
    """Of merged topics each has its share, so one may wait for all of another, however little room there is."""
    ahead, awaited = await rig.topic(), await rig.topic()
    for topic in (ahead, awaited):
        rig.send(topic, [(b"k", b"%d" % n) for n in range(records)])
    app = rig.app(ahead, awaited, merged_topics=(ahead, awaited), max_inflight_records=room)
    seen: dict[str, list[bytes | None]] = {ahead: [], awaited: []}
    kept: list[Batch] = []
    most = 0

    async def merging(partition: int, batches: list[Batch]) -> list[Batch]:
        nonlocal most
        del partition
        for batch in batches:
            seen[batch.topic] += [record.value for record in batch.records]
        kept.extend(batch for batch in batches if batch.topic == ahead)
        if len(seen[awaited]) == records:
            for batch in kept:
                batch.ack()
            kept.clear()
        most = max(most, sum(len(batch) for batch in kept))
        return list(kept)

    rig.consume(app, Lanes(app, merging), ahead, awaited)
    async with running(app):
        await eventually(lambda: rig.committed(ahead) == rig.committed(awaited) == records, every=0.1)
    assert seen == {topic: [b"%d" % n for n in range(records)] for topic in (ahead, awaited)}
    assert 0 < most <= max(1, room / 2 / 2)  # half of the room is for the two of them


async def test_records_that_wait_inside_the_worker_are_not_caught_up(rig: Rig) -> None:
    """A partition whose records were fetched and wait for room is not caught up, though none are on the broker."""
    topics = [await rig.topic(), await rig.topic()]
    app = rig.app(*topics, max_inflight_records=1)
    gate = Gate()
    for topic in topics:
        rig.consume(app, Lanes(app, gate), topic)
        rig.send(topic, [(b"k", b"v")])
    async with running(app):
        await gate.next()
        consumer = app.batch_consumer
        assert consumer is not None
        await eventually(lambda: bool(consumer.taken))
        assert set(app.lags().values()) == {0}
        assert [app.caught_up(topic, 0) for topic in topics] == [False, False]
        gate.go.set()
        await eventually(lambda: all(app.caught_up(topic, 0) for topic in topics))
        assert len(gate.done) == 2


async def test_nothing_is_committed_while_a_handler_is_unfinished(rig: Rig) -> None:
    """A commit that comes while a batch is being handled leaves it out; when it is done, it is committed."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"%d" % n) for n in range(10)])
    app = rig.app(topic)
    gate = Gate()
    rig.consume(app, Lanes(app, gate), topic)
    async with running(app):
        await gate.next()
        await app.consumer.commit()
        assert rig.committed(topic) is None
        gate.go.set()
        await eventually(lambda: rig.committed(topic) == 10)


async def test_acks_in_any_order(rig: Rig) -> None:
    """An agent that acknowledges later batches first is committed only up to the first one missing."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"%d" % n) for n in range(5)])
    app = rig.app(topic, max_batch_records=1)
    got: list[Batch] = []

    async def collect(stream: StreamT[Batch]) -> None:
        async for batch in stream:
            got.append(batch)  # noqa: PERF401 - seen one by one

    app.agent(app.hot_topic(topic), name="collect")(collect)
    async with running(app):
        await eventually(lambda: len(got) == 5)
        for late in (got[4], got[2], got[1]):
            late.ack()
        await app.consumer.commit()
        assert rig.committed(topic) is None
        got[0].ack()
        await eventually(lambda: rig.committed(topic) == 3)
        got[3].ack()
        await eventually(lambda: rig.committed(topic) == 5)


async def test_a_commit_that_failed_is_made_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset the broker did not take is committed at the next turn, without any new record."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"v")] * 3)
    app = rig.app(topic)
    rig.consume(app, Lanes(app, Seen()), topic)
    async with running(app):
        consumer = app.batch_consumer
        assert consumer is not None
        thread, refused = consumer._thread, list[Any]()
        commit = thread.commit

        async def once(offsets: Any) -> bool:
            if not refused:
                refused.append(offsets)
                return False
            return await commit(offsets)

        monkeypatch.setattr(thread, "commit", once)
        await eventually(lambda: rig.committed(topic) == 3)
        assert len(refused) == 1


async def test_a_handler_that_raises_stops_the_app_with_nothing_committed(rig: Rig) -> None:
    """After a failure no later batch of the app is handled, nothing is committed, and a restart begins anew."""
    topic = await rig.topic()
    app = rig.app(topic, max_batch_records=2)
    handled: list[bytes | None] = []

    async def fails(partition: int, batches: list[Batch]) -> None:
        handled.extend(values(batches))
        raise LookupError("no luck")

    rig.consume(app, Lanes(app, fails), topic)
    rig.send(topic, [(b"k", b"%d" % n) for n in range(10)])
    async with running(app, wait=False):
        assert isinstance(await crashed(app), LookupError)
        first = len(handled)
        rig.send(topic, [(b"k", b"more")])
        started = monotonic()
        await stop(app)
        assert monotonic() - started < 10
    assert len(handled) == first
    assert rig.committed(topic) is None

    again, seen = rig.app(topic), Seen()
    rig.consume(again, Lanes(again, seen), topic)
    async with running(again):
        await eventually(lambda: seen.count == 11)
    assert values(seen.batches) == [b"%d" % n for n in range(10)] + [b"more"]


async def test_a_batch_that_comes_after_a_failure_is_not_handled(rig: Rig) -> None:
    """A batch that reaches the lane between a failure and the stop is left: its stamps would hide the failed."""
    topic = await rig.topic()
    app = rig.app(topic)
    handled: list[list[bytes | None]] = []

    async def fails_once(partition: int, batches: list[Batch]) -> None:
        handled.append(values(batches))
        if len(handled) == 1:
            raise LookupError("once")

    lanes = Lanes(app, fails_once)
    rig.consume(app, lanes, topic)
    async with running(app):
        rig.send(topic, [(b"k", b"first")])
        await crashed(app)
        late = Batch(topic, 0, [], app.consumer_generation_id, lambda _: None)
        lanes.submit(late)
        lanes.reopen()
        lanes.submit(late)
        await asyncio.sleep(0)
    assert handled == [[b"first"]]


async def test_a_graceful_stop_finishes_what_is_at_work(rig: Rig) -> None:
    """A stop waits for the batch being handled and commits it; what was only queued is left for the next."""
    topic = await rig.topic()
    app = rig.app(topic, max_batch_records=5)
    gate = Gate()
    rig.consume(app, Lanes(app, gate), topic)
    rig.send(topic, [(b"k", b"%d" % n) for n in range(5)])
    async with running(app):
        _, first = await gate.next()
        rig.send(topic, [(b"k", b"later %d" % n) for n in range(20)])
        consumer = app.batch_consumer
        assert consumer is not None
        await eventually(lambda: consumer.in_flight.records == 25)
        stopping = asyncio.create_task(stop(app))
        await eventually(lambda: not consumer.flow_active)
        assert not stopping.done()
        gate.go.set()
        await stopping
    assert [values(batches) for _, batches in gate.done] == [values(first)]
    assert rig.committed(topic) == len(values(first)) == 5


async def test_an_offset_beyond_the_log_begins_anew(rig: Rig) -> None:
    """With a committed offset the log does not have (truncated, made anew), everything there is handled."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"%d" % n) for n in range(10)])
    rig.commit(topic, 500)
    app, seen = rig.app(topic), Seen()
    rig.consume(app, Lanes(app, seen), topic)
    async with running(app):
        await eventually(lambda: seen.count == 10)
        await eventually(lambda: rig.committed(topic) == 10)
    assert values(seen.batches) == [b"%d" % n for n in range(10)]


async def test_an_offset_before_the_log_goes_on_with_what_is_left(rig: Rig) -> None:
    """When retention has removed what was not read yet, reading goes on with the first record there is."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"%d" % n) for n in range(10)])
    rig.commit(topic, 2)
    admin = AdminClient({"bootstrap.servers": rig.bootstrap, "log_level": 0})
    for future in admin.delete_records([ConfluentPartition(topic, 0, 6)]).values():
        future.result(20)
    app, seen = rig.app(topic), Seen()
    rig.consume(app, Lanes(app, seen), topic)
    async with running(app):
        await eventually(lambda: seen.count == 4)
        await eventually(lambda: rig.committed(topic) == 10)
    assert values(seen.batches) == [b"6", b"7", b"8", b"9"]


@pytest.mark.slow
async def test_a_broker_that_hangs_ends_the_app_with_nothing_acknowledged(
    rig: Rig, kafka: KafkaServer
) -> None:
    """When the changelog takes nothing for the time-out, the app crashes and stops; nothing is committed."""
    topic = await rig.topic()
    await rig.changelog("kept")
    app = rig.app(topic, producer_request_timeout=2.0, broker_request_timeout=10.0)
    table = app.batch_table("kept", source=topic)
    gate = Gate()

    async def write(partition: int, batches: list[Batch]) -> None:
        await gate(partition, batches)
        await table.write(partition, [(b"k", b"v")])

    rig.consume(app, Lanes(app, write), topic)
    rig.send(topic, [(b"k", b"v")])
    async with running(app):
        await gate.next()
        async with hanging(kafka):
            gate.go.set()
            assert isinstance(await crashed(app), PublishFailed)
            started = monotonic()
            await stop(app, within=60)
            assert monotonic() - started < 25
    assert rig.committed(topic) is None


async def test_a_bounce_of_the_broker_is_sat_out(rig: Rig, kafka: KafkaServer) -> None:
    """A broker that is killed and comes back costs time and nothing else."""
    topic = await rig.topic()
    changelog = await rig.changelog("kept")
    app = rig.app(topic)
    table = app.batch_table("kept", source=topic)
    seen = Seen()

    async def write(partition: int, batches: list[Batch]) -> None:
        await table.write(partition, [(value or b"", b"v") for value in values(batches)])
        await seen(partition, batches)

    rig.consume(app, Lanes(app, write), topic)
    rig.send(topic, [(b"k", b"before %d" % n) for n in range(10)])
    async with running(app):
        await eventually(lambda: seen.count == 10)
        kafka.kill()
        await asyncio.to_thread(kafka.restart)
        rig.send(topic, [(b"k", b"after %d" % n) for n in range(10)])
        await eventually(lambda: seen.count >= 20, within=60)
        assert not app.crashed
    assert set(values(seen.batches)) == {b"%s %d" % (w, n) for w in (b"before", b"after") for n in range(10)}
    assert set((await rig.latest(changelog))[0]) == set(values(seen.batches))
    assert rig.committed(topic) == 20
