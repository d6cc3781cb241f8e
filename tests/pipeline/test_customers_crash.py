"""A partition of the inputs that dies anywhere and is restored comes to what one that does not comes to."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS, CustomerConfig, customer_hash, decode, stamp_of
from stream.customers.state import story_of
from stream.intake import Limits
from stream.intake import decode as decode_event
from stream.intake.event import Event
from stream.measures import METRICS, Groupings, PaneConfig, dims_of, merge, money, slice_key
from stream.measures.declare import CART, QUEUE, Declarations
from stream.pipeline import CustomersChanges, CustomersPartition, PipelineConfig
from stream.pipeline.customers import CHUNK
from tests.customers.paired import added, expected
from tests.e2e.traffic import LATE_HORIZON_MS, LATENESS_MS, RULES, traffic
from tests.pipeline.path import Stored

if TYPE_CHECKING:
    from stream.measures import Stats

BOOK = load_rules(RULES, "rules.yml", signals=SIGNALS)
CONFIG = PipelineConfig(
    topics.INPUTS,
    1,
    Groupings(BOOK.groupings, 4),
    declared=Declarations(metrics=tuple(METRICS)),
    panes=PaneConfig(lateness_ms=LATENESS_MS, late_horizon_ms=LATE_HORIZON_MS),
    customers=CustomerConfig(dedup_per_customer=1000, max_refs=1000, max_moments=1000, max_strays=1000),
)
EVERYTHING = (2**62, 2**62)
Table = dict[bytes, bytes]


def logs(seed: int) -> dict[str, list[Stored]]:
    """Both inputs: the traffic, and touchpoints that belong together among it, in order of time and not."""
    rng = Random(seed)
    found: dict[str, list[Stored]] = {topic: [] for topic in topics.INPUTS}
    now_ms, made = 0, []
    for number, sent in enumerate(islice(traffic(seed, customers=50, per_hour=1500), 2_500)):
        log = found[sent.topic]
        log.append(Stored(len(log), 2_000_000_000_000, sent.key, sent.value))
        event = decode_event(sent.value, (), Limits())
        if isinstance(event, Event):
            now_ms = max(now_ms, event.time_ms)
        if rng.random() < 0.4:
            made.append(paired(rng, number, now_ms))
        while made and rng.random() < 0.7:
            log = found[topics.TOUCHPOINTS]
            again = rng.random() < 0.1
            key, value = made[0] if again else made.pop(rng.randrange(len(made)))
            log.append(Stored(len(log), 2_000_000_000_000, key, value))
    return found


def paired(rng: Random, number: int, now_ms: int) -> tuple[bytes, bytes]:
    """A touchpoint that means something together with others of its customer and reference."""
    family, kinds = rng.choice(
        [
            ("q", (*QUEUE.begun, *QUEUE.finished, *QUEUE.finished, *QUEUE.abandoned)),
            ("k", (*CART.begun, *CART.finished)),
            ("s", ("subscription_started", "subscription_cancelled")),
            ("u", ("support_session", "self_service_answered")),
        ]
    )
    event: dict[str, Any] = {
        "event_id": f"p{number}",
        "customer_id": f"c{rng.randrange(50):05d}",
        "occurred_at": now_ms - rng.randrange(10 * 60_000),
        "kind": rng.choice(kinds),
        "segment": rng.choice(["vip", "new", "regular"]),
        "ref": rng.choice([None, f"{family}0", f"{family}1"]),
        "attributes": {"cost": rng.randrange(5), "referred_by": rng.choice([None, "c0"])},
    }
    return event["customer_id"].encode(), json.dumps(event).encode()


class Outcome:
    """What has become public or durable."""

    def __init__(self) -> None:
        self.customers: Table = {}
        self.panes: Table = {}
        self.claims: dict[str, object] = {}
        self.dead: set[tuple[str, int]] = set()
        self.cells: dict[tuple[object, ...], tuple[int, object]] = {}
        self.closed: dict[str, tuple[object, int]] = {}

    def partition(self) -> CustomersPartition:
        """Restore from the tables."""
        return CustomersPartition(0, CONFIG, CustomerRules(BOOK), dict(self.customers), dict(self.panes))

    def publish(self, changes: CustomersChanges) -> None:
        """What every subscriber would make of it: repeats change nothing, of partials the newest holds."""
        for claim in changes.claims:
            assert self.claims.setdefault(claim.id, claim) == claim
        self.dead |= {(dead.topic, dead.record.offset) for dead in changes.deadletters}
        for partial in changes.partials:
            at = (partial.slice_key, partial.source, partial.pane, partial.known)
            version, stats = self.cells.get(at, (-1, None))
            if partial.version == version:
                assert stats == partial.stats, "one version, two contents"
            if partial.version > version:
                self.cells[at] = (partial.version, partial.stats)
        for mark in changes.marks:
            if mark.source not in self.closed or mark.version > self.closed[mark.source][0]:
                self.closed[mark.source] = (mark.version, mark.panes_closed)

    def write(self, table: Table, entries: list[tuple[bytes, bytes | None]]) -> None:
        """What a changelog and its recovery would make of it."""
        for key, value in entries:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value

    def figures(self) -> tuple[object, ...]:
        """All that must not depend on deaths and batches; the versions of partials and marks may."""
        cells = {at: stats for at, (_, stats) in self.cells.items()}
        closed = {source: panes for source, (_, panes) in self.closed.items()}
        customers = {key: decode(value) for key, value in self.customers.items()}
        for customer in customers.values():  # how the topics interleaved is remembered here and told nowhere
            customer.seen = customer.duplicates = b""
            story = story_of(customer, EVERYTHING)
            story.threads.sort(key=lambda thread: (thread.family, thread.ref))
            story.strays = {
                name: b"".join(sorted(held[at : at + 17] for at in range(0, len(held), 17)))
                for name, held in story.strays.items()
                if held
            }
        return customers, self.claims, self.dead, cells, closed


def calm_run(inputs: dict[str, list[Stored]]) -> Outcome:
    """One record at a time, and nothing ever dies."""
    calm = Outcome()
    partition = calm.partition()
    for topic, log in inputs.items():
        for record in log:
            changes = partition.run([(topic, [record])])
            calm.publish(changes)
            calm.write(calm.customers, changes.customers)
            calm.write(partition._customers, changes.customers)  # type: ignore[arg-type] # the live table
    return calm


def cut_short(rng: Random, outcome: Outcome, changes: CustomersChanges) -> None:
    """A round of which only a beginning became durable."""
    if rng.random() < 0.2:
        return
    outcome.publish(changes)
    panes = [*changes.cells, *changes.sources]
    if rng.random() < 0.5:
        outcome.write(outcome.customers, changes.customers[: rng.randrange(len(changes.customers) + 1)])
        return
    outcome.write(outcome.customers, changes.customers)
    outcome.write(outcome.panes, panes[: rng.randrange(len(panes) + 1)])


def size(rng: Random) -> int:
    """How many records a batch has: a few, or more than are folded at a time."""
    return rng.randrange(80) if rng.random() < 0.8 else rng.randrange(2 * CHUNK)


def dying_run(rng: Random, inputs: dict[str, list[Stored]]) -> Outcome:
    """Batches of any size of both topics; three rounds in ten are cut short."""
    got = Outcome()
    partition = got.partition()
    at = dict.fromkeys(inputs, 0)
    while any(at[topic] < len(log) for topic, log in inputs.items()):
        sliced = [(topic, log[at[topic] : at[topic] + size(rng)]) for topic, log in inputs.items()]
        batches = [(topic, batch) for topic, batch in sliced if batch]
        if not batches:
            continue
        changes = partition.run(batches)
        if rng.random() < 0.3:
            cut_short(rng, got, changes)
            partition = got.partition()
            for topic in at:  # what was committed may be further back still
                at[topic] = max(0, min(at[topic], partition.panes[topic].offset + 1) - rng.randrange(50))
            continue
        got.publish(changes)
        got.write(got.customers, changes.customers)
        got.write(partition._customers, changes.customers)  # type: ignore[arg-type] # the live table
        got.write(got.panes, [*changes.cells, *changes.sources])
        for topic, batch in batches:
            at[topic] += len(batch)
    return got


@pytest.mark.parametrize("seed", range(24))
def test_a_death_at_any_point_leaves_no_trace(seed: int) -> None:
    """Whatever prefix of a round was written, the rounds after a restore make up for the rest exactly."""
    inputs = logs(seed)
    calm = calm_run(inputs)
    got = dying_run(Random(seed), inputs)
    assert {key: stamp_of(value) for key, value in got.customers.items()} == {
        key: stamp_of(value) for key, value in calm.customers.items()
    }
    assert got.figures() == calm.figures()
    assert len(got.claims) > 20
    assert len(got.dead) > 10
    sums = sums_of(got)
    check_truth(sums, applied(inputs, got))
    assert {"tickets", "waiting_time", "ended|cart", "ended|queue", "subscribers", "sessions"} <= {
        key for slice_name, _, key in sums if slice_name == "{}"
    }


def applied(inputs: dict[str, list[Stored]], outcome: Outcome) -> list[Event]:
    """What was neither refused nor seen before, topic by topic."""
    found: dict[str, Event] = {}
    for topic, log in inputs.items():
        for record in log:
            event = decode_event(record.value, record.headers, Limits())
            if isinstance(event, Event) and (topic, record.offset) not in outcome.dead:
                found.setdefault(event.event_id, event)
    return list(found.values())


def sums_of(outcome: Outcome) -> dict[tuple[str, int, str], tuple[int, ...]]:
    """What all cells of a pane come to, whoever contributed and whenever; replies are another test's."""
    panes: dict[tuple[Any, Any], Stats] = defaultdict(dict)
    for (slice_name, _, pane, _), (_, stats) in outcome.cells.items():
        held: Any = dict(stats)  # type: ignore[call-overload]
        customers = {*held.pop("customers", []), *panes[slice_name, pane].pop("customers", [])}
        merge(panes[slice_name, pane], held)
        panes[slice_name, pane]["customers"] = sorted(customers)
    return {
        (*at, key): tuple(vec)
        for at, stats in panes.items()
        for key, vec in stats.items()
        if vec and key.split("|")[0] not in {"nps", "csat", "ces", "loyalty", "engagement", "value_at_risk"}
    }


