"""The worker as it is wired: settings in, a process that works and says how it is."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from stream.alerting.rules import RuleError
from stream.app import Worker
from stream.deployment import load_book, pipeline_config
from stream.engine import recovery
from stream.settings import Settings
from tests.app.rig import RULES, later, reply, running, send, settings
from tests.e2e.harness import WorkerProcess
from tests.waiting import eventually, until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka


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
        await eventually(asked.is_ready)
        # 4 of each input, cx.partials, cx.alerts and cx.redrives; the one lane, and cx.examples.
        assert (await asked.ready())[1]["partitions"] == "22 assigned, their tables complete"


async def test_a_worker_shows_what_it_does(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """Records are counted by what became of them; misrouted ones, ``other``, commits and delays are seen."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    worker = Worker(settings(embedded, rules=rules, max_members=1))
    async with running(worker) as (asked, _):
        await eventually(asked.is_ready)
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

        await eventually(counted)
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

        await eventually(caught_up)


def test_a_broker_that_goes_away_is_a_reason(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    """503 and the reason, with the tables still there."""
    with WorkerProcess({"CX_BROKERS": embedded.bootstrap}, tmp_path) as worker:
        worker.wait_ready()
        embedded.close()

        def says_why() -> bool:
            status, body = worker.get("/health/ready") or (0, "")
            return status == 503 and "the consumer group's coordinator does not answer" in body

        until("a reason", says_why)
