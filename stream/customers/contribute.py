"""What one applied touchpoint contributes to measures: at once, or together with others of its reference.

Purchases, money and what else an event says by itself is counted at its time, in its slices. Tickets, journeys
and subscriptions are histories (``journeys``): an event contributes what the history comes to with it, less
what it came to before. So a contribution may lie far from the event that makes it, and may be negative.

A crash can leave a customer ahead of the panes. Records then come again that the customer has; what they
said by themselves is found again from the record, the rest in the customer's journal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream.measures import NO_DIMS, dims_of, duration, money
from stream.measures.drivers import observe
from stream.measures.drivers import place as place_of
from stream.measures.value_at_risk import unhappy

from . import at_risk, journeys
from .fold import PURCHASE, money_of
from .histories import DRIVERS, SUBSCRIPTIONS, Family, forget, note, stray
from .identity import hash64
from .joining_stories import join_stories
from .journeys import OVER_CAPACITY, Answers, answer, answers_of, pack, subscription, unpack
from .plans import WAITS, Plans
from .state import story_of

if TYPE_CHECKING:
    from stream.intake import Event
    from stream.measures import Dims, Observation
    from stream.measures.declare import Declarations, DriversSpec

    from .journeys import Fact, Moment
    from .known import Known
    from .plans import Part, Plan
    from .state import Customer, CustomerConfig, Entry, Story

Contribution = tuple[int, "Dims", str, tuple[int, ...]]
"""Moment in epoch milliseconds, where it counts, part key, vector: negative where it takes something back."""

NO_REFERENCE: Final = "no_reference"
"""A cart's event, or an answer of self-service, without ``ref``: it cannot be tied to anything."""
BAD_MONEY: Final = "bad_money"
"""An amount that is no number or beyond all reason, or a currency that is no code."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What surrounds the events of a batch.

    Attributes:
        durable: offset up to which either topic is durable in the panes.
        unpaired: counts events that do not fit their history, by reason.
        journal: whether what is contributed has to be remembered, because a crash may come.
    """

    durable: tuple[int, int]
    unpaired: Counter[str]
    journal: bool = True


