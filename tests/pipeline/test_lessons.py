"""Cohorts from partitions, through their owner, into versions: the same whatever was cut and crashed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from schemas import ModelVersion, to_ms
from stream import topics
from stream.customers import CustomerConfig, decode, signal
from stream.customers.churn import churn_of
from stream.customers.examples import Cohort, decode_example
from stream.customers.learning_features import DECLARED
from stream.customers.models import CHURN, Models
from stream.customers.risk import churn_probability
from stream.customers.signals import signals
from stream.customers.state import Lessons
from stream.measures import Groupings, PaneConfig
from stream.measures.declare import Declarations
from stream.pipeline import CustomersPartition, PipelineConfig
from stream.pipeline.models import ModelsPartition, make
from tests.customers.contracts import DAY, WEEK, cohorts, learn_all, people, unhappy_leave
from tests.pipeline.path import Stored

if TYPE_CHECKING:
    from stream.intake.event import Event

DAYS = 330
PEOPLE = 300
CONFIG = PipelineConfig(
    topics.INPUTS,
    2,
    Groupings((), 4),
    panes=PaneConfig(late_horizon_ms=DAY),
    customers=CustomerConfig(lessons=Lessons(WEEK, 4 * WEEK)),
    models_every_ms=WEEK,
    declared=Declarations(metrics=()),
)


def stored(event: Event, offset: int) -> Stored:
    """An event as a producer writes it."""
    made = {"event_id": event.event_id, "customer_id": event.customer_id, "occurred_at": event.time_ms}
    if event.kind is None:
        made |= {"metric": event.metric, "score": event.score}
    else:
        made |= {"kind": event.kind, "ref": event.ref}
    return Stored(offset, event.time_ms, event.customer_id.encode(), json.dumps(made).encode())


@pytest.fixture(scope="module")
def logs() -> list[list[Stored]]:
    """A log for each of two partitions, in order of time, with an end that closes the last moment."""
    events: list[list[Event]] = [[], []]
    for number, person in enumerate(people(PEOPLE, DAYS, 4, unhappy_leave)):
        events[number % 2] += person.events
    return [
        [stored(event, offset) for offset, event in enumerate(sorted(part, key=lambda each: each.time_ms))]
        for part in events
    ]


@dataclass
class Run:
    """Partitions and the owner of models, with the tables of each; some batches are lost half-way."""

    logs: list[list[Stored]]
    dice: Random
    deaths: float
    told: list[bytes] = field(default_factory=list)
    versions: list[ModelVersion] = field(default_factory=list)

    def go(self) -> Run:
        """To the end."""
        self.models = Models(CONFIG.customers)
        self.customers: list[dict[bytes, bytes]] = [{}, {}]
        self.panes: list[dict[bytes, bytes]] = [{}, {}]
        self.kept: dict[bytes, bytes] = {}
        parts = [self._part(number) for number in (0, 1)]
        handed = [0, 0]
        owner, read = self._owner(), 0
        quiet = 0
        while quiet < 5:  # rounds in which nothing is left but what partitions have waited for
            done = [handed[number] >= len(self.logs[number]) for number in (0, 1)]
            quiet = quiet + 1 if all(done) and not any(part.blocked for part in parts) else 0
            for number in (0, 1):
                size = self.dice.choice([1, 50, 400])
                batch = self.logs[number][handed[number] : handed[number] + size]
                handed[number] += len(batch)
                changes = parts[number].run([(topics.TOUCHPOINTS, batch)] if batch else [])
                self.told += changes.examples
                dies = self.dice.random() < self.deaths
                if dies and self.dice.random() < 0.3:
                    continue_at = self._durable(number)
                    parts[number], handed[number] = self._part(number), continue_at
                    continue
                self._write(self.customers[number], changes.customers)
                if dies:
                    parts[number], handed[number] = self._part(number), self._durable(number)
                    continue
                self._write(self.panes[number], [*changes.cells, *changes.sources])
            self._write(self.kept, owner.take(self.told[read:]))
            read = len(self.told)
            while (work := owner.due()) is not None:
                if self.dice.random() < self.deaths:
                    owner = self._owner()
                    continue
                made = make(work)
                self._write(self.kept, owner.finish(work, made))
                for version in made.versions:
                    self.models.take(
                        version.name, to_ms(version.valid_from), to_ms(version.as_of), version.parameters
                    )
                self.versions += [version for version in made.versions if version.name == CHURN]
        return self

    def _part(self, number: int) -> CustomersPartition:
        return CustomersPartition(
            number, CONFIG, None, self.customers[number], self.panes[number], models=self.models
        )

    def _owner(self) -> ModelsPartition:
        return ModelsPartition(CONFIG.partitions, WEEK, self.kept)

    def _durable(self, number: int) -> int:
        return self._part(number).panes[topics.TOUCHPOINTS].offset + 1

    @staticmethod
    def _write(table: dict[bytes, bytes], entries: list[tuple[bytes, bytes | None]]) -> None:
        for key, value in entries:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value


@pytest.fixture(scope="module")
def plain(logs: list[list[Stored]]) -> Run:
    """Nothing goes wrong."""
    return Run(logs, Random(1), 0.0).go()


def test_versions_are_what_the_cohorts_come_to(plain: Run) -> None:
    """The owner learns the cohorts that each person's own events come to, no more and no fewer."""
    last = plain.versions[-1]
    as_of_ms = to_ms(last.as_of)
    everyone = cohorts(people(PEOPLE, DAYS, 4, unhappy_leave), DAYS)
    learned = learn_all({at_ms: held for at_ms, held in everyone.items() if at_ms <= as_of_ms}).learned
    assert last.n == learned.learner.examples > 1_000
    assert last.figures["left"] == learned.learner.left
    assert learned.version is not None
    assert last.parameters == pytest.approx(learned.version.parameters, abs=1e-6)
    assert last.figures == pytest.approx(learned.figures, abs=1e-6)
    assert last.valid_from == last.as_of + (plain.versions[1].as_of - plain.versions[0].as_of)


