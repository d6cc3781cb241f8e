"""A partition of the inputs that dies anywhere and is restored comes to what one that does not comes to."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS, decode, stamp_of
from stream.measures import Groupings, PaneConfig
from stream.pipeline import CustomersChanges, CustomersPartition, PipelineConfig
from stream.pipeline.customers import CHUNK
from tests.e2e.traffic import LATE_HORIZON_MS, LATENESS_MS, RULES, traffic
from tests.pipeline.path import Stored

BOOK = load_rules(RULES, "rules.yml", signals=SIGNALS)
CONFIG = PipelineConfig(
    topics.INPUTS,
    1,
    Groupings(BOOK.groupings, 4),
    panes=PaneConfig(lateness_ms=LATENESS_MS, late_horizon_ms=LATE_HORIZON_MS),
)
Table = dict[bytes, bytes]


def logs(seed: int) -> dict[str, list[Stored]]:
    """Both inputs."""
    found: dict[str, list[Stored]] = {topic: [] for topic in topics.INPUTS}
    for sent in islice(traffic(seed, customers=50, per_hour=1500), 2_500):
        log = found[sent.topic]
        log.append(Stored(len(log), 2_000_000_000_000, sent.key, sent.value))
    return found


class Outcome:
    """What has become public or durable."""

    def __init__(self) -> None:
        self.customers: Table = {}
        self.panes: Table = {}
        self.claims: dict[str, object] = {}
        self.dead: set[tuple[str, int]] = set()
        self.cells: dict[tuple[object, ...], tuple[int, object]] = {}
        self.closed: dict[str, tuple[object, int]] = {}

    def partition(self) -> CustomersPartition:
        """Restore from the tables."""
        return CustomersPartition(0, CONFIG, CustomerRules(BOOK), dict(self.customers), dict(self.panes))

    def publish(self, changes: CustomersChanges) -> None:
        """What every subscriber would make of it: repeats change nothing, of partials the newest holds."""
        for claim in changes.claims:
            assert self.claims.setdefault(claim.id, claim) == claim
        self.dead |= {(dead.topic, dead.record.offset) for dead in changes.deadletters}
        for partial in changes.partials:
            at = (partial.slice_key, partial.source, partial.pane, partial.known)
            version, stats = self.cells.get(at, (-1, None))
            if partial.version == version:
                assert stats == partial.stats
            if partial.version > version:
                self.cells[at] = (partial.version, partial.stats)
        for mark in changes.marks:
            if mark.source not in self.closed or mark.version > self.closed[mark.source][0]:
                self.closed[mark.source] = (mark.version, mark.panes_closed)

    def write(self, table: Table, entries: list[tuple[bytes, bytes | None]]) -> None:
        """What a changelog and its recovery would make of it."""
        for key, value in entries:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value

    def figures(self) -> tuple[object, ...]:
        """All that must not depend on deaths and batches; the versions of partials and marks may."""
        cells = {at: stats for at, (_, stats) in self.cells.items()}
        closed = {source: panes for source, (_, panes) in self.closed.items()}
        customers = {key: decode(value) for key, value in self.customers.items()}
        for customer in customers.values():  # how the topics interleaved is remembered here and told nowhere
            customer.seen = customer.duplicates = b""
        return customers, self.claims, self.dead, cells, closed


def calm_run(inputs: dict[str, list[Stored]]) -> Outcome:
    """One record at a time, and nothing ever dies."""
    calm = Outcome()
    partition = calm.partition()
    for topic, log in inputs.items():
        for record in log:
            changes = partition.run([(topic, [record])])
            calm.publish(changes)
            calm.write(calm.customers, changes.customers)
            calm.write(partition._customers, changes.customers)  # type: ignore[arg-type] # the live table
    return calm


def cut_short(rng: Random, outcome: Outcome, changes: CustomersChanges) -> None:
    """A round of which only a beginning became durable."""
    if rng.random() < 0.2:
        return
    outcome.publish(changes)
    panes = [*changes.cells, *changes.sources]
    if rng.random() < 0.5:
        outcome.write(outcome.customers, changes.customers[: rng.randrange(len(changes.customers) + 1)])
        return
    outcome.write(outcome.customers, changes.customers)
    outcome.write(outcome.panes, panes[: rng.randrange(len(panes) + 1)])


def size(rng: Random) -> int:
    """How many records a batch has: a few, or more than are folded at a time."""
    return rng.randrange(80) if rng.random() < 0.8 else rng.randrange(2 * CHUNK)


def dying_run(rng: Random, inputs: dict[str, list[Stored]]) -> Outcome:
    """Batches of any size of both topics; three rounds in ten are cut short."""
    got = Outcome()
    partition = got.partition()
    at = dict.fromkeys(inputs, 0)
    while any(at[topic] < len(log) for topic, log in inputs.items()):
        sliced = [(topic, log[at[topic] : at[topic] + size(rng)]) for topic, log in inputs.items()]
        batches = [(topic, batch) for topic, batch in sliced if batch]
        if not batches:
            continue
        changes = partition.run(batches)
        if rng.random() < 0.3:
            cut_short(rng, got, changes)
            partition = got.partition()
            for topic in at:  # what was committed may be further back still
                at[topic] = max(0, min(at[topic], partition.panes[topic].offset + 1) - rng.randrange(50))
            continue
        got.publish(changes)
        got.write(got.customers, changes.customers)
        got.write(partition._customers, changes.customers)  # type: ignore[arg-type] # the live table
        got.write(got.panes, [*changes.cells, *changes.sources])
        for topic, batch in batches:
            at[topic] += len(batch)
    return got


@pytest.mark.parametrize("seed", range(40))
def test_a_death_at_any_point_leaves_no_trace(seed: int) -> None:
    """Whatever prefix of a round was written, the rounds after a restore make up for the rest exactly."""
    inputs = logs(seed)
    calm = calm_run(inputs)
    got = dying_run(Random(seed), inputs)
    assert {key: stamp_of(value) for key, value in got.customers.items()} == {
        key: stamp_of(value) for key, value in calm.customers.items()
    }
    assert got.figures() == calm.figures()
    assert len(got.claims) > 20
    assert len(got.dead) > 10
