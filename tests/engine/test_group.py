"""Workers that come, go, hang and die: every record is handled, its effect on state is exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stream.engine import Batch, recovery
from tests.engine.counter import TABLE, Counter, check_exact
from tests.engine.rig import Gate, Rig, crashed, ready, recovery_of, running, stop
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTITIONS = 4


async def topics(rig: Rig, partitions: int = PARTITIONS) -> tuple[str, str]:
    """Create what the job needs; returns its input and its output."""
    await rig.changelog(TABLE, partitions)
    return await rig.topic(partitions), await rig.topic(2)


def feed(rig: Rig, topic: str, count: int, start: int = 0) -> int:
    """Send records over 97 keys."""
    return rig.send(topic, ((b"k%d" % (n % 97), b"%d" % n) for n in range(start, start + count)))


async def finished(rig: Rig, topic: str, total: int, within: float = 40) -> None:
    """Wait until the group has committed everything."""
    await eventually(lambda: rig.committed_total(topic, PARTITIONS) == total, within=within, every=0.05)


def holds(job: Counter) -> set[int]:
    """Partitions a member holds now."""
    topic = job.table.source
    return set(job.app.assigned(topic))


async def test_rebalances_while_busy(rig: Rig) -> None:
    """Members join and leave under load: no record is left out, no effect is doubled, tables move along."""
    topic, out = await topics(rig)
    first, second = Counter(rig, topic, out), Counter(rig, topic, out)
    total = 0
    async with running(first.app):
        total += feed(rig, topic, 10_000)
        await eventually(lambda: len(first.handled) > 100)
        async with running(second.app):
            total += feed(rig, topic, 10_000, total)
            await ready(first.app, second.app)
            await eventually(lambda: len(holds(first)) == len(holds(second)) == 2)
            assert holds(first) | holds(second) == set(range(PARTITIONS))
            total += feed(rig, topic, 10_000, total)
            await finished(rig, topic, total)
            latest = await rig.latest(f"{rig.group}-{TABLE}-changelog")
            for job in (first, second):
                assert {p: job.table.partition(p) for p in holds(job)} == {p: latest[p] for p in holds(job)}
                assert set(job.table.held()) == holds(job)
            total += feed(rig, topic, 10_000, total)
            await stop(first.app)
        total += feed(rig, topic, 1_000, total)
        third = Counter(rig, topic, out)
        async with running(third.app):
            await finished(rig, topic, total)
    offsets = {p: [r.offset for r in records] for p, records in (await rig.read(topic)).items()}
    handled = set(first.handled) | set(second.handled) | set(third.handled)
    assert handled == {(p, offset) for p, known in offsets.items() for offset in known}
    await check_exact(rig, topic, out)


async def test_what_is_at_work_is_finished_before_partitions_move(rig: Rig) -> None:
    """A rebalance waits for the batches being handled and commits them: nothing is done twice."""
    topic, out = await topics(rig)
    gate = Gate()
    first, second = Counter(rig, topic, out, gate), Counter(rig, topic, out)
    total = feed(rig, topic, 400)
    async with running(first.app):
        await gate.next()
        began = first.app.rebalancing_count
        async with running(second.app, wait=False):
            await eventually(lambda: first.app.rebalancing_count > began)
            consumer = first.app.batch_consumer
            assert consumer is not None
            await eventually(lambda: not consumer.flow_active)
            assert second.handled == []
            gate.go.set()
            await ready(first.app, second.app)
            await finished(rig, topic, total)
    handled = first.handled + second.handled
    assert len(handled) == len(set(handled)) == total
    await check_exact(rig, topic, out)


async def test_a_handler_that_fails_while_partitions_move(rig: Rig) -> None:
    """A failure during a rebalance stops its member in bounded time; the other does all the work."""
    topic, out = await topics(rig)
    gate = Gate()

    async def fails(partition: int, batches: list[Batch]) -> None:
        await gate(partition, batches)
        raise LookupError("no luck")

    first, second = Counter(rig, topic, out, fails), Counter(rig, topic, out)
    total = feed(rig, topic, 400)
    async with running(first.app):
        await gate.next()
        async with running(second.app, wait=False):
            consumer = first.app.batch_consumer
            assert consumer is not None
            await eventually(lambda: not consumer.flow_active)
            gate.go.set()
            assert isinstance(await crashed(first.app), LookupError)
            await stop(first.app)
            await finished(rig, topic, total)
    assert len(set(second.handled)) == total
    await check_exact(rig, topic, out)


async def test_a_rebalance_after_a_crash(rig: Rig) -> None:
    """A member that has crashed and is not yet stopped holds nobody up, and stops in bounded time."""
    topic, out = await topics(rig)

    async def fails(partition: int, batches: list[Batch]) -> None:
        raise LookupError("no luck")

    first, second = Counter(rig, topic, out, fails), Counter(rig, topic, out)
    total = feed(rig, topic, 400)
    async with running(first.app, wait=False):
        await crashed(first.app)
        async with running(second.app):
            await finished(rig, topic, total)
            await stop(first.app, within=10)
    await check_exact(rig, topic, out)


class SlowRecovery:
    """Holds recoveries up, inside the reading of changelogs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began: asyncio.Queue[int] = asyncio.Queue()
        self.go = asyncio.Event()
        real = recovery.read_changelogs

        async def held(consumer: Any, wanted: Any, *more: Any) -> int:
            read = await real(consumer, wanted, *more)
            self.began.put_nowait(len(wanted))
            await self.go.wait()
            return read

        monkeypatch.setattr(recovery, "read_changelogs", held)


