"""One story for every kind of rule, told as a timeline: what customers did, and which alerts have to come.

Times are minutes of event time since ``START_MS``. All stories are one log, and none disturbs another: each
has slices, customers and metrics of its own.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.topics import REPLIES, TOUCHPOINTS
from tests.e2e.records import ToSend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_MS = 1_768_204_800_000
MINUTE_MS = 60_000
HOUR = 60.0
DAY = 24 * HOUR
#: All deadlines of all stories are over.
END = 9 * DAY

RULES = """
groups:
  - name: journey
    rules:
      - alert: NpsLowForVip
        metric: nps
        by: [segment]
        where: {segment: vip}
        window: 1h
        below: 30
        evidence: interval
        confidence: 0.95
        min_n: 50
        for: 5m
        resolve: {above: 35}
        cooldown: 30m
        severity: critical
        labels: {team: retail}
        annotations: {summary: "NPS of {segment} is {value} on {n} replies"}
        action: {type: callback, owner: retail, within: 2h}
      - alert: CsatFell
        metric: csat
        by: [touchpoint, channel]
        where: {touchpoint: checkout}
        window: 1h
        drop: {points: 10, from: 7d}
        min_n: 5
      - alert: EffortChanged
        metric: ces
        by: [touchpoint, channel]
        change: {direction: down, one_false_alarm_per: 10000}
      - alert: CsatBudget
        metric: csat
        by: [segment]
        where: {segment: business}
        burn_rate: {goal: 98, page: [[1h, 5m, 14.4], [6h, 30m, 6]]}
      - alert: RepliesStopped
        metric: nps
        by: [channel]
        where: {channel: kiosk}
        no_data: 30m
      - alert: UnhappyAndValuable
        on: reply
        when: {metric: nps, score: {lte: 6}, customer.expected_value: {gte: 500}}
      - alert: TicketUnanswered
        expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 24h}
      - alert: ContactedThreeTimes
        count: {of: {kind: ticket_opened}, at_least: 3, within: 7d}
      - alert: LikelyToLeave
        customer: {churn_probability: {gte: 0.7}}
      - alert: LeftAtTheTill
        sequence:
          steps: [{kind: cart_started}, {kind: checkout_started}]
          unless: {kind: purchase}
          same: ref
          within: 2h
