"""``cx.touchpoints`` and ``cx.replies``: one customer, one partition, in order."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time
from typing import TYPE_CHECKING

from agents.forgetting import Forgetting
from agents.profiles import ProfilesAgent
from schemas.deadletter import DeadLetterHeaders, Reason
from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.drivers import together
from stream.engine import Lanes, Outgoing, Partition
from stream.measures import encode_mark, encode_partial
from stream.measures.partials import Owners
from stream.pipeline import CustomersPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from agents.context import Context
    from stream.alerting.hygiene import Silence
    from stream.alerting.model import RuleBook
    from stream.engine import Batch, BatchTable
    from stream.measures import Mark, Partial
    from stream.pipeline import CustomersChanges, DeadLetter

logger = logging.getLogger(__name__)

#: Rounds of a partition begin at most this often: a customer's alert waits half of it on average.
PACE_S = 0.01

#: While events of one topic wait for the other, what there is to wait for is looked at this often.
LOOK_AGAIN_S = 0.01

#: Versions of models are waited for so long: a share of the time after which the worker counts as stalled.
PATIENCE = 0.75


class CustomersAgent:
    """Folds inputs into customers and panes; publishes partials, customer alerts and dead letters."""

    def __init__(self, context: Context, customers: BatchTable, panes: BatchTable) -> None:
        self._context = context
        self._customers = customers
        self._panes = panes
        #: Who owns a slice is settled at the start, like what is kept.
        self._owners = Owners(together(context.book.metric_rules))
        self._rules = CustomerRules.of(context.book)
        self._versions = {version.from_ms: CustomerRules(version.book) for version in context.feeds.versions}
        context.feeds.on_rules.append(self._swap)
        context.feeds.on_silences.append(self._silence)
        self._parts: dict[int, CustomersPartition] = {}
        self._kept: dict[int, list[Batch]] = {}
        self._blocked_at: dict[int, float] = {}
        self._live: set[tuple[str, int]] = set()
        self._much = context.settings.max_batch_records
        self._stall_after_s = context.settings.stall_after_ms / 1000
        self._active_at: dict[tuple[str, int], float] = {}
        self._idle: set[tuple[str, int]] = set()
        self.profiles = ProfilesAgent(context, customers, panes, self._watermark)
        self.forgetting = Forgetting(context, customers, panes, self._forgotten)
        self.lanes = Lanes(context.app, context.rounds(self.handle), pace_s=PACE_S)

    async def recovered(self) -> None:
        """Tables are complete for a new assignment: start from them."""
        self._parts.clear()
        self._kept.clear()
        self._blocked_at.clear()
        self._live.clear()
        self._active_at.clear()
        self._idle.clear()
        self.forgetting.recovered()
        self.profiles.recovered()

    def watermarks(self) -> dict[tuple[str, int], int]:
        """Epoch milliseconds of the watermark of each (topic, partition) that has had an event here."""
        return {
            (topic, partition): at_ms
            for partition, part in self._parts.items()
            for topic, at_ms in part.watermarks().items()
        }

    async def consume(self, stream: AsyncIterable[Batch]) -> None:
        """Queue batches into their partition's lane."""
        async for batch in stream:
            self.lanes.submit(batch)

    async def handle(self, partition: int, batches: list[Batch]) -> list[Batch]:
        """Do all that a partition's batches ask for, durably, in the order that a crash allows.

        Returns the batches that are not wholly in yet: an event waits while an earlier one may still come
        from the other topic.
        """
        started = monotonic()
        written = [(batch.topic, batch.records[0].timestamp) for batch in batches if batch.records]
        held = [*self._kept.pop(partition, []), *batches]
        part = self._part(partition)
        await self.forgetting.carry_out(partition, part)
        self._lose_patience(partition, part)
        changes = part.run(
            [(batch.topic, batch.records) for batch in batches], self._waiting(partition, held)
        )
        context = self._context
        await asyncio.gather(
            *(context.publish(topic, _passed(changes, topic)) for topic in topics.INPUTS),
            context.publish_alerts(changes.claims),
            context.publish_decisions(changes.decided),
            context.publish(topics.DEADLETTERS, [_dead(d, partition) for d in changes.deadletters]),
            context.publish(topics.EXAMPLES, [Outgoing(None, each, (), 0) for each in changes.examples]),
            context.publish(topics.PARTIALS, self._partials(changes.partials, changes.marks)),
        )
        await self._customers.write(partition, changes.customers)
        # One log, in this order: after a crash there is a prefix of it, so the sources come last.
        await self._panes.write(
            partition, [*self.profiles.progress(partition), *changes.cells, *changes.sources]
        )
        self.profiles.changed(partition, [name for name, _ in changes.customers], changes.done)
        self._count(partition, batches, changes, monotonic() - started)
        self._age(part, written)
        if part.overdue:
            self.lanes.poke(partition)
        return self._keep(partition, held, changes.done)

    def _watermark(self, partition: int) -> int | None:
        return max(self._part(partition).watermarks().values(), default=None)

    def _forgotten(self, partition: int, names: list[bytes]) -> None:
        self.profiles.changed(partition, names, {})

    def _waiting(self, partition: int, held: list[Batch]) -> list[str]:
        """Topics that are being caught up with and have more to come.

        A topic whose end was reached is live until more than a batch piles up again: what comes then comes
        in the order of its arrival, and nobody's alert waits for it.
        """
        app = self._context.app
        waiting = []
        for topic in topics.INPUTS:
            source = (topic, partition)
            if not app.more_to_come(topic, partition, sum(batch.topic == topic for batch in held)):
                self._live.add(source)
            elif source not in self._live or app.lags().get(Partition(*source), 0) > self._much:
                self._live.discard(source)
                waiting.append(topic)
        return waiting

    def _keep(self, partition: int, held: list[Batch], done: dict[str, int]) -> list[Batch]:
        """Acknowledge what is in, and keep the rest."""
        kept = [batch for batch in held if batch.last_offset > done.get(batch.topic, -1)]
        for batch in held:
            if batch not in kept:
                batch.ack()
        if kept:
            self._kept[partition] = kept
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.lanes.poke, partition)
        return kept

    async def idle(self) -> None:
        """Now and then: let caught-up, silent partitions stop holding the others back, and time go on there."""
        context = self._context
        limit = context.settings.idle_after_ms / 1000
        for topic in topics.INPUTS:
            for partition in context.app.assigned(topic):
                source = (topic, partition)
                if not context.app.caught_up(topic, partition):
                    self._active_at[source] = monotonic()
                    continue
                if (
                    source in self._idle
                    or monotonic() - self._active_at.setdefault(source, monotonic()) < limit
                ):
                    continue
                self._idle.add(source)
                await context.publish(
                    topics.PARTIALS, self._partials([], [self._part(partition).idle(topic)])
                )
        now_ms = round(time() * 1000)
        for partition in context.app.assigned(topics.REPLIES):
            part = self._parts.get(partition)
            if (part is not None and part.tick(now_ms)) or self.forgetting.behind(partition):
                self.lanes.poke(partition)
            if part is not None and self._silent(partition):
                await context.publish(
                    topics.EXAMPLES, [Outgoing(None, each, (), 0) for each in part.late(now_ms)]
                )

    def _silent(self, partition: int) -> bool:
        return all(
            (topic, partition) in self._idle and self._context.app.caught_up(topic, partition)
            for topic in topics.INPUTS
        )

    def _lose_patience(self, partition: int, part: CustomersPartition) -> None:
        """Versions of models that do not come must not keep alerts back for long."""
        if not part.blocked:
            self._blocked_at.pop(partition, None)
            return
        waited_s = monotonic() - self._blocked_at.setdefault(partition, monotonic())
        if waited_s > self._stall_after_s * PATIENCE:
            part.waive()
            self._context.telemetry.models_not_awaited()
            logger.warning(
                "partition %d goes on without the newest versions of models, after %.0f s: they hold there from "
                "when they come, and a replay may tell otherwise",
                partition,
                waited_s,
            )

    def _swap(self, book: RuleBook, from_ms: int) -> None:
        """Other rules are to judge from a moment on."""
        rules = self._versions[from_ms] = CustomerRules(book)
        for part in self._parts.values():
            part.swap(rules, from_ms)

    def _silence(self, silences: list[Silence]) -> None:
        for part in self._parts.values():
            part.silences(silences)

    def _part(self, partition: int) -> CustomersPartition:
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = CustomersPartition(
                partition,
                self._context.config,
                self._rules,
                self._customers.partition(partition),
                self._panes.partition(partition),
                erasures=None if self._context.erasures is None else self._context.erasures.erasures,
                models=self._context.feeds.models,
            )
            for from_ms, rules in sorted(self._versions.items()):
                part.swap(rules, from_ms)
            part.silences(self._context.feeds.silences)
        return part

    def _partials(self, partials: list[Partial], marks: list[Mark]) -> list[Outgoing]:
        """Partials to their slice's owner, then the marks to every owner."""
        found = [Outgoing(*encode_partial(partial, self._owners)) for partial in partials]
        for mark in marks:
            key, value = encode_mark(mark)
            found += [Outgoing(key, value, (), p) for p in range(self._context.config.partitions)]
        return found

    def _age(self, part: CustomersPartition, written: list[tuple[str, int]]) -> None:
        """Tell how old what is durable now is: by Kafka's timestamps, and by the events' own times."""
        telemetry, now_ms = self._context.telemetry, time() * 1000
        watermarks = part.watermarks()
        for topic, at_ms in written:
            telemetry.record_age(topic, (now_ms - at_ms) / 1000)
            if (watermark_ms := watermarks.get(topic)) is not None:
                newest_ms = watermark_ms + self._context.settings.lateness_ms
                telemetry.event_age(topic, (now_ms - newest_ms) / 1000)

    def _count(self, partition: int, batches: list[Batch], changes: CustomersChanges, seconds: float) -> None:
        telemetry = self._context.telemetry
        now = monotonic()
        for batch in batches:
            telemetry.batch(batch.topic, len(batch), seconds)
            self._active_at[batch.topic, partition] = now
            self._idle.discard((batch.topic, partition))
        for (topic, verdict), n in changes.verdicts.items():
            telemetry.records(topic, verdict, n)
        for topic, n in changes.misrouted.items():
            telemetry.misrouted(topic, n)
        for grouping, n in changes.other_members.items():
            telemetry.other_members(grouping, n)
        for reason, n in changes.unpaired.items():
            telemetry.unpaired(reason, n)
        for dead in changes.deadletters:
            telemetry.deadletter(dead.reason)
        for reason, n in changes.decisions.items():
            telemetry.decision(reason, n)


def _passed(changes: CustomersChanges, topic: str) -> list[Outgoing]:
    """Records of merged ids, for the partitions of the ids that stay."""
    return [Outgoing(each.key, each.value, each.headers) for each in changes.passed if each.topic == topic]


def _dead(dead: DeadLetter, partition: int) -> Outgoing:
    record = dead.record
    headers = DeadLetterHeaders.model_construct(
        reason=Reason(dead.reason),
        detail=dead.detail,
        topic=dead.topic,
        partition=partition,
        offset=record.offset,
    )
    return Outgoing(record.key, record.value, [*record.headers, *headers.to_kafka()], partition)