async def test_a_rebalance_during_recovery_begins_it_anew(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery cut short by another rebalance leaves nothing half read."""
    topic, out = await topics(rig)
    total = feed(rig, topic, 2_000)
    before = Counter(rig, topic, out)
    async with running(before.app):
        await finished(rig, topic, total)
    slow = SlowRecovery(monkeypatch)
    first, second = Counter(rig, topic, out), Counter(rig, topic, out)
    async with running(first.app, second.app, wait=False):
        async with asyncio.timeout(30):
            while await slow.began.get() != PARTITIONS // 2:
                pass  # one alone has all of them; then the second joins and each has half
        assert not recovery_of(first.app).completed.is_set()
        assert (first.handled, second.handled) == ([], [])
        slow.go.set()
        await ready(first.app, second.app)
        latest = await rig.latest(f"{rig.group}-{TABLE}-changelog")
        await eventually(lambda: len(holds(first)) == len(holds(second)) == 2)
        for job in (first, second):
            assert {p: job.table.partition(p) for p in holds(job)} == {p: latest[p] for p in holds(job)}
        total += feed(rig, topic, 1_000, total)
        await finished(rig, topic, total)
    await check_exact(rig, topic, out)


async def test_a_stop_during_recovery(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker told to stop while it recovers ends soon, and leaves no connection behind."""
    topic, out = await topics(rig)
    feed(rig, topic, 100)
    slow = SlowRecovery(monkeypatch)
    job = Counter(rig, topic, out)
    async with running(job.app, wait=False):
        async with asyncio.timeout(30):
            await slow.began.get()
        await stop(job.app, within=10)
    assert job.handled == []
    assert rig.committed(topic) is None


async def test_kept_partitions_are_not_read_again(rig: Rig) -> None:
    """In a rebalance that leaves a partition where it is, its table stays; only what is new is recovered."""
    topic, out = await topics(rig)
    total = feed(rig, topic, 1_000)
    first, second = Counter(rig, topic, out), Counter(rig, topic, out)
    async with running(first.app):
        await finished(rig, topic, total)
        read = recovery_of(first.app).records_total
        async with running(second.app):
            await eventually(lambda: len(holds(first)) == len(holds(second)) == 2)
            await ready(first.app)
            kept = {p: first.table.partition(p) for p in holds(first)}
        await eventually(lambda: len(holds(first)) == PARTITIONS)
        await ready(first.app)
        assert all(first.table.partition(p) is data for p, data in kept.items())
        moved = sum(
            len(records)
            for p, records in (await rig.read(f"{rig.group}-{TABLE}-changelog")).items()
            if p not in kept
        )
        assert recovery_of(first.app).records_total == read + moved


class Process:
    """The job as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def says(self, word: str, within: float = 40) -> list[str]:
        """Wait for a line that begins with a word; returns the rest of it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            while line := (await self._process.stdout.readline()).decode():
                first, *rest = line.split()
                if first == word:
                    return rest
        raise AssertionError(f"ended without saying {word}")

    async def ends(self, within: float = 40) -> tuple[int | None, str]:
        """Wait for its end; returns its exit code and what it complained about."""
        async with asyncio.timeout(within):
            _, complaints = await self._process.communicate()
        return self._process.returncode, complaints.decode()

    async def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        await self._process.communicate()


@asynccontextmanager
async def process(rig: Rig, topic: str, out: str, mode: str = "run") -> AsyncIterator[Process]:
    """Run the job in a process of its own, killed when the block ends."""
    where = [rig.bootstrap, rig.group, str(rig.folder), topic, out, mode]
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.engine.counter", *where),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    child = Process(started)
    try:
        yield child
    finally:
        if started.returncode is None:
            await child.kill()


async def test_kill_9_between_write_and_acknowledgement(rig: Rig) -> None:
    """A worker killed after its state is durable and before it said so is followed by one that stays exact."""
    topic, out = await topics(rig)
    total = feed(rig, topic, 3_000)
    async with process(rig, topic, out, "hold") as victim:
        await victim.says("written")
        await victim.kill()
    assert rig.committed_total(topic, PARTITIONS) == 0
    written = sum(len(records) for records in (await rig.read(f"{rig.group}-{TABLE}-changelog")).values())
    assert written > 0
    job = Counter(rig, topic, out)
    async with running(job.app):
        total += feed(rig, topic, 500, total)
        await finished(rig, topic, total)
    assert len(set(job.handled)) == total
    await check_exact(rig, topic, out)


@pytest.mark.slow
async def test_a_worker_that_missed_a_generation_reads_its_tables_again(rig: Rig) -> None:
    """After a pause longer than the session, what another worker did meanwhile to the same partitions counts."""
    topic, out = await topics(rig)
    total = feed(rig, topic, 2_000)
    async with process(rig, topic, out) as paused:
        await paused.says("ready")
        await finished(rig, topic, total)
        os.kill(paused.pid, signal.SIGSTOP)
        other = Counter(rig, topic, out)
        async with running(other.app):  # takes over when the session has run out
            await eventually(lambda: len(holds(other)) == PARTITIONS)
            total += feed(rig, topic, 2_000, total)
            await finished(rig, topic, total)
            os.kill(paused.pid, signal.SIGCONT)
            await eventually(lambda: len(holds(other)) == PARTITIONS // 2)
            total += feed(rig, topic, 2_000, total)
            await finished(rig, topic, total)
        total += feed(rig, topic, 2_000, total)
        await finished(rig, topic, total)
    await check_exact(rig, topic, out)


@pytest.mark.parametrize("mode", ["fail", "leave"])
async def test_a_crash_ends_the_process(rig: Rig, mode: str) -> None:
    """After a failed handler, or when its membership has ended, the process exits with 1 and without noise."""
    topic, out = await topics(rig)
    feed(rig, topic, 100)
    async with process(rig, topic, out, mode) as worker:
        await worker.says("crashed")
        code, complaints = await worker.ends(within=15)
    assert code == 1
    for noise in ("Event loop is closed", "never retrieved", "never awaited", "was destroyed"):
        assert noise not in complaints
