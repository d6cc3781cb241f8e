"""The worker as it is wired: settings in, a process that works, says how it is, and stops as it should."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stream import app as wiring
from stream import topics
from stream.alerting.rules import RuleError
from stream.app import Worker
from stream.brokers.embedded import EmbeddedKafka
from stream.cli.logs import setup_logging
from stream.deployment import load_book, pipeline_config
from stream.engine import recovery
from stream.pipeline import CustomersPartition
from stream.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import Deployment

RULES = """
slices:
  - [segment]
groups:
  - name: g
    rules:
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 6}}}
"""
MARK = "GEHEIM-7f3a"  # marks whatever must not be seen in a log


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    """An empty broker with the program's topics."""
    with EmbeddedKafka(topics.layout("cx-pulse", 4)) as kafka:
        yield kafka


@pytest.fixture(autouse=True)
def _quick_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "SESSION_TIMEOUT_S", 6.0)
    monkeypatch.setattr(wiring, "HEARTBEAT_S", 0.3)


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """What the process logs, as ``cx worker`` would."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in ("aiokafka", "faust", "mode", "asyncio", "aiohttp", "kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def settings(kafka: EmbeddedKafka | Deployment, **more: Any) -> Settings:
    """Settings of a worker on this broker, quick to commit and to notice the end of the input."""
    given = {
        "brokers": kafka.bootstrap,
        "redis_url": None,
        "http_port": 0,
        "commit_interval_ms": 100,
        "idle_after_ms": 500,
    }
    return Settings(_env_file=None, **given | more)


def reply(number: int, **fields: Any) -> bytes:
    """A reply of a minute ago; fields of None are left out."""
    event = {
        "event_id": f"e{number}",
        "customer_id": f"c{number % 50}",
        "occurred_at": int(time.time() * 1000) - 60_000 + number,
        "metric": "nps",
        "score": 9,
        "segment": "vip",
    }
    return json.dumps({k: v for k, v in (event | fields).items() if v is not None}).encode()


def later() -> bytes:
    """A touchpoint of now: what was a minute ago is final when all has become idle."""
    return reply(
        10_000_000, occurred_at=int(time.time() * 1000), metric=None, score=None, kind="session_started"
    )


def send(kafka: EmbeddedKafka | Deployment, values: list[bytes | None], key: bytes | None = None) -> None:
    """Write replies, keyed by their customer unless a key is given; done when the broker has them."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "log_level": 0})
    for value in values:
        own = re.search(rb'"customer_id": "([^"]*)"', value or b"")
        producer.produce(topics.REPLIES, value, key or (own[1] if own else b"?"))
        producer.poll(0)
    assert producer.flush(30) == 0


