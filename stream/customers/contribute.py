"""What one applied touchpoint contributes to measures: at once, or together with others of its reference.

Purchases, money and what else an event says by itself is counted at its time, in its slices. Tickets, journeys
and subscriptions are histories (``journeys``): an event contributes what the history comes to with it, less
what it came to before. So a contribution may lie far from the event that makes it, and may be negative.

A crash can leave a customer ahead of the panes. Records then come again that the customer has; what they
said by themselves is found again from the record, the rest in the customer's journal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.measures import METRICS, NO_DIMS, dims_of, duration, money
from stream.measures.declare import QUEUE
from stream.measures.drivers import observe
from stream.measures.drivers import place as place_of

from . import journeys
from .histories import DRIVERS, SUBSCRIPTIONS, TICKETS, Family, forget, note, stray
from .identity import hash64
from .journeys import OVER_CAPACITY, Answers, Journey, answer, answers_of, pack, subscription, unpack
from .state import story_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.intake import Event
    from stream.measures import Dims, Observation
    from stream.measures.declare import Declarations, MoneySpec

    from .journeys import Fact
    from .state import Customer, CustomerConfig, Entry, Story

Contribution = tuple[int, "Dims", str, tuple[int, ...]]
"""Moment in epoch milliseconds, where it counts, part key, vector: negative where it takes something back."""

NO_REFERENCE: Final = "no_reference"
"""A cart's event, or an answer of self-service, without ``ref``: it cannot be tied to anything."""
BAD_MONEY: Final = "bad_money"
"""An amount that is no number or beyond all reason, or a currency that is no code."""

_WAITS: Final = "#w"  # the queue, where no declared journey is one
_PURCHASE: Final = "purchase"
_TICKET_ROLES: Final = {
    "ticket_opened": journeys.OPENED,
    "ticket_resolved": journeys.TICKET_RESOLVED,
    "ticket_reopened": journeys.TICKET_REOPENED,
}
_SESSION_ROLES: Final = {
    "ticket_opened": journeys.OPENED,
    "support_session": journeys.SUPPORT,
    "self_service_answered": journeys.ANSWERED,
}
_SUBSCRIPTION_ROLES: Final = {
    "subscription_started": journeys.STARTED,
    "subscription_cancelled": journeys.CANCELLED,
}


class _Part(NamedTuple):
    """What a kind is to a family."""

    family: Family
    role: int
    opens: bool


@dataclass(slots=True)
class _Plan:
    """What to do with the events of a kind."""

    money: list[tuple[str, str | None]] = field(default_factory=list)  # stem, attribute
    parts: list[_Part] = field(default_factory=list)  # of events with a reference
    blank: list[_Part] = field(default_factory=list)  # without one
    astray: bool = False  # whether it is of note that one of these comes without a reference
    counts: bool = False  # purchases
    acquires: bool = False
    lone_session: bool = False