def test_early_versions_say_why_the_declared_prior_holds(plain: Run) -> None:
    """A version without parameters, with the reason; later ones are learned."""
    outcomes = [version.outcome for version in plain.versions]
    assert outcomes == sorted(outcomes, reverse=True)
    first, last = plain.versions[0], plain.versions[-1]
    assert (first.outcome, first.parameters) == ("kept", {})
    assert first.reason.endswith("50 of each are needed")
    assert (last.outcome, last.reason) == ("fitted", "")


@pytest.mark.parametrize("seed", [2, 3])
def test_crashes_and_cuts_make_no_difference(logs: list[list[Stored]], plain: Run, seed: int) -> None:
    """The same versions to the last digit, with every tenth batch lost, before or after customers were written."""
    other = Run(logs, Random(seed), 0.1).go()
    assert other.versions == plain.versions


def test_nobody_is_named_in_what_is_told(plain: Run) -> None:
    """Examples hold figures and labels; rows are in an order that says nothing of who they are."""
    told = [decode_example(each) for each in plain.told]
    found = [each for each in told if isinstance(each, Cohort)]
    assert found
    for each in found:
        assert each.rows == sorted(each.rows)
        assert all(len(x) == len(DECLARED) - 1 for x, _ in each.rows)
    assert not any(b"c4-" in each for each in plain.told)


def test_the_probability_is_learned_from_when_the_version_holds(plain: Run) -> None:
    """Declared before, learned after, for those with a contract; the signal and the ranking's figure are one."""
    version = next(version for version in plain.versions if version.outcome == "fitted")
    since_ms = to_ms(version.valid_from)
    alive = [c for table in plain.customers for c in map(decode, table.values()) if c.contract is not None]
    running = [c for c in alive if c.contract is not None and c.contract.since_ms and c.last_ms < since_ms]
    over = [c for c in alive if c.contract is not None and not c.contract.since_ms and c.last_ms < since_ms]
    assert over
    for c in [*running[:20], *over[:20]]:
        before, after = plain.models.at(since_ms - 1), plain.models.at(since_ms)
        known = signals(c, since_ms, after)
        assert signal(c, since_ms - 1, before, "churn_probability") == pytest.approx(
            churn_probability(signals(c, since_ms - 1, before)).value
        )
        churn = churn_of(c, known, since_ms, after)
        assert signal(c, since_ms, after, "churn_probability") == churn.value == known["churn_probability"]
        assert churn.learned == (c in running)
        if churn.learned:
            assert all(abs(odds) >= 0.05 for _, odds in churn.reasons)


def test_people_without_lessons_tell_nothing(logs: list[list[Stored]]) -> None:
    """Where nothing is to be learned nobody is looked at."""
    config = replace(CONFIG, customers=CustomerConfig())
    part = CustomersPartition(0, config, None, {}, {}, models=Models(config.customers))
    changes = part.run([(topics.TOUCHPOINTS, logs[0][:2_000])])
    told = [decode_example(each) for each in changes.examples]
    assert not any(isinstance(each, Cohort) for each in told)
    customers = [decode(value) for _, value in changes.customers]
    assert all(c.contract is None or c.contract.frozen is None for c in customers)
