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
""",
    "rules.yml",
)
CONFIG = PipelineConfig(topics.INPUTS, 1, Groupings(BOOK.groupings, 10))
SOURCES = sorted(CONFIG.sources)


def messages(rng: Random) -> Iterator[bytes]:
    """Replies of two sources that hover about the line, pane by pane, and the marks that close the panes."""
    for number in range(200):
        pane = number + 1000
        for source in SOURCES:
            promoters = rng.choice([0, 3])
            stats = {"nps": [promoters, 1, 3 - promoters]}
            yield encode_partial(Partial("{}", source, pane, pane, stats, number))[1]
            yield encode_mark(Mark(source, pane + 1, False, (number, False)))[1]


@pytest.mark.parametrize("seed", range(60))
def test_claims_survive_a_death_at_any_point(seed: int) -> None:
    """Whatever prefix of a round was written, the rounds after a restore claim the same and nothing else."""
    rng = Random(seed)
    log = list(messages(rng))
    wanted: dict[str, Claim] = {}
    calm = MetricsPartition(0, CONFIG, BOOK, {})
    for message in log:
        calm_changes = calm.run([message])
        wanted |= {claim.id: claim for claim in calm_changes.claims}
    assert len(wanted) > 5

    got: dict[str, Claim] = {}
    table: dict[bytes, bytes] = {}
    partition = MetricsPartition(0, CONFIG, BOOK, table)
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
            partition = MetricsPartition(0, CONFIG, BOOK, dict(table))
            at -= rng.randrange(min(at, 50) + 1)  # what was committed may be further back still
        else:
            at += size
            if rng.random() < 0.1:  # a death between rounds
                partition = MetricsPartition(0, CONFIG, BOOK, dict(table))
    assert got == wanted
