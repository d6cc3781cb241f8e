"""The read model against a real Redis: versions, kill -9, FLUSHALL, a pause."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream import topics
from stream.serving import ReadModel, Telemetry
from stream.serving.reader import BlockingReader
from stream.serving.readmodel_scripts import REDIS_ALERTS_VERSIONS
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.serving.conftest import RedisProcess


def metric(value: float) -> bytes:
    """A payload for a slice."""
    return json.dumps({"value": value}).encode()


def alert(name: str) -> bytes:
    """A payload for an alert."""
    return json.dumps({"id": name}).encode()


@asynccontextmanager
async def running(server: RedisProcess, **options: float) -> AsyncIterator[ReadModel]:
    """A started read model, stopped at the end."""
    model = ReadModel(server.url, Telemetry(), interval=0.02, timeout=0.5, **options)  # type: ignore[arg-type]
    await model.start()
    try:
        yield model
    finally:
        await model.stop()


async def written(model: ReadModel) -> None:
    """Wait until all that was offered is in Redis."""
    await eventually(lambda: model.waiting == 0 and model.ready_check()[0])


async def test_newest_metrics_of_a_slice_reach_redis(redis_process: RedisProcess) -> None:
    """What is offered is in Redis soon after, under the slice's key."""
    async with running(redis_process) as model:
        model.offer_metrics("{}", 1_000, True, metric(1))
        model.offer_metrics('{"segment":"vip"}', 1_000, True, metric(2))
        await written(model)
    assert BlockingReader(redis_process.url).metrics() == {
        "{}": {"value": 1},
        '{"segment":"vip"}': {"value": 2},
    }


async def test_an_older_value_never_replaces_a_newer_one(redis_process: RedisProcess) -> None:
    """Neither within one worker nor between two does time go backwards; final beats provisional."""
    async with running(redis_process) as one, running(redis_process) as two:
        one.offer_metrics("{}", 2_000, True, metric(2))
        one.offer_metrics("{}", 1_000, True, metric(1))
        await written(one)
        two.offer_metrics("{}", 1_500, True, metric(1.5))
        two.offer_metrics('{"a":"b"}', 1, True, metric(0))
        await written(two)
        two.offer_metrics("{}", 2_000, False, metric(9))
        await written(two)
        reader = BlockingReader(redis_process.url)
        assert reader.metrics(["{}", "absent"]) == {"{}": {"value": 2}}
        two.offer_metrics("{}", 2_001, False, metric(3))
        await written(two)
        assert reader.metrics(["{}"]) == {"{}": {"value": 3}}


async def test_alerts_are_active_until_resolved_and_stay_in_the_recent_ones(
    redis_process: RedisProcess,
) -> None:
    """Firing adds, resolved removes, a repeated publication changes nothing."""
    async with running(redis_process) as model, running(redis_process) as other:
        model.offer_alert("f1", "firing", 1_000, alert("a"))
        model.offer_alert("f2", "firing", 1_000, alert("b"))
        model.offer_alert("f1", "resolved", 2_000, alert("c"))
        await written(model)
        other.offer_alert("f1", "firing", 1_000, alert("a"))
        await written(other)
        reader = BlockingReader(redis_process.url)
        assert reader.active_alerts() == {"f2": {"id": "b"}}
        recent = reader.recent_alerts()
        assert [one["id"] for one in recent.alerts] == ["a", "b", "c"]
        model.offer_alert("f3", "firing", 3_000, alert("d"))
        await written(model)
        assert [one["id"] for one in reader.recent_alerts(after=recent.position).alerts] == ["d"]