def check_truth(sums: dict[tuple[str, int, str], tuple[int, ...]], events: list[Event]) -> None:
    """The whole and the segments, which are below the cap, have what the definitions give them."""
    by_customer: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_customer[event.customer_id].append(event)
    contributions: list[Any] = []
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for customer, own in by_customer.items():
        touchpoints = [event for event in own if event.kind is not None]
        contributions += [(*at, vec) for at, vec in expected(touchpoints, (CART, QUEUE)).items()]
        contributions += alone(touchpoints)
        for event in own:
            for name in slices(event.segment):
                seen[name, event.time_ms // CONFIG.panes.pane_ms].add(customer_hash(customer))
    spread = [
        (time_ms // CONFIG.panes.pane_ms, name, key, vec)
        for time_ms, dims, key, vec in contributions
        for name in slices(dims[0])
    ]
    want = {(name, pane, key): vec for (pane, name, key), vec in added(spread).items()}
    want |= {(*at, "customers"): tuple(sorted(hashes)) for at, hashes in seen.items()}
    known = {name for name, _, _ in want}
    assert {at: vec for at, vec in sums.items() if at[0] in known} == want


def slices(segment: str | None) -> list[str]:
    """The whole, and the segment where there is one."""
    return ["{}"] if segment is None else ["{}", slice_key({"segment": segment})]


def alone(events: list[Event]) -> list[Any]:
    """What touchpoints count by themselves: purchases, money, and a customer's first."""
    found: list[Any] = []
    for event in events:
        at = (event.time_ms, dims_of(event))
        attributes = event.attributes or {}
        if event.kind == "purchase":
            found.append((*at, "purchases", (1, int(bool(attributes.get("referred_by"))))))
            if event.value is not None:
                found.append((*at, *money("revenue", event.value, event.currency)))  # type: ignore[misc]
        if "cost" in attributes:
            found.append((*at, *money("cost", float(attributes["cost"]), event.currency)))  # type: ignore[misc, arg-type]
    first = next((event for event in events if event.kind in {"purchase", "subscription_started"}), None)
    if first is not None:
        found.append((first.time_ms, dims_of(first), "acquired", (1,)))
    return found