def wanted_stems(declared: Declarations) -> frozenset[str]:
    """Stems of the keys that the enabled metrics read."""
    return frozenset(stem for name in declared.metrics for stem in METRICS[name].stems)


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
    """

    def __init__(self, declared: Declarations, config: CustomerConfig) -> None:
        self._config = config
        self.wanted: Final = wanted_stems(declared)
        self._plans: dict[str, _Plan] = {}
        self._any = _Plan()
        self._add_money("revenue", declared.revenue)
        self._add_money("cost", declared.cost)
        if "acquisition_spend" in self.wanted:
            self._plan("acquisition_spend").money.append(("acquisition_spend", None))
        if "purchases" in self.wanted:
            self._plan(_PURCHASE).counts = True
        if "acquired" in self.wanted:
            self._plan(_PURCHASE).acquires = self._plan("subscription_started").acquires = True
        self._add_tickets()
        self._add_journeys(declared)
        if "subscribers" in self.wanted:
            self._add_family(Family(SUBSCRIPTIONS, journeys.subscriptions, blank=True), _SUBSCRIPTION_ROLES)
        self._drivers = declared.drivers if "drivers" in self.wanted else None
        if self._drivers is not None:
            # Two rounds of all questions.
            most = 2 * (len(self._drivers.among) + 1)
            self._answers = Family(DRIVERS, Answers(self._drivers.within_ms), blank=True, max_moments=most)

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
        if not parts:
            return found
        story = story_of(customer, telling.durable)
        if not fresh:
            return self._again(story, arrival, found)
        if not self._full(story, telling):
            self._tell(parts, story, customer, event, arrival, telling, found)
        return found

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
    def explains(self) -> bool:
        """Whether drivers are sought, so that replies contribute to them."""
        return self._drivers is not None

    def answers(
        self, customer: Customer, event: Event, arrival: int, telling: Telling, *, fresh: bool
    ) -> list[Contribution]:
        """What a reply contributes to drivers; arguments as of ``contributions``.

        A reply to one of the candidates is an explaining answer, whatever its metric; any other one of the
        overall metric is to be explained. What they come to counts in the whole alone.
        """
        spec = self._drivers
        if spec is None or event.score is None or event.scale is None:
            return []
        name = event.question if spec.by == "question" else event.touchpoint
        if name not in spec.among and event.metric != spec.overall:
            return []
        at = place_of(event.score, event.scale, event.higher_is_better)
        if at is None:
            return []
        found: list[Contribution] = []
        story = story_of(customer, telling.durable)
        if not fresh:
            return self._again(story, arrival, found)
        if self._full(story, telling):
            return found
        moment = (event.time_ms, journeys.OVERALL, str(at))
        if name is not None and name in spec.among:
            moment = (event.time_ms, journeys.CANDIDATE, answer(name, at))
        forget(story, customer.last_ms)
        changed = note(story, self._answers, 0, moment, self._config, telling.unpaired)
        if changed is not None:
            self._keep(story, (arrival, DRIVERS, *changed), telling, found)
        return found

    def _plan(self, kind: str) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = _Plan(money=list(self._any.money))
        return plan

    def _add_money(self, stem: str, spec: MoneySpec) -> None:
        if stem not in self.wanted:
            return
        where = (stem, spec.attribute)
        if spec.kinds:
            for kind in spec.kinds:
                self._plan(kind).money.append(where)
            return
        self._any.money.append(where)
        for plan in self._plans.values():
            plan.money.append(where)

    def _add_tickets(self) -> None:
        roles: dict[str, int] = {}
        if not self.wanted.isdisjoint({"tickets", "resolution_time"}):
            roles |= _TICKET_ROLES
        if "sessions" in self.wanted:
            roles |= _SESSION_ROLES
            self._plan("support_session").lone_session = True
        self._add_family(Family(TICKETS, journeys.tickets, blank=True), roles)

    def _add_journeys(self, declared: Declarations) -> None:
        queue_waits = "waiting_time" in self.wanted
        for spec in declared.journeys if "ended" in self.wanted else ():
            waits = queue_waits and spec.begun == QUEUE.begun and spec.finished == QUEUE.finished
            queue_waits = queue_waits and not waits
            bought = _PURCHASE in spec.finished
            machine = Journey(spec.within_ms, waits=waits, quiet=bought)
            roles = dict.fromkeys(spec.begun, journeys.BEGUN) | dict.fromkeys(
                spec.finished, journeys.FINISHED
            )
            roles |= dict.fromkeys(spec.abandoned, journeys.ABANDONED)
            self._add_family(Family(spec.name, machine, blank=not bought), roles)
        if queue_waits:
            roles = {QUEUE.begun[0]: journeys.BEGUN, QUEUE.finished[0]: journeys.FINISHED}
            roles |= dict.fromkeys(QUEUE.abandoned, journeys.ABANDONED)
            self._add_family(Family(_WAITS, Journey(QUEUE.within_ms, waits=True), blank=True), roles)

    def _add_family(self, family: Family, roles: Mapping[str, int]) -> None:
        for kind, role in roles.items():
            tickets = family.name == TICKETS
            opens = role in {journeys.OPENED, journeys.SUPPORT} if tickets else role == journeys.BEGUN
            part = _Part(family, role, opens)
            plan = self._plan(kind)
            plan.parts.append(part)
            if family.blank and role not in {journeys.SUPPORT, journeys.ANSWERED}:
                plan.blank.append(part)
            else:
                # A session without a reference counts by itself; a purchase without one may be of anything.
                plan.astray = kind not in {"support_session", _PURCHASE}

    def _alone(
        self, plan: _Plan, customer: Customer, event: Event, arrival: int, telling: Telling, *, fresh: bool
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
            if fresh and customer.acquired < 0 and customer.purchases == int(event.kind == _PURCHASE):
                customer.acquired = arrival
            if customer.acquired == arrival:
                found.append(("acquired", (1,)))
        if plan.lone_session and not event.ref:
            found.append(("sessions", (1, 0)))
        return found

    def _tell(
        self,
        parts: list[_Part],
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

    def _put(self, name: str, gained: list[Fact], lost: list[Fact], found: list[Contribution]) -> None:
        """From facts to contributions."""
        if name == DRIVERS:
            _put_drivers(gained, lost, found)
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
            return ((f"ended|{name}", (1, amount)),) if name != _WAITS and "ended" in wanted else ()
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


def _put_drivers(gained: list[Fact], lost: list[Fact], found: list[Contribution]) -> None:
    """Of the pairs of answers only those that changed."""
    before, after = (
        Counter((at, *pair) for at, text, _, overall in facts for pair in observe(overall, answers_of(text)))
        for facts in (lost, gained)
    )
    found += [(at, NO_DIMS, key, vec) for at, key, vec in (after - before).elements()]
    found += [(at, NO_DIMS, key, tuple([-x for x in vec])) for at, key, vec in (before - after).elements()]