async def test_an_alert_of_which_nothing_is_heard_stays_active(redis_process: RedisProcess) -> None:
    """Neither amended nor no_data ends an alert; withdrawn does, and nothing of that moment comes after it."""
    async with running(redis_process) as model:
        for at, (state, name) in enumerate([("firing", "a"), ("amended", "b"), ("no_data", "c")]):
            model.offer_alert("f1", state, 1_000 + at // 2, alert(name))
        await written(model)
        reader = BlockingReader(redis_process.url)
        assert reader.active_alerts() == {"f1": {"id": "c"}}
        model.offer_alert("f1", "withdrawn", 1_001, alert("d"))
        model.offer_alert("f1", "no_data", 1_001, alert("c"))
        await written(model)
        assert reader.active_alerts() == {}


async def test_an_alert_that_is_withdrawn_may_fire_again_at_the_same_moment(
    redis_process: RedisProcess,
) -> None:
    """What late data put in the place of an alert is active, also after all of it was told once more."""
    told = [("firing", 900), ("withdrawn", 1_000), ("firing", 1_000), ("amended", 1_000)]
    for _ in range(2):
        async with running(redis_process) as model:
            for name, (state, at) in enumerate(told):
                model.offer_alert("f1", state, at, alert(str(name)))
            await written(model)
        reader = BlockingReader(redis_process.url)
        assert reader.active_alerts() == {"f1": {"id": "3"}}
        assert [one["id"] for one in reader.recent_alerts().alerts] == ["0", "1", "2", "3"]


async def test_active_alerts_in_redis_are_bounded(
    redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest fingerprints go, here and in Redis."""
    monkeypatch.setattr("stream.serving.readmodel._KEEP_ALERTS", 50)
    async with running(redis_process) as model:
        for number in range(45):
            model.offer_alert(f"f{number}", "firing", 1_000 + number, alert(str(number)))
        await written(model)
        for number in range(45, 90):
            model.offer_alert(f"f{number}", "firing", 1_000 + number, alert(str(number)))
        await written(model)
    with redis_process.client() as client:
        assert client.zcard(REDIS_ALERTS_VERSIONS) == 50
        assert set(client.hkeys(topics.REDIS_ALERTS)) == {f"f{number}".encode() for number in range(40, 90)}


async def test_kill_and_restart_brings_everything_back(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """After kill -9 offering goes on without error, one line says so, and all held is written again."""
    caplog.set_level(logging.INFO, logger="stream.serving.readmodel")
    async with running(redis_process) as model:
        for number in range(1_500):
            model.offer_metrics(json.dumps({"product": str(number)}), 1_000, True, metric(number))
        model.offer_alert("f1", "firing", 1_000, alert("a"))
        await written(model)
        redis_process.kill()
        model.offer_metrics("{}", 1_000, True, metric(7))
        await eventually(lambda: not model.ready_check()[0])
        ok, reason = model.ready_check()
        assert not ok
        assert str(redis_process.port) in reason
        model.offer_alert("f2", "firing", 2_000, alert("b"))
        await asyncio.sleep(0.5)
        redis_process.start()
        await written(model)
    reader = BlockingReader(redis_process.url)
    assert len(reader.metrics()) == 1_501
    assert set(reader.active_alerts()) == {"f1", "f2"}
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].exc_info is None


async def test_an_unnoticed_restart_is_noticed_by_its_run_id(redis_process: RedisProcess) -> None:
    """A server replaced between two exchanges is recognised and filled."""
    async with running(redis_process) as model:
        model.offer_metrics("{}", 1_000, True, metric(1))
        await written(model)
        redis_process.kill()
        redis_process.start()
        reader = BlockingReader(redis_process.url)
        await eventually(lambda: reader.metrics() == {"{}": {"value": 1}})


async def test_flushall_is_repaired(redis_process: RedisProcess) -> None:
    """An emptied Redis has everything held again within seconds, recent alerts in their order."""
    async with running(redis_process) as model:
        model.offer_metrics("{}", 1_000, True, metric(1))
        model.offer_alert("f1", "firing", 1_000, alert("a"))
        model.offer_alert("f1", "resolved", 2_000, alert("b"))
        await written(model)
        with redis_process.client() as client:
            client.flushall()
        reader = BlockingReader(redis_process.url)
        await eventually(lambda: reader.metrics() == {"{}": {"value": 1}})
        await written(model)
        assert [one["id"] for one in reader.recent_alerts().alerts] == ["a", "b"]
        assert reader.active_alerts() == {}


async def test_a_paused_redis_is_reported_and_caught_up(redis_process: RedisProcess) -> None:
    """A server that hangs counts as away after the time-out; offers still return at once."""
    assert redis_process.process is not None
    async with running(redis_process) as model:
        model.offer_metrics("{}", 1_000, True, metric(1))
        await written(model)
        redis_process.process.send_signal(signal.SIGSTOP)
        try:
            began = time.perf_counter()
            for number in range(10_000):
                model.offer_metrics("{}", 2_000 + number, True, metric(number))
            assert time.perf_counter() - began < 5, "ten thousand, and an answer is awaited for half a second"
            await eventually(lambda: not model.ready_check()[0])
            assert "no answer in time" in model.ready_check()[1]
        finally:
            redis_process.process.send_signal(signal.SIGCONT)
        await written(model)
    assert BlockingReader(redis_process.url).metrics() == {"{}": {"value": 9_999}}


async def test_memory_is_bounded_while_redis_is_away(redis_process: RedisProcess) -> None:
    """Beyond the bound the longest unchanged slices are let go, and counted."""
    redis_process.kill()
    telemetry = Telemetry()
    model = ReadModel(redis_process.url, telemetry, max_slices=100, max_series=0)
    for number in range(150):
        model.offer_metrics(str(number), 1_000, True, metric(number))
    assert model.waiting == 100
    assert b'cx_readmodel_errors_total{reason="overflow"} 50.0' in telemetry.render()
    await model.stop()


async def test_redis_that_refuses_is_a_reason_not_a_traceback(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that wants a password says so in the readiness reason; no password is shown."""
    with redis_process.client() as client:
        client.config_set("requirepass", "s3cret")
    async with running(redis_process) as model:
        await eventually(lambda: "uthentication" in model.ready_check()[1])
    model = ReadModel(redis_process.url.replace("//", "//:wr0ng@"), Telemetry(), interval=0.02)
    await model.start()
    await eventually(lambda: "nvalid" in model.ready_check()[1] or "WRONGPASS" in model.ready_check()[1])
    assert "wr0ng" not in model.ready_check()[1]
    await model.stop()
    assert "wr0ng" not in caplog.text


async def test_refused_writes_are_one_line_and_one_reason(
    redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """A key of the wrong kind keeps it from being ready until it is gone; no value reaches a log."""
    with redis_process.client() as client:
        client.set(topics.REDIS_METRICS, "somebody else's")
        async with running(redis_process) as model:
            model.offer_metrics("{}", 1_000, True, b"a secret")
            await eventually(lambda: "WRONGTYPE" in model.ready_check()[1])
            await asyncio.sleep(0.5)
            assert not model.ready_check()[0]
            client.delete(topics.REDIS_METRICS)
            await written(model)
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["http://user:hunter2@somewhere", "hunter2", "redis://h:hunter2/x"])
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    """The error names the setting and what is allowed, and holds no part of the URL."""
    with pytest.raises(ValueError, match="CX_REDIS_URL") as caught:
        ReadModel(url, Telemetry())
    assert "hunter2" not in str(caught.value)


async def test_stop_writes_what_is_left(redis_process: RedisProcess) -> None:
    """An orderly stop loses nothing that was offered."""
    async with running(redis_process) as model:
        await written(model)
        model.offer_metrics("{}", 1_000, True, metric(4))
    assert BlockingReader(redis_process.url).metrics() == {"{}": {"value": 4}}
