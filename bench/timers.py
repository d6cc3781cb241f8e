"""Rules on customers: what open timers take in memory, and what rules cost a record."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS
from stream.intake import Limits, decode
from stream.measures import Groupings
from stream.measures.declare import Declarations
from stream.pipeline import CustomersPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

T0 = 1_750_000_000_000
EXPECT = """
groups: [{name: g, rules: [
  {alert: TicketUnanswered,
   expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 24h}}
]}]
"""
KINDS = ("purchase", "session_started", "queue_entered", "queue_served", "page_viewed")
BATCH = 5_000


class _Record:
    """A record of the log."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, offset: int, event: dict[str, Any]) -> None:
        self.offset, self.timestamp = offset, event["occurred_at"]
        self.key, self.value = event["customer_id"].encode(), json.dumps(event).encode()
        self.headers = ()


def _config() -> PipelineConfig:
    return PipelineConfig(topics.INPUTS, 1, Groupings((), 4), declared=Declarations(metrics=()))


def _whens(number: int) -> str:
    """Rules on single records of many sorts: a few look at most records, most at a few."""
    tests = []
    for n in range(number):
        kind = KINDS[n % len(KINDS)]
        tests.append(
            [
                f"on: reply, when: {{score: {{lte: {n % 3}}}, segment: s{n % 40}, product: p{n % 9}}}",
                f"on: touchpoint, when: {{kind: {kind}, channel: c{n % 8}, value: {{gte: {9900 + n}}}}}",
                f"on: touchpoint, when: {{kind: complaint{n}}}",
                f"on: touchpoint, when: {{kind: {kind}, segment: s{n % 40}, customer.open_tickets: {{gte: 3}}}}",
            ][n % 4]
        )
    rules = "\n".join(f"  - {{alert: R{n}, {test}}}" for n, test in enumerate(tests))
    return f"groups:\n- name: g\n  rules:\n{rules}\n"


def _rules(text: str) -> CustomerRules:
    return CustomerRules(load_rules(text, "bench.yml", signals=SIGNALS))


def _opened(number: int) -> Iterator[list[_Record]]:
    """A ticket of each customer, opened within an hour and resolved by nobody."""
    for first in range(0, number, BATCH):
        yield [
            _Record(
                n,
                {
                    "event_id": f"evt-{n:012d}",
                    "customer_id": f"customer-{n:09d}",
                    "occurred_at": T0 + n * 3_600_000 // number,
                    "kind": "ticket_opened",
                    "ref": f"T-{n:09d}",
                },
            )
            for n in range(first, min(first + BATCH, number))
        ]


