"""Records of people who were erased are refused on a replay, and nothing that waits brings them back."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import decode
from stream.measures import Groupings
from stream.pipeline import CustomersPartition, PipelineConfig
from tests.pipeline.path import Stored, written
from tests.privacy.test_erasures import erase, erasures

if TYPE_CHECKING:
    from stream.customers import Customer

START_MS = 1_768_204_800_000
RULES = load_rules(
    "groups: [{name: g, rules: [{alert: Unanswered, expect: {after: {kind: ticket_opened},"
    " then: {kind: ticket_resolved}, same: ref, within: 10m}}]}]",
    "rules.yml",
)
CONFIG = PipelineConfig(topics.INPUTS, 1, Groupings([("segment",)], 100), declared=RULES.declared)


def log(rng: Random, topic: str, count: int) -> list[Stored]:
    """Records of four customers, some of them broken."""
    found = []
    for offset in range(count):
        who = rng.choice(["ada", "bob", "cyd", "dan"])
        at = START_MS + offset * 30_000
        record: dict[str, Any] = {"event_id": f"{topic}-{offset}", "customer_id": who, "occurred_at": at}
        if topic == topics.REPLIES:
            record |= {"metric": "nps", "score": rng.randrange(11), "segment": rng.choice("xy")}
        else:
            kind = rng.choice(["ticket_opened", "ticket_resolved", "purchase"])
            record |= {"kind": kind, "value": 5.0, "ref": f"T-{rng.randrange(4)}"}
        value = json.dumps(record).encode()
        if rng.random() < 0.1:
            value = value[:-9]  # broken: a dead letter
        found.append(Stored(offset, at, who.encode(), value))
    return found


def without(records: list[Stored], who: bytes, below: int) -> list[Stored]:
    """Those that stay."""
    return [record for record in records if record.key != who or record.offset >= below]


def figures(c: Customer) -> tuple[Any, ...]:
    """What of a customer does not depend on how batches were cut."""
    return (c.stamp_t, c.stamp_r, c.events, c.replies, c.scores, c.tickets, c.spend, c.seen, c.last_ms)


def outcome(logs: dict[str, list[Stored]], refusing: Any, rng: Random) -> tuple[Any, ...]:
    """Tables and all that is published, over logs cut into batches."""
    customers: dict[bytes, bytes] = {}
    panes: dict[bytes, bytes] = {}
    part = CustomersPartition(0, CONFIG, CustomerRules.of(RULES), customers, panes, erasures=refusing)
    claims, dead, verdicts = [], [], Counter[tuple[str, str]]()
    cells: dict[Any, bytes] = {}
    left = {topic: list(records) for topic, records in logs.items()}
    while any(left.values()):
        batches = []
        for topic, records in left.items():
            size = rng.randint(0, 40)
            batches.append((topic, records[:size]))
            left[topic] = records[size:]
        changes = part.run([each for each in batches if each[1]], [topic for topic in left if left[topic]])
        written(customers, changes.customers)
        written(panes, [*changes.cells, *changes.sources])
        claims += [claim.id for claim in changes.claims]
        dead += [(each.topic, each.record.offset, each.reason) for each in changes.deadletters]
        cells |= {(p.slice_key, p.source, p.pane, p.known): bytes(p.sums) for p in changes.partials}
        verdicts += changes.verdicts
    held = {name: figures(decode(value)) for name, value in customers.items()}
    return held, sorted(claims), sorted(dead), cells, verdicts


@pytest.mark.parametrize("seed", range(8))
def test_a_replay_is_as_if_they_had_never_been_there(seed: int) -> None:
    """State, alerts, sums and dead letters are those of the logs without the person's records below the ends."""
    rng = Random(seed)
    logs = {topic: log(rng, topic, 150) for topic in topics.INPUTS}
    ends = {topic: rng.randrange(50, 160) for topic in topics.INPUTS}
    refusing = erasures("ada", touchpoints=ends[topics.TOUCHPOINTS], replies=ends[topics.REPLIES])
    *found, verdicts = outcome(logs, refusing, Random(seed))
    thinner = {topic: without(records, b"ada", ends[topic]) for topic, records in logs.items()}
    *wanted, others = outcome(thinner, None, Random(seed + 1))
    assert found == wanted
    for topic, records in logs.items():
        assert verdicts[topic, "erased"] == len(records) - len(thinner[topic])
    assert sum(verdicts.values()) == sum(others.values()) + sum(
        verdicts[topic, "erased"] for topic in topics.INPUTS
    )


def test_what_waits_does_not_bring_them_back() -> None:
    """Neither a record that was kept back nor a timer of someone who is erased meanwhile leaves a trace."""
    refusing = erasures()
    customers: dict[bytes, bytes] = {}
    part = CustomersPartition(0, CONFIG, CustomerRules.of(RULES), customers, {}, erasures=refusing)

    def touch(who: str, kind: str, minute: int, offset: int) -> Stored:
        at = START_MS + minute * 60_000
        record = {"event_id": f"{offset}", "customer_id": who, "occurred_at": at, "kind": kind, "ref": "T"}
        return Stored(offset, at, who.encode(), json.dumps(record).encode())

    first = [touch("ada", "ticket_opened", 0, 0), touch("bob", "ticket_opened", 0, 1)]
    written(customers, part.run([(topics.TOUCHPOINTS, first)]).customers)
    kept = part.run([(topics.TOUCHPOINTS, [touch("ada", "purchase", 1, 2)])], [topics.REPLIES])
    assert kept.done[topics.TOUCHPOINTS] == 1
    assert set(customers) == {b"ada", b"bob"}

    erase(refusing, "ada", touchpoints=3, replies=0)
    del customers[b"ada"]
    part.forget([b"ada"])
    later = part.run([(topics.TOUCHPOINTS, [touch("bob", "purchase", 60, 3)])])
    part.idle(topics.REPLIES)
    due = part.run([])
    for changes in (later, due):
        written(customers, changes.customers)
    assert set(customers) == {b"bob"}
    assert [claim.subject for claim in (*later.claims, *due.claims)] == ["customer:bob"]
    assert later.verdicts[topics.TOUCHPOINTS, "erased"] == 1
    assert later.done[topics.TOUCHPOINTS] == 3

    back = part.run([(topics.TOUCHPOINTS, [touch("ada", "purchase", 61, 4)])])
    written(customers, back.customers)
    assert decode(customers[b"ada"]).events == 1
