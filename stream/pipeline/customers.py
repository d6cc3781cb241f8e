"""One partition of the inputs: events into customers, panes, claims and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import Reason
from stream.alerting.customer_rules import CustomerRules
from stream.comments import TopicFinder
from stream.customers import (
    APPLIED,
    DUPLICATE,
    TOPIC_CODES,
    Contributor,
    Customer,
    Telling,
    customer_hash,
    fold,
    was_applied,
)
from stream.customers.ids import IDENTIFIED
from stream.customers.models import Models
from stream.intake import Event, Rejection
from stream.intake import decode as decode_event
from stream.measures import (
    NO_DIMS,
    Groupings,
    Mark,
    PaneConfig,
    SourcePanes,
    observation,
)
from stream.measures.panes import OK
from stream.pipeline.changes import (
    DEADLETTER,
    FORWARDED,
    LATE,
    TIME_DETAIL,
    CustomersChanges,
    DeadLetter,
    Entry,
    PipelineConfig,
    source_name,
)
from stream.pipeline.clock import CLOCK_KEY, read_kept
from stream.pipeline.forgetting import NOTE, Forgetting
from stream.pipeline.identities import Identities, from_worker, readdress
from stream.pipeline.merging import Inlet, SourceRecord, merge
from stream.pipeline.profiles import PROGRESS_KEY
from stream.pipeline.roster import Roster
from stream.pipeline.sampling import Sampler
from stream.pipeline.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from stream.alerting.hygiene import Silence
    from stream.alerting.model import RuleBook
    from stream.pipeline.forgetting import Erased
    from stream.pipeline.merging import Decoded

__all__ = [
    "CHUNK",
    "CustomersChanges",
    "CustomersPartition",
    "DeadLetter",
    "Entry",
    "PipelineConfig",
    "source_name",
]

#: Records decoded and folded at a time: their objects fit a processor's own cache, which is worth a fifth.
CHUNK: Final = 512
#: Customers looked at in one run without records, for a worker has heartbeats to send.
AT_ONCE: Final = 1_000
_NEVER: Final = 2**62


class CustomersPartition:
    """The state of one partition number over both input topics.

    Args:
        partition: its number.
        config: what decides the outcome.
        rules: compiled rules about customers, or None; see ``swap``.
        customers: the partition of the customers table; read only.
        panes: the partition of the panes table, to restore from.
        alive: customers as objects, by id, for who keeps no table: they are taken from here first, changed in
            place and never encoded.
        source_panes: makes the panes of a source.
        erasures: whose records are refused; None: nobody's.
        models: versions of models by event time; None: the declared ones hold.
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
        erasures: Erased | None = None,
        models: Models | None = None,
    ) -> None:
        self.partition = partition
        self._forgetting = Forgetting(partition, erasures)
        self._config = config
        self._customers = customers
        self._roster = Roster(customers, alive)
        self._contributor = Contributor(config.declared, config.customers)
        self._identities = Identities(config, self._contributor)
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
            if not text.startswith(NOTE) and key not in (PROGRESS_KEY, CLOCK_KEY):
                by_source[text.split("|", 1)[0]].restore(text, value)
        for source in self.panes.values():
            source.ready()
        self._clock = read_kept(panes)
        self._models = Models(config.customers) if models is None else models
        self._sampler = Sampler(
            partition,
            0 if models is None else config.models_every_ms,
            config.models_sample // config.partitions + 1,
            self._models,
            self._newest_ms(),
        )
        self._silences: Sequence[Silence] = ()
        self._watch = None if rules is None else self._watcher(rules)
        self._inlets = {
            topic: Inlet(topic, code, self.panes[topic], known=known)
            for topic, code, known in zip(
                config.topics, TOPIC_CODES, (self._clock.first, self._clock.second), strict=True
            )
        }

    def _watcher(self, rules: CustomerRules | None) -> Watcher:
        clock = self._clock
        return Watcher(self.partition, self._config, rules, self.panes, self._customers, self._models, clock)

    def _newest_ms(self) -> int | None:
        known = [at_ms for source in self.panes.values() if (at_ms := source.watermark_ms) is not None]
        return max(known) + self._config.panes.lateness_ms if known else None

    def swap(self, book: RuleBook | CustomerRules, from_ms: int) -> None:
        """Let other rules judge from a moment of event time on; may be called for several moments.

        Records are judged by the rules of their own time, what falls due by those of the time at which it does.
        """
        rules = book if isinstance(book, CustomerRules) else CustomerRules(book)
        if self._watch is None and rules.empty:
            return
        if self._watch is None:
            self._watch = self._watcher(None)
            self._watch.silence(self._silences)
        self._watch.swap(rules, from_ms)

    def silences(self, silences: Sequence[Silence]) -> None:
        """Set the silences that hold beside those of the rules."""
        self._silences = silences
        if self._watch is not None:
            self._watch.silence(silences)

    def forget(self, names: Collection[bytes]) -> None:
        """Some customers were taken out of the table: nothing that is waiting may bring them back."""
        for inlet in self._inlets.values():
            self._forgetting.thin(inlet)
        if self._watch is not None:
            self._watch.forget(names)

    def tick(self, now_ms: int) -> bool:
        """While all topics are idle, ``now_ms`` is the time; says whether ``run`` would find something due."""
        if self._watch is None:
            return False
        self._watch.clock.tick(now_ms)
        return self.overdue

    @property
    def blocked(self) -> bool:
        """Whether versions of models have to come before this partition goes on (``sampling.py``)."""
        return self._sampler.blocked

    def waive(self) -> None:
        """Go on without the versions of models that are waited for; they hold from when they come."""
        self._sampler.waive()

    def late(self, now_ms: int) -> list[bytes]:
        """What to publish on ``cx.examples`` while both topics are idle and it is this late."""
        return self._sampler.tick(now_ms - self._config.panes.lateness_ms, self._roster.everyone)

    @property
    def overdue(self) -> bool:
        """Whether something is due without a record: ``run`` without any does a part of it."""
        return self._watch is not None and self._watch.due

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
            if self._watch is not None:
                self._watch.clock.awake(topic)
        if self._sampler.blocked:
            return changes
        inlets = [inlet for inlet in self._inlets.values() if inlet.fresh or inlet.left or inlet.erased]
        for inlet in inlets:
            inlet.panes.begin()
        # Where time jumps, as it does from the newest record to the present, very many may be due at once.
        self._wake(changes, None if inlets else AT_ONCE)
        stopped: list[Decoded] = []
        for events in self._events(inlets, waiting, changes):
            taken = 0 if stopped else self._fold(events, changes)
            stopped += events[taken:]
        for inlet in inlets if stopped else ():
            inlet.left = [each for each in stopped if each[2] is inlet] + inlet.left
        if inlets:
            self._wake(changes)
        for inlet in inlets:
            inlet.end(changes)
        if self._watch is not None:
            changes.cells[:0] = self._watch.keep()
        changes.customers += self._roster.take()
        return changes

    def _events(
        self, inlets: list[Inlet], waiting: Collection[str], changes: CustomersChanges
    ) -> Iterator[list[Decoded]]:
        """Decode in chunks that stay in the processor's cache; two topics have to be merged as a whole."""
        waits = [inlet for inlet in self._inlets.values() if inlet.topic in waiting]
        if len(inlets) == 1 and waits in ([], inlets):
            (inlet,) = inlets
            if inlet.left:
                left, inlet.left = inlet.left, []
                yield left
            fresh, inlet.fresh = inlet.fresh, []
            for at in range(0, len(fresh), CHUNK):
                yield self._decoded(inlet, fresh[at : at + CHUNK], changes)
            return
        for inlet in inlets:
            fresh, inlet.fresh = inlet.fresh, []
            inlet.left += self._decoded(inlet, fresh, changes)
            if inlet.panes.offset < inlet.known:
                again = inlet.again()
                if again:
                    yield again
        events = merge(*self._inlets.values(), waiting=waiting)
        for at in range(0, len(events), CHUNK):
            yield events[at : at + CHUNK]

    def idle(self, topic: str) -> Mark:
        """Return the mark that lets others go on without this source; what is due by that, ``run`` does."""
        inlet = self._inlets[topic]
        inlet.marked = None  # the next batch has to say that it is awake again
        if self._watch is not None:
            self._watch.clock.idle(topic)
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
        below = self._forgetting.below(inlet.topic)
        limits, questions = self._config.limits, self._config.declared.questions
        events: list[Decoded] = []
        keep = events.append
        refused = 0
        for record in records:
            if record.offset <= seen:
                continue
            headers = record.headers
            event = decode_event(record.value, headers, limits, questions)
            if record.offset < below and self._forgetting.gone(event, record, inlet.topic):
                inlet.erased += 1
                continue
            if type(event) is Event:
                if headers:
                    readdress(event, record)
                keep((event, record, inlet))
            elif isinstance(event, Rejection):
                refused += 1
                changes.deadletters.append(DeadLetter(record, inlet.topic, event.reason, event.detail))
        if refused:
            changes.verdicts[inlet.topic, DEADLETTER] += refused
        return events

    def _fold(  # noqa: C901, PLR0912, PLR0915 - run per event: calls would cost as much as the work
        self, events: list[Decoded], changes: CustomersChanges
    ) -> int:
        """Fold a chunk.

        Returns how many of the events are in; fewer than all where models have to be waited for.
        """
        roster = self._roster
        touched = roster.touched
        config = self._config.customers
        ahead_ms = self._config.panes.max_ahead_ms
        watch = self._watch
        concerned = None if watch is None else watch.concerned
        wake_ms = _NEVER if watch is None else watch.wake_ms
        contributor = self._contributor
        telling = self._telling(changes)
        identities = self._identities
        metrics = self._metrics
        finder = self._topics
        dims_of, narrow = self._config.groupings.dims_of, self._config.groupings.narrow
        last_place = narrowed = NO_DIMS
        counted = "customers" in metrics
        heard = contributor.replies if contributor.hears_replies else None
        taken = len(events)
        edge_ms = self._sampler.edge_ms
        for at, (event, record, inlet) in enumerate(events):
            time_ms = event.time_ms
            panes = inlet.panes
            # Nearly always within both limits, which two comparisons tell.
            if time_ms < panes.floor_ms or time_ms > record.timestamp + ahead_ms:
                verdict = panes.judge(time_ms, record.timestamp)
                if verdict is not OK and not from_worker(record.headers):
                    self._refuse(inlet.topic, record, verdict, changes)
                    continue
            if time_ms >= edge_ms:
                if not self._sampler.reach(time_ms, roster.everyone, roster.keep, changes.examples):
                    taken = at
                    break
                edge_ms = self._sampler.edge_ms
            customer_id = event.customer_id
            name = customer_id.encode()
            if record.key != name:
                inlet.misrouted += 1
            customer = touched.get(customer_id)
            if customer is None:
                customer = roster.fetch(customer_id, name)
            offset = record.offset
            if record.headers or customer.known.ids is not None:
                ended = identities.first(customer, event, record, inlet, telling, changes)
                if ended is not None:
                    inlet.applied += ended.verdict is APPLIED
                    inlet.duplicates += ended.verdict is DUPLICATE
                    inlet.forwarded += ended.verdict is FORWARDED
                    panes.add(offset, time_ms, NO_DIMS, None, ())
                    for at_ms, place, key, vec in ended.given:
                        panes.contribute(offset, at_ms, narrow(place), key, vec)
                    if ended.joined is not None and watch is not None:
                        watch.join(name, customer, ended.joined)
                        wake_ms = watch.wake_ms
                    continue
            verdict = fold(customer, event, inlet.code, offset, config)
            if verdict is APPLIED:
                if event.kind == IDENTIFIED:
                    identities.identified(customer, event, changes)
                if concerned is not None and concerned(event):
                    watch.judge(event, name, customer)  # type: ignore[union-attr]
                    wake_ms = watch.wake_ms  # type: ignore[union-attr]
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
                gives = heard
            if gives is not None:
                arrival = offset << 1 | (inlet.code == "r")
                given = gives(customer, event, arrival, telling, fresh=verdict is APPLIED)
                for at_ms, place, key, vec in given:
                    if place is not last_place:
                        last_place, narrowed = place, narrow(place)
                    panes.contribute(offset, at_ms, narrowed, key, vec)
            if counted:
                panes.seen(offset, time_ms, dims, customer_hash(customer_id))
            if time_ms >= wake_ms:
                watch.wake(roster.at, roster.everyone)  # type: ignore[union-attr]
                wake_ms = watch.wake_ms  # type: ignore[union-attr]
        if watch is not None:
            changes.took(watch.take())
        roster.settle()
        return taken

    def _wake(self, changes: CustomersChanges, most: int | None = None) -> None:
        """Do what is due without a record: by time that went on, or rules that begin to hold."""
        watch = self._watch
        if watch is None:
            return
        roster = self._roster
        watch.begin(roster.at)
        if watch.due:
            watch.wake(roster.at, roster.everyone, most)
        changes.took(watch.take())
        roster.settle()

    def _telling(self, changes: CustomersChanges) -> Telling:
        """What the contributions of this batch have to know; its end has not moved the panes' offsets yet."""
        first, second = (source.offset for source in self.panes.values())
        return Telling((first, second), changes.unpaired, journal=self._roster.journaled)

    def _refuse(self, topic: str, record: SourceRecord, verdict: str, changes: CustomersChanges) -> None:
        changes.deadletters.append(DeadLetter(record, topic, verdict, TIME_DETAIL[verdict]))
        changes.verdicts[topic, LATE if verdict == Reason.TOO_LATE else DEADLETTER] += 1
