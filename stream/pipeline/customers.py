"""One partition of the inputs: events into customers, panes, claims and dead letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas import Reason
from stream.comments import TopicFinder
from stream.customers import (
    APPLIED,
    DUPLICATE,
    TOPIC_CODES,
    Contributor,
    Customer,
    CustomerConfig,
    Telling,
    customer_hash,
    fold,
    signals,
    was_applied,
)
from stream.customers import decode as decode_customer
from stream.customers import encode as encode_customer
from stream.intake import Event, Limits, Rejection
from stream.intake import decode as decode_event
from stream.measures import (
    NO_DIMS,
    Groupings,
    Mark,
    PaneConfig,
    Partial,
    SourcePanes,
    observation,
)
from stream.measures.declare import Declarations
from stream.measures.panes import OK
from stream.pipeline.merging import Inlet, SourceRecord, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from stream.alerting.claims import Claim
    from stream.alerting.customer_rules import CustomerRules
    from stream.pipeline.merging import Decoded

Entry = tuple[bytes, bytes | None]

#: How a record ended. Every record of an input ends in exactly one of them.
DEADLETTER: Final = "deadletter"
LATE: Final = "late"

#: Records decoded and folded at a time: their objects fit a processor's own cache, which is worth a fifth.
CHUNK: Final = 512
TIME_DETAIL: Final[dict[str, str]] = {
    Reason.TOO_LATE: "occurred_at: behind the watermark by more than CX_LATE_HORIZON_MS",
    Reason.TOO_EARLY: "occurred_at: ahead of the record's timestamp by more than CX_MAX_AHEAD_MS",
}


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """What decides the outcome besides the input; the same values give the same outcome.

    Attributes:
        topics: the input topics, in the order of their codes ``t`` and ``r``.
        partitions: of each input topic.
        confidence: of published intervals.
        declared: the metrics, windows, journeys and the like.
    """

    topics: tuple[str, str]
    partitions: int
    groupings: Groupings
    limits: Limits = field(default_factory=Limits)
    panes: PaneConfig = field(default_factory=PaneConfig)
    customers: CustomerConfig = field(default_factory=CustomerConfig)
    confidence: float = 0.95
    declared: Declarations = field(default_factory=Declarations)

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
    record. The counters are for telling: ``verdicts`` by topic and verdict, ``decisions`` by reason,
    ``misrouted`` (records not keyed by their customer) by topic, ``other_members`` by grouping, ``unpaired``
    (touchpoints that do not fit what is known of their reference, or hold no money where some is due) by reason.
    """

    deadletters: list[DeadLetter] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    cells: list[Entry] = field(default_factory=list)
    customers: list[Entry] = field(default_factory=list)
    sources: list[Entry] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)  # topic -> offset up to which all is in
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    misrouted: Counter[str] = field(default_factory=Counter)
    other_members: Counter[str] = field(default_factory=Counter)
    unpaired: Counter[str] = field(default_factory=Counter)


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
        alive: customers as objects, by id, for who keeps no table: they are taken from here first, changed in
            place and never encoded.
        source_panes: makes the panes of a source.
    """

    def __init__(
        self,
        partition: int,
        config: PipelineConfig,
        rules: CustomerRules | None,
        customers: Mapping[bytes, bytes],
        panes: Mapping[bytes, bytes],
        *,
        alive: dict[str, Customer] | None = None,
        source_panes: Callable[[str, PaneConfig, Groupings], SourcePanes] = SourcePanes,
    ) -> None:
        self.partition = partition
        self._alive = alive
        self._config = config
        self._rules = rules
        self._customers = customers
        self._contributor = Contributor(config.declared, config.customers)
        self._metrics = frozenset(config.declared.metrics)
        spec = config.declared.topics
        kept = any("topic" in grouping for grouping in config.groupings.groupings)
        self._topics = TopicFinder(spec.languages, spec.words) if kept else None
        self.panes = {
            topic: source_panes(source_name(topic, partition), config.panes, config.groupings)
            for topic in config.topics
        }
        by_source = {source.source: source for source in self.panes.values()}
        for key, value in panes.items():
            text = key.decode()
            by_source[text.split("|", 1)[0]].restore(text, value)
        for source in self.panes.values():
            source.ready()
        self._inlets = {
            topic: Inlet(topic, code, self.panes[topic])
            for topic, code in zip(config.topics, TOPIC_CODES, strict=True)
        }

    def run(
        self, batches: Iterable[tuple[str, Sequence[SourceRecord]]], waiting: Collection[str] = ()
    ) -> CustomersChanges:
        """Take records in, batches of one topic in offset order; both topics merged by event time.

        Between topics the earlier event time goes first. What may still be preceded by a topic in
        ``waiting`` (more of it is known to come) is kept back for the next run; ``done`` says how far each
        topic is in. So with both logs there from the start the order does not depend on how they were cut.

        The state moves on: what is returned has to become durable, or the object thrown away.
        """
        changes = CustomersChanges()
        for topic, records in batches:
            inlet = self._inlets[topic]
            inlet.fresh.extend(records)
        inlets = [inlet for inlet in self._inlets.values() if inlet.fresh or inlet.left]
        for inlet in inlets:
            inlet.panes.begin()
        written: dict[bytes, bytes] = {}
        for events in self._events(inlets, waiting, changes):
            self._fold(events, written, changes)
        for inlet in inlets:
            self._end(inlet, changes)
        changes.customers = list(written.items())
        return changes

    def _events(
        self, inlets: list[Inlet], waiting: Collection[str], changes: CustomersChanges
    ) -> Iterator[list[Decoded]]:
        """Decode in chunks that stay in the processor's cache; two topics have to be merged as a whole."""
        waits = [inlet for inlet in self._inlets.values() if inlet.topic in waiting]
        if len(inlets) == 1 and waits in ([], inlets):
            (inlet,) = inlets
            if inlet.left:
                yield inlet.left
                inlet.left = []
            fresh, inlet.fresh = inlet.fresh, []
            for at in range(0, len(fresh), CHUNK):
                yield self._decoded(inlet, fresh[at : at + CHUNK], changes)
            return
        for inlet in inlets:
            fresh, inlet.fresh = inlet.fresh, []
            inlet.left += self._decoded(inlet, fresh, changes)
        events = merge(*self._inlets.values(), waiting=waiting)
        for at in range(0, len(events), CHUNK):
            yield events[at : at + CHUNK]

    def idle(self, topic: str) -> Mark:
        """Return the mark that lets others go on without this source."""
        inlet = self._inlets[topic]
        inlet.marked = None  # the next batch has to say that it is awake again
        return inlet.panes.idle_mark()

    def kept(self, topic: str) -> int:
        """How many records of a topic are kept back."""
        inlet = self._inlets[topic]
        return len(inlet.left) + len(inlet.fresh)

    def watermarks(self) -> dict[str, int]:
        """Watermark of each topic that has had an event, epoch milliseconds."""
        found = ((topic, source.watermark_ms) for topic, source in self.panes.items())
        return {topic: at for topic, at in found if at is not None}

    def _decoded(
        self, inlet: Inlet, records: Sequence[SourceRecord], changes: CustomersChanges
    ) -> list[Decoded]:
        """Decode what is not wholly in yet; what does not fit goes to the dead letters."""
        if records:
            inlet.read = records[-1].offset
        seen = inlet.panes.offset
        limits, questions = self._config.limits, self._config.declared.questions
        events: list[Decoded] = []
        keep = events.append
        refused = 0
        for record in records:
            if record.offset <= seen:
                continue
            event = decode_event(record.value, record.headers, limits, questions)
            if type(event) is Event:
                keep((event, record, inlet))
            elif isinstance(event, Rejection):
                refused += 1
                changes.deadletters.append(DeadLetter(record, inlet.topic, event.reason, event.detail))
        if refused:
            changes.verdicts[inlet.topic, DEADLETTER] += refused
        return events

    def _fold(  # noqa: C901, PLR0912, PLR0915 - run per event: calls would cost as much as the work
        self, events: list[Decoded], written: dict[bytes, bytes], changes: CustomersChanges
    ) -> None:
        """Fold a chunk; ``written`` is what the batch has made of customers so far."""
        alive = self._alive
        touched: dict[str, Customer] = {} if alive is None else alive
        stored = self._customers
        config = self._config.customers
        ahead_ms = self._config.panes.max_ahead_ms
        rules = self._rules
        contributor = self._contributor
        telling = self._telling(changes)
        metrics = self._metrics
        finder = self._topics
        dims_of, narrow = self._config.groupings.dims_of, self._config.groupings.narrow
        last_place = narrowed = NO_DIMS
        counted = "customers" in metrics
        explained = contributor.answers if contributor.explains else None
        for event, record, inlet in events:
            time_ms = event.time_ms
            panes = inlet.panes
            # Nearly always within both limits, which two comparisons tell.
            if time_ms < panes.floor_ms or time_ms > record.timestamp + ahead_ms:
                verdict = panes.judge(time_ms, record.timestamp)
                if verdict is not OK:
                    self._refuse(inlet.topic, record, verdict, changes)
                    continue
            customer_id = event.customer_id
            name = customer_id.encode()
            if record.key != name:
                inlet.misrouted += 1
            customer = touched.get(customer_id)
            if customer is None:
                held = written.get(name) or stored.get(name)  # an earlier chunk may have had it
                customer = touched[customer_id] = Customer() if held is None else decode_customer(held)
            offset = record.offset
            verdict = fold(customer, event, inlet.code, offset, config)
            if verdict is APPLIED:
                if rules is not None and rules.concerned(event):
                    self._match(rules, event, customer, changes)
            elif verdict is DUPLICATE or not was_applied(customer, event, inlet.code, offset, config):
                inlet.duplicates += 1
                continue
            inlet.applied += 1
            metric = event.metric
            comment = event.comment
            dims = dims_of(event, finder.find(comment) if finder is not None and comment else ())
            if metric is None:
                panes.add(offset, time_ms, NO_DIMS, None, ())
                gives = contributor.contributions if contributor.concerned(event) else None
            else:
                seen = observation(metric, event.score, event.scale, event.higher_is_better)
                if seen is None or metric not in metrics:
                    panes.add(offset, time_ms, NO_DIMS, None, ())
                else:
                    panes.add(offset, time_ms, dims, seen[0], seen[1])
                gives = explained
            if gives is not None:
                arrival = offset << 1 | (inlet.code == "r")
                given = gives(customer, event, arrival, telling, fresh=verdict is APPLIED)
                for at_ms, place, key, vec in given:
                    if place is not last_place:
                        last_place, narrowed = place, narrow(place)
                    panes.contribute(offset, at_ms, narrowed, key, vec)
            if counted:
                panes.seen(offset, time_ms, dims, customer_hash(customer_id))
        if alive is None:
            written.update((name.encode(), encode_customer(customer)) for name, customer in touched.items())

    def _telling(self, changes: CustomersChanges) -> Telling:
        """What the contributions of this batch have to know; its end has not moved the panes' offsets yet."""
        first, second = (source.offset for source in self.panes.values())
        return Telling((first, second), changes.unpaired, journal=self._alive is None)

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

    def _end(self, inlet: Inlet, changes: CustomersChanges) -> None:
        changes.verdicts[inlet.topic, APPLIED] += inlet.applied
        changes.verdicts[inlet.topic, DUPLICATE] += inlet.duplicates
        changes.misrouted[inlet.topic] += inlet.misrouted
        inlet.applied = inlet.duplicates = inlet.misrouted = 0
        offset = inlet.left[0][1].offset - 1 if inlet.left else inlet.read
        changes.done[inlet.topic] = offset
        done = inlet.panes.end(offset)
        changes.other_members.update(done.overflow)
        changes.cells += [(key.encode(), value) for key, value in done.cells]
        changes.partials += done.partials
        says = (done.mark.panes_closed, done.mark.newest)
        if inlet.marked != says:  # else it would be nothing new
            inlet.marked = says
            changes.marks.append(done.mark)
        key, value = done.source
        changes.sources.append((key.encode(), value))
        changes.sources += [(key.encode(), None) for key in done.closed]
