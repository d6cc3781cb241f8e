"""Tables: written durably, a partition at a time, and recovered as they were."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st

from stream.engine import BatchApp, BatchTable, Entry, RecoveryFailed, Stores
from stream.engine.recovery import read_changelogs
from tests.engine.rig import Rig, producing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer


@pytest_asyncio.fixture(params=["memory", "rocksdb"])
async def rig(kafka: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Topics and apps of one test, once with tables in memory and once with tables on disk."""
    stores = None if request.param == "memory" else Stores(tmp_path / "stores", memory_mb=16)
    made = Rig(kafka.bootstrap, tmp_path, stores=stores)
    yield made
    await made.close(drop_topics=kafka.running)
    if stores is not None:
        stores.close()


def stamped(value: bytes) -> int:
    """Read the stamp of a value ``stamp:anything``."""
    return int(value.split(b":")[0])


def table_of(app: BatchApp, *, stamp: bool = True) -> BatchTable:
    """Declare the table these tests use."""
    return app.batch_table("kept", source="input", stamp_of=stamped if stamp else None)


async def recover(app: BatchApp, table: BatchTable, partitions: int = 1, *, drop: bool = True) -> int:
    """Read a table from its changelog, forgotten or as it is; returns how many records were read."""
    wanted = {}
    for partition in range(partitions):
        if drop:
            table.drop(partition)
        wanted[TopicPartition(table.changelog_topic_name, partition)] = (table, partition)
    consumer = app.new_consumer(fetch_max_wait_ms=50)
    await consumer.start()
    try:
        return await read_changelogs(consumer, wanted)
    finally:
        await consumer.stop()


async def test_a_write_is_durable_when_it_returns(rig: Rig) -> None:
    """A plain consumer that looks after a write finds all of it, in the partition written to and no other."""
    topic = await rig.changelog("kept", 3)
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        entries: list[Entry] = [(b"k%d" % n, b"%d:x" % n) for n in range(500)]
        await table.write(1, entries)
        found = await rig.read(topic)
    assert {p: [(r.key, r.value) for r in records] for p, records in found.items()} == {
        0: [],
        1: entries,
        2: [],
    }


async def test_partitions_are_kept_apart(rig: Rig) -> None:
    """The same key in two partitions is two keys, in memory, in the changelog and after recovery."""
    topic = await rig.changelog("kept", 2)
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        await table.write(0, [(b"same", b"1:zero")])
        await table.write(1, [(b"same", b"2:one"), (b"own", b"3:one")])
        written = {0: {b"same": b"1:zero"}, 1: {b"same": b"2:one", b"own": b"3:one"}}
        assert {p: table.partition(p) for p in (0, 1)} == written
        assert rig.stores is not None or table.held() == {0: 1, 1: 2}
        assert {p: len(table.partition(p)) for p in (0, 1)} == {0: 1, 1: 2}
        assert await rig.latest(topic) == written
        assert await recover(app, table, 2) == 3
    assert {p: table.partition(p) for p in (0, 1)} == written


async def test_a_value_of_none_deletes(rig: Rig) -> None:
    """A deleted key is gone from the table, from what the changelog says, and after recovery."""
    topic = await rig.changelog("kept")
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        await table.write(0, [(b"a", b"1:"), (b"b", b"1:")])
        await table.write(0, [(b"a", None), (b"never there", None)])
        await table.write(0, [])
        assert table.partition(0) == {b"b": b"1:"}
        assert [r.value for r in (await rig.read(topic))[0]] == [b"1:", b"1:", None, None]
        assert await recover(app, table) == 4
    assert table.partition(0) == {b"b": b"1:"}


async def test_a_late_write_of_a_former_owner_does_not_win(rig: Rig) -> None:
    """Of two values for a key the one with the higher stamp stays, though the lower one comes later."""
    topic = await rig.changelog("kept")
    app = rig.app("input")
    table, log = table_of(app), [b"5:successor", b"3:zombie", b"5:again", b"4:zombie"]
    rig.send(topic, [(b"k", value) for value in log])
    assert await recover(app, table) == len(log)
    assert table.partition(0) == {b"k": b"5:again"}


async def test_without_stamps_the_later_value_stays(rig: Rig) -> None:
    """A table without stamps is as any changelog: the last value of a key counts."""
    topic = await rig.changelog("kept")
    app = rig.app("input")
    table = table_of(app, stamp=False)
    rig.send(topic, [(b"k", b"5:first"), (b"k", b"3:last")])
    await recover(app, table)
    assert table.partition(0) == {b"k": b"3:last"}


