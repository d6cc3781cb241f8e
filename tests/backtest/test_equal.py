"""``cx rules test`` gives what the agents publish, byte for byte, however the work is cut."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream.alerting.events import encode_event
from stream.backtest import replay
from stream.compute import Unreadable, lines, reading, share
from stream.deployment import load_book, pipeline_config
from tests.compute.world import job, sent, settings, simulated, written
from tests.pipeline.path import calm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.backtest import Replayed
    from stream.settings import Settings

RULES = """
slices: [[segment], [survey]]
goals: [{metric: nps, goal: 50, baseline: {ago: 7d}}]
groups:
  - name: windows
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: 20, min_n: 5, resolve: {above: 30}}
      - {alert: Sure, metric: csat, by: [touchpoint, channel], window: 24h, below: 70, evidence: interval}
      - {alert: LowFor, metric: nps, window: 5m, below: 50, for: 1m, resolve: {above: 60}, cooldown: 2m}
      - {alert: Fell, metric: csat, window: 1h, drop: {points: 5, from: 24h}, min_n: 3, labels: {team: a}}
      - {alert: Leaving, metric: abandonment, by: [segment], window: 24h, above: 20, min_n: 5}
  - name: customers
    rules:
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 3}}}
      - {alert: Again, on: reply, when: {score: {lte: 6}, customer.replies: {gte: 2}}, cooldown: 10m}
      - {alert: Big, on: touchpoint, when: {kind: purchase, value: {gte: 90}}, cooldown: 1h}
"""


def published(found: Iterable[bytes], given: Settings) -> list[bytes]:
    """The alerts by the agents' cores on simulated logs, all sources being idle at last, in order of time."""
    book = load_book(given)
    path = calm(sent(found, given.partitions), pipeline_config(given, book), book)
    return sorted(path.alerts.values())


def replayed(done: Replayed) -> list[bytes]:
    """The alerts of a backtest."""
    assert done.alerts == sorted(done.alerts, key=lambda claim: claim.order)
    return sorted(encode_event(claim) for claim in done.alerts)


@pytest.mark.parametrize(("seed", "per_hour"), [(1, 3400), (2, 300), (3, 10), (4, 1.2)])
def test_every_alert_is_the_agents(seed: int, per_hour: float, tmp_path: Path) -> None:
    """Of an hour, a night, weeks or months, with late, repeated and bad lines: every alert, to the byte."""
    found = simulated(seed, 1_500, per_hour)
    setup = settings(tmp_path, RULES)
    want = published(found, setup)
    file = written(tmp_path / "a.ndjson", found)
    done = replay(job(setup, file))
    assert replayed(done) == want
    assert replayed(replay(job(setup, file), least=False)) == want
    assert len({claim.alert for claim in done.alerts}) > 3, "too few rules have anything to say"
    assert {claim.state for claim in done.alerts} >= {"firing", "resolved"}
    assert done.verdicts.total() == sum(bool(line.strip()) for line in found)
    assert min(done.verdicts[name] for name in ("applied", "duplicate", "deadletter")) > 10, done.verdicts


