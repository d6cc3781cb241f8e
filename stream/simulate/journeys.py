"""What customers do: journeys as scripts of events, with the replies that follow them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from .words import comment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from .incidents import Incident
    from .people import Person

Record = dict[str, Any]
#: An event of a journey: when, and what goes on the wire.
Step = tuple[int, Record]

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS

STAGES: Final = {
    "advertising": "entice",
    "website": "entice",
    "onboarding": "enter",
    "app": "engage",
    "checkout": "engage",
    "support": "engage",
    "delivery": "engage",
    "billing": "extend",
}
PRODUCTS: Final = ("basic", "plus", "pro")

#: Metric -> lowest, highest, mean and standard deviation of a score when all is well.
SCORES: Final[dict[str, tuple[int, int, float, float]]] = {
    "nps": (0, 10, 8.8, 1.7),
    "csat": (1, 5, 4.3, 0.85),
    "ces": (1, 7, 5.7, 1.1),
    "loyalty": (1, 10, 8.0, 1.5),
    "engagement": (1, 10, 7.2, 1.8),
}
PILLARS: Final = {
    "nps": "integrity",
    "csat": "resolution",
    "ces": "time and effort",
    "loyalty": "expectations",
    "engagement": "personalisation",
    "csat-agent": "empathy",
    "csat-choice": "personalisation",
    "csat-price": "expectations",
    "csat-website": "time and effort",
}
#: Questions that some are asked after a purchase, and how much the answers go with that on recommending.
DETAILS: Final = (("csat-price", 0.75), ("csat-website", 0.55), ("csat-choice", 0.25))

COMMENTED: Final = 0.15
DETAILED: Final = 0.12
REFERRED: Final = 0.06
GIVEN_UP: Final = {"A": 0.24, "B": 0.20}  # the variants of the checkout
_CAMPAIGNS: Final = {"search": (320.0, 90.0), "social": (180.0, 60.0)}  # channel -> spend, deviation


def fixed_width(time_ms: int) -> str:
    """RFC 3339 in UTC, always with milliseconds: how many producers write it."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


