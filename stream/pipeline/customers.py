"""One partition of the inputs: events into customers, panes, claims and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from schemas import Reason
from stream.customers import APPLIED, DUPLICATE, Customer, CustomerConfig, fold, signals, was_applied
from stream.customers import decode as decode_customer
from stream.customers import encode as encode_customer
from stream.intake import Event, Limits, Rejection
from stream.intake import decode as decode_event
from stream.measures import Groupings, Mark, PaneConfig, Partial, SourcePanes, observation
from stream.measures.panes import OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream.alerting.claims import Claim
    from stream.alerting.customer_rules import CustomerRules

Entry = tuple[bytes, bytes | None]

#: How a record ended. Every record of an input ends in exactly one of them.
DEADLETTER: Final = "deadletter"
LATE: Final = "late"

TOPIC_CODES: Final = ("t", "r")
NO_DIMS: Final = (None,) * 7
TIME_DETAIL: Final[dict[str, str]] = {
    Reason.TOO_LATE: "occurred_at: behind the watermark by more than CX_LATE_HORIZON_MS",
    Reason.TOO_EARLY: "occurred_at: ahead of the record's timestamp by more than CX_MAX_AHEAD_MS",
}


class SourceRecord(Protocol):
    """What is read of a Kafka record; ``timestamp`` in epoch milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