EVERY_KIND = (Path(__file__).parent / "every_kind.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("seed", "per_hour"), [(5, 2000), (6, 300)])
def test_every_kind_of_rule_and_of_hygiene(seed: int, per_hour: float, tmp_path: Path) -> None:
    """Changes, budgets, silence, stories of customers, drivers, groups and storms: all as the agents have it."""
    found = simulated(seed, 1_500, per_hour)
    setup = settings(tmp_path, EVERY_KIND, max_members=100)
    want = published(found, setup)
    file = written(tmp_path / "a.ndjson", found)
    for done in (
        replay(job(setup, file)),
        replay(job(setup, file), 2),
        replay(job(setup, file), least=False),
    ):
        assert replayed(done) == want
    assert len({claim.alert for claim in done.alerts}) > 5, {claim.alert for claim in done.alerts}


@pytest.mark.parametrize("members", [2, 1000])
def test_who_has_a_place_in_a_grouping_is_as_with_the_agents(members: int, tmp_path: Path) -> None:
    """Also where events that no rule looks at take the places of those it does."""
    touches = [
        b'{"event_id":"t%d","customer_id":"c","occurred_at":%d,"kind":"purchase","value":1,"segment":"s%d"}'
        % (n, 1_768_204_800_000 + n * 1000, n)
        for n in range(3)
    ]
    replies = [
        b'{"event_id":"r%d","customer_id":"c","occurred_at":%d,"metric":"nps","score":1,"segment":"r%d"}'
        % (n, 1_768_204_810_000 + n * 1000, n)
        for n in range(3)
    ]
    found = [line.replace(b'"c"', b'"c%d"' % n) for line in touches + replies for n in range(8)]
    rules = """
groups: [{name: g, rules: [{alert: Low, metric: nps, by: [segment], window: 5m, below: 0}]}]
"""
    setup = settings(tmp_path, rules, max_members=members)
    want = published(found, setup)
    assert replayed(replay(job(setup, written(tmp_path / "a.ndjson", found)))) == want
    assert any(b'"other"' in event for event in want) == (members == 2)


@pytest.mark.parametrize("alive", [4, 400_000])
@pytest.mark.parametrize("apart", [False, True])
def test_how_the_work_is_cut_does_not_matter(
    apart: bool, alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks, rounds and memories give what large ones do; also with a file for each topic, or gzip."""
    found = simulated(8, 1_200, 60)
    setup = settings(tmp_path, RULES)
    if apart:
        touches = [line for line in found if b'"metric"' not in line]
        replies = [line for line in found if b'"metric"' in line]
        found = touches + replies
        files = [written(tmp_path / "t.ndjson", touches), written(tmp_path / "r.ndjson", replies)]
        files[0].write_bytes(gzip.compress(files[0].read_bytes()))
    else:
        files = [written(tmp_path / "a.ndjson", found)]
    want = published(found, setup)
    large = replay(job(setup, *files))
    assert replayed(large) == want
    monkeypatch.setattr(lines, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(share, "RUN", 3)
    monkeypatch.setattr(share, "ALIVE", alive)
    monkeypatch.setattr(reading, "MUCH_KEPT", 40)
    small = replay(job(setup, *files))
    assert small.alerts == large.alerts
    assert small.verdicts == large.verdicts
    assert small.refused == large.refused


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("processes", [2, 3])
def test_one_process_or_several(processes: int, least: bool, tmp_path: Path) -> None:
    """The same alerts in the same order, and the same counts."""
    found = simulated(7, 2_000, 1200)
    setup = settings(tmp_path, RULES, max_members=5 if least else 100)
    file = written(tmp_path / "a.ndjson", found)
    one = replay(job(setup, file), 1, least=least)
    other = replay(job(setup, file), processes, least=least)
    assert [claim.id for claim in other.alerts] == [claim.id for claim in one.alerts]
    assert len(one.alerts) > 20
    for name in ("alerts", "since_ms", "until_ms", "decisions", "verdicts", "reasons", "refused"):
        assert getattr(other, name) == getattr(one, name), name


def test_a_damaged_file_is_told_by_whoever_reads_it(tmp_path: Path) -> None:
    """A process that cannot read a file ends the others, too."""
    found = simulated(7, 3_000, 600)
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(b"\n".join(found))[:-2000])
    with pytest.raises(Unreadable, match=r"a\.gz: is damaged"):
        replay(job(settings(tmp_path, RULES), packed), 2)


def test_time_ends_with_the_newest_event_or_later(tmp_path: Path) -> None:
    """What is overdue by a moment after it is told only where time goes on to there, with its own time."""
    at_ms = 1_768_204_800_000
    line = b'{"event_id":"a","customer_id":"c","occurred_at":%d,"kind":"ticket_opened","ref":"t"}' % at_ms
    rule = "{alert: Late, expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, within: 1h}}"
    setup = settings(tmp_path, f"groups: [{{name: g, rules: [{rule}]}}]")
    file = written(tmp_path / "a.ndjson", [line])
    hour_ms = 3_600_000
    assert not replay(job(setup, file)).alerts
    assert not replay(job(setup, file), until_ms=at_ms + hour_ms).alerts
    (late,) = replay(job(setup, file), until_ms=at_ms + 2 * hour_ms).alerts
    assert (late.alert, late.as_of_ms) == ("Late", at_ms + hour_ms)
