"""A metrics partition that dies anywhere and is restored makes the same claims as one that does not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from stream import topics
from stream.alerting.rules import load_rules
from stream.measures import Groupings, Mark, Partial, encode_mark, encode_partial
from stream.pipeline import MetricsPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.claims import Claim

BOOK = load_rules(
    """
groups:
  - name: g
    rules:
      - {alert: Flaps, metric: nps, window: 5m, below: 0}
      - {alert: Waits, metric: nps, window: 5m, below: 0, for: 1m}
      - {alert: Rests, metric: nps, window: 5m, below: 0, for: 20s, resolve: {above: 20}, cooldown: 1m}
      - {alert: Nags, metric: nps, window: 1m, below: 0, keep_firing: 30s, renotify: 2m}
      - {alert: Fell, metric: nps, window: 1m, drop: {points: 20, from: 5m}, evidence: interval, min_n: 5}
      - {alert: Burns, metric: nps, by: [segment], window: 1m, below: 0, evidence: anytime, fdr: 0.5}
      - {alert: Sure, metric: nps, by: [segment], window: 1m, below: 40, evidence: anytime, confidence: 0.6}
      - {alert: Moved, metric: nps, by: [segment], change: {direction: down, one_false_alarm_per: 100, from: 5m}}
      - {alert: Silent, metric: nps, by: [segment], no_data: 30s, renotify: 1m}
""",
    "rules.yml",
    windows=("1m", "5m", "1h"),
)
LATER = load_rules(
    """
groups:
  - name: g
    rules:
      - {alert: Flaps, metric: nps, window: 5m, below: 20}
      - {alert: Nags, metric: nps, window: 1m, below: 0, labels: {team: other}}
      - {alert: Silent, metric: nps, by: [segment], no_data: 1m}
      - {alert: Moved, metric: nps, by: [segment], change: {direction: up, one_false_alarm_per: 100, from: 5m}}
""",
    "later.yml",
    windows=("1m", "5m", "1h"),
)
#: When the later rules take the place of the others: in the middle of a pane.
SWAP_MS = 11_204_321
CONFIG = PipelineConfig(topics.INPUTS, 1, Groupings(BOOK.groupings, 10), declared=BOOK.declared)
SOURCES = sorted(CONFIG.sources)


SEEN: set[tuple[str, str, str]] = set()
SLICES = ("{}", '{"segment":"a"}', '{"segment":"b"}')


def messages(rng: Random) -> Iterator[bytes]:
    """Replies of two sources that hover about the line, on time and late, and the marks that close the panes.

    Now and then a slice falls silent. Each source writes what is late of a pane in one message.
    """
    silent = dict.fromkeys(SLICES, 0)
    for number in range(240):
        pane = number + 1000
        for source in SOURCES:
            for key in SLICES:
                if rng.random() < 0.03:
                    silent[key] = pane + rng.randrange(15)
                late = pane - rng.randrange(1, 40)
                for of in (pane, late) if rng.random() < 0.1 else (pane,):
                    if silent[key] <= pane:
                        promoters = rng.choice([0, 3])
                        stats = {"nps": [promoters, 1, 3 - promoters]}
                        yield encode_partial(Partial(key, source, of, pane, stats, number))[1]
            yield encode_mark(Mark(source, pane + 1, False, (number, False)))[1]


def partition_of(table: dict[bytes, bytes]) -> MetricsPartition:
    """A partition as a worker makes it: with all rules that were ever applied."""
    made = MetricsPartition(0, CONFIG, BOOK, table)
    made.swap(LATER, SWAP_MS)
    return made


@pytest.mark.parametrize("seed", range(12))
def test_claims_survive_a_death_at_any_point(seed: int) -> None:
    """Whatever prefix of a round was written, the rounds after a restore claim the same and nothing else."""
    rng = Random(seed)
    log = list(messages(rng))
    wanted: dict[str, Claim] = {}
    calm = partition_of({})
    for message in log:
        for claim in calm.run([message]).claims:
            assert wanted.setdefault(claim.id, claim) == claim
    assert len({(claim.alert, claim.state) for claim in wanted.values()}) > 12

    got: dict[str, Claim] = {}
    table: dict[bytes, bytes] = {}
    partition = partition_of(table)
    at = 0
    while at < len(log):
        size = rng.randrange(1, 60)
        changes = partition.run(log[at : at + size])
        got |= {claim.id: claim for claim in changes.claims}
        writes = [*changes.entries, *changes.progress]
        dies = rng.random() < 0.3
        for key, value in writes[: rng.randrange(len(writes) + 1)] if dies else writes:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        if dies:
            partition = partition_of(dict(table))
            at -= rng.randrange(min(at, 50) + 1)  # what was committed may be further back still
        else:
            at += size
            if rng.random() < 0.1:  # a death between rounds
                partition = partition_of(dict(table))
    assert got == wanted
    told = {(claim.alert, claim.state, claim.reason) for claim in got.values()}
    SEEN.update(told)


def test_the_logs_above_lead_through_every_state_and_reason() -> None:
    """What is never told by these logs would not be tested by them."""
    if len(SEEN) > 0:
        assert {state for _, state, _ in SEEN} == {"firing", "resolved", "amended", "withdrawn", "no_data"}
        assert {reason for *_, reason in SEEN} >= {
            "first_crossing", "still_firing", "data_again", "resolved", "late_data", "rule_removed"
        }  # fmt: skip
        assert {alert for alert, *_ in SEEN} == {rule.alert for rule in BOOK.metric_rules}
