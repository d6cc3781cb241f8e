"""Fills a Redis that has lost what it had, or never had it: profiles from the tables, all else from the topics."""

from __future__ import annotations

import asyncio
from datetime import datetime
from time import thread_time
from typing import TYPE_CHECKING, Final

import msgspec
from aiokafka import TopicPartition

from schemas.times import to_ms
from stream import topics
from stream.privacy.finding import subject_of
from stream.serving.readmodel import version_after
from stream.serving.series import Sampler

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from agents.context import Context
    from agents.profiles import ProfilesAgent
    from stream.serving import ReadModel

#: Reading rests this many times as long as it took: the stream comes first.
REST: Final = 4
_AT_ONCE: Final = 200
_WAIT_MS: Final = 500


class _Metrics(msgspec.Struct, frozen=True, gc=False):
    as_of: datetime
    final: bool


class _Alert(msgspec.Struct, frozen=True, gc=False):
    state: str
    as_of: datetime


class _Event(msgspec.Struct, frozen=True, gc=False):
    data: _Alert


_metrics: Final = msgspec.json.Decoder(_Metrics).decode
_event: Final = msgspec.json.Decoder(_Event).decode


class Filling:
    """Offers the read model all there is of a partition.

    The partition of a number of each output topic is read by whoever has the inputs of that number, so together
    the workers read all of them.

    Args:
        context: of the worker.
        readmodel: what is filled.
        profiles: who has the profiles.
    """

    def __init__(self, context: Context, readmodel: ReadModel, profiles: ProfilesAgent) -> None:
        self._context = context
        self._readmodel = readmodel
        self._profiles = profiles
        self._reading = asyncio.Lock()
        readmodel.filler.fill = self.fill

    async def fill(self, partition: int) -> None:
        """Offer metrics, alerts and profiles of a partition; returns when all are offered.

        Raises:
            KafkaError: the broker is away; whoever asked tries again.
        """
        profiles = asyncio.create_task(self._profiles.all_again(partition))
        try:
            async with self._reading:  # of one partition at a time, or the rests would be no rests
                await self._read(partition)
            await profiles
        finally:
            profiles.cancel()

    async def _read(self, partition: int) -> None:
        sampler = Sampler(self._context.settings.redis_series)
        told: dict[str, int] = {}
        consumer = self._context.app.new_consumer()
        try:
            await consumer.start()
            sources = [TopicPartition(name, partition) for name in (topics.METRICS, topics.ALERTS)]
            consumer.assign(sources)
            ends = await consumer.end_offsets(sources)
            begins = await consumer.beginning_offsets(sources)
            left = {source for source in sources if begins[source] < ends[source]}
            while left:
                found = await consumer.getmany(*left, timeout_ms=_WAIT_MS, max_records=_AT_ONCE)
                began = thread_time()
                for records in found.values():
                    for record in records:
                        self._offer(record, sampler, told)
                await asyncio.sleep(REST * (thread_time() - began))
                while not self._readmodel.room:
                    await asyncio.sleep(0.1)
                for source in list(left):
                    if await consumer.position(source) >= ends[source]:
                        left.discard(source)
        finally:
            await consumer.stop()

    def _offer(self, record: ConsumerRecord, sampler: Sampler, told: dict[str, int]) -> None:
        key, value = record.key, record.value
        if key is None or value is None:
            return
        try:
            if record.topic == topics.METRICS:
                seen = _metrics(value)
                name, as_of_ms = key.decode(), to_ms(seen.as_of)
                self._readmodel.offer_metrics(name, as_of_ms, seen.final, value)
                if seen.final and sampler.due(name, as_of_ms):
                    self._readmodel.offer_sample(name, sampler.took(name, as_of_ms), as_of_ms, value)
            elif not self._erased(record):
                alert, name = _event(value).data, key.decode()
                as_of_ms = to_ms(alert.as_of)
                version = told[name] = version_after(told.get(name, -1), as_of_ms, alert.state)
                self._readmodel.offer_alert(name, alert.state, as_of_ms, value, version)
        except (msgspec.DecodeError, UnicodeDecodeError):  # somebody else's: these topics are open to others
            return

    def _erased(self, record: ConsumerRecord) -> bool:
        feed = self._context.erasures
        customer = None if feed is None else subject_of(record.value)
        return (
            feed is not None
            and customer is not None
            and feed.erasures.erased(customer, record.topic, record.partition, record.offset)
        )
