"""Follows what workers publish, for lists and event streams: nothing here is anywhere but on Kafka.

Read from the beginning at every start, so copies of ``cx serve`` hold the same and none of them matters.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas import Silence
from stream import topics
from stream.api.held import Held
from stream.brokers.admin import BrokerAway, partitions
from stream.brokers.reading import groupless
from stream.brokers.security import aiokafka_security
from stream.feeds import Refused, decode_silence
from stream.privacy.erasures import Erasures
from stream.privacy.feed import keys_of
from stream.privacy.finding import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.api.positions import Offsets
    from stream.api.telemetry import ApiTelemetry
    from stream.settings import Settings

logger = logging.getLogger(__name__)

FOLLOWED: Final = (
    topics.ALERTS, topics.DECISIONS, topics.ACTIONS, topics.SILENCES, topics.RULES, topics.ERASURES,
    topics.METRICS,
)  # fmt: skip
MOST_RECENT: Final = 10_000
"""Alerts that an event stream is resumed from without asking Kafka."""
MOST_SLICES: Final = 20_000
_METRICS_BACK: Final = 2_000  # records of a partition of cx.metrics that are read at the start
_POLL_MS: Final = 250
_AT_ONCE: Final = 2_000  # records between two turns of the event loop
_RETRY_S: Final = (1.0, 2.0, 5.0)


class Told(NamedTuple):
    """A record of ``cx.alerts`` or ``cx.metrics``; ``number`` orders those of one process."""

    number: int
    partition: int
    offset: int
    key: str
    value: bytes


class Recent:
    """The newest records of a topic, and from which offsets on none is missing."""

    def __init__(self) -> None:
        self.since: Offsets = {}
        self.ends: Offsets = {}

    def begin(self, partition: int, offset: int) -> None:
        """From here on a partition is followed."""
        self.since.setdefault(partition, offset)
        self.ends.setdefault(partition, offset - 1)

    def covers(self, seen: Offsets) -> bool:
        """Whether nothing is missing after what somebody has seen."""
        return all(seen.get(partition, -1) + 1 >= since for partition, since in self.since.items())


class RecentAlerts(Recent):
    """The newest alerts, all of them in order."""

    def __init__(self, most: int = MOST_RECENT) -> None:
        super().__init__()
        self._most = most
        self._told: deque[Told] = deque()

    def put(self, told: Told) -> None:
        """Take one more; the oldest goes."""
        self.ends[told.partition] = told.offset
        self._told.append(told)
        if len(self._told) > self._most:
            gone = self._told.popleft()
            self.since[gone.partition] = max(self.since.get(gone.partition, 0), gone.offset + 1)

    def after(self, number: int) -> list[Told]:
        """Those that came after one, the oldest first."""
        found = []
        for told in reversed(self._told):
            if told.number <= number:
                break
            found.append(told)
        return found[::-1]

    def drop(self, unwanted: Callable[[Told], bool]) -> None:
        """Forget some of them; nobody is told that they are missing."""
        self._told = deque(told for told in self._told if not unwanted(told))

    def newest(self) -> list[Told]:
        """All, the newest first."""
        return list(reversed(self._told))


class RecentMetrics(Recent):
    """Of each slice the newest values: who reads slowly is spared those between."""

    def __init__(self, most: int = MOST_SLICES) -> None:
        super().__init__()
        self._most = most
        self._told: OrderedDict[str, Told] = OrderedDict()

    def put(self, told: Told) -> None:
        """Take one more, in place of what there was of its slice."""
        self.ends[told.partition] = told.offset
        self._told.pop(told.key, None)
        self._told[told.key] = told
        if len(self._told) > self._most:
            _, gone = self._told.popitem(last=False)
            self.since[gone.partition] = max(self.since.get(gone.partition, 0), gone.offset + 1)

    def after(self, number: int) -> list[Told]:
        """The newest of each slice that changed after one, the oldest first."""
        found = []
        for told in reversed(self._told.values()):
            if told.number <= number:
                break
            found.append(told)
        return found[::-1]


class Live:
    """What is on the topics, as far as it was read. Belongs to one event loop.

    Attributes:
        alerts: for event streams.
        metrics: for event streams.
        handled: records read of what people do about alerts, actions and silences.
        held: accounts of alerts.
        silences: by id; what workers refuse is left out.
        rules: values of ``cx.rules`` by key.
        rules_version: changes with ``rules``.
    """

    def __init__(self, settings: Settings, telemetry: ApiTelemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self.alerts = RecentAlerts()
        self.metrics = RecentMetrics()
        self.held = Held()
        self.silences: dict[str, Silence] = {}
        self.rules: dict[bytes, bytes] = {}
        self.rules_version = 0
        self.number = 0
        self.handled = 0
        self.ready = asyncio.Event()
        self.closing = False
        self.erasures = Erasures(keys_of(settings))
        self._next: dict[TopicPartition, int] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = "not read yet"

    def start(self) -> None:
        """Start to read."""
        self._task = asyncio.create_task(self._run(), name="cx-live")

    async def stop(self) -> None:
        """Stop; who waits for news is let go."""
        self.close_streams()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close_streams(self) -> None:
        """Let whoever waits for news go."""
        self.closing = True
        self._tell()

    def check(self) -> tuple[bool, str]:
        """Whether all was read once, and is followed."""
        if self._trouble:
            return False, self._trouble
        return True, "followed"

    async def news(self) -> None:
        """Wait until something came, or it is over."""
        if not self.closing:
            await self._news.wait()

    def take(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        at_ms: int | None = None,
    ) -> None:
        """Take in one record, and when the broker got it."""
        if topic == topics.METRICS:
            if value is not None:
                self.number += 1
                slice_key = (key or b"").decode(errors="replace")
                self.metrics.put(Told(self.number, partition, offset, slice_key, value))
        elif topic == topics.ALERTS:
            if self.erased(value, partition, offset):
                value = None
            mark = self.held.take_alert(value, at_ms)
            if value is not None and mark is not None:
                self.number += 1
                self.alerts.put(Told(self.number, partition, offset, mark, value))
            else:
                self.alerts.ends[partition] = offset  # told before, or no alert: nobody misses it
        elif topic == topics.DECISIONS:
            self.held.take_decision(key, value)
        elif topic == topics.ACTIONS:
            self.held.take_action(value)
            self.handled += 1
        elif topic == topics.SILENCES:
            self._take_silence(key, value)
            self.handled += 1
        elif topic == topics.ERASURES:
            self._take_erasure(key, value)
        elif topic == topics.RULES:
            self.rules.pop(key or b"", None)
            if value is not None:
                self.rules[key or b""] = value
            self.rules_version += 1

    def erased(self, value: bytes | None, partition: int, offset: int) -> bool:
        """Whether a record of ``cx.alerts`` is about a person who was erased since."""
        if not len(self.erasures):
            return False
        customer = subject_of(value)
        return customer is not None and self.erasures.erased(customer, topics.ALERTS, partition, offset)

    def _take_erasure(self, key: bytes | None, value: bytes | None) -> None:
        before = self.erasures.version
        try:
            self.erasures.take(key or b"", value)
        except ValueError as error:  # the messages are of our own, without what was in the record
            logger.warning("%s: a record is left out (%s)", topics.ERASURES, type(error).__name__)
        if self.erasures.version != before:
            self.held.forget(lambda customer: self.erasures.of(customer) is not None)
            self.alerts.drop(lambda told: self.erased(told.value, told.partition, told.offset))

    def _take_silence(self, key: bytes | None, value: bytes | None) -> None:
        self.silences.pop((key or b"").decode(errors="replace"), None)
        if value is not None:
            try:
                decode_silence(key, value)
            except Refused as refused:
                logger.warning("%s: a record is refused by workers: %s", topics.SILENCES, refused)
            else:
                silence = Silence.model_validate_json(value)
                self.silences[silence.id] = silence
        self.held.version += 1

    # -- reading ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._follow()
            except (BrokerAway, KafkaError, OSError, TimeoutError, _Missing) as error:
                said = str(error) if isinstance(error, _Missing) else f"not read ({type(error).__name__})"
                if said != self._trouble:
                    logger.warning("topics of %s: %s; tried again", self._settings.brokers, said)
                self._trouble = said
            except Exception:
                logger.exception("following topics: unexpected")
                self._trouble = "not read: the log says why"
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def _follow(self) -> None:
        security = aiokafka_security(self._settings)
        there = await partitions(self._settings.brokers, security)
        if missing := [name for name in FOLLOWED if name not in there]:
            raise _Missing(
                f"no such topic: {', '.join(missing)}; create what is missing with: cx topics create"
            )
        sources = [TopicPartition(name, number) for name in FOLLOWED for number in range(there[name])]
        consumer = groupless(self._settings, max_partition_fetch_bytes=4 * 1024 * 1024)
        try:
            await consumer.start()
            consumer.assign(sources)
            ends = await consumer.end_offsets(sources)
            await self._seek(consumer, sources, ends)
            left = set(sources)
            while True:
                left = {source for source in left if await consumer.position(source) < ends[source]}
                if not left and not self.ready.is_set():
                    self.ready.set()
                    logger.info("%s are read", ", ".join(FOLLOWED))
                if not left:
                    self._trouble = ""
                self._take(await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE))
        finally:
            await consumer.stop()

    async def _seek(
        self, consumer: Any, sources: list[TopicPartition], ends: dict[TopicPartition, int]
    ) -> None:
        begins = await consumer.beginning_offsets(sources)
        for source in sources:
            start = begins[source]
            if source in self._next:
                start = min(max(self._next[source], start), ends[source])
            elif source.topic == topics.METRICS:
                start = max(start, ends[source] - _METRICS_BACK)
            consumer.seek(source, start)
            if source.topic == topics.ALERTS:
                self.alerts.begin(source.partition, start)
            elif source.topic == topics.METRICS:
                self.metrics.begin(source.partition, start)

    def _take(self, fetched: dict[TopicPartition, list[Any]]) -> None:
        for source, records in fetched.items():
            for record in records:
                self.take(
                    source.topic, source.partition, record.offset, record.key, record.value, record.timestamp
                )
            if records:
                self._next[source] = records[-1].offset + 1
                self._telemetry.followed(source.topic, len(records))
        if fetched:
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class _Missing(Exception):  # noqa: N818 - reads as what happened
    """Topics are not there."""
