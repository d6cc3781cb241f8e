"""An endless, seeded stream of input records that has everything: both topics, late, repeated and bad ones.

What may depend on how the two topics interleave is kept out: tickets, NPS and CES are on ``cx.replies`` alone,
purchases and sessions on ``cx.touchpoints`` alone, and only CSAT, on which no customer rule rests, on both.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

from stream.topics import REPLIES, TOUCHPOINTS
from tests.e2e.records import ToSend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_MS = 1_768_204_800_000
MINUTE_MS = 60_000

#: Event-time policy the traffic is made for.
LATENESS_MS = 10_000
LATE_HORIZON_MS = 40 * MINUTE_MS
POLICY = {"CX_LATENESS_MS": str(LATENESS_MS), "CX_LATE_HORIZON_MS": str(LATE_HORIZON_MS)}

#: Rules of every kind there is, several of which fire again and again on this traffic.
RULES = """
slices:
  - [segment]
  - [touchpoint, channel]
groups:
  - name: windows
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 5m, below: -50, evidence: interval, min_n: 20,
         for: 1m, resolve: {above: -45}, cooldown: 10m, severity: critical, labels: {team: retail},
         annotations: {summary: "NPS of {segment} is {value} on {n} replies"},
         action: {type: review, owner: cx-ops, within: 2h}}
      - {alert: NpsHigh, metric: nps, window: 5m, above: -40, min_n: 30, severity: info}
      - {alert: CsatFell, metric: csat, by: [touchpoint, channel], window: 5m, drop: {points: 20, from: 1h},
         min_n: 10, severity: warning}
      - {alert: EffortRose, metric: ces, by: [channel], window: 5m, rise: {points: 0.5, from: 24h}, min_n: 5}
      - {alert: NpsChanged, metric: nps, by: [segment],
         change: {direction: down, one_false_alarm_per: 2000, from: 1h}}
      - {alert: NpsSurelyLow, metric: nps, by: [segment], window: 5m, below: -40, evidence: anytime,
         fdr: 0.1, keep_firing: 2m, renotify: 5m, drivers: [channel]}
      - {alert: CsatBurns, metric: csat, by: [channel], burn_rate: {goal: 90, page: [[30m, 5m, 4]]}}
      - {alert: VipSilent, metric: nps, by: [segment], where: {segment: vip}, no_data: 20s}
  - name: customers
    rules:
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 1}}, cooldown: 1h, severity: warning}
      - {alert: UnhappyWithTicket, on: reply,
         when: {metric: nps, score: {lte: 6}, customer.open_tickets: {gte: 1}, customer.last_ces: {lte: 5}}}
      - {alert: BigPurchase, on: touchpoint, when: {kind: purchase, value: {gte: 480}}}
"""

#: Beside them what keeps alerts few.
HYGIENE = """
inhibit:
  - {source: {alertname: NpsLow}, target: {alertname: NpsSurelyLow}, equal: [segment]}
silences:
  - {matchers: {alertname: EffortRose, channel: chat}, starts_at: 2026-01-12T08:30:00Z,
     ends_at: 2026-01-12T09:10:00Z, author: ops, comment: a new form}
route: {group_by: [alertname], group_wait: 10s, group_interval: 1m}
"""

#: Beside them rules over time, on what is on both topics: how these interleave is open where there is little room.
HISTORIES = """
  - name: histories
    rules:
      - {alert: Unanswered, expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref,
         within: 20m}, limit: {alerts: 40, per: 10m}}
      - {alert: ThreeTimes, count: {of: {kind: ticket_opened}, at_least: 3, within: 40m}, cooldown: 1h}
      - {alert: Leaving, customer: {churn_probability: {gte: 0.3}}}
      - {alert: NothingBought, sequence: {steps: [{kind: ticket_reopened}, {metric: nps, score: {lte: 5}}],
         unless: {kind: purchase}, within: 30m}, action: {type: callback, owner: care, within: 2h}}
