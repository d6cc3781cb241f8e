"""Samples from partitions, through their owner, into versions that hold from one period later: the same always."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from schemas import ModelVersion, to_ms
from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.events import encode_event
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS
from stream.customers.examples import HOUR_MS, Sample, decode_example, encode_example
from stream.customers.fitting import fit_bgnbd
from stream.customers.models import Models
from stream.measures import Groupings, PaneConfig
from stream.measures.declare import Declarations
from stream.pipeline import CustomersPartition, PipelineConfig
from stream.pipeline.fits import fit_amounts, main_currency
from stream.pipeline.models import ModelsPartition, make
from tests.pipeline.path import Stored

if TYPE_CHECKING:
    from stream.pipeline.models import Work

DAY = 24 * HOUR_MS
WEEK = 7 * DAY
START = 2_900 * WEEK + 3 * DAY
PARTITIONS = 3
CONFIG = PipelineConfig(
    topics.INPUTS,
    PARTITIONS,
    Groupings((), 4),
    panes=PaneConfig(late_horizon_ms=DAY),
    models_every_ms=WEEK,
    declared=Declarations(metrics=()),
)
BOOK = load_rules(
    "groups: [{name: g, rules: [{alert: Worth, on: touchpoint,"
    " when: {kind: purchase, customer.expected_purchases: {gte: 2}}}]}]",
    "rules.yml",
    signals=SIGNALS,
)


def logs(seed: int, weeks: int = 8) -> list[list[Stored]]:
    """A log for each partition: 240 customers who come, buy again and go; in order, but for a few hours."""
    rng = Random(seed)
    found: list[list[tuple[int, str, int]]] = [[] for _ in range(PARTITIONS)]
    for number in range(240):
        at, name = START + rng.randrange(4 * WEEK), f"c{number}"
        rate, leaves = rng.gammavariate(0.8, 1 / (6 * DAY)), rng.betavariate(1, 3)
        # The last partition falls silent early; nobody is to wait for it for ever.
        end = START + (5 if number % PARTITIONS == 2 else weeks) * WEEK
        while at < end:
            found[number % PARTITIONS].append((at, name, rng.randrange(5, 90)))
            if rng.random() < leaves:
                break
            at += round(rng.expovariate(rate or 1e-12))
    stored = []
    for events in found:
        events.sort(key=lambda each: each[0] + rng.randrange(4 * HOUR_MS))
        stored.append(
            [
                Stored(
                    offset,
                    at,
                    name.encode(),
                    json.dumps(
                        {
                            "event_id": f"{name}-{offset}",
                            "customer_id": name,
                            "occurred_at": at,
                            "kind": "purchase",
                            "value": value,
                            "currency": "EUR",
                        }
                    ).encode(),
                )
                for offset, (at, name, value) in enumerate(events)
            ]
        )
    return stored


@dataclass
class Run:
    """Partitions and the owner, with their tables. ``deaths`` is the share of rounds that are cut short."""

    logs: list[list[Stored]]
    dice: Random
    deaths: float = 0.0
    versions: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    alerts: dict[str, bytes] = field(default_factory=dict)
    works: list[Work] = field(default_factory=list)
    judged: list[tuple[int, int]] = field(default_factory=list)  # newest event time, versions known then
    kept_waiting: int = 0

    def go(self, models: Models | None = None) -> Run:
        """To the end. ``models``: versions that are known from the start, as on a replay."""
        self.models = Models(CONFIG.customers) if models is None else models
        self.customers: list[dict[bytes, bytes]] = [{} for _ in self.logs]
        self.panes: list[dict[bytes, bytes]] = [{} for _ in self.logs]
        table: dict[bytes, bytes] = {}
        parts = [self._part(number) for number in range(PARTITIONS)]
        handed = [0] * PARTITIONS
        told: list[bytes] = []
        owner, read = ModelsPartition(PARTITIONS, WEEK, table), 0
        for _ in range(20_000):
            number = self.dice.randrange(PARTITIONS)
            part, log = parts[number], self.logs[number]
            batch = log[handed[number] : handed[number] + self.dice.choice((1, 30, 300))]
            handed[number] += len(batch)
            changes = part.run([(topics.TOUCHPOINTS, batch)] if batch else [])
            self.kept_waiting += part.blocked
            told += changes.examples
            for claim in changes.claims:
                self.alerts[claim.fingerprint + str(claim.as_of_ms)] = encode_event(claim)
            self.judged.append((max(part.watermarks().values(), default=0), len(self.models)))
            if self.dice.random() < self.deaths:
                if self.dice.random() < 0.5:
                    written(self.customers[number], changes.customers)
                parts[number] = self._part(number)
                handed[number] = parts[number].panes[topics.TOUCHPOINTS].offset + 1
            else:
                written(self.customers[number], changes.customers)
                written(self.panes[number], [*changes.cells, *changes.sources])
                if handed[number] == len(log) and not part.blocked and not part.kept(topics.TOUCHPOINTS):
                    part.idle(topics.TOUCHPOINTS)
                    told += part.late(START + 400 * WEEK)
            if self.dice.random() < 0.3:
                written(table, owner.take(told[read:]))
                read = len(told)
                if self.dice.random() < self.deaths:
                    owner = ModelsPartition(PARTITIONS, WEEK, table)
                while (work := owner.due()) is not None:
                    made = make(work)
                    self._publish(made.versions)
                    if self.dice.random() < self.deaths:
                        owner = ModelsPartition(PARTITIONS, WEEK, table)
                        continue
                    self.works.append(work)
                    written(table, owner.finish(work, made))
            idle = not any(p.blocked or p.kept(topics.TOUCHPOINTS) for p in parts)
            if handed == [len(log) for log in self.logs] and idle and read == len(told):
                return self
        raise AssertionError("somebody waits for ever")

    def _publish(self, versions: tuple[ModelVersion, ...]) -> None:
        for version in versions:
            from_ms = to_ms(version.valid_from)
            assert self.versions.setdefault((version.name, from_ms), version) == version
            self.models.take(version.name, from_ms, to_ms(version.as_of), version.parameters)

    def _part(self, number: int) -> CustomersPartition:
        return CustomersPartition(
            number,
            CONFIG,
            CustomerRules(BOOK),
            self.customers[number],
            self.panes[number],
            models=self.models,
        )


def written(table: dict[bytes, bytes], entries: list[tuple[bytes, bytes | None]]) -> None:
    """What a changelog and its recovery make of entries."""
    for key, value in entries:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


@pytest.fixture(scope="module")
def plain() -> Run:
    """Nothing goes wrong."""
    return Run(logs(1), Random(1)).go()


def test_a_version_is_fitted_to_all_that_was_known_before_its_moment(plain: Run) -> None:
    """Counted plainly: purchases that came before the first record beyond the moment, in each partition."""
    fitted = [work for work in plain.works if work.samples and any(each.rows for each in work.samples)]
    assert len(fitted) >= 6
    for work in fitted:
        wanted = []
        for log in plain.logs:
            bought: dict[str, list[int]] = {}
            for record in log:
                event = json.loads(record.value or b"")
                if event["occurred_at"] > work.moment_ms:
                    break
                bought.setdefault(event["customer_id"], []).append(event["occurred_at"])
            for times in bought.values():
                days = len({at // DAY for at in times})
                hours = [at // HOUR_MS for at in sorted(times)]
                wanted.append((days - 1, hours[0], hours[-1] if days > 1 else hours[0]))
        found = [row[:3] for each in work.samples for row in each.rows]
        assert sorted(found) == sorted(wanted)
    rows = [(row[0], row[1], row[2]) for each in fitted[-1].samples for row in each.rows]
    hour = fitted[-1].moment_ms // HOUR_MS
    direct = fit_bgnbd([(x, (last - first) / 168, (hour - first) / 168, 1.0) for x, first, last in rows])
    version = plain.versions["bgnbd", fitted[-1].valid_from_ms]
    assert (version.outcome, version.parameters) == ("fitted", direct.parameters)
    assert version.log_likelihood == pytest.approx(direct.log_likelihood)


def test_partitions_wait_where_versions_would_hold(plain: Run) -> None:
    """No record was taken in whose versions were not known; a version holds one period after its moment."""
    assert plain.kept_waiting
    moments = sorted({from_ms for _, from_ms in plain.versions})
    for newest_ms, known in plain.judged:
        needed = sum(from_ms <= newest_ms for _, from_ms in plain.versions if from_ms > moments[0])
        assert known >= needed
    for version in plain.versions.values():
        assert to_ms(version.valid_from) == to_ms(version.as_of) + WEEK


@pytest.mark.parametrize("seed", [2, 3])
def test_cuts_interleaving_and_crashes_make_no_difference(plain: Run, seed: int) -> None:
    """The same versions and alerts to the last bit; and on a replay that knows the versions from the start."""
    other = Run(plain.logs, Random(seed), 0.15).go()
    assert other.versions == plain.versions
    assert other.alerts == plain.alerts
    assert plain.alerts
    again = Run(plain.logs, Random(seed + 10), 0.15).go(other.models)
    assert again.alerts == plain.alerts
    assert not again.kept_waiting


def test_without_versions_alerts_would_be_others(plain: Run) -> None:
    """The versions are what some alerts depend on, so that the tests above can fail."""
    assert not {from_ms for (name, from_ms) in plain.versions if name == "bgnbd"} <= {START}
    declared = Run(plain.logs, Random(1))
    declared._publish = lambda versions: [  # type: ignore[assignment, method-assign]
        declared.models.take(each.name, to_ms(each.valid_from), to_ms(each.as_of), {}) for each in versions
    ]
    assert declared.go().alerts != plain.alerts


def test_a_silent_partition_is_taken_back_when_something_comes() -> None:
    """The clock went past a moment; an earlier record comes: the moment waits for that partition again."""
    owner = ModelsPartition(2, WEEK, {})
    first, second, late = (n * WEEK for n in (10, 11, 500))
    owner.take([encode_example(Sample(0, first, 0)), encode_example(Sample(1, late, 0, clock=True))])
    work = owner.due()
    assert work is not None
    assert work.moment_ms == first
    owner.finish(work, make(work))
    owner.take([encode_example(Sample(1, first, first)), encode_example(Sample(0, second, second))])
    assert owner.due() is None
    owner.take([encode_example(Sample(1, second, second))])
    assert (found := owner.due()) is not None
    assert found.moment_ms == second


def test_what_was_told_first_stays_and_is_restored() -> None:
    """A partition that tells again after a crash, with what it learned since, changes nothing."""
    table: dict[bytes, bytes] = {}
    owner = ModelsPartition(1, WEEK, table)
    once = Sample(0, WEEK, 0, currencies=["EUR"], rows=[(1, 2, 3, 0, 50_000)])
    written(table, owner.take([encode_example(once)]))
    again = replace(once, rows=[(2, 2, 4, 0, 90_000)])
    assert not owner.take([encode_example(again)])
    for each in (owner, ModelsPartition(1, WEEK, table)):
        work = each.due()
        assert work is not None
        assert work.samples == (once,)
        if each is not owner:
            written(table, each.finish(work, make(work)))
    assert ModelsPartition(1, WEEK, table).due() is None
    assert all(b"EUR" not in value for value in table.values())


def test_large_bases_are_sampled_evenly() -> None:
    """Of 4,000 customers with room for 500: a share of one in eight, which the weights make up for."""
    config = PipelineConfig(
        topics.INPUTS, 1, Groupings((), 4), models_every_ms=WEEK, models_sample=500,
        declared=Declarations(metrics=()),
    )  # fmt: skip
    part = CustomersPartition(0, config, None, {}, {}, models=Models())
    lines = [
        {
            "event_id": f"e{n}",
            "customer_id": f"c{n}",
            "occurred_at": START + n,
            "kind": "purchase",
            "value": 1,
        }
        for n in range(4_000)
    ]
    lines.append({**lines[0], "event_id": "last", "occurred_at": START + WEEK})
    records = [
        Stored(n, line["occurred_at"], line["customer_id"].encode(), json.dumps(line).encode())  # type: ignore[attr-defined, arg-type]
        for n, line in enumerate(lines)
    ]
    told = part.run([(topics.TOUCHPOINTS, records)]).examples
    samples = [each for each in map(decode_example, told) if isinstance(each, Sample) and each.rows]
    rows = sum(len(each.rows) for each in samples)
    assert {each.weight for each in samples} == {8.0}
    assert 3_400 < rows * 8 < 4_600
    assert not any(b"c12" in each for each in told)


def test_amounts_are_of_the_currency_that_most_pay_in() -> None:
    """Others are left out; a customer who pays in several counts for purchases only."""
    few = [(1, 0, 9, 0, 20_000 + n * 7_919 % 200_000) for n in range(120)]
    samples = [
        Sample(0, WEEK, 0, currencies=["EUR", "GBP"], rows=[*few, *[(1, 0, 9, 1, 10**9)] * 100]),
        Sample(1, WEEK, 0, weight=2.0, currencies=["EUR"], rows=[(3, 0, 9, -1, 0)] * 500),
    ]
    assert main_currency(samples) == "EUR"
    version = fit_amounts(samples, WEEK, 2 * WEEK, None)
    assert (version.currency, version.n, version.outcome) == ("EUR", 120, "fitted")
    assert main_currency([]) is None
    assert fit_amounts([], WEEK, 2 * WEEK, b'{"p": 2.0}').parameters == {"p": 2.0}