def memory(number: int = 1_000_000) -> dict[str, Any]:
    """Open timers: bytes of the index, and of what a customer keeps for one; and how soon they are there again."""
    table: dict[bytes, bytes] = {}
    plain: dict[bytes, bytes] = {}
    sizes = []
    for rules, held in ((None, plain), (_rules(EXPECT), table)):
        part = CustomersPartition(0, _config(), rules, held, {})
        for batch in _opened(min(number, 20_000)):
            held.update(part.run([(topics.TOUCHPOINTS, batch)]).customers)  # type: ignore[arg-type]
        sizes.append(sum(map(len, held.values())) / len(held))
    one = next(iter(table.values()))
    del part, plain
    table = {f"customer-{n:09d}".encode(): one for n in range(number)}
    gc.collect()
    tracemalloc.start()
    part = CustomersPartition(0, _config(), _rules(EXPECT), table, {})
    part.run([])
    index = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    part = CustomersPartition(0, _config(), _rules(EXPECT), table, {})
    began = process_time()
    part.run([])
    restored = process_time() - began
    few = {name: table[name] for name in list(table)[: max(number // 50, 1)]}
    part = CustomersPartition(0, _config(), _rules(EXPECT), few, {})
    for topic in topics.INPUTS:
        part.idle(topic)
    part.tick(T0 + 48 * 3_600_000)
    began = process_time()
    told = len(part.run([]).claims)
    while part.overdue:
        told += len(part.run([]).claims)
    return {
        "timers": number,
        "index_bytes_per_timer": round(index / number, 1),
        "table_bytes_per_timer": round(sizes[1] - sizes[0], 1),
        "index_again_seconds": round(restored, 2),
        "alerts_per_second": round(told / (process_time() - began)),
    }


def _mixed(number: int) -> list[_Record]:
    found = []
    for n in range(number):
        event: dict[str, Any] = {
            "event_id": f"e{n}",
            "customer_id": f"c{n * 7919 % 5000}",
            "occurred_at": T0 + n * 50,
            "segment": f"s{n * 31 % 40}",
            "channel": f"c{n * 17 % 8}",
        }
        if n % 4 == 0:
            event |= {"metric": "nps", "score": n * 13 % 11, "product": f"p{n * 5 % 90}"}
        else:
            event |= {"kind": KINDS[n * 11 % len(KINDS)], "value": n * 37 % 10_000, "ref": f"r{n}"}
        found.append(_Record(n, event))
    return found


def _seconds(rules: CustomerRules | None, records: list[_Record]) -> tuple[float, int]:
    """Seconds of work, and how many alerts came of it."""
    table: dict[bytes, bytes] = {}
    part = CustomersPartition(0, _config(), rules, table, {})
    began, alerts = process_time(), 0
    for first in range(0, len(records), BATCH):
        changes = part.run([(topics.TOUCHPOINTS, records[first : first + BATCH])])
        table.update(changes.customers)  # type: ignore[arg-type]
        alerts += len(changes.claims)
    return process_time() - began, alerts


def costs(number: int = 100_000, rounds: int = 3) -> dict[str, Any]:
    """Microseconds a record that books of rules add; each book beside none, in turns."""
    records = _mixed(number)
    none = load_rules("groups: []", "bench.yml")
    books = {
        "when_rules_100": _rules(_whens(100)),
        "when_rules_1": _rules(_whens(1)),
        "expect_of_other_kinds": _rules(EXPECT),
        "expect_of_a_fifth": _rules(
            EXPECT.replace("ticket_opened", "queue_entered").replace("ticket_resolved", "queue_served")
        ),
        "signal": _rules(
            "groups: [{name: g, rules: [{alert: Gone, customer: {days_since_last: {gte: 30}}, every: 1d}]}]"
        ),
        "no_rules": CustomerRules(replace(none)),
    }
    took: dict[str, list[float]] = {name: [] for name in books}
    base, alerts = [], {}
    for _ in range(rounds):
        for name, rules in books.items():
            without, _ = _seconds(None, records)
            base.append(without)
            seconds, alerts[name] = _seconds(rules, records)
            took[name].append(seconds - without)
    found = {name: round(median(each) / number * 1e6, 2) for name, each in took.items()}
    return {
        "records": number,
        "alerts": alerts,
        "without_us": round(median(base) / number * 1e6, 2),
        "added_us": found,
    }


def when(rules: int = 100, number: int = 50_000, rounds: int = 5) -> float:
    """Microseconds a record that rules on single records take, the loop around them taken off."""
    found = _rules(_whens(rules))
    events = [decode(record.value, (), Limits()) for record in _mixed(number)]
    took = []
    for _ in range(rounds):
        began = process_time()
        for _event in events:
            pass
        loop = process_time() - began
        began = process_time()
        for event in events:
            if found.concerned(event):  # type: ignore[arg-type]
                found.match(event, lambda: {"open_tickets": 0}, {})  # type: ignore[arg-type]
        took.append(process_time() - began - loop)
    return round(median(took) / number * 1e6, 2)


def measure(*, full: bool = True) -> dict[str, Any]:
    """Everything; a tenth of the size where it is to be quick."""
    return {
        "timers": memory(1_000_000 if full else 100_000),
        "when_rules_100_us_per_record": when(),
        "rules": costs(50_000 if full else 10_000),
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
