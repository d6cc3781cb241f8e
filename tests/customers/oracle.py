"""Customers recomputed from the plain list of their records: slow, obvious, and written independently."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stream.customers import Customer, CustomerConfig, fold
from stream.intake.event import Event

DAY = 24 * 3600 * 1000
T0 = 20_000 * DAY + 9 * 3600 * 1000  # nine in the morning of some day


def touch(event_id: str, time_ms: int, kind: str = "session_started", **fields: Any) -> Event:
    """A touchpoint of the customer."""
    return Event(event_id=event_id, customer_id="c", time_ms=time_ms, kind=kind, **fields)


def reply(event_id: str, time_ms: int, metric: str, score: float, **fields: Any) -> Event:
    """A reply of the customer."""
    scale = fields.pop(
        "scale", {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "ces": (1.0, 7.0)}.get(metric, (1.0, 10.0))
    )
    return Event(
        event_id=event_id, customer_id="c", time_ms=time_ms, metric=metric, score=score, scale=scale, **fields
    )


@dataclass(frozen=True)
class Record:
    """An event where it stands in its topic."""

    topic: str
    offset: int
    event: Event


def place(events: list[tuple[str, Event]]) -> list[Record]:
    """Give every event the next offset of its topic."""
    ends: Counter[str] = Counter()
    out = []
    for topic, event in events:
        out.append(Record(topic, ends[topic], event))
        ends[topic] += 1
    return out


def run(
    records: list[Record], config: CustomerConfig, c: Customer | None = None
) -> tuple[Customer, list[str]]:
    """Fold records one by one; the customer and the verdicts."""
    customer = Customer() if c is None else c
    return customer, [fold(customer, r.event, r.topic, r.offset, config) for r in records]


def applied(records: list[Record], config: CustomerConfig) -> list[Record]:
    """Which records count, by the rule in ``fold``'s docstring."""
    kept: list[Record] = []
    for record in records:
        newest = max((k.event.time_ms for k in kept), default=0)
        floor = max(0, newest - config.dedup_horizon_ms) // 1000
        memory = [k for k in kept[-config.dedup_per_customer :] if k.event.time_ms // 1000 >= floor]
        if all(k.event.event_id != record.event.event_id for k in memory):
            kept.append(record)
    return kept


def expected(kept: list[Record], now: int, config: CustomerConfig) -> dict[str, float | None]:
    """Signals from the applied records alone, in whatever order they are given."""
    events = [r.event for r in kept]
    times = sorted(e.time_ms for e in events)
    now = max(now, times[-1])
    out: dict[str, float | None] = {
        "events": len(events),
        "replies": sum(e.metric is not None for e in events),
        "days_since_first": (now - times[0]) / DAY,
        "days_since_last": (now - times[-1]) / DAY,
    }
    _rhythm(out, times, now, config)
    _tickets(out, kept, now)
    _purchases(out, events, now)
    for metric in ("nps", "csat", "ces", "loyalty", "engagement"):
        newest = max(
            ((r.event.time_ms, r.offset, r.topic == "r", r.event) for r in kept if r.event.metric == metric),
            key=lambda item: item[:3],
            default=None,
        )
        out[f"last_{metric}"] = None if newest is None else newest[3].score
        if metric in ("nps", "csat", "ces"):
            out[f"days_since_{metric}"] = None if newest is None else (now - newest[0]) / DAY
            out[f"last_{metric}_place"] = None if newest is None else round(_place(newest[3]) / 10, 1)
    return out


def _place(event: Event) -> int:
    assert event.score is not None
    assert event.scale is not None
    low, high = event.scale
    share = (event.score - low) / (high - low)
    return int(1000 * (share if event.higher_is_better else 1 - share) + 0.5)


def _rhythm(out: dict[str, float | None], times: list[int], now: int, config: CustomerConfig) -> None:
    bucket, life = config.bucket_ms, config.half_life_ms / config.bucket_ms
    days = sorted({t // bucket for t in times})
    last, today = days[-1], now // bucket
    counts = Counter(t // bucket for t in times)
    oldest = max(days[0], last - config.buckets + 1)
    weights = {d: 0.5 ** ((today - d) / life) for d in range(oldest, today + 1)}
    rate = sum(w * min(255, counts[d]) for d, w in weights.items()) / sum(weights.values())
    out["activity_rate"] = rate * DAY / bucket
    recent = [d for d in days if d > last - config.buckets]
    out["active_days"] = len(recent)
    silent = today > last
    known, near = (days, recent) if silent else (days[:-1], recent[:-1])
    out["mean_gap_days"] = out["gap_ratio"] = out["silence_ratio"] = None
    if len(near) > config.min_gaps:
        gaps = [(b - a, 0.5 ** ((last - b) / life)) for a, b in pairwise(near)]
        mean = sum(g * w for g, w in gaps) / sum(w for _, w in gaps)
    elif len(known) > config.min_gaps:
        mean = (known[-1] - known[0]) / (len(known) - 1)
    else:
        return
    out["mean_gap_days"] = mean * bucket / DAY
    if silent:
        out["gap_ratio"] = out["silence_ratio"] = (now - times[-1]) / (mean * bucket)
    else:
        out["silence_ratio"] = 0.0
        before = max(t for t in times if t // bucket < last)
        out["gap_ratio"] = (times[-1] - before) / (mean * bucket)


def _tickets(out: dict[str, float | None], kept: list[Record], now: int) -> None:
    history: dict[str, list[tuple[int, int, bool, str, int]]] = defaultdict(list)
    loose = 0
    for r in kept:
        kind = r.event.kind
        if kind in ("ticket_opened", "ticket_resolved", "ticket_reopened"):
            if r.event.ref is None:
                loose += -1 if kind == "ticket_resolved" else 1
            else:
                history[r.event.ref].append(
                    (r.event.time_ms, r.offset, r.topic == "r", kind, r.event.time_ms)
                )
    newest = {ref: max(moves) for ref, moves in history.items()}
    opened = [move[0] for move in newest.values() if move[3] != "ticket_resolved"]
    out["open_tickets"] = len(opened) + max(0, loose)
    out["oldest_open_ticket_days"] = (now - min(opened)) / DAY if opened else None
    for kind in ("opened", "resolved", "reopened"):
        out[f"{kind}_tickets"] = sum(r.event.kind == f"ticket_{kind}" for r in kept)
    out["unopened_tickets"] = sum(
        newest[ref][3] == "ticket_resolved" and all(move[3] != "ticket_opened" for move in moves)
        for ref, moves in history.items()
    )


def _purchases(out: dict[str, float | None], events: list[Event], now: int) -> None:
    bought = [e for e in events if e.kind == "purchase"]
    times = [e.time_ms for e in bought]
    spend: dict[str, int] = defaultdict(int)
    for e in bought:
        if e.value is not None:
            spend[e.currency or ""] += round(e.value * 10_000)
    out["frequency"] = len(bought)
    out["currencies"] = len(spend)
    out["recency_days"] = (now - max(times)) / DAY if times else None
    out["days_since_first_purchase"] = (now - min(times)) / DAY if times else None
    only = sum(spend.values()) / 10_000 if len(spend) == 1 else None
    out["spend"] = only
    out["mean_spend"] = None if only is None else only / len(bought)
