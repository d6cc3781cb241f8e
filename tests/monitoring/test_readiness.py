"""What is wrong with a worker is said by ``/health/ready`` and by ``cx_ready`` within half a minute."""

from __future__ import annotations

import asyncio
import re
import signal
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.app import Worker
from tests.app.rig import RULES, Asked, later, reply, running, send, settings
from tests.engine.rig import hanging
from tests.serving.conftest import RedisProcess
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer
    from tests.conftest import Deployment

#: How soon readiness has to say what is wrong, with the settings that a deployment begins with.
WITHIN_S = 30.0


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis of this test's own."""
    server = RedisProcess(tmp_path)
    server.start()
    yield server
    server.kill()


async def wrong(asked: Asked, check: str) -> str:
    """Wait until a check fails, see that Prometheus would hear of it, and return the reason."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            samples = await asked.samples()
            if samples[f'cx_ready{{check="{check}"}}'] == 0:
                status, reasons = await asked.ready()
                assert status == 503
                return reasons[check]
            await asyncio.sleep(0.1)


async def test_a_stalled_partition_is_named(
    deploy: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of what ends the worker is enough; the gauge says how long it has been."""
    deployment = deploy()
    # 60 s by default, of which a third is within the half minute; here everything is a fifth.
    worker = Worker(settings(deployment, app_id=deployment.app_id, stall_after_ms=12_000))
    go_on, table = asyncio.Event(), worker.app.batch_tables()[topics.CUSTOMERS_TABLE]
    write = table.write

    async def held(partition: int, entries: Any) -> None:
        await go_on.wait()
        await write(partition, entries)

    async with running(worker) as (asked, _):
        await eventually(asked.is_ready)
        monkeypatch.setattr(table, "write", held)
        send(deployment, [reply(1)])
        began = monotonic()
        reason = await wrong(asked, "progress")
        assert monotonic() - began < WITHIN_S / 5 * 2
        assert reason.startswith("cx.replies/")
        assert re.search(r"no batch finished for \d+ s", reason)
        stalled = {
            name: seconds
            for name, seconds in (await asked.samples()).items()
            if name.startswith("cx_partition_stalled_seconds") and seconds
        }
        [(name, seconds)] = stalled.items()
        assert reason.split(":")[0] == "/".join(name.split('"')[3::-2])
        assert 4 <= seconds < 12
        go_on.set()
        await eventually(asked.is_ready)


async def test_a_broker_that_hangs_is_named(deploy: Callable[..., Deployment], kafka: KafkaServer) -> None:
    """Connections stay open and nothing comes back: the worker says so long before its requests time out."""
    deployment = deploy()
    worker = Worker(settings(deployment, app_id=deployment.app_id))
    async with running(worker) as (asked, _):
        await eventually(asked.is_ready)
        async with hanging(kafka):
            assert (await wrong(asked, "broker")).startswith("no answer for ")
        await eventually(asked.is_ready, 60)


async def test_a_redis_that_hangs_is_named_and_nothing_else_suffers(
    deploy: Callable[..., Deployment], redis_process: RedisProcess
) -> None:
    """The reason is that there is no answer; the other checks are in order, and events are counted."""
    assert redis_process.process is not None
    deployment = deploy()
    worker = Worker(settings(deployment, app_id=deployment.app_id, redis_url=redis_process.url))
    async with running(worker) as (asked, _):
        await eventually(asked.is_ready)
        redis_process.process.send_signal(signal.SIGSTOP)
        try:
            send(deployment, [reply(number) for number in range(100)])
            assert "no answer in time" in await wrong(asked, "redis")
            samples = await asked.samples()
            checks = ("broker", "partitions", "progress")
            assert [samples[f'cx_ready{{check="{check}"}}'] for check in checks] == [1, 1, 1]
            assert samples['cx_records_total{topic="cx.replies",verdict="applied"}'] == 100
        finally:
            redis_process.process.send_signal(signal.SIGCONT)
        await eventually(asked.is_ready)


async def test_what_went_to_another_worker_is_no_longer_shown(
    deploy: Callable[..., Deployment], tmp_path: Path
) -> None:
    """After a rebalance each slice, and each partition's lag, is on one worker only, and all are somewhere."""
    deployment = deploy()
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    given = settings(deployment, app_id=deployment.app_id, rules=rules)

    def shown(samples: dict[str, float], *names: str) -> set[str]:
        return {name for name in samples if name.startswith(tuple(f"{each}{{" for each in names))}

    families = ("cx_metric_value", "cx_partition_lag", "cx_watermark_delay_seconds", "cx_final_delay_seconds")
    values = [reply(number, segment=f"s{number % 20}") for number in range(400)]
    async with running(Worker(given)) as (first, _):
        await eventually(first.is_ready)
        send(deployment, [*values, later()])

        alone: set[str] = set()

        async def all_final() -> bool:
            """Whether every slice is shown, and every partition it holds: they come one after another."""
            samples = await first.samples()
            alone.clear()
            alone.update(shown(samples, *families))
            slices = {name.rpartition("slice=")[2] for name in shown(samples, "cx_metric_value")}
            held = sum(samples[name] for name in shown(samples, "cx_assigned_partitions"))
            return len(slices) == 21 and len(shown(samples, "cx_partition_lag")) == held

        await eventually(all_final)
        async with running(Worker(given)) as (second, _):
            lags = shown(dict.fromkeys(alone, 0), "cx_partition_lag")

            async def shared() -> bool:
                """Each has half, and shows that half alone; nothing is shown twice or by nobody."""
                one, other = await first.samples(), await second.samples()
                held = 'cx_assigned_partitions{topic="cx.partials"}'
                mine, theirs = shown(one, *families), shown(other, *families)
                return (
                    one.get(held) == other.get(held) == 2
                    and not mine & theirs
                    and mine < alone
                    and shown(dict.fromkeys(mine | theirs, 0), "cx_partition_lag") == lags
                )

            await eventually(shared)
