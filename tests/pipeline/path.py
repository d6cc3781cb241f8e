"""The whole path on simulated logs: inputs, partials, claims, alerts; whoever works on it may die anywhere.

Every stage reads its log from where it last acknowledged, and makes durable what the agents do in their
order. A death loses an end of that order: of what is published at once, an end in each partition; of what is
written to one log, an end. Nothing here knows how the cores work.
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any, NamedTuple

from stream.alerting.claims import ClaimRecord, MarkRecord, decode_record, encode_record
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.drivers import together
from stream.alerting.events import encode_event
from stream.alerting.lane import Lane
from stream.alerting.rules import RuleBook
from stream.customers import decode as decode_customer
from stream.intake import partition_of
from stream.measures import encode_mark, encode_partial
from stream.measures.partials import Owners
from stream.pipeline import CustomersChanges, CustomersPartition, MetricsPartition, PipelineConfig

Table = dict[bytes, bytes]

CORRECTED = re.compile(rb',"corrected_from":"[^"]*"}$')


class Stored(NamedTuple):
    """A record as a broker holds it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def written(table: Table, entries: list[Any]) -> None:
    """What a changelog and its recovery make of entries."""
    for key, value in entries:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


def cut(rng: Random | None, entries: list[Any]) -> list[Any]:
    """All of it or, with somebody dying, a beginning."""
    return entries if rng is None else entries[: rng.randint(0, len(entries))]


