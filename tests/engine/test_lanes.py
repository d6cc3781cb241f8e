"""Lanes: one at a time inside a partition, side by side between them."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.engine import Batch, BatchApp, Lanes, lanes
from tests.engine.rig import Gate

GENERATION = 3


class App:
    """What lanes need of an app."""

    def __init__(self) -> None:
        self.consumer_generation_id = GENERATION
        self.lanes: list[Lanes] = []
        self._crashed = asyncio.Event()
        self.reason: BaseException | None = None

    async def crash(self, reason: BaseException) -> None:
        """Note a crash."""
        self.reason = reason
        self._crashed.set()


def lanes_of(app: App, handler: Any, **options: float) -> Lanes:
    """Build lanes over such an app."""
    return Lanes(cast("BatchApp", app), handler, **options)


class Acks:
    """Makes batches and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def batch(self, name: str, partition: int = 0, generation: int = GENERATION) -> Batch:
        """Make a batch of one record; its name is the topic."""
        records: list[Any] = [SimpleNamespace(offset=0)]
        return Batch(name, partition, records, generation, lambda one: self.done.append(one.topic))


def names(batches: list[Batch]) -> list[str]:
    """Names of batches."""
    return [batch.topic for batch in batches]


async def test_one_at_a_time_inside_a_partition_and_side_by_side_between_them() -> None:
    """What comes while a lane works waits and is then handled at once, in order; other lanes do not wait."""
    acks, gate = Acks(), Gate()
    lane = lanes_of(App(), gate)
    for name, partition in (("a", 0), ("b", 0), ("c", 1)):
        lane.submit(acks.batch(name, partition))
    begun = [await gate.next(), await gate.next()]
    assert [(p, names(batches)) for p, batches in begun] == [(0, ["a", "b"]), (1, ["c"])]
    for name in ("d", "e"):
        lane.submit(acks.batch(name))
    await asyncio.sleep(0)
    assert gate.began.empty()
    assert acks.done == []
    gate.go.set()
    assert names((await gate.next())[1]) == ["d", "e"]
    await lane.quiesce()
    assert sorted(acks.done) == ["a", "b", "c", "d", "e"]


async def test_a_batch_from_before_a_rebalance_is_left() -> None:
    """Batches of another generation, and those that come while lanes are closed, are not handled."""
    acks, gate = Acks(), Gate()
    gate.go.set()
    lane = lanes_of(App(), gate)
    lane.submit(acks.batch("old", generation=GENERATION - 1))
    await lane.quiesce()
    lane.submit(acks.batch("closed"))
    lane.reopen()
    lane.submit(acks.batch("new"))
    await gate.next()
    await lane.quiesce()
    assert [names(batches) for _, batches in gate.done] == [["new"]]
    assert acks.done == ["new"]


async def test_quiesce_waits_for_what_is_at_work_and_drops_the_rest() -> None:
    """A batch being handled is finished and acknowledged, one that is queued behind it is not begun."""
    acks, gate = Acks(), Gate()
    lane = lanes_of(App(), gate)
    lane.submit(acks.batch("at work"))
    await gate.next()
    lane.submit(acks.batch("queued"))
    quiet = asyncio.create_task(lane.quiesce())
    done, _ = await asyncio.wait([quiet], timeout=0.05)
    assert not done
    gate.go.set()
    await asyncio.wait_for(quiet, 5)
    assert acks.done == ["at work"]
    assert gate.began.empty()


async def test_after_a_failure_nothing_more_is_handled() -> None:
    """A handler that raises crashes the app; its batches are not acknowledged and its lanes stay closed."""
    app, acks, begun = App(), Acks(), []

    async def fails(partition: int, batches: list[Batch]) -> None:
        begun.append(names(batches))
        raise LookupError("no luck")

    lane = lanes_of(app, fails)
    lane.submit(acks.batch("a"))
    await asyncio.wait_for(app._crashed.wait(), 5)
    lane.submit(acks.batch("b"))
    lane.reopen()
    lane.submit(acks.batch("c"))
    await lane.quiesce()
    assert isinstance(app.reason, LookupError)
    assert begun == [["a"]]
    assert acks.done == []


async def test_a_handler_that_hangs_is_cancelled_once_the_app_has_crashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handlers at work when the app crashes have a little time to finish; who needs more is cancelled."""
    monkeypatch.setattr(lanes, "CRASH_GRACE_S", 0.2)
    app, acks, cancelled = App(), Acks(), []

    async def handle(partition: int, batches: list[Batch]) -> None:
        try:
            await asyncio.sleep(0.05 if partition else 600)
        except asyncio.CancelledError:
            cancelled.append(partition)
            raise

    lane = lanes_of(app, handle)
    lane.submit(acks.batch("hangs", 0))
    lane.submit(acks.batch("slow", 1))
    await asyncio.sleep(0)
    quiet = asyncio.create_task(lane.quiesce())
    await app.crash(RuntimeError("elsewhere"))
    await asyncio.wait_for(quiet, 5)
    assert acks.done == ["slow"]
    assert cancelled == [0]


async def test_a_pace_is_kept_but_never_waited_for_at_the_end() -> None:
    """A lane with a pace rests between rounds and gathers what comes; a rebalance or a stop ends the rest."""
    acks, gate = Acks(), Gate()
    gate.go.set()
    lane = lanes_of(App(), gate, pace_s=0.2)
    began = monotonic()
    lane.submit(acks.batch("a"))
    await gate.next()
    for name in ("b", "c"):
        lane.submit(acks.batch(name))
    assert names((await gate.next())[1]) == ["b", "c"]
    assert 0.15 < monotonic() - began < 5
    long = lanes_of(App(), gate, pace_s=600.0)
    long.submit(acks.batch("d"))
    await gate.next()
    await asyncio.wait_for(long.quiesce(), 5)
    await asyncio.wait_for(lane.quiesce(), 5)
    assert acks.done == ["a", "b", "c", "d"]
