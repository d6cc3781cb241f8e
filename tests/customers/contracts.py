"""Made-up customers with a contract, whose chance to cancel is known, and the cohorts they come to."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from math import exp
from typing import TYPE_CHECKING, NamedTuple

from stream.customers import Customer, CustomerConfig, fold
from stream.customers.learning import predict
from stream.customers.learning_cohorts import Learned, beginner, take_cohort
from stream.customers.learning_features import Example, features, unpack
from stream.customers.learning_labels import advance
from stream.customers.state import Frozen, Lessons
from stream.intake.event import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DAY = 24 * 3600 * 1000
WEEK = 7 * DAY
T0 = 2_860 * WEEK
CONFIG = CustomerConfig(lessons=Lessons(every_ms=WEEK, horizon_ms=4 * WEEK))

Cohorts = dict[int, list[Example]]


@dataclass
class Person:
    """How somebody with a contract fares; what ``hazard`` may look at.

    Attributes:
        mood: 0 is usual, more is worse; nobody sees it but through what the person does.
        silent: Days without an event.
        complains: Whether a ticket is open.
        score: Of the newest nps reply.
    """

    name: str
    mood: float
    rate: float
    silent: int = 0
    complains: bool = False
    score: float | None = None
    events: list[Event] = field(default_factory=list)

    def does(self, day: float, kind: str, **fields: object) -> None:
        """A touchpoint."""
        self.events.append(self._event(day, kind=kind, **fields))

    def replies(self, day: float, score: float) -> None:
        """An nps reply."""
        self.score = score
        self.events.append(self._event(day, metric="nps", score=score, scale=(0.0, 10.0)))

    def _event(self, day: float, **fields: object) -> Event:
        at_ms = T0 + int(day * DAY)
        return Event(  # type: ignore[call-arg]
            event_id=f"{self.name}-{len(self.events)}", customer_id=self.name, time_ms=at_ms, **fields
        )


def logistic(odds: float) -> float:
    """The chance of these log-odds."""
    return 1.0 / (1.0 + exp(-odds))


def unhappy_leave(person: Person, _day: float) -> float:
    """A daily chance that depends on much of what can be seen, and on the mood, which cannot."""
    odds = -6.5 + 0.9 * person.mood + 0.8 * person.complains + 0.05 * min(person.silent, 30)
    return logistic(odds + 0.7 * (person.score is not None and person.score <= 6))


def people(
    n: int, days: int, seed: int, hazard: Callable[[Person, float], float], *, farewell: bool = False
) -> Iterator[Person]:
    """People and their events in order of time, from the start of a contract to its end.

    Args:
        n: People.
        days: The time they have.
        seed: Of all that is random.
        hazard: Chance to cancel on a day.
        farewell: Whether who cancels complains within the hour before; nothing of it could be seen earlier.
    """
    dice = random.Random(seed)
    for number in range(n):
        person = Person(f"c{seed}-{number}", dice.gauss(0, 1), dice.choice([0.1, 0.3, 0.6]))
        start = dice.uniform(0, days / 2)
        person.does(start, "subscription_started", ref="S")
        for day in range(int(start) + 1, days):
            if dice.random() < 0.02:
                person.mood += dice.gauss(0, 1)
            if dice.random() < person.rate * exp(-0.7 * max(0.0, person.mood)):
                person.does(day + 0.9 * dice.random() / 2, "session_started")
                person.silent = 0
            else:
                person.silent += 1
            if not person.complains and dice.random() < 0.01 * exp(0.4 * person.mood):
                person.does(day + 0.5, "ticket_opened", ref="T")
                person.complains = True
            elif person.complains and dice.random() < 0.15:
                person.does(day + 0.6, "ticket_resolved", ref="T")
                person.complains = False
            if dice.random() < 0.02:
                person.replies(
                    day + 0.7, max(0.0, min(10.0, round(8 - 2.5 * person.mood + dice.gauss(0, 1))))
                )
            if dice.random() < hazard(person, day):
                if farewell:
                    person.does(day + 0.92, "ticket_opened", ref="farewell")
                    person.replies(day + 0.93, 0.0)
                person.does(day + 0.95, "subscription_cancelled", ref="S")
                break
        yield person


def cohorts(found: Iterator[Person], days: int) -> Cohorts:
    """What is known by each moment, as a partition would gather it."""
    by_moment: Cohorts = defaultdict(list)
    for person in found:
        c = Customer()
        looks: dict[int, Frozen] = {}
        for offset, event in enumerate(person.events):
            fold(c, event, "t", offset, CONFIG)
            looks |= known(c)
        while c.contract is not None and advance(c, T0 + days * DAY, CONFIG):
            looks |= known(c)
        for at_ms, look in looks.items():
            x = unpack(look.figures)
            assert x is not None
            by_moment[at_ms + 4 * WEEK].append(Example(x, look.left))
    return by_moment


def peeking(found: Iterator[Person], days: int) -> Cohorts:
    """The mistake: the same looks, with figures of when their labels became known."""
    by_moment: Cohorts = defaultdict(list)
    for person in found:
        for at_ms, examples in cohorts(iter([person]), days).items():
            c = Customer()
            for offset, event in enumerate(person.events):
                if event.time_ms >= at_ms or event.kind == "subscription_cancelled":
                    at_ms_seen = min(event.time_ms, at_ms)
                    break
                fold(c, event, "t", offset, CONFIG)
            else:
                at_ms_seen = at_ms
            assert c.contract is not None
            x = features(c, at_ms_seen, c.contract.since_ms, CONFIG)
            by_moment[at_ms] += [Example(x, each.left) for each in examples]
    return by_moment


def known(c: Customer) -> Mapping[int, Frozen]:
    """Looks whose labels are known, by their moment."""
    return {look.at_ms: look for look in c.contract.known} if c.contract is not None else {}


class Progress(NamedTuple):
    """Cohorts learned one after the other: what came of it, and what was said of which examples before."""

    learned: Learned
    examples: list[Example]
    said: list[float]


def learn_all(by_moment: Cohorts) -> Progress:
    """Learn all cohorts. Examples are those for which a learned version was in force at the look."""
    learned = beginner()
    found = Progress(learned, [], [])
    versions: list[tuple[int, Sequence[float]]] = []
    for at_ms in sorted(by_moment):
        in_force = [weights for from_ms, weights in versions if from_ms <= at_ms - 4 * WEEK]
        if in_force:
            found.examples.extend(by_moment[at_ms])
            found.said.extend(predict(in_force[-1], example.x) for example in by_moment[at_ms])
        take_cohort(learned, by_moment[at_ms], at_ms - 4 * WEEK, at_ms, at_ms + WEEK)
        if learned.version is not None:
            versions.append((at_ms + WEEK, learned.version.weights))
    return found
