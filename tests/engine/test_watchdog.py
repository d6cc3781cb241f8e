"""A worker that makes no progress says so, and then ends."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from stream.engine import Batch, BatchApp, Lanes, Partition, Stalled, lanes
from stream.engine.watchdog import Watchdog, stalled
from tests.engine.rig import Gate, Rig, Seen, crashed, running, stop
from tests.waiting import eventually

A, B = Partition("a", 0), Partition("b", 1)


@pytest.mark.parametrize(
    ("oldest", "behind_since", "expected"),
    [
        ({}, {}, {}),
        ({A: 40.0}, {}, {}),
        ({A: 39.0}, {}, {A: "no batch finished for 61 s"}),
        ({}, {B: 40.0}, {}),
        ({}, {B: 30.0}, {B: "records waiting on the broker, none fetched for 70 s"}),
        ({A: 10.0}, {A: 20.0}, {A: "no batch finished for 90 s"}),
        (
            {A: 0.0},
            {B: 0.0},
            {
                A: "no batch finished for 100 s",
                B: "records waiting on the broker, none fetched for 100 s",
            },
        ),
        ({A: 99.0, B: 1.0}, {A: 99.0}, {B: "no batch finished for 99 s"}),
    ],
)
def test_stalled(
    oldest: dict[Partition, float], behind_since: dict[Partition, float], expected: dict[Partition, str]
) -> None:
    """A partition is stalled when its work, or what waits for it on the broker, has not moved for the limit."""
    assert stalled(100.0, 60.0, oldest=oldest, behind_since=behind_since) == expected


def watchdog(**app: Any) -> Watchdog:
    """Build a watchdog over an app that only has these attributes."""
    recovery = SimpleNamespace(moved_at=app.pop("moved_at", 0.0))
    settings = SimpleNamespace(broker_rebalance_timeout=30.0)
    base = {"batch_consumer": None, "rebalancing": False, "in_recovery": False, "conf": settings}
    fake = SimpleNamespace(**base | app, tables=SimpleNamespace(recovery=recovery))
    return Watchdog(cast("BatchApp", fake), stall_after_s=60.0)


@pytest.mark.parametrize(
    ("app", "now", "expected"),
    [
        ({}, 1000.0, None),
        ({"rebalancing": True}, 1090.0, None),
        ({"rebalancing": True}, 1091.0, "rebalance: nothing happened for 91 s"),
        ({"rebalancing": True, "moved_at": 1050.0}, 1091.0, None),
        ({"rebalancing": True, "in_recovery": True, "moved_at": 1050.0}, 1110.0, None),
        (
            {"rebalancing": True, "in_recovery": True, "moved_at": 1050.0},
            1111.0,
            "recovery of tables: nothing happened for 61 s",
        ),
    ],
)
async def test_stuck(app: dict[str, Any], now: float, expected: str | None) -> None:
    """A rebalance may take the others' time-out and the limit, a recovery the limit without a record read."""
    guard = watchdog(**app)
    guard.look(1000.0)
    guard.look(now - 1)
    assert guard.stuck(now) == expected


async def test_a_rebalance_that_ends_is_not_stuck() -> None:
    """Each rebalance has its own time: many short ones are no stall."""
    guard = watchdog(rebalancing=True)
    guard.look(1000.0)
    cast("Any", guard.app).rebalancing = False
    guard.look(1080.0)
    cast("Any", guard.app).rebalancing = True
    guard.look(1081.0)
    assert guard.stuck(1100.0) is None


async def test_a_hanging_handler_is_named_and_then_ends_the_app(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that never returns is given as a reason at half the limit, crashes the app, and stops quickly."""
    monkeypatch.setattr(lanes, "CRASH_GRACE_S", 0.2)
    topic = await rig.topic()
    app = rig.app(topic, stall_after_s=3.0)
    gate = Gate()
    rig.consume(app, Lanes(app, gate), topic)
    rig.send(topic, [(b"k", b"v")])
    async with running(app):
        await gate.next()
        await eventually(lambda: bool(app.watchdog.reasons(monotonic())))
        assert not app.crashed
        assert list(app.watchdog.reasons(monotonic())) == [Partition(topic, 0)]
        reason = await crashed(app)
        assert isinstance(reason, Stalled)
        assert f"{topic}/0: no batch finished" in str(reason)
        started = monotonic()
        await stop(app)
        assert monotonic() - started < 10
    assert gate.done == []
    assert rig.committed(topic) is None


async def test_a_slow_handler_with_much_queued_is_no_stall(rig: Rig) -> None:
    """Work that goes on, though what is queued last waits longer than the limit, is progress."""
    topic = await rig.topic()
    app = rig.app(topic, stall_after_s=1.0, max_batch_records=1)

    one_at_a_time = asyncio.Lock()

    async def slow() -> None:
        await asyncio.sleep(0.25)  # the work itself

    handled: list[Batch] = []

    async def agent(stream: Any) -> None:
        async for batch in stream:
            async with one_at_a_time:
                await slow()
                handled.append(batch)
                batch.ack()

    app.agent(app.hot_topic(topic), name="slow")(agent)
    rig.send(topic, [(b"k", b"v")] * 12)
    async with running(app):
        await eventually(lambda: len(handled) == 12)
        assert not app.crashed


async def test_a_fatal_error_of_the_group_ends_the_app(rig: Rig) -> None:
    """An error aiokafka keeps to itself, such as a group that is forbidden, crashes the app."""
    topic = await rig.topic()
    app = rig.app(topic)
    rig.consume(app, Lanes(app, Seen()), topic)
    async with running(app):
        consumer = app.batch_consumer
        assert consumer is not None
        inner = consumer._thread._consumer
        assert inner is not None
        inner._coordinator._pending_exception = GroupAuthorizationFailedError(rig.group)
        assert isinstance(await crashed(app), GroupAuthorizationFailedError)


async def test_a_consumer_that_left_its_group_ends_the_app(rig: Rig) -> None:
    """A worker whose group membership ended for good does not live on without partitions."""
    topic = await rig.topic()
    app = rig.app(topic, stall_after_s=2.0)
    rig.consume(app, Lanes(app, Seen()), topic)
    async with running(app):
        consumer = app.batch_consumer
        assert consumer is not None
        thread = consumer._thread
        assert thread._consumer is not None
        task = thread._consumer._coordinator._coordination_task
        thread.thread_loop.call_soon_threadsafe(task.cancel)
        reason = await crashed(app)
    assert isinstance(reason, Stalled | asyncio.CancelledError)
