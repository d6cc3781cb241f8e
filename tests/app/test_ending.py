"""How a worker ends: stopped in good order with nothing lost, crashed with a reason, and no word of customers."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.app import Worker
from stream.cli.logs import setup_logging
from stream.pipeline import CustomersPartition
from tests.app.rig import RULES, everything, final_replies, later, reply, running, send, settings
from tests.e2e.harness import WorkerProcess
from tests.waiting import eventually

if TYPE_CHECKING:
    from io import StringIO
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka

MARK = "GEHEIM-7f3a"  # marks whatever must not be seen in a log


def process(kafka: EmbeddedKafka, folder: Path, **env: str) -> WorkerProcess:
    """``cx worker``, as people start it."""
    return WorkerProcess(
        {"CX_BROKERS": kafka.bootstrap, "CX_IDLE_AFTER_MS": "500", **env},
        folder,
        program=(sys.executable, "-m", "stream.cli"),
    )


def counted(worker: WorkerProcess, name: str, *words: str) -> float:
    """Sum of a metric's samples that have all the words in their labels."""
    found = worker.counters(name).items()
    return sum(value for labels, value in found if all(word in labels for word in words))


async def test_a_failed_housekeeping_task_ends_the_worker(
    embedded: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on half dead: exit code 1, so that its supervisor starts it again."""
    worker = Worker(settings(embedded))

    async def broken() -> None:
        raise KeyError(MARK)

    async with running(worker) as (asked, task):
        await eventually(asked.is_ready)
        monkeypatch.setattr(worker.customers, "idle", broken)
        assert await asyncio.wait_for(task, 60) == 1


async def test_a_crash_says_nothing_of_customers(
    embedded: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch, logs: StringIO
) -> None:
    """Exit code 1 and a reason; an exception that holds an id is named by its type alone."""
    setup_logging("DEBUG", logs)

    def fails(*args: Any) -> None:
        raise KeyError(MARK)

    monkeypatch.setattr(CustomersPartition, "run", fails)
    worker = Worker(settings(embedded))
    async with running(worker) as (asked, task):
        await eventually(asked.is_ready)
        send(embedded, [reply(1)])
        assert await asyncio.wait_for(task, 60) == 1
    assert MARK not in logs.getvalue()
    assert "the worker stops: KeyError" in logs.getvalue()


@pytest.mark.slow
async def test_a_stop_under_load_loses_and_repeats_nothing(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """SIGTERM in the middle ends with 0, all that was done committed; the next worker does exactly the rest."""
    total, bad = 12_000, 120
    values: list[bytes | None] = [reply(n, customer_id=f"c{n % 1500}") for n in range(total)]
    values[50 :: total // bad] = [b"broken %d" % n for n in range(len(values[50 :: total // bad]))]

    def keep_sending() -> None:
        for at in range(0, total, 200):
            send(embedded, values[at : at + 200])
            time.sleep(0.05)

    with process(embedded, tmp_path, CX_MAX_BATCH_RECORDS="100") as first:
        await eventually(lambda: "serving" in first.log)
        sending = asyncio.create_task(asyncio.to_thread(keep_sending))
        await eventually(lambda: counted(first, "cx_records_total", 'verdict="deadletter"') > 0)
        assert await asyncio.to_thread(first.stop) == 0
        assert "level=error" not in first.log
    refused = len(everything(embedded, topics.DEADLETTERS))
    assert 0 < refused < bad, "it was to be stopped in the middle"
    await sending
    with process(embedded, tmp_path) as second:
        send(embedded, [later()])
        await eventually(lambda: counted(second, "cx_records_total", 'verdict="deadletter"') == bad - refused)
        await eventually(lambda: final_replies(embedded) == total - bad)
        assert counted(second, "cx_records_total", 'verdict="duplicate"') == 0
        assert second.stop() == 0
    dead = [value for _, value in everything(embedded, topics.DEADLETTERS)]
    assert sorted(value or b"" for value in dead) == sorted(b"broken %d" % n for n in range(bad))


def bad_records() -> list[bytes | None]:
    """One of each way to be wrong, each with the marked text where text can be."""
    now = int(time.time() * 1000)
    return [
        None,
        MARK.encode(),
        b'{"comment": "' + MARK.encode(),
        b"\xff" + MARK.encode(),
        reply(1, customer_id=None, comment=MARK),
        reply(2, score=MARK),
        reply(3, score=99, comment=MARK),
        reply(4, occurred_at=MARK),
        reply(5, occurred_at=now + 10**9, comment=MARK),
        reply(6, occurred_at=now - 10**10, comment=MARK),
        reply(7, metric=MARK),
        reply(8, segment=MARK * 50),
        reply(9, comment=MARK * 10_000),
        reply(10, customer_id=[MARK]),
        b"[" * 3000 + MARK.encode(),
    ]


@pytest.mark.slow
async def test_no_customer_in_a_log(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """At level DEBUG, over good and bad records, restarts included: no id and no comment is ever written."""
    (tmp_path / "rules.yml").write_text(RULES)
    good = [
        reply(
            n,
            event_id=f"{MARK}-e{n}",
            customer_id=f"{MARK}-c{n % 9}",
            comment=f"{MARK} said",
            score=n % 11,
        )
        for n in range(300)
    ]
    touch = reply(999, metric=None, score=None, kind="ticket_opened", ref=MARK, customer_id=MARK)
    bad = bad_records()
    for values in ([*good, *bad, *good[:20]], [*bad, touch, *good[:20]]):
        with process(embedded, tmp_path, CX_LOG_LEVEL="DEBUG", CX_RULES="rules.yml") as worker:
            before = len(everything(embedded, topics.DEADLETTERS))
            send(embedded, values)
            await eventually(lambda: len(everything(embedded, topics.DEADLETTERS)) == before + len(bad))  # noqa: B023
            await eventually(lambda: counted(worker, "cx_records_total", "duplicate") >= 20)
            assert worker.stop() == 0
        assert "level=debug" in worker.log
        assert MARK not in worker.log
        assert MARK.encode().hex() not in worker.log
    alerts = [value or b"" for _, value in everything(embedded, topics.ALERTS)]
    assert any(MARK.encode() in value for value in alerts), "the marked text did come through"
