"""Which kinds of events contribute what, under given declarations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.measures import METRICS
from stream.measures.declare import QUEUE
from stream.measures.value_at_risk import AT_RISK

from . import journeys
from .fold import PURCHASE
from .histories import SUBSCRIPTIONS, TICKETS, Family
from .journeys import Journey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.measures.declare import Declarations, MoneySpec

    from .state import CustomerConfig

WAITS: Final = "#w"  # the queue, where no declared journey is one
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


class Part(NamedTuple):
    """What a kind is to a family."""

    family: Family
    role: int
    opens: bool


@dataclass(slots=True)
class Plan:
    """What to do with the events of a kind."""

    money: list[tuple[str, str | None]] = field(default_factory=list)  # stem, attribute
    parts: list[Part] = field(default_factory=list)  # of events with a reference
    blank: list[Part] = field(default_factory=list)  # without one
    astray: bool = False  # whether it is of note that one of these comes without a reference
    counts: bool = False  # purchases
    acquires: bool = False
    lone_session: bool = False
    spends: bool = False  # whether what is spent, and when, is of note


def wanted_stems(declared: Declarations) -> frozenset[str]:
    """Stems of the keys that the enabled metrics, and claims, read."""
    stems = {stem for name in declared.metrics for stem in METRICS[name].stems}
    return frozenset(stems | {AT_RISK} if declared.at_risk else stems)


class Plans:
    """Kind -> what to do with its events.

    Args:
        declared: enabled metrics, journeys and money fields. Only keys of enabled metrics are made.
        config: limits of a customer's state.

    Attributes:
        wanted: Stems of the keys that are made.
        of: Plan of each kind that has one of its own.
        any: Plan of all others.
        at_risk: Whether replies and purchases are looked at for what is at risk.

    Raises:
        ValueError: a metric is made of what customers spent, and that is not kept.
    """

    def __init__(self, declared: Declarations, config: CustomerConfig) -> None:
        self.wanted: Final = wanted_stems(declared)
        self.of: Final[dict[str, Plan]] = {}
        self.any: Final = Plan()
        self.at_risk: Final = AT_RISK in self.wanted
        if self.at_risk and not (config.profile or config.spend):
            raise ValueError(f"{AT_RISK} needs what customers have spent: keep it")
        self._add_money("revenue", declared.revenue)
        self._add_money("cost", declared.cost)
        if "acquisition_spend" in self.wanted:
            self._plan("acquisition_spend").money.append(("acquisition_spend", None))
        if "purchases" in self.wanted:
            self._plan(PURCHASE).counts = True
        if "acquired" in self.wanted:
            self._plan(PURCHASE).acquires = self._plan("subscription_started").acquires = True
        if self.at_risk:
            self._plan(PURCHASE).spends = True
        self._add_tickets()
        self._add_journeys(declared)
        if "subscribers" in self.wanted:
            self._add_family(Family(SUBSCRIPTIONS, journeys.subscriptions, blank=True), _SUBSCRIPTION_ROLES)

    def _plan(self, kind: str) -> Plan:
        plan = self.of.get(kind)
        if plan is None:
            plan = self.of[kind] = Plan(money=list(self.any.money))
        return plan

    def _add_money(self, stem: str, spec: MoneySpec) -> None:
        if stem not in self.wanted:
            return
        where = (stem, spec.attribute)
        if spec.kinds:
            for kind in spec.kinds:
                self._plan(kind).money.append(where)
            return
        self.any.money.append(where)
        for plan in self.of.values():
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
            bought = PURCHASE in spec.finished
            machine = Journey(spec.within_ms, waits=waits, quiet=bought)
            roles = dict.fromkeys(spec.begun, journeys.BEGUN) | dict.fromkeys(
                spec.finished, journeys.FINISHED
            )
            roles |= dict.fromkeys(spec.abandoned, journeys.ABANDONED)
            self._add_family(Family(spec.name, machine, blank=not bought), roles)
        if queue_waits:
            roles = {QUEUE.begun[0]: journeys.BEGUN, QUEUE.finished[0]: journeys.FINISHED}
            roles |= dict.fromkeys(QUEUE.abandoned, journeys.ABANDONED)
            self._add_family(Family(WAITS, Journey(QUEUE.within_ms, waits=True), blank=True), roles)

    def _add_family(self, family: Family, roles: Mapping[str, int]) -> None:
        for kind, role in roles.items():
            tickets = family.name == TICKETS
            opens = role in {journeys.OPENED, journeys.SUPPORT} if tickets else role == journeys.BEGUN
            part = Part(family, role, opens)
            plan = self._plan(kind)
            plan.parts.append(part)
            if family.blank and role not in {journeys.SUPPORT, journeys.ANSWERED}:
                plan.blank.append(part)
            else:
                # A session without a reference counts by itself; a purchase without one may be of anything.
                plan.astray = kind not in {"support_session", PURCHASE}