def everything(kafka: EmbeddedKafka, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of all records of a topic, partition after partition."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "log_level": 0})
    found = []
    try:
        for partition in range(kafka.partitions[topic]):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None, message.error()
                found.append((message.key(), message.value()))
                low = message.offset() + 1
    finally:
        consumer.close()
    return found


def final_replies(kafka: EmbeddedKafka) -> int:
    """NPS replies of the last hour in the newest final value of the whole."""
    final: dict[str, Any] = {}
    for key, value in everything(kafka, topics.METRICS):
        record = json.loads(value or b"{}")
        if key == b"{}" and record["final"]:
            final = record
    return int(final["metrics"]["nps"]["1h"]["n"]) if final else 0


async def until(what: Any, within: float = 60.0) -> None:
    """Wait for a condition; a coroutine function is awaited each time."""
    async with asyncio.timeout(within):
        while True:
            found = what()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


class Asked:
    """A worker's HTTP endpoint, as an orchestrator or Prometheus sees it."""

    def __init__(self, worker: Worker, session: aiohttp.ClientSession) -> None:
        self._worker = worker
        self._session = session

    async def ready(self) -> tuple[int, dict[str, str]]:
        """Status, and the reason of each check."""
        async with self._session.get(f"http://127.0.0.1:{self._worker.server.port}/health/ready") as answer:
            checks = json.loads(await answer.text())["checks"]
            return answer.status, {name: found["reason"] for name, found in checks.items()}

    async def is_ready(self) -> bool:
        """Whether it says 200."""
        return (await self.ready())[0] == 200

    async def samples(self) -> dict[str, float]:
        """Samples of ``/metrics`` by name and labels."""
        async with self._session.get(f"http://127.0.0.1:{self._worker.server.port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[tuple[Asked, asyncio.Task[int]]]:
    """Run a worker; whoever has not waited for its end has it stopped here, in good order."""
    task = asyncio.create_task(worker.run())
    try:
        async with aiohttp.ClientSession() as session:
            await until(lambda: worker.server.port or task.done())
            yield Asked(worker, session), task
    finally:
        if not task.done():
            worker.stop()
            assert await asyncio.wait_for(task, 40) == 0


def test_settings_decide_what_the_pipeline_does(tmp_path: Path) -> None:
    """Each setting that bears on the outcome arrives where it counts."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    given = Settings(
        _env_file=None,
        partitions=7,
        rules=rules,
        max_members=3,
        pane_ms=1000,
        lateness_ms=1,
        late_horizon_ms=2,
        max_ahead_ms=3,
        dedup_horizon_ms=4,
        dedup_per_customer=5,
        max_record_bytes=600,
        confidence=0.8,
    )
    config = pipeline_config(given, load_book(given))
    assert config.topics == ("cx.touchpoints", "cx.replies")
    assert len(config.sources) == 14
    assert config.groupings.groupings == ((), ("segment",))
    assert config.groupings.max_members == 3
    panes = config.panes
    assert (panes.pane_ms, panes.lateness_ms, panes.late_horizon_ms, panes.max_ahead_ms) == (1000, 1, 2, 3)
    assert (config.customers.dedup_horizon_ms, config.customers.dedup_per_customer) == (4, 5)
    assert config.limits.max_bytes == 600
    assert config.confidence == 0.8


def test_without_rules_there_are_metrics_and_no_alerts() -> None:
    """No rules file is not an error."""
    book = load_book(Settings(_env_file=None))
    assert (list(book.metric_rules), list(book.customer_rules)) == ([], [])


def test_rules_that_cannot_be_read_name_the_setting_or_the_place(tmp_path: Path) -> None:
    """A file that is not there, is a folder or is no text: ``CX_RULES``; a wrong one: file, line and rule."""
    (tmp_path / "latin.yml").write_bytes(b"alert: \xff\xfe")
    for path in (tmp_path / "absent.yml", tmp_path, tmp_path / "latin.yml"):
        with pytest.raises(ValueError, match=rf"^CX_RULES: {re.escape(str(path))} "):
            load_book(Settings(_env_file=None, rules=path))
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(RULES.replace("customer", "client").replace("lte: 6", "lte: low"))
    with pytest.raises(RuleError, match=rf"^{re.escape(str(wrong))}:7: rule 'Detractor'"):
        load_book(Settings(_env_file=None, rules=wrong))
    unknown = tmp_path / "unknown.yml"
    unknown.write_text(RULES.replace("score:", "customer.shoe_size:"))
    with pytest.raises(RuleError, match="shoe_size"):
        load_book(Settings(_env_file=None, rules=unknown))


async def test_ready_only_when_tables_are_complete(
    embedded: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with its reason while joining and recovering, 200 when the streams run."""
    reading, go = asyncio.Event(), asyncio.Event()
    real = recovery.read_changelogs

    async def held(*args: Any) -> int:
        reading.set()
        await go.wait()
        return await real(*args)

    monkeypatch.setattr(recovery, "read_changelogs", held)
    worker = Worker(settings(embedded))
    assert not worker.health.readiness().ready
    assert worker.health.readiness().checks["broker"].reason == "not asked yet"
    async with running(worker) as (asked, _):
        while not reading.is_set():
            status, reasons = await asked.ready()
            assert status == 503
            assert reasons["partitions"].startswith(("joining the group", "rebalancing", "recovering tables"))
            await asyncio.sleep(0.02)
        status, reasons = await asked.ready()
        assert (status, reasons["broker"]) == (503, "reachable")
        assert re.fullmatch(r"recovering tables: at most \d+ changelog records left", reasons["partitions"])
        go.set()
        await until(asked.is_ready)
        # 4 of each input, cx.partials, cx.alerts and cx.redrives; the one lane, and cx.examples.
        assert (await asked.ready())[1]["partitions"] == "22 assigned, their tables complete"


async def test_a_worker_shows_what_it_does(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """Records are counted by what became of them; misrouted ones, ``other``, commits and delays are seen."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    worker = Worker(settings(embedded, rules=rules, max_members=1))
    async with running(worker) as (asked, _):
        await until(asked.is_ready)
        good = [reply(n, segment=("vip", "new")[n % 2]) for n in range(100)]
        send(embedded, [*good, good[7], b"no json", reply(100, score=1)])
        send(embedded, [reply(101)], key=b"somebody else")
        send(embedded, [later()])
        replies = 'cx_records_total{topic="cx.replies",verdict='

        async def counted() -> bool:
            found = await asked.samples()
            verdicts = [found.get(f'{replies}"{v}"}}', 0) for v in ("applied", "duplicate", "deadletter")]
            values = found.get('cx_metric_replies{metric="nps",window="1h",slice="all"}')
            return verdicts == [103, 1, 1] and found["cx_commits_total"] > 0 and values == 102

        await until(counted)
        found = await asked.samples()
        assert found['cx_misrouted_records_total{topic="cx.replies"}'] == 1
        assert found['cx_other_members_total{grouping="segment"}'] > 0
        assert found['cx_alerts_total{alert="Detractor",state="firing"}'] == 1
        assert found['cx_recovery_records_total{table="customers"}'] == 0
        delays = [v for k, v in found.items() if k.startswith("cx_watermark_delay_seconds{")]
        assert delays
        assert all(10 <= delay < 120 for delay in delays)

        async def caught_up() -> bool:  # the gauges are looked at once a second
            lags = [v for k, v in (await asked.samples()).items() if k.startswith("cx_partition_lag{")]
            return bool(lags) and not any(lags)

        await until(caught_up)


async def test_a_second_worker_takes_its_gauges_along(deploy: Callable[[], Deployment]) -> None:
    """After a rebalance each partition's gauges, and each slice's values, are on one worker only."""
    real = deploy()
    first, second = (Worker(settings(real, app_id=real.app_id)) for _ in range(2))

    async def shown(asked: Asked) -> set[str]:
        prefixes = ("cx_partition_lag{", "cx_metric_value{")
        return {name for name in await asked.samples() if name.startswith(prefixes)}

    async with running(first) as (one, _):
        await until(one.is_ready)
        send(real, [*(reply(n, segment=f"s{n % 9}") for n in range(200)), later()])

        async def published() -> bool:
            return any(name.startswith("cx_metric_value{") for name in await shown(one))

        await until(published)
        before = await shown(one)
        assert sum(name.startswith("cx_partition_lag{") for name in before) == 22
        async with running(second) as (two, task):

            async def shared() -> bool:
                ready = await one.is_ready() and await two.is_ready()
                return ready and len(second.app.held()) > 0

            await until(shared)

            async def dealt_out() -> bool:
                mine, theirs = await shown(one), await shown(two)
                assert not mine & theirs
                return mine | theirs >= {name for name in before if name.startswith("cx_partition_lag{")}

            await until(dealt_out)
            assert not task.done()


async def test_a_failed_housekeeping_task_ends_the_worker(
    embedded: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on half dead: exit code 1, so that its supervisor starts it again."""
    worker = Worker(settings(embedded))

    async def broken() -> None:
        raise KeyError(MARK)

    async with running(worker) as (asked, task):
        await until(asked.is_ready)
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
        await until(asked.is_ready)
        send(embedded, [reply(1)])
        assert await asyncio.wait_for(task, 60) == 1
    assert MARK not in logs.getvalue()
    assert "the worker stops: KeyError" in logs.getvalue()


class Process:
    """``cx worker`` as a process; its standard error is in a file."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path, **env: str) -> None:
        self.log_path = folder / f"worker-{uuid.uuid4().hex[:6]}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
        given = {
            "CX_BROKERS": kafka.bootstrap,
            "CX_REDIS_URL": "",
            "CX_HTTP_PORT": "0",
            "CX_IDLE_AFTER_MS": "500",
            "CX_COMMIT_INTERVAL_MS": "100",
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream.cli", "worker"],
                cwd=folder,
                env={**clean, **given, **env},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> Self:
        """Started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """However the test ends, the process does."""
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """All it has said."""
        return self.log_path.read_text(errors="replace")

    def get(self, path: str) -> str:
        """What its HTTP endpoint says; empty while nobody answers."""
        assert self.process.poll() is None, self.log[-2000:]
        found = re.search(r"on (http://127\.0\.0\.1:\d+)", self.log)
        if found is None:
            return ""
        try:
            with urllib.request.urlopen(f"{found[1]}{path}", timeout=5) as answer:  # noqa: S310 - our own
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return f"{error.code} {error.read().decode()}"

    def total(self, name: str, *words: str) -> float:
        """Sum of a metric's samples that have all the words in their labels."""
        lines = self.get("/metrics").splitlines()
        mine = [line for line in lines if line.startswith(name) and all(word in line for word in words)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


async def test_a_broker_that_goes_away_is_a_reason(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """503 and the reason, with the tables still there."""
    with Process(embedded, tmp_path) as worker:
        await until(lambda: json.loads(worker.get("/health/ready").removeprefix("503 ") or "{}").get("ready"))
        embedded.close()
        why = "the consumer group's coordinator does not answer"
        await until(
            lambda: worker.get("/health/ready").startswith("503 ") and why in worker.get("/health/ready")
        )


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

    with Process(embedded, tmp_path, CX_MAX_BATCH_RECORDS="100") as first:
        await until(lambda: "serving" in first.log)
        sending = asyncio.create_task(asyncio.to_thread(keep_sending))
        await until(lambda: first.total("cx_records_total", 'verdict="deadletter"') > 0)
        assert await asyncio.to_thread(first.stop) == 0
        assert "level=error" not in first.log
    refused = len(everything(embedded, topics.DEADLETTERS))
    assert 0 < refused < bad, "it was to be stopped in the middle"
    await sending
    with Process(embedded, tmp_path) as second:
        send(embedded, [later()])
        await until(lambda: second.total("cx_records_total", 'verdict="deadletter"') == bad - refused)
        await until(lambda: final_replies(embedded) == total - bad)
        assert second.total("cx_records_total", 'verdict="duplicate"') == 0
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
        with Process(embedded, tmp_path, CX_LOG_LEVEL="DEBUG", CX_RULES="rules.yml") as worker:
            before = len(everything(embedded, topics.DEADLETTERS))
            send(embedded, values)
            await until(lambda: len(everything(embedded, topics.DEADLETTERS)) == before + len(bad))  # noqa: B023
            await until(lambda: worker.total("cx_records_total", "duplicate") >= 20)
            assert worker.stop() == 0
        assert "level=debug" in worker.log
        assert MARK not in worker.log
        assert MARK.encode().hex() not in worker.log
    alerts = [value or b"" for _, value in everything(embedded, topics.ALERTS)]
    assert any(MARK.encode() in value for value in alerts), "the marked text did come through"
