"""The declared incidents trip the example rules, which see nothing else and recover."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS
from stream.measures import Groupings, encode_mark, encode_partial
from stream.pipeline.customers import CustomersPartition, PipelineConfig
from stream.pipeline.metrics import MetricsPartition
from stream.simulate import Simulation
from stream.topics import INPUTS

if TYPE_CHECKING:
    from stream.alerting.claims import Claim
    from stream.simulate import Incident

RULES = Path(__file__).parents[2] / "examples" / "rules.yml"


@dataclass(frozen=True)
class Arrived:
    """A record as Kafka hands it over, at the time it occurred."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def alerts(seed: int, events: int) -> tuple[list[Claim], list[Claim]]:
    """Claims of metrics, and of single customers, over one partition: all the cores, no Kafka."""
    book = load_rules(RULES.read_text(), str(RULES), signals=SIGNALS)
    config = PipelineConfig(topics=INPUTS, partitions=1, groupings=Groupings(book.groupings, 1000))
    table: dict[bytes, bytes] = {}
    customers = CustomersPartition(0, config, CustomerRules(book), table, {})
    metrics = MetricsPartition(0, config, book, {})
    offsets: Counter[str] = Counter()
    of_metrics: list[Claim] = []
    of_customers: list[Claim] = []
    for batch in _batches(Simulation(seed, bad=0.01, duplicates=0.01, late=0.005, disorder_ms=2000), events):
        arrived: dict[str, list[Arrived]] = defaultdict(list)
        for topic, key, value, time_ms in batch:
            arrived[topic].append(Arrived(offsets[topic], time_ms, key, value))
            offsets[topic] += 1
        changes = customers.run(arrived.items())
        table.update((key, value) for key, value in changes.customers if value is not None)
        of_customers += changes.claims
        values = [encode_partial(p)[1] for p in changes.partials] + [encode_mark(m)[1] for m in changes.marks]
        of_metrics += metrics.run(values).claims
    return of_metrics, of_customers


def _batches(simulation: Simulation, events: int) -> list[list[tuple[str, bytes, bytes, int]]]:
    records = [(r.topic, r.key.encode(), r.value, r.time_ms) for r in islice(simulation.records(), events)]
    return [records[at : at + 200] for at in range(0, events, 200)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_declared_incident_fires_and_resolves_and_nothing_else_does(seed: int) -> None:
    """Twenty thousand events: every alert of a metric is an incident's, during it, and over at the end."""
    of_metrics, of_customers = alerts(seed, 20_000)
    histories: dict[str, list[Claim]] = defaultdict(list)
    for claim in of_metrics:
        histories[claim.fingerprint].append(claim)
    found = set()
    for claims in histories.values():
        first, last = claims[0], claims[-1]
        incident = _cause(first, Simulation(seed).incidents)
        found.add(incident.name)
        assert (first.state, last.state) == ("firing", "resolved")
        assert incident.start_ms < first.as_of_ms < incident.end_ms < last.as_of_ms
    assert found == {incident.name for incident in Simulation(seed).incidents}
    assert 3 <= len(of_customers) <= 100


def _cause(claim: Claim, incidents: tuple[Incident, ...]) -> Incident:
    for incident in incidents:
        for metric, where in incident.shows:
            if metric == claim.figures["metric"] and where.items() <= claim.labels.items():
                return incident
    raise AssertionError(f"no incident explains {claim.alert} {claim.labels}")