Decoded = tuple[Event, SourceRecord]


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """What decides the outcome besides the input; the same values give the same outcome.

    Attributes:
        topics: the input topics, in the order of their codes ``t`` and ``r``.
        partitions: of each input topic.
        confidence: of published intervals.
    """

    topics: tuple[str, str]
    partitions: int
    groupings: Groupings
    limits: Limits = field(default_factory=Limits)
    panes: PaneConfig = field(default_factory=PaneConfig)
    customers: CustomerConfig = field(default_factory=CustomerConfig)
    confidence: float = 0.95

    @property
    def sources(self) -> frozenset[str]:
        """Every source topic-partition."""
        return frozenset(source_name(t, p) for t in self.topics for p in range(self.partitions))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record, with where it stood and why; ``detail`` holds no value of the record."""

    record: SourceRecord
    topic: str
    reason: str
    detail: str


@dataclass(slots=True)
class CustomersChanges:
    """What a batch came to, in the order in which it is made durable.

    First ``deadletters``, ``claims``, ``partials`` and then ``marks`` are published and awaited; then
    ``customers`` are written and awaited; then ``cells`` and, after them in the same log, ``sources``. So a
    customer that is durable may be ahead of its panes, never behind: a replay asks it what became of each
    record.
    """

    deadletters: list[DeadLetter] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    cells: list[Entry] = field(default_factory=list)
    customers: list[Entry] = field(default_factory=list)
    sources: list[Entry] = field(default_factory=list)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)


def source_name(topic: str, partition: int) -> str:
    """Name of a source topic-partition in partials, marks and panes."""
    return f"{topic}/{partition}"


class CustomersPartition:
    """The state of one partition number over both input topics.

    Args:
        partition: its number.
        config: what decides the outcome.
        rules: compiled rules on single events, or None.
        customers: the partition of the customers table; read only.
        panes: the partition of the panes table, to restore from.
    """

    def __init__(
        self,
        partition: int,
        config: PipelineConfig,
        rules: CustomerRules | None,
        customers: Mapping[bytes, bytes],
        panes: Mapping[bytes, bytes],
    ) -> None:
        self.partition = partition
        self._config = config
        self._rules = rules
        self._customers = customers
        self.panes = {
            topic: SourcePanes(source_name(topic, partition), config.panes, config.groupings)
            for topic in config.topics
        }
        by_source = {source.source: source for source in self.panes.values()}
        for key, value in panes.items():
            text = key.decode()
            by_source[text.split("|", 1)[0]].restore(text, value)
        for source in self.panes.values():
            source.ready()
        self._marked: dict[str, int | None] = {}
        self._codes = dict(zip(config.topics, TOPIC_CODES, strict=True))

    def run(self, batches: Iterable[tuple[str, Sequence[SourceRecord]]]) -> CustomersChanges:
        """Take records in, batches of one topic in offset order; both topics merged by event time.

        The state moves on: what is returned has to become durable, or the object thrown away.
        """
        changes = CustomersChanges()
        events: dict[str, list[Decoded]] = {}
        last: dict[str, int] = {}
        for topic, records in batches:
            events.setdefault(topic, []).extend(self._decoded(topic, records, changes))
            last[topic] = records[-1].offset
        touched: dict[str, Customer] = {}
        for topic in last:
            self.panes[topic].begin()
        if len(events) == 1:
            ((topic, run),) = events.items()
            self._fold(topic, run, touched, changes)
        else:
            for topic, run in merged(events):
                self._fold(topic, run, touched, changes)
        for topic, offset in last.items():
            self._end(topic, offset, changes)
        changes.customers = [(name.encode(), encode_customer(c)) for name, c in touched.items()]
        return changes

    def idle(self, topic: str) -> Mark:
        """Return the mark that lets others go on without this source."""
        self._marked[topic] = None  # the next batch has to say that it is awake again
        return self.panes[topic].idle_mark()

    def _decoded(
        self, topic: str, records: Sequence[SourceRecord], changes: CustomersChanges
    ) -> list[Decoded]:
        """Decode what is not wholly in yet; what does not fit goes to the dead letters."""
        seen = self.panes[topic].offset
        limits = self._config.limits
        events: list[Decoded] = []
        keep = events.append
        refused = 0
        for record in records:
            if record.offset <= seen:
                continue
            event = decode_event(record.value, record.headers, limits)
            if type(event) is Event:
                keep((event, record))
            elif isinstance(event, Rejection):
                refused += 1
                changes.deadletters.append(DeadLetter(record, topic, event.reason, event.detail))
        if refused:
            changes.verdicts[topic, DEADLETTER] += refused
        return events

    def _fold(
        self, topic: str, events: list[Decoded], touched: dict[str, Customer], changes: CustomersChanges
    ) -> None:
        code = self._codes[topic]
        source = self.panes[topic]
        judge, add = source.judge, source.add
        stored = self._customers
        config = self._config.customers
        rules = self._rules
        applied = duplicates = 0
        for event, record in events:
            time_ms = event.time_ms
            verdict = judge(time_ms, record.timestamp)
            if verdict is not OK:
                self._refuse(topic, record, verdict, changes)
                continue
            customer_id = event.customer_id
            customer = touched.get(customer_id)
            if customer is None:
                held = stored.get(customer_id.encode())
                customer = touched[customer_id] = Customer() if held is None else decode_customer(held)
            offset = record.offset
            verdict = fold(customer, event, code, offset, config)
            if verdict is APPLIED:
                if rules is not None:
                    self._match(rules, event, customer, changes)
            elif verdict is DUPLICATE or not was_applied(customer, event, code, offset, config):
                duplicates += 1
                continue
            applied += 1
            metric = event.metric
            seen = (
                observation(metric, event.score, event.scale, event.higher_is_better)
                if metric is not None
                else None
            )
            if seen is None:
                add(offset, time_ms, NO_DIMS, None, ())
            else:
                dims = (
                    event.segment,
                    event.stage,
                    event.touchpoint,
                    event.channel,
                    event.product,
                    event.variant,
                    event.region,
                )
                add(offset, time_ms, dims, seen[0], seen[1])
        changes.verdicts[topic, APPLIED] += applied
        changes.verdicts[topic, DUPLICATE] += duplicates

    def _refuse(self, topic: str, record: SourceRecord, verdict: str, changes: CustomersChanges) -> None:
        changes.deadletters.append(DeadLetter(record, topic, verdict, TIME_DETAIL[verdict]))
        changes.verdicts[topic, LATE if verdict == Reason.TOO_LATE else DEADLETTER] += 1

    def _match(
        self, rules: CustomerRules, event: Event, customer: Customer, changes: CustomersChanges
    ) -> None:
        config = self._config.customers
        time_ms = event.time_ms
        matches = rules.match(
            event, lambda: signals(customer, time_ms, config, rules.signals), customer.fired
        )
        if not matches:
            return
        customer.fired = rules.remember(customer.fired, matches, time_ms)
        for match in matches:
            changes.decisions[match.reason] += 1
            if match.claim is not None:
                changes.claims.append(match.claim)

    def _end(self, topic: str, last_offset: int, changes: CustomersChanges) -> None:
        done = self.panes[topic].end(last_offset)
        changes.cells += [(key.encode(), value) for key, value in done.cells]
        changes.partials += done.partials
        if self._marked.get(topic) != done.mark.panes_closed:  # else it would say nothing new
            self._marked[topic] = done.mark.panes_closed
            changes.marks.append(done.mark)
        key, value = done.source
        changes.sources.append((key.encode(), value))
        changes.sources += [(key.encode(), None) for key in done.closed]


def merged(events: dict[str, list[Decoded]]) -> Iterator[tuple[str, list[Decoded]]]:
    """Merge the topics by event time, each kept in its own order, as runs of one topic.

    The order inside a topic is never changed: an event waits for those before it in its topic, whatever
    their times. Between topics the earlier event time at the heads goes first; ties go to the first topic.
    """
    at = dict.fromkeys(events, 0)
    while True:
        open_topics = [t for t in events if at[t] < len(events[t])]
        if not open_topics:
            return
        if len(open_topics) == 1:
            topic = open_topics[0]
            yield topic, events[topic][at[topic] :]
            return
        topic, other = sorted(open_topics, key=lambda t: events[t][at[t]][0].time_ms)[:2]
        limit = events[other][at[other]][0].time_ms
        first = at[topic]
        end = first + 1
        queue = events[topic]
        while end < len(queue) and queue[end][0].time_ms <= limit:
            end += 1
        at[topic] = end
        yield topic, queue[first:end]
