"""What the events of a customer must contribute in the end, from the definitions alone: slow and plain."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from stream.measures import dims_of, duration
from stream.measures.declare import JourneySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.intake.event import Event

HOUR = 3_600_000
Totals = dict[tuple[int, Any, str], tuple[int, ...]]
TICKET = ("ticket_opened", "ticket_resolved", "ticket_reopened")
SUPPORT = ("support_session", "self_service_answered")
SUBSCRIPTION = ("subscription_started", "subscription_cancelled")


def added(contributions: Iterable[tuple[int, Any, str, tuple[int, ...]]]) -> Totals:
    """Sums by moment, slice dimensions and key; what cancels out is left out."""
    sums: dict[tuple[int, Any, str], list[int]] = {}
    for time_ms, dims, key, vec in contributions:
        held = sums.setdefault((time_ms, dims, key), [0] * len(vec))
        for place, x in enumerate(vec):
            held[place] += x
    return {at: tuple(vec) for at, vec in sums.items() if any(vec)}


def expected(events: Iterable[Event], journeys: Iterable[JourneySpec]) -> Totals:
    """Contributions of tickets, sessions, journeys and subscriptions to all that they count for."""
    distinct = sorted({e.event_id: e for e in events}.values(), key=lambda e: e.time_ms)
    found: list[tuple[int, Any, str, tuple[int, ...]]] = []
    for same in _by_ref(distinct, lambda e: e.kind in TICKET):
        found += _ticket(same)
    for same in _by_ref(distinct, lambda e: e.kind in SUPPORT or e.kind == "ticket_opened"):
        found += _sessions(same)
    for spec in journeys:
        kinds = (*spec.begun, *spec.finished, *spec.abandoned)
        for same in _by_ref(distinct, lambda e, kinds=kinds: e.kind in kinds):  # type: ignore[misc]
            if "purchase" not in spec.finished or same[0].ref:
                found += _journey(same, spec)
    found += _subscriptions([e for e in distinct if e.kind in SUBSCRIPTION])
    return added(found)


def _by_ref(events: list[Event], wanted: Callable[[Event], bool]) -> list[list[Event]]:
    by_ref = defaultdict(list)
    for event in events:
        if wanted(event):
            by_ref[event.ref or ""].append(event)
    return list(by_ref.values())


def _ticket(events: list[Event]) -> list[Any]:
    """Whether it is open is asked anew at each event, of all that came before it."""
    found: list[Any] = []
    for i, event in enumerate(events):
        openings = [k for k in range(i) if events[k].kind == TICKET[0] and not _open(events[:k])]
        if not openings:
            continue
        opening = events[openings[-1]]
        dims = dims_of(opening)
        if event.kind == TICKET[1] and _open(events[:i]):
            found.append((event.time_ms, dims, "tickets", (1, 0)))
            took = duration("resolution_time", event.time_ms - opening.time_ms)
            found += [(event.time_ms, dims, *seen) for seen in took]
        if event.kind == TICKET[2] and not _open(events[:i]):
            found.append((event.time_ms, dims, "tickets", (0, 1)))
    return found


def _open(before: list[Event]) -> bool:
    """A ticket is open unless a resolution was the last word, and never before its first opening."""
    first = next((k for k, e in enumerate(before) if e.kind == TICKET[0]), None)
    return first is not None and before[first:][-1].kind != TICKET[1]


def _sessions(events: list[Event]) -> list[Any]:
    kinds = {e.kind for e in events}
    sessions = [e for e in events if e.kind == SUPPORT[0]]
    if not sessions or not sessions[0].ref:
        return [(e.time_ms, dims_of(e), "sessions", (1, 0)) for e in sessions]
    deflected = SUPPORT[1] in kinds and "ticket_opened" not in kinds
    return [(sessions[0].time_ms, dims_of(sessions[0]), "sessions", (1, int(deflected)))]


def _journey(events: list[Event], spec: JourneySpec) -> list[Any]:
    """From each beginning look ahead for its end; the next beginning is looked for after that."""
    found: list[Any] = []
    at = 0
    while True:
        begin = next((e for e in events[at:] if e.kind in spec.begun), None)
        if begin is None:
            return found
        dims, deadline = dims_of(begin), begin.time_ms + spec.within_ms
        after = events[events.index(begin) + 1 :]
        ends = [e for e in after if e.kind not in spec.begun]
        in_time = next((e for e in ends if e.time_ms <= deadline), None)
        again = next((e for e in after if e.kind in spec.begun and e.time_ms > deadline), None)
        key = f"ended|{spec.name}"
        if in_time is not None:
            found.append((in_time.time_ms, dims, key, (1, int(in_time.kind in spec.abandoned))))
            served: Event | None = in_time
            at = events.index(in_time) + 1
        else:
            counted = deadline
            while spec.within_ms > HOUR and counted % (5 * 60_000):
                counted += 1
            found.append((counted, dims, key, (1, 1)))
            served = ends[0] if ends else None
            if again is not None and (served is None or events.index(again) < events.index(served)):
                served = None
                at = events.index(again)
            else:
                at = len(events) if served is None else events.index(served) + 1
        if spec.name == "queue" and served is not None and served.kind in spec.finished:
            waited = duration("waiting_time", served.time_ms - begin.time_ms)
            found += [(served.time_ms, dims, *seen) for seen in waited]


def _subscriptions(events: list[Event]) -> list[Any]:
    """Who is subscribed to what is counted anew after each event."""
    found: list[Any] = []
    won: Event | None = None
    for i, event in enumerate(events, 1):
        newest: dict[str, str | None] = {e.ref or "": e.kind for e in events[:i]}
        alive = Counter(newest.values())[SUBSCRIPTION[0]]
        if alive and won is None:
            won = event
            found.append((event.time_ms, dims_of(won), "subscribers", (1, 1, 0)))
        elif not alive and won is not None:
            found.append((event.time_ms, dims_of(won), "subscribers", (-1, 0, 1)))
            won = None
    return found