class Journeys:
    """Writes journeys. The same random state and calls give the same records.

    Args:
        rng: seeded; every draw comes from it.
        prefix: of event ids and references, which are unique among equal prefixes.
        incidents: what goes wrong, and when.
    """

    def __init__(self, rng: Random, prefix: str, incidents: Sequence[Incident]) -> None:
        self._rng = rng
        self._prefix = prefix
        self._incidents = tuple(incidents)
        self._made = 0
        self._refs = 0
        self._scripts: tuple[Callable[[Person, int], list[Step]], ...] = (
            self._shop,
            self._support,
            self._browse,
            self._store,
            self._onboard,
            self._bill,
            self._leave,
            self._advertise,
        )
        self._chances = (0.40, 0.26, 0.135, 0.08, 0.05, 0.05, 0.015, 0.01)
        self._subscribers: dict[str, tuple[Person, str]] = {}

    def journey(self, person: Person, time_ms: int) -> list[Step]:
        """One journey of a person from an instant on, in the order of event times."""
        steps = self._rng.choices(self._scripts, self._chances)[0](person, time_ms)
        steps.sort(key=_when)
        return steps

    def _shop(self, person: Person, t: int) -> list[Step]:
        rng = self._rng
        place, channel = ("app", "app") if person.digital else ("website", "web")
        product = rng.choice(PRODUCTS)
        variant = "AB"[rng.random() < 0.5]  # noqa: PLR2004 - a coin
        at_checkout = {"ref": self._ref("order"), "product": product, "variant": variant}
        steps = [self._touch(t, person, "session_started", place, channel)]
        t += self._soon(2 * MINUTE_MS)
        steps.append(self._touch(t, person, "cart_started", place, channel, **at_checkout))
        t += self._soon(2 * MINUTE_MS)
        steps.append(self._touch(t, person, "checkout_started", "checkout", channel, **at_checkout))
        if rng.random() < GIVEN_UP[variant] + self._effect("abandon", t, person, "checkout", channel):
            if rng.random() < 0.5:  # noqa: PLR2004 - a coin
                self._ask(steps, t, person, "nps", "checkout", channel, variant=variant)
            return steps
        t += self._soon(MINUTE_MS)
        steps.append(self._bought(t, person, "checkout", channel, at_checkout))
        if rng.random() < 0.80:  # noqa: PLR2004 - a share, like those below
            self._ask(steps, t, person, "nps", "checkout", channel, product=product, variant=variant)
            if rng.random() < DETAILED:
                self._ask_details(steps, person, channel)
        self._deliver(steps, t, person, channel, at_checkout)
        return steps

    def _deliver(self, steps: list[Step], t: int, person: Person, channel: str, order: Record) -> None:
        rng = self._rng
        ref, product = order["ref"], order["product"]
        due_at = fixed_width(t + 90 * MINUTE_MS)
        t += SECOND_MS
        steps.append(self._touch(t, person, "promise_made", "delivery", channel, ref=ref, due_at=due_at))
        wait = self._effect("wait", t, person, "delivery", channel) or 1.0
        t += int(wait * rng.uniform(15 * MINUTE_MS, 50 * MINUTE_MS))
        steps.append(
            self._touch(
                t,
                person,
                "promise_kept",
                "delivery",
                channel,
                ref=ref,
                product=product,
                currency=person.currency,
                attributes={"cost": round(wait * rng.uniform(2.0, 6.0), 2)},
            )
        )
        if rng.random() < 0.55:  # noqa: PLR2004
            self._ask(steps, t, person, "ces", "delivery", channel, product=product)
        elif rng.random() < 0.3:  # noqa: PLR2004
            self._ask(steps, t, person, "nps", "delivery", channel, product=product)

    def _support(self, person: Person, t: int) -> list[Step]:
        rng = self._rng
        channel = rng.choices(("chat", "phone", "email"), (0.72, 0.16, 0.12))[0]
        ticket = self._ref("ticket")
        steps = [self._touch(t, person, "support_session", "support", channel, ref=ticket)]
        if channel == "chat" and rng.random() < 0.22:  # noqa: PLR2004
            t += self._soon(MINUTE_MS)
            steps.append(self._touch(t, person, "self_service_answered", "support", channel, ref=ticket))
            if rng.random() < 0.7:  # noqa: PLR2004 - for the others it was no answer
                return steps
        wait = self._effect("wait", t, person, "support", channel) or 1.0
        if channel != "email":
            queue = self._ref("queue")
            steps.append(self._touch(t + SECOND_MS, person, "queue_entered", "support", channel, ref=queue))
            t += int(wait * self._soon(2 * MINUTE_MS))
            if rng.random() < 0.06 + self._effect("abandon", t, person, "support", channel):
                steps.append(self._touch(t, person, "queue_abandoned", "support", channel, ref=queue))
                self._ask(steps, t, person, "csat", "support", channel)
                return steps
            steps.append(self._touch(t, person, "queue_served", "support", channel, ref=queue))
        t += SECOND_MS
        steps.append(self._touch(t, person, "ticket_opened", "support", channel, ref=ticket))
        slow = rng.random() < 0.15  # noqa: PLR2004
        t += int(
            wait * rng.uniform(*((2 * HOUR_MS, 30 * HOUR_MS) if slow else (2 * MINUTE_MS, 15 * MINUTE_MS)))
        )
        cost = round(rng.uniform(3.0, 12.0), 2)
        steps.append(
            self._touch(
                t,
                person,
                "ticket_resolved",
                "support",
                channel,
                ref=ticket,
                currency=person.currency,
                attributes={"cost": cost, "slow": slow},
            )
        )
        if rng.random() < 0.75:  # noqa: PLR2004
            question = "csat-agent" if rng.random() < 0.3 else None  # noqa: PLR2004
            self._ask(steps, t, person, "csat", "support", channel, question=question)
        if rng.random() < 0.2:  # noqa: PLR2004
            self._ask(steps, t, person, "ces", "support", channel)
        if rng.random() < 0.06:  # noqa: PLR2004
            t += self._soon(20 * MINUTE_MS)
            steps.append(self._touch(t, person, "ticket_reopened", "support", channel, ref=ticket))
        return steps

    def _browse(self, person: Person, t: int) -> list[Step]:
        place, channel = ("app", "app") if person.digital else ("website", "web")
        steps = [self._touch(t, person, "session_started", place, channel)]
        for _ in range(self._rng.randrange(3)):
            t += self._soon(MINUTE_MS)
            steps.append(
                self._touch(t, person, "page_viewed", place, channel, product=self._rng.choice(PRODUCTS))
            )
        if self._rng.random() < 0.2:  # noqa: PLR2004
            self._ask(steps, t, person, "engagement", place, channel)
        return steps

    def _store(self, person: Person, t: int) -> list[Step]:
        product = self._rng.choice(PRODUCTS)
        steps = [
            self._bought(t, person, "checkout", "store", {"ref": self._ref("order"), "product": product})
        ]
        if self._rng.random() < 0.6:  # noqa: PLR2004
            self._ask(steps, t, person, "nps", "checkout", "store", product=product)
        return steps

    def _onboard(self, person: Person, t: int) -> list[Step]:
        if person.customer_id in self._subscribers:
            return self._browse(person, t)
        channel = "app" if person.digital else "web"
        ref = self._ref("subscription")
        self._subscribers[person.customer_id] = person, ref
        steps = [self._touch(t, person, "subscription_started", "onboarding", channel, ref=ref)]
        for name in ("profile", "payment", "first_use"):
            t += self._soon(3 * MINUTE_MS)
            steps.append(
                self._touch(
                    t, person, "onboarding_step", "onboarding", channel, ref=ref, attributes={"step": name}
                )
            )
        if self._rng.random() < 0.4:  # noqa: PLR2004
            self._ask(steps, t, person, "ces", "onboarding", channel)
        elif self._rng.random() < 0.4:  # noqa: PLR2004
            self._ask(steps, t, person, "nps", "onboarding", channel)
        return steps

    def _bill(self, person: Person, t: int) -> list[Step]:
        value = round(self._rng.uniform(5.0, 80.0), 2)
        ref = self._ref("invoice")
        steps = [
            self._touch(
                t, person, "invoice_sent", "billing", "email", ref=ref, value=value, currency=person.currency
            )
        ]
        if self._rng.random() < 0.25:  # noqa: PLR2004
            self._ask(steps, t, person, "loyalty", "billing", "email")
        return steps

    def _leave(self, person: Person, t: int) -> list[Step]:
        """A subscriber cancels: this person if possible, else another."""
        if not self._subscribers:
            return self._browse(person, t)
        leaves = person.customer_id
        if leaves not in self._subscribers:
            leaves = self._rng.choice(list(self._subscribers))
        person, ref = self._subscribers.pop(leaves)
        t += 15 * MINUTE_MS  # hardly in the middle of signing up
        steps = [self._touch(t, person, "subscription_cancelled", "billing", "email", ref=ref)]
        if self._rng.random() < 0.3:  # noqa: PLR2004
            self._ask(steps, t, person, "loyalty", "billing", "email", question="loyalty-leaving", worse=3.0)
        return steps

    def _advertise(self, person: Person, t: int) -> list[Step]:
        """A campaign's bill: a record needs a customer, so the campaign is one."""
        rng = self._rng
        channel = rng.choice(list(_CAMPAIGNS))
        value = round(max(1.0, rng.gauss(*_CAMPAIGNS[channel])), 2)
        campaign = person._replace(customer_id=f"campaign-{channel}", segment="new", digital=False)
        return [
            self._touch(t, campaign, "acquisition_spend", "advertising", channel, value=value, currency="EUR")
        ]

    def _bought(self, t: int, person: Person, place: str, channel: str, extra: Record) -> Step:
        rng = self._rng
        value = round(person.basket * rng.lognormvariate(0.0, 0.3), 2)
        step = self._touch(
            t, person, "purchase", place, channel, value=value, currency=person.currency, **extra
        )
        if rng.random() < REFERRED:
            step[1]["attributes"] = {"referred_by": f"c-{rng.randrange(1_000_000):06d}"}
        return step

    def _touch(self, t: int, person: Person, kind: str, place: str, channel: str, **extra: Any) -> Step:
        record: Record = {
            "event_id": self._id(),
            "customer_id": person.customer_id,
            # The app sends epoch milliseconds, the others RFC 3339: both are within the contract.
            "occurred_at": t if channel == "app" else fixed_width(t),
            "kind": kind,
            "channel": channel,
            "touchpoint": place,
            "segment": person.segment,
            "region": person.region,
            "stage": STAGES[place],
        }
        record.update(extra)
        return t, record

    def _ask_details(self, steps: list[Step], person: Person, channel: str) -> None:
        """Add replies to more questions about what the last reply was about, which go together with it."""
        t, recommended = steps[-1]
        _, _, mean, deviation = SCORES["nps"]
        standing = (recommended["score"] - mean) / deviation
        spread = SCORES["csat"][3]
        extra = {name: recommended[name] for name in ("product", "variant")}
        for question, weight in DETAILS:
            worse = -weight * max(-2.5, standing) * spread
            self._ask(steps, t, person, "csat", "checkout", channel, question=question, worse=worse, **extra)
            steps[-1][1]["in_reply_to"] = recommended["in_reply_to"]

    def _ask(
        self,
        steps: list[Step],
        t: int,
        person: Person,
        metric: str,
        place: str,
        channel: str,
        *,
        question: str | None = None,
        worse: float = 0.0,
        **extra: Any,
    ) -> None:
        """Add the reply to a question about the last step; ``worse``: points off the usual mean."""
        rng = self._rng
        asked = steps[-1][1]["event_id"]
        t += self._soon(4 * MINUTE_MS)
        low, high, mean, deviation = SCORES[metric]
        mean += person.mood * deviation + self._effect(metric, t, person, place, channel) - worse
        score = min(high, max(low, round(rng.gauss(mean, deviation))))
        _, record = self._touch(t, person, "", place, channel, **extra)
        del record["kind"]
        record.update(
            metric=metric,
            score=score,
            question=question or f"{metric}-{place}",
            pillar=PILLARS.get(question or "", PILLARS[metric]),
            survey=f"after-{place}",
            in_reply_to=asked,
        )
        if metric == "ces":
            record["scale"] = [low, high]
        if rng.random() < COMMENTED:
            record["comment"] = comment(rng, person.language, place, liked=2 * score >= low + high + 1)
        steps.append((t, record))

    def _effect(self, name: str, t: int, person: Person, place: str, channel: str) -> float:
        total = 0.0
        for incident in self._incidents:
            if name in incident.effect and incident.touches(
                t,
                {"segment": person.segment, "region": person.region, "touchpoint": place, "channel": channel},
            ):
                total += incident.effect[name]
        return total

    def _soon(self, mean_ms: int) -> int:
        """A time of about ``mean_ms``, never none, never more than four times that."""
        return 200 + int(min(4.0 * mean_ms, self._rng.expovariate(1.0 / mean_ms)))

    def _id(self) -> str:
        self._made += 1
        return f"{self._prefix}-{self._made:08d}"

    def _ref(self, what: str) -> str:
        self._refs += 1
        return f"{what}-{self._prefix}-{self._refs}"


def _when(step: Step) -> int:
    return step[0]
