"""Tables on disk: never ahead of their changelog, gone on with where that is safe, and thrown away where not."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.engine import BatchTable, StoreBroken, StoreRefused, Stores
from stream.engine.stores import CLOCKS_S, MOST_AGE_S, WALK, Mark
from tests.engine.counter import TABLE, Counter, check_exact
from tests.engine.rig import Rig, producing, recovery_of, running
from tests.engine.test_group import PARTITIONS, feed, finished, holds, process, topics
from tests.engine.test_table import recover, table_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.engine.stores import Store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Stores in a folder of the test's own."""
    with_lock = Stores(tmp_path / "stores", memory_mb=16)
    yield with_lock
    with_lock.close()


def again(stores: Stores, **options: Any) -> Stores:
    """End the process that has them, and begin another one."""
    stores.close()
    return Stores(stores.folder, memory_mb=16, **options)


KEYS = st.sampled_from([b"", b"!", b"=", b"a", b"a\x00", b"b", b"\xff"])
WRITES = st.lists(st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=6), max_size=6)


@settings(deadline=None, max_examples=50)
@given(writes=WRITES, reopen=st.integers(0, 6))
def test_a_store_is_as_a_dict(
    writes: list[list[tuple[bytes, bytes | None]]], reopen: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is written, whether it was closed in between: it holds and says what a dict would."""
    stores = Stores(tmp_path_factory.mktemp("stores"), memory_mb=16)
    store, oracle = stores.open("t", 0, 1), dict[bytes, bytes]()
    for at, entries in enumerate(writes):
        if at == reopen:
            stores = again(stores)
            store = stores.open("t", 0, 1)
        store.apply(entries, at)
        for key, value in entries:
            oracle.pop(key, None) if value is None else oracle.update({key: value})
    assert dict(store.items()) == store == oracle
    assert list(store) == sorted(oracle)
    assert len(store) == len(oracle)
    for key in (b"", b"!", b"a", b"zz"):
        assert (key in store, store.get(key)) == (key in oracle, oracle.get(key))
    assert store.mark is None or store.mark.offset == len(writes) - 1
    stores.close()


def test_a_walk_sees_what_stays_while_others_come_and_go(stores: Stores) -> None:
    """Keys that are there all the time come once, in order, whatever is written between the steps of a walk."""
    store = stores.open("t", 0, 1)
    store.apply([(b"k%06d" % n, b"") for n in range(3 * WALK)], 1)
    seen = []
    for n, key in enumerate(store):
        seen.append(key)
        if n % 500 == 0:
            store.apply(
                [(b"k%06d" % (n + 7), None), (b"j%06d" % n, b"new"), (b"k%06d+" % (n + WALK), b"")], 2
            )
    stay = [b"k%06d" % n for n in range(3 * WALK) if n % 500 != 7]
    assert [key for key in seen if key in set(stay)] == stay
    assert len(seen) == len(set(seen))


async def test_recovery_goes_on_where_the_store_is(rig: Rig, stores: Stores) -> None:
    """A next process reads only what the changelog has beyond the store, and ends up with the same."""
    changelog = await rig.changelog("kept", 2)
    rig.stores = stores
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        for partition in (0, 1):
            await table.write(partition, [(b"k%d" % n, b"1:%d" % n) for n in range(5_000)])
            await table.write(partition, [(b"k%d" % n, b"2:") for n in range(9)])
    rig.stores = again(stores)
    rig.send(changelog, [(b"k1", b"9:news"), (b"k2", b"1:of a zombie"), (b"k3", None)], partition=1)
    later = table_of(rig.app("input"))
    assert await go_on(later, 2) == 3
    latest = await rig.latest(changelog)
    latest[1][b"k2"] = b"2:"  # the zombie's is of no account
    assert {p: later.partition(p) for p in (0, 1)} == latest
    assert later.partition(1).get(b"k1") == b"9:news"
    rig.stores.close()


async def go_on(table: BatchTable, partitions: int = 1) -> int:
    """Recover a table from where its stores are; returns how many records were read."""
    return await recover(table._batch_app, table, partitions, drop=False)


async def test_what_a_stranger_wrote_in_between_is_read_again(rig: Rig, stores: Stores) -> None:
    """Where the changelog has records of somebody else, the store does not pass for complete beyond them."""
    changelog = await rig.changelog("kept")
    rig.stores = stores
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        await table.write(0, [(b"a", b"1:"), (b"b", b"1:")])
        rig.send(changelog, [(b"a", b"5:stranger"), (b"c", b"1:stranger")])
        await table.write(0, [(b"b", b"7:")])
    assert mark(table) == 2
    rig.stores = again(stores)
    later = table_of(rig.app("input"))
    assert await go_on(later) == 3
    assert later.partition(0) == {b"a": b"5:stranger", b"b": b"7:", b"c": b"1:stranger"}
    assert mark(later) == 5
    rig.stores.close()


def mark(table: BatchTable, partition: int = 0) -> int:
    """How far a table's store is."""
    found: Mark | None = store_of(table, partition).mark
    assert found is not None
    return found.offset


def store_of(table: BatchTable, partition: int = 0) -> Store:
    """The store of a partition."""
    return table.partition(partition)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("begin", "end", "ages_s", "erased_s", "why"),
    [
        (0, 10, 0, None, ""),
        (0, 20, 0, None, ""),
        (0, 9, 0, None, "ends at 9"),
        (11, 20, 0, None, "begins at 11"),
        (0, 20, MOST_AGE_S + 9, None, "so old"),
        (0, 10, MOST_AGE_S + 9, None, ""),  # nobody has written since
        (0, 20, 1000, 1000 - CLOCKS_S / 2, "erased since"),
        (0, 20, 1000, 1000 + CLOCKS_S * 2, ""),
    ],
)
def test_a_doubtful_store_is_read_anew(
    begin: int,
    end: int,
    ages_s: float,
    erased_s: float | None,
    why: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Beyond the changelog, before it, so old that deletions may be missing, or from before an erasure."""
    now = time.time()
    stores = Stores(tmp_path, memory_mb=16, valid_from=lambda: 0.0 if erased_s is None else now - erased_s)
    store = stores.open("t", 0, 1)
    store.apply([(b"k", b"v")], 10)
    store.mark = Mark(10, now - ages_s, 1)
    with caplog.at_level(logging.WARNING):
        assert stores.usable(store, begin, end) == (not why)
    assert why in caplog.text
    assert bool(caplog.text) == bool(why)
    stores.close()


async def test_a_changelog_that_was_made_anew_fills_the_store_anew(rig: Rig, stores: Stores) -> None:
    """A store that is further than its changelog has records of another one: none of them stays."""
    changelog = await rig.changelog("kept")
    rig.stores = stores
    table = table_of(rig.app("input"))
    store_of(table).apply([(b"old", b"1:")], 1_000)
    rig.send(changelog, [(b"new", b"1:")])
    assert await go_on(table) == 1
    assert table.partition(0) == {b"new": b"1:"}


@pytest.mark.parametrize("harm", ["deleted", "garbled", "marked", "format"])
def test_a_harmed_store_is_replaced(harm: str, stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """Deleted, unreadable, known to have failed, or of another format: the next process begins with nothing."""
    store = stores.open("t", 0, 1)
    store.apply([(b"k", b"v")], 10)
    stores.close()
    if harm == "deleted":
        for file in store.path.iterdir():
            file.unlink()
        store.path.rmdir()
    elif harm == "garbled":
        (store.path / "CURRENT").write_text("nonsense")
    elif harm == "marked":
        (store.path / "broken").touch()
    with caplog.at_level(logging.WARNING):
        later = again(stores)
        store = later.open("t", 0, 2 if harm == "format" else 1)
    assert store == {}
    assert store.mark is None
    assert ("replaced" in caplog.text) == (harm != "deleted")
    store.apply([(b"k", b"w")], 11)
    assert store == {b"k": b"w"}
    later.close()


def test_a_store_that_fails_is_not_trusted_by_the_next_process(stores: Stores) -> None:
    """A read of a garbled file stops the process with the store's name, and the next one replaces it."""
    store = stores.open("t", 0, 1)
    store.apply([(b"k%d" % n, b"secret" * 9) for n in range(1000)], 10)
    stores.close()
    for file in store.path.glob("*.sst"):
        file.write_bytes(file.read_bytes()[:100].replace(b"s", b"z") + os.urandom(file.stat().st_size - 100))
    later = again(stores)
    opened = later.open("t", 0, 1)
    if opened.mark is not None:  # else RocksDB has seen it at the start
        with pytest.raises(StoreBroken, match="t/0") as caught:
            opened.get(b"k500")
        assert "secret" not in str(caught.value)
    last = again(later)
    assert last.open("t", 0, 1) == {}
    last.close()


def test_a_folder_is_of_one_process(stores: Stores, tmp_path: Path) -> None:
    """A second worker with the same folder is refused; it must not wait for the first one's, or share them."""
    with pytest.raises(StoreRefused, match="in use by another worker"):
        Stores(tmp_path / "stores")
    stores.close()
    Stores(tmp_path / "stores").close()


def test_without_rocksdict_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, the message says how it is."""
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(StoreRefused, match=r"pip install 'cx-pulse\[rocksdb\]'"):
        Stores(tmp_path)


def test_nobody_else_can_read_it(stores: Stores) -> None:
    """What customers did lies in directories of the worker's own user."""
    store = stores.open("t", 0, 1)
    assert store.path.stat().st_mode & 0o077 == 0
    assert stores.folder.stat().st_mode & 0o077 == 0


async def test_who_is_erased_is_not_on_the_disk(rig: Rig, stores: Stores) -> None:
    """After keys were deleted and scrubbed, no file of the store has them or their values."""
    await rig.changelog("kept")
    rig.stores = stores
    app = rig.app("input")
    table = table_of(app)
    async with producing(app):
        for turn in range(3):
            await table.write(
                0, [(b"customer-%d" % n, b"%d:comment of %d!" % (turn, n)) for n in range(3_000)]
            )
            table.complete(0, mark(table))
        assert found_on_disk(stores, b"customer-0", b"comment of 0!")
        gone = [
            b"customer-0",
            b"customer-1234",
            b"customer-999",
        ]  # the first and the last are bounds of files
        await table.write(0, [(name, None) for name in gone])
        await table.scrub(0, gone)
    for name in gone:
        number = name.split(b"-")[1]
        files = found_on_disk(stores, name + b"\x00", b"comment of %b!" % number)
        assert not files, files
    assert len(table.partition(0)) == 2_997
    assert table.partition(0).get(b"customer-7") == b"2:comment of 7!"


def found_on_disk(stores: Stores, *wanted: bytes) -> list[str]:
    """Files below the folder that contain some of the bytes."""
    return [
        str(path.relative_to(stores.folder))
        for path in stores.folder.rglob("*")
        if path.is_file() and any(each in path.read_bytes() for each in wanted)
    ]


async def test_partitions_that_move_away_leave_nothing(rig: Rig, stores: Stores, tmp_path: Path) -> None:
    """What another worker has now is closed and removed; what comes back is read from the beginning."""
    topic, out = await topics(rig)
    feed(rig, topic, 2_000)
    rig.stores = stores
    first = Counter(rig, topic, out)
    rig.stores = Stores(tmp_path / "second", memory_mb=16)
    second = Counter(rig, topic, out)
    async with running(first.app):
        await finished(rig, topic, 2_000)
        async with running(second.app):
            await eventually(lambda: len(holds(first)) == len(holds(second)) == PARTITIONS // 2)
            for job in (first, second):
                assert job.app.stores is not None
                assert {int(p.name) for p in (job.app.stores.folder / TABLE).iterdir()} == holds(job)
            feed(rig, topic, 1_000, 2_000)
            await finished(rig, topic, 3_000)
        await eventually(lambda: len(holds(first)) == PARTITIONS)
        latest = await rig.latest(f"{rig.group}-{TABLE}-changelog")
        assert {p: dict(first.table.partition(p)) for p in holds(first)} == latest
    await check_exact(rig, topic, out)


@pytest.mark.slow
async def test_kill_9_again_and_again(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of its work, a worker goes on from its store; in the end it is as one in memory."""
    topic, out = await topics(rig)
    folder, rng, total = tmp_path / "killed", Random(3), 0
    monkeypatch.setenv("COUNTER_STORES", str(folder))
    for _ in range(2):
        total += feed(rig, topic, 4_000, total)
        async with process(rig, topic, out) as victim:
            for _ in range(rng.randrange(1, 4)):
                await victim.says("written")
            await victim.kill()
    total += feed(rig, topic, 500, total)
    rig.stores = Stores(folder, memory_mb=16)
    on_disk = Counter(rig, topic, out)
    async with running(on_disk.app):
        await finished(rig, topic, total)
        rig.stores = None
        latest = await rig.latest(f"{rig.group}-{TABLE}-changelog")
        assert {p: dict(on_disk.table.partition(p)) for p in range(PARTITIONS)} == latest
        read = recovery_of(on_disk.app).records_total
    in_memory = Counter(rig, topic, out)
    async with running(in_memory.app):
        assert {p: in_memory.table.partition(p) for p in range(PARTITIONS)} == latest
        assert read < recovery_of(in_memory.app).records_total
    await check_exact(rig, topic, out)