async def test_recovery_over_many_fetches(rig: Rig) -> None:
    """Hundreds of thousands of records over several partitions and many fetches are all applied, once."""
    await rig.changelog("kept", 2)
    app = rig.app("input")
    table = table_of(app)
    written: dict[int, dict[bytes, bytes]] = {}
    async with producing(app):
        for partition in (0, 1):
            for turn in range(3):
                await table.write(partition, [(b"k%d" % n, b"%d:%d" % (turn, n)) for n in range(40_000)])
            written[partition] = dict(table.partition(partition))
        assert await recover(app, table, 2) == 240_000
    assert {p: table.partition(p) for p in (0, 1)} == written


async def test_recovery_ends_where_the_log_ends_without_a_record(rig: Rig) -> None:
    """Empty partitions, one emptied from the front, and tails of control records only do not hold it up."""
    topic = await rig.topic(4, name=f"{rig.group}-kept-changelog")
    app = rig.app("input")
    table = table_of(app)
    rig.send(topic, [(b"k%d" % n, b"1:") for n in range(10)], partition=1)
    admin = AdminClient({"bootstrap.servers": rig.bootstrap, "log_level": 0})
    for future in admin.delete_records([ConfluentPartition(topic, 1, 10)]).values():
        future.result(20)
    producer = Producer({"bootstrap.servers": rig.bootstrap, "transactional.id": rig.group})
    producer.init_transactions(30)
    for partition, end in ((2, producer.commit_transaction), (3, producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, b"1:in transaction", b"k", partition)
        assert producer.flush(30) == 0
        end(30)
    await recover(app, table, 4)
    assert table.partition(0) == table.partition(1) == {}
    assert table.partition(2) == {b"k": b"1:in transaction"}


async def test_a_changelog_that_cannot_be_read_stops_recovery(rig: Rig) -> None:
    """A value its own table cannot read is said with topic and offsets, and without the value."""
    topic = await rig.changelog("kept")
    app = rig.app("input")
    rig.send(topic, [(b"anna@example.org", b"not a stamp: secret")] * 2)
    with pytest.raises(RecoveryFailed, match=rf"{topic}/0 offsets 0 to 1.*ValueError") as caught:
        await recover(app, table_of(app))
    assert "secret" not in str(caught.value)
    assert "anna" not in str(caught.value)


def oracle(log: list[Entry]) -> dict[bytes, bytes]:
    """Find for each key, after its last deletion, the last of the values with the highest stamp."""
    found: dict[bytes, bytes] = {}
    for key in {key for key, _ in log}:
        mine = [value for k, value in log if k == key]
        if None in mine:
            mine = mine[len(mine) - mine[::-1].index(None) :]
        kept = [value for value in mine if value is not None]
        if kept:
            highest = max(stamped(value) for value in kept)
            found[key] = [value for value in kept if stamped(value) == highest][-1]
    return found


KEYS = st.sampled_from([b"a", b"b", b""])
VALUES = st.none() | st.builds(lambda stamp, tail: b"%d:%s" % (stamp, tail), st.integers(0, 5), st.binary())


LOGS = st.lists(st.tuples(KEYS, VALUES))


@given(log=LOGS, cuts=st.lists(st.integers(0, 50), max_size=3))
def test_recovered_equals_a_search_of_the_log(
    log: list[Entry], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever was written, in whatever pieces it is read, the table is what a search of the log finds."""
    for table in offline_tables(tmp_path_factory.getbasetemp()):
        table.drop(0)
        edges = sorted({0, len(log), *(min(cut, len(log)) for cut in cuts)})
        for begin, end in pairwise(edges):
            table.recover(0, log[begin:end], end)
        assert table.partition(0) == oracle(log)


@given(log=LOGS, ahead=st.integers(0, 50), back=st.integers(0, 50))
def test_what_a_store_has_already_may_be_read_once_more(
    log: list[Entry], ahead: int, back: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A store that is ahead of its mark, for a stranger wrote in between, ends up as the log says."""
    _, table = offline_tables(tmp_path_factory.getbasetemp())
    table.drop(0)
    has = min(ahead, len(log))
    table.recover(0, log[:has], max(0, has - back))
    table.recover(0, log[max(0, has - back) :], len(log))
    assert table.partition(0) == oracle(log)


_offline: list[Any] = []


def offline_tables(folder: Path) -> list[BatchTable]:
    """Make tables of apps that never start, once: in memory, and on disk."""
    if not _offline:
        for stores in (None, Stores(folder / "offline-stores", memory_mb=16)):
            app = BatchApp(
                "offline", hot_topics=["input"], datadir=str(folder), autodiscover=False, stores=stores
            )
            _offline.append(table_of(app))
    return _offline