class Path:
    """Everything behind the inputs.

    Args:
        inputs: the logs by (topic, partition), complete from the start.
        config: as the worker's.
        book: the rules.
        rng: cuts batches and deals out deaths.
        deaths: share of the rounds that are cut short.
    """

    def __init__(
        self,
        inputs: dict[tuple[str, int], list[Stored]],
        config: PipelineConfig,
        book: RuleBook,
        rng: Random,
        deaths: float,
    ) -> None:
        self.inputs, self.config, self.book, self.rng, self.deaths = inputs, config, book, rng, deaths
        n = range(config.partitions)
        self.partials: list[list[bytes]] = [[] for _ in n]
        self.claims: list[bytes] = []
        self.alerts: dict[str, bytes] = {}
        self.order: list[str] = []  # ids of metric alerts as they first came out
        self.dead: dict[tuple[str, int, int], tuple[Stored, str]] = {}
        self.final: dict[str, tuple[int, bytes]] = {}
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self._died = False
        self._live: dict[int, Table] = {}
        self._rules = CustomerRules.of(book)
        self._owners = Owners(together(book.metric_rules))
        self.customers: list[Table] = [{} for _ in n]
        self._panes: list[Table] = [{} for _ in n]
        self._windows: list[Table] = [{} for _ in n]
        self._lane_table: Table = {}
        self._handed = dict.fromkeys(inputs, 0)
        self._done = dict.fromkeys(inputs, 0)
        self._read = [0 for _ in n]
        self._lane_read = 0
        self._customers = [self._new_customers(p) for p in n]
        self._metrics = [self._new_metrics(p) for p in n]
        self._lane = self._new_lane()

    def run(self) -> None:
        """Take everything to its end; at last every source is idle."""
        n = self.config.partitions
        while self._left() or any(self._read[p] < len(self.partials[p]) for p in range(n)):
            stage = self.rng.randrange(3)
            partition = self.rng.randrange(n)
            (self._take, self._merge, self._release)[stage](partition)
        for partition, customers in enumerate(self._customers):
            for topic in self.config.topics:
                key, value = encode_mark(customers.idle(topic))
                for log in self.partials:
                    log.append(value)
                assert key == f"{topic}/{partition}".encode()
            changes = customers.run([])  # what is due once nothing is waited for any more
            self._publish(partition, changes, None)
            written(self.customers[partition], changes.customers)
        self.deaths = 0.0
        for partition in range(n):
            self._merge(partition, everything=True)
        self._release(0, everything=True)

    def figures(self) -> tuple[Any, ...]:
        """All that must depend neither on batches nor on deaths."""
        final = {key: value for key, (_, value) in self.final.items()}
        customers = [{k: decode_customer(v) for k, v in table.items()} for table in self.customers]
        return final, self.alerts, self.dead, customers

    @property
    def counts_each_once(self) -> bool:
        """Whether each record was worked on once: after a death it is counted again."""
        return not self._died

    def _left(self) -> bool:
        return any(self._done[at] < len(log) for at, log in self.inputs.items())

    def _dies(self) -> Random | None:
        if self.rng.random() >= self.deaths:
            return None
        self._died = True
        return self.rng

    def _size(self, *, everything: bool = False) -> int:
        return 10**6 if everything else self.rng.choice([1, 2, 5, 40])

    def _new_customers(self, partition: int) -> CustomersPartition:
        self._live[partition] = dict(self.customers[partition])
        return CustomersPartition(
            partition, self.config, self._rules, self._live[partition], dict(self._panes[partition])
        )

    def _new_metrics(self, partition: int) -> MetricsPartition:
        return MetricsPartition(partition, self.config, self.book, dict(self._windows[partition]))

    def _new_lane(self) -> Lane:
        lane = Lane(range(self.config.partitions), self.book)
        for key, value in self._lane_table.items():
            lane.restore(key.decode(), value)
        lane.ready()
        return lane

    def _next(self, partition: int) -> tuple[list[tuple[str, list[Stored]]], list[str]]:
        """What is handed out next, and the topics of which more is to come."""
        batches, waiting = [], []
        for topic in self.config.topics:
            log, at = self.inputs[topic, partition], self._handed[topic, partition]
            batch = log[at : at + self._size()] if self.rng.random() < 0.7 else []
            if batch:
                batches.append((topic, batch))
            if at + len(batch) < len(log):
                waiting.append(topic)
        return batches, waiting

    def _take(self, partition: int) -> None:
        """A round of agents/customers."""
        batches, waiting = self._next(partition)
        if not batches:
            return
        changes = self._customers[partition].run(batches, waiting)
        dies = self._dies()
        published = dies is None or dies.random() < 0.6
        self._publish(partition, changes, None if published else dies)
        panes = [*changes.cells, *changes.sources]
        if dies is None:
            written(self.customers[partition], changes.customers)
            written(self._live[partition], changes.customers)
            written(self._panes[partition], panes)
            self.verdicts.update(changes.verdicts)
            for topic, batch in batches:
                self._handed[topic, partition] += len(batch)
            for topic, offset in changes.done.items():
                self._done[topic, partition] = offset + 1
            return
        if published and dies.random() < 0.5:
            written(self.customers[partition], cut(dies, changes.customers))
        elif published:
            written(self.customers[partition], changes.customers)
            written(self._panes[partition], cut(dies, panes))
        self._customers[partition] = self._new_customers(partition)
        for topic in self.config.topics:  # what was committed may be further back than the panes
            done = self._done[topic, partition]
            self._handed[topic, partition] = done - dies.randint(0, min(3, done))

    def _publish(self, partition: int, changes: CustomersChanges, dies: Random | None) -> None:
        for dead in cut(dies, changes.deadletters):
            held = (dead.record, dead.reason)
            assert self.dead.setdefault((dead.topic, partition, dead.record.offset), held) == held
        self._publish_alerts(cut(dies, changes.claims))
        outgoing: list[list[bytes]] = [[] for _ in self.partials]
        for partial in changes.partials:
            key, value = encode_partial(partial, self._owners)
            outgoing[partition_of(key, len(outgoing))].append(value)
        for values in outgoing:
            values += [encode_mark(mark)[1] for mark in changes.marks]
        for values, published in zip(outgoing, self.partials, strict=True):
            published.extend(cut(dies, values))

    def _merge(self, partition: int, *, everything: bool = False) -> None:
        """A round of agents/metrics."""
        log, at = self.partials[partition], self._read[partition]
        values = log[at : at + self._size(everything=everything)]
        if not values:
            return
        changes = self._metrics[partition].run(values)
        dies = self._dies()
        lane = [encode_record(ClaimRecord(partition, claim)) for claim in changes.claims]
        if changes.mark_ms is not None:
            lane.append(encode_record(MarkRecord(partition, changes.mark_ms)))
        published = dies is None or dies.random() < 0.6
        short = None if published else dies
        self.claims += cut(short, lane)
        for record in cut(short, changes.metrics):
            assert record.final
            known = self.final.get(record.slice_key)
            if known is None or known[0] <= record.as_of_ms:
                # What was published before, and so what late data corrects, is up to the batches.
                payload = CORRECTED.sub(b"}", record.payload)
                if known is not None and known[0] == record.as_of_ms:
                    assert known[1] == payload, "the same instant, published with other values"
                self.final[record.slice_key] = (record.as_of_ms, payload)
        if published:
            written(self._windows[partition], cut(dies, [*changes.entries, *changes.progress]))
        if dies is not None:
            self._metrics[partition] = self._new_metrics(partition)
            self._read[partition] -= dies.randint(0, min(3, at))
            return
        self._read[partition] += len(values)

    def _release(self, _: int, *, everything: bool = False) -> None:
        """A round of agents/alerts."""
        values = self.claims[self._lane_read : self._lane_read + self._size(everything=everything)]
        if not values:
            return
        for value in values:
            record = decode_record(value)
            if isinstance(record, ClaimRecord):
                self._lane.offer(record.partition, record.claim)
            else:
                self._lane.mark(record.partition, record.instant_ms)
        released = self._lane.release()
        dies = self._dies()
        told = cut(None if dies is None or dies.random() < 0.6 else dies, released)
        self.order += [claim.id for claim in told if claim.id not in self.alerts]
        self._publish_alerts(told)
        changes = self._lane.changes()
        last = [] if changes.progress is None else [changes.progress]
        entries = [(key.encode(), value) for key, value in [*changes.entries, *last]]
        entries += [(key.encode(), None) for key in changes.tombstones]  # type: ignore[list-item]
        if told == released:
            written(self._lane_table, cut(dies, entries))
        if dies is not None:
            self._lane = self._new_lane()
            self._lane_read -= dies.randint(0, min(3, self._lane_read))
            return
        self._lane_read += len(values)

    def _publish_alerts(self, claims: list[Any]) -> None:
        for claim in claims:
            event = encode_event(claim)
            assert self.alerts.setdefault(claim.id, event) == event, "one id, two alerts"


def calm(
    inputs: dict[tuple[str, int], list[Stored]], config: PipelineConfig, book: RuleBook, seed: int = 0
) -> Path:
    """A run in which nobody dies."""
    path = Path(inputs, config, book, Random(seed), 0.0)
    path.run()
    return path