class Contributor:
    """What events contribute under given declarations. Immutable.

    Args:
        declared: enabled metrics, journeys and money fields. Only keys of enabled metrics are made.
        config: limits of a customer's state.

    Raises:
        ValueError: a metric is made of what customers spent, and that is not kept.
    """

    def __init__(self, declared: Declarations, config: CustomerConfig) -> None:
        plans = Plans(declared, config)
        self._config = config
        self.wanted: Final = plans.wanted
        self._plans = plans.of
        self._any = plans.any
        self._at_risk = plans.at_risk
        self._families = {part.family.name: part.family for plan in plans.of.values() for part in plan.parts}
        self._drivers = declared.drivers if "drivers" in self.wanted else None
        if self._drivers is not None:
            # Two rounds of all questions.
            most = 2 * (len(self._drivers.among) + 1)
            self._answers = Family(DRIVERS, Answers(self._drivers.within_ms), blank=True, max_moments=most)
            self._families[DRIVERS] = self._answers

    def concerned(self, event: Event) -> bool:
        """Whether a touchpoint may contribute anything. Quick: it is asked of each."""
        return event.kind in self._plans or (event.attributes is not None and bool(self._any.money))

    def contributions(
        self, customer: Customer, event: Event, arrival: int, telling: Telling, *, fresh: bool
    ) -> list[Contribution]:
        """What a touchpoint contributes.

        Args:
            customer: after ``fold`` took the event in; its story changes.
            event: a touchpoint.
            arrival: which record it was: offset * 2, and 1 more on the second topic.
            telling: of the batch.
            fresh: whether it was applied just now; else it was before a crash.
        """
        plan = self._plans.get(event.kind, self._any)  # type: ignore[arg-type]
        seen = self._alone(plan, customer, event, arrival, telling, fresh=fresh)
        found: list[Contribution] = []
        if seen:
            time_ms, dims = event.time_ms, dims_of(event)
            found = [(time_ms, dims, key, vec) for key, vec in seen]
        parts = plan.parts
        if not event.ref:
            parts = plan.blank
            if plan.astray and fresh:
                telling.unpaired[NO_REFERENCE] += 1
        if not parts and not plan.spends:
            return found
        story = story_of(customer, telling.durable)
        if not fresh:
            return self._again(story, arrival, found)
        if plan.spends and event.value is not None:
            currency, units = money_of(event)
            if currency in customer.spend:
                at_risk.bought(story, customer, event.time_ms, currency, units, self._config)
        if parts and not self._full(story, telling):
            self._tell(parts, story, customer, event, arrival, telling, found)
        return found

    def joined(
        self, customer: Customer, other: Customer, arrival: int, telling: Telling
    ) -> list[Contribution]:
        """Join the story of an alias, and say what of what was counted changes by it.

        Args:
            customer: of the id that stays, after ``join``; its story changes.
            other: of the alias, as it came; not to be used any more.
            arrival: of the record that brought it.
            telling: of the batch.
        """
        mine, theirs = story_of(customer, telling.durable), story_of(other, telling.durable)
        found: list[Contribution] = []
        changes = join_stories(mine, theirs, self._families, customer.last_ms, self._config)
        for name, (gained, lost) in changes.items():
            self._keep(mine, (arrival, name, gained, lost), telling, found)
            _count_waits(customer.known, gained, lost)
        return found

    def again(self, customer: Customer, arrival: int, telling: Telling) -> list[Contribution]:
        """What ``joined`` said of this arrival, before a crash."""
        return self._again(story_of(customer, telling.durable), arrival, [])

    def _full(self, story: Story, telling: Telling) -> bool:
        """Whether so much of a customer is not durable yet that an event is left out, which is counted."""
        if len(story.journal) < self._config.max_journal:
            return False
        telling.unpaired[OVER_CAPACITY] += 1
        return True

    def _keep(self, story: Story, entry: Entry, telling: Telling, found: list[Contribution]) -> None:
        if telling.journal:
            story.journal.append(entry)
        self._put(*entry[1:], found)

    def _again(self, story: Story, arrival: int, found: list[Contribution]) -> list[Contribution]:
        """What the record of this arrival contributed when it was applied."""
        for entry in story.journal:
            if entry[0] == arrival:
                self._put(*entry[1:], found)
        return found

    @property
    def hears_replies(self) -> bool:
        """Whether replies contribute anything: to drivers, or to what is at risk."""
        return self._drivers is not None or self._at_risk

    def replies(
        self, customer: Customer, event: Event, arrival: int, telling: Telling, *, fresh: bool
    ) -> list[Contribution]:
        """What a reply contributes; arguments as of ``contributions``.

        To drivers: a reply to one of the candidates is an explaining answer, whatever its metric; any other one of
        the overall metric is to be explained. What they come to counts in the whole alone. To the value at risk:
        every unhappy reply.
        """
        found: list[Contribution] = []
        if event.metric is None or event.score is None or event.scale is None:
            return found
        answered = None if self._drivers is None else self._answered(self._drivers, event)
        upset = self._at_risk and unhappy(event.metric, event.score, event.scale, event.higher_is_better)
        if answered is None and not upset:
            return found
        story = story_of(customer, telling.durable)
        if not fresh:
            return self._again(story, arrival, found)
        if self._full(story, telling):
            return found
        if answered is not None:
            forget(story, customer.last_ms)
            changed = note(story, self._answers, 0, answered, self._config, telling.unpaired)
            if changed is not None:
                self._keep(story, (arrival, DRIVERS, *changed), telling, found)
        if upset:
            place = pack(dims_of(event))
            changed = at_risk.replied(story, customer, arrival, event.time_ms, place)
            if changed is not None:
                self._keep(story, (arrival, at_risk.FAMILY, *changed), telling, found)
        return found

    @staticmethod
    def _answered(spec: DriversSpec, event: Event) -> Moment | None:
        """The moment of a reply that drivers are sought in, or among."""
        name = event.question if spec.by == "question" else event.touchpoint
        if event.score is None or event.scale is None:
            return None
        if name not in spec.among and event.metric != spec.overall:
            return None
        at = place_of(event.score, event.scale, event.higher_is_better)
        if at is None:
            return None
        if name is not None and name in spec.among:
            return event.time_ms, journeys.CANDIDATE, answer(name, at)
        return event.time_ms, journeys.OVERALL, str(at)

    def _alone(
        self, plan: Plan, customer: Customer, event: Event, arrival: int, telling: Telling, *, fresh: bool
    ) -> list[Observation]:
        """What the event says by itself, or with no more than a flag of the customer."""
        found: list[Observation] = []
        attributes = event.attributes
        for stem, attribute in plan.money:
            value = event.value if attribute is None else attributes and attributes.get(attribute)
            if value is None:
                continue
            seen = money(stem, value, event.currency) if type(value) in {int, float} else None  # type: ignore[arg-type]
            if seen is not None:
                found.append(seen)
            elif fresh:
                telling.unpaired[BAD_MONEY] += 1
        if plan.counts:
            by = attributes.get("referred_by") if attributes else None
            found.append(("purchases", (1, 0 if by is None or by is False or by == "" else 1)))
        if plan.acquires:
            if fresh and customer.acquired < 0 and customer.purchases == int(event.kind == PURCHASE):
                customer.acquired = arrival
            if customer.acquired == arrival:
                found.append(("acquired", (1,)))
        if plan.lone_session and not event.ref:
            found.append(("sessions", (1, 0)))
        return found

    def _tell(
        self,
        parts: list[Part],
        story: Story,
        customer: Customer,
        event: Event,
        arrival: int,
        telling: Telling,
        found: list[Contribution],
    ) -> None:
        """Take an event into the histories it belongs to."""
        unpaired = telling.unpaired
        forget(story, customer.last_ms)
        ref = hash64(event.ref) if event.ref else 0
        for family, role, opens in parts:
            text = pack(dims_of(event)) if opens else ""
            if family.name == SUBSCRIPTIONS:
                moment = (event.time_ms, role, subscription(ref, text))
                changed = note(story, family, 0, moment, self._config, unpaired)
            elif not opens and stray(
                story, family, ref, (event.time_ms, role, ""), customer.last_ms, self._config, unpaired
            ):
                continue
            else:
                changed = note(story, family, ref, (event.time_ms, role, text), self._config, unpaired)
            if changed is not None:
                self._keep(story, (arrival, family.name, *changed), telling, found)
                _count_waits(customer.known, *changed)

    def _put(self, name: str, gained: list[Fact], lost: list[Fact], found: list[Contribution]) -> None:
        """From facts to contributions."""
        if name == DRIVERS:
            _put_drivers(gained, lost, found)
            return
        if name == at_risk.FAMILY:
            found += at_risk.contributed(gained, lost)
            return
        for time_ms, place, what, amount in gained:
            dims = unpack(place)
            for key, vec in self._seen(name, what, amount):
                found.append((time_ms, dims, key, vec))
        for time_ms, place, what, amount in lost:
            dims = unpack(place)
            for key, vec in self._seen(name, what, amount):
                found.append((time_ms, dims, key, tuple([-x for x in vec])))

    def _seen(self, name: str, what: int, amount: int) -> tuple[Observation, ...]:
        """What a fact adds where it counts."""
        wanted = self.wanted
        if what == journeys.ENDED:
            return ((f"ended|{name}", (1, amount)),) if name != WAITS and "ended" in wanted else ()
        if what == journeys.WAITED:
            return duration("waiting_time", amount)
        if what == journeys.RESOLVED:
            times = duration("resolution_time", amount) if "resolution_time" in wanted else ()
            return (("tickets", (1, 0)), *times) if "tickets" in wanted else times
        if what == journeys.REOPENED:
            return (("tickets", (0, 1)),) if "tickets" in wanted else ()
        if what == journeys.SESSION:
            return (("sessions", (1, amount)),)
        if what == journeys.SUBSCRIBED:
            return (("subscribers", (1, 1, 0)),)
        return (("subscribers", (-1, 0, 1)),)


def _count_waits(known: Known, gained: list[Fact], lost: list[Fact]) -> None:
    for facts, sign in ((gained, 1), (lost, -1)):
        for _, _, what, amount in facts:
            if what == journeys.WAITED:
                known.waits += sign
                known.waited_ms += sign * amount


def _put_drivers(gained: list[Fact], lost: list[Fact], found: list[Contribution]) -> None:
    """Of the pairs of answers only those that changed."""
    before, after = (
        Counter((at, *pair) for at, text, _, overall in facts for pair in observe(overall, answers_of(text)))
        for facts in (lost, gained)
    )
    found += [(at, NO_DIMS, key, vec) for at, key, vec in (after - before).elements()]
    found += [(at, NO_DIMS, key, tuple([-x for x in vec])) for at, key, vec in (before - after).elements()]