contact: {per_customer: 2, within: 1h, quiet_hours: ["10:10", "10:20"], time_zone: Europe/Rome}
hold_out: {share: 0.2}
"""

_BAD: tuple[Callable[[dict[str, Any]], bytes | None], ...] = (
    lambda e: json.dumps(e).encode()[:-5],
    lambda e: b"\xff\xfe\x00" + json.dumps(e).encode(),
    lambda e: json.dumps({**e, "occurred_at": "2026-01-12T09:00:00"}).encode(),
    lambda e: json.dumps({k: v for k, v in e.items() if k != "event_id"}).encode(),
    lambda e: json.dumps({**e, "metric": "nps", "score": 11}).encode(),
    lambda e: json.dumps({**e, "segment": 7}).encode(),
    lambda e: json.dumps([e]).encode(),
    lambda e: b"",
    lambda e: None,
)


def traffic(seed: int, *, customers: int = 3000, per_hour: int = 12_000) -> Iterator[ToSend]:
    """Records in the order in which they are sent; event time begins at ``START_MS``."""
    rng = Random(seed)
    again: deque[tuple[int, ToSend]] = deque()
    step_ms = 3600_000 / per_hour
    number = 0
    while True:
        number += 1
        now_ms = START_MS + number * step_ms
        event, topic = _event(rng, number, f"c{rng.randrange(customers):05d}", int(now_ms - START_MS))
        delay = rng.random()
        time_ms = now_ms - rng.uniform(0, LATENESS_MS * 0.8)
        if delay < 0.02:
            time_ms = now_ms - rng.uniform(MINUTE_MS, 30 * MINUTE_MS)
        elif delay < 0.025:  # further back than is taken; refused only once the stream is that old
            time_ms = max(now_ms - LATE_HORIZON_MS - rng.uniform(2, 20) * MINUTE_MS, START_MS)
        event["occurred_at"] = _on_the_wire(rng, int(time_ms))
        key = event["customer_id"].encode()
        record = ToSend(topic, key, json.dumps(event).encode())
        yield record
        if rng.random() < 0.03:
            again.append((number + rng.randrange(1, 400), record))
        while again and again[0][0] <= number:
            yield again.popleft()[1]
        if rng.random() < 0.02:
            yield ToSend(topic, key, rng.choice(_BAD)(event), "bad")


def _on_the_wire(rng: Random, time_ms: int) -> int | str:
    if rng.random() < 0.7:
        return time_ms
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _event(rng: Random, number: int, customer: str, elapsed_ms: int) -> tuple[dict[str, Any], str]:
    event: dict[str, Any] = {
        "event_id": f"e{number}",
        "customer_id": customer,
        "channel": rng.choice(["web", "chat", "phone"]),
        "touchpoint": rng.choice(["checkout", "support"]),
        "stage": "engage",
    }
    if rng.random() < 0.9:
        event["segment"] = rng.choice(["vip", "new", "regular"])
    # Each hour has twenty bad minutes.
    bad = 20 * MINUTE_MS <= elapsed_ms % (60 * MINUTE_MS) < 40 * MINUTE_MS
    kind = rng.random()
    if kind < 0.2:
        score = rng.randrange(0, 8) if bad and event.get("segment") == "vip" else rng.randrange(2, 11)
        return {**event, "metric": "nps", "score": score, "comment": "private"}, REPLIES
    if kind < 0.4:
        fell = bad and event["touchpoint"] == "checkout"
        if rng.random() < 0.3:
            event |= {"scale": [1, 10], "score": rng.randrange(1, 8) if fell else rng.randrange(4, 11)}
        else:
            event |= {"score": rng.randrange(1, 4) if fell else rng.randrange(2, 6)}
        return {**event, "metric": "csat"}, rng.choice([REPLIES, TOUCHPOINTS])
    if kind < 0.55:
        # One scale a channel; on the phone it is asked the other way round.
        event |= {"metric": "ces", "score": rng.randrange(1, 8)}
        if event["channel"] == "chat":
            event |= {"scale": [1, 10], "score": rng.randrange(1, 11)}
        elif event["channel"] == "phone":
            event["higher_is_better"] = False
        return event, REPLIES
    if kind < 0.8:
        money = {"value": round(rng.uniform(1, 500), 2), "currency": rng.choice(["EUR", "EUR", "USD"])}
        return {**event, "kind": "purchase", **money}, TOUCHPOINTS
    if kind < 0.9:
        what = rng.choice(["ticket_opened", "ticket_opened", "ticket_resolved", "ticket_reopened"])
        return {**event, "kind": what, "ref": f"{customer}-t{rng.randrange(3)}"}, REPLIES
    return {**event, "kind": "session_started"}, TOUCHPOINTS