"""


class Event(NamedTuple):
    """Something a customer did, at a minute."""

    minute: float
    customer: str
    fields: dict[str, Any]


class Seen(NamedTuple):
    """A transition of an alert: what a subscriber has to read. ``who``: the labels, or the customer."""

    minute: float
    state: str
    who: str


def every(
    start: float, step: float, scores: str | list[int], make: Callable[[int], dict[str, Any]], name: str
) -> Iterator[Event]:
    """One reply each ``step`` minutes, each of another customer."""
    for number, score in enumerate(scores):
        yield Event(start + number * step, f"{name}-{start:g}-{number}", make(int(score)))


def nps_low_for_vip() -> Iterator[Event]:
    """Detractors for an hour, promoters after it."""

    def reply(score: int) -> dict[str, Any]:
        return {"metric": "nps", "score": score, "segment": "vip"}

    yield from every(0, 0.5, [2, 9] * 60, reply, "vip")
    yield from every(60, 0.5, [10] * 240, reply, "vip")


def csat_fell() -> Iterator[Event]:
    """Nine of ten are satisfied for a day and a half; then two of five."""

    def reply(score: int) -> dict[str, Any]:
        return {"metric": "csat", "score": score, "touchpoint": "checkout", "channel": "web"}

    yield from every(0, 6, [5, 4, 4, 5, 5, 4, 5, 5, 4, 1] * 36, reply, "till")
    yield from every(36 * HOUR, 2, [5, 1, 2, 4, 1] * 12, reply, "till")
    yield from every(38 * HOUR, 2, [5] * 90, reply, "till")


def effort_changed() -> Iterator[Event]:
    """Effort is 5 or 6 of 7 for a day; then 1 or 2."""

    def reply(score: int) -> dict[str, Any]:
        return {"metric": "ces", "score": score, "touchpoint": "delivery", "channel": "app"}

    yield from every(0, 3, [5, 6] * 240, reply, "parcel")
    yield from every(DAY, 1, [1, 2] * 60, reply, "parcel")


def csat_budget() -> Iterator[Event]:
    """All are satisfied for a day; then every second is not, for an hour."""

    def reply(score: int) -> dict[str, Any]:
        return {"metric": "csat", "score": score, "segment": "business"}

    yield from every(0, 5, [5] * 288, reply, "firm")
    yield from every(DAY, 0.5, [1, 5] * 60, reply, "firm")
    yield from every(DAY + HOUR, 0.5, [5] * 240, reply, "firm")


def replies_stopped() -> Iterator[Event]:
    """Three replies at a kiosk, an hour of silence, and one more."""

    def reply(score: int) -> dict[str, Any]:
        return {"metric": "nps", "score": score, "channel": "kiosk"}

    yield from every(0, 5, [9, 8, 9], reply, "kiosk")
    yield from every(70, 5, [9], reply, "kiosk")


def unhappy_and_valuable() -> Iterator[Event]:
    """Two give a 3; one of them has bought for thousands."""
    for number in range(8):
        yield Event(number * 12 * HOUR, "rich", {"kind": "purchase", "value": 900, "currency": "EUR"})
    yield Event(4 * DAY, "rich", {"metric": "nps", "score": 3, "channel": "post"})
    yield Event(4 * DAY, "poor", {"metric": "nps", "score": 3, "channel": "post"})


def ticket_unanswered() -> Iterator[Event]:
    """One ticket is resolved in time, one never, one too late."""
    yield Event(0, "in-time", {"kind": "ticket_opened", "ref": "t1"})
    yield Event(2 * HOUR, "in-time", {"kind": "ticket_resolved", "ref": "t1"})
    yield Event(10, "never", {"kind": "ticket_opened", "ref": "t2"})
    yield Event(15, "too-late", {"kind": "ticket_opened", "ref": "t3"})
    yield Event(15 + 30 * HOUR, "too-late", {"kind": "ticket_resolved", "ref": "t3"})


def contacted_three_times() -> Iterator[Event]:
    """Three tickets within four days, all of them resolved."""
    for number in range(3):
        at = number * 2 * DAY
        yield Event(at, "again", {"kind": "ticket_opened", "ref": f"a{number}"})
        yield Event(at + 30, "again", {"kind": "ticket_resolved", "ref": f"a{number}"})


def likely_to_leave() -> Iterator[Event]:
    """A customer who was there every day complains, is let down again and again, and at last is won back."""
    for day in range(5):
        yield Event(day * DAY + 1, "leaver", {"kind": "session_started"})
    at = 4 * DAY + 60
    for number in range(3):
        ref = f"l{number}"
        yield Event(at + number * 10, "leaver", {"kind": "ticket_opened", "ref": ref})
        yield Event(at + number * 10 + 1, "leaver", {"kind": "ticket_resolved", "ref": ref})
        yield Event(at + number * 10 + 2, "leaver", {"kind": "ticket_reopened", "ref": ref})
    yield Event(at + 60, "leaver", {"metric": "csat", "score": 1, "channel": "leaving"})
    yield Event(at + 70, "leaver", {"metric": "nps", "score": 0, "channel": "leaving"})
    for number in range(3):
        yield Event(at + 120 + number, "leaver", {"kind": "ticket_resolved", "ref": f"l{number}"})
    yield Event(at + 130, "leaver", {"metric": "nps", "score": 10, "channel": "leaving"})


def left_at_the_till() -> Iterator[Event]:
    """One pays an hour after the cart, one does not, and one never got as far as the till."""
    for name in ("payer", "walker", "browser"):
        yield Event(0, name, {"kind": "cart_started", "ref": f"cart-{name}"})
    for name in ("payer", "walker"):
        yield Event(20, name, {"kind": "checkout_started", "ref": f"cart-{name}"})
    yield Event(50, "payer", {"kind": "purchase", "ref": "cart-payer", "value": 5, "currency": "EUR"})


STORIES: dict[str, Callable[[], Iterator[Event]]] = {
    "NpsLowForVip": nps_low_for_vip,
    "CsatFell": csat_fell,
    "EffortChanged": effort_changed,
    "CsatBudget": csat_budget,
    "RepliesStopped": replies_stopped,
    "UnhappyAndValuable": unhappy_and_valuable,
    "TicketUnanswered": ticket_unanswered,
    "ContactedThreeTimes": contacted_three_times,
    "LikelyToLeave": likely_to_leave,
    "LeftAtTheTill": left_at_the_till,
}


def clock() -> Iterator[Event]:
    """On both topics of every partition time goes on, an hour at a time, to after all deadlines."""
    for hour in range(int(END / HOUR) + 1):
        for number in range(16):
            name = f"clock-{number}"
            yield Event(hour * HOUR, name, {"kind": "session_started"})
            yield Event(hour * HOUR, name, {"metric": "engagement", "score": 8})


def records() -> list[ToSend]:
    """Every story, in the order of event time."""
    ids = count()
    told = [(story, event) for story, tell in STORIES.items() for event in tell()]
    told += [("clock", event) for event in clock()]
    found = []
    for story, (minute, customer, fields) in sorted(told, key=lambda each: each[1].minute):
        who = customer if story == "clock" else f"{story}-{customer}"
        content = {
            "event_id": f"{story}-{next(ids)}",
            "customer_id": who,
            "occurred_at": START_MS + round(minute * MINUTE_MS),
            **fields,
        }
        if "ref" in content:
            content["ref"] = f"{story}-{content['ref']}"
        topic = REPLIES if "metric" in fields else TOUCHPOINTS
        found.append(ToSend(topic, who.encode(), json.dumps(content).encode()))
    return found
