"""What erasing asks of the brokers: logs read and written to the offset, settings, groups, sizes on disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import admin as kafka_admin

from stream.brokers.security import aiokafka_security, confluent_config
from stream.privacy.entries import Entry, Refused, Source
from stream.privacy.logdirs import sizes
from stream.topics import ERASING_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stream.settings import Settings

_api: Any = kafka_admin  # its names are not exported in a way that type checkers see
_ANSWER_S: Final = 30.0
_STALL_S: Final = 60.0
_LARGEST: Final = 4 * 1024 * 1024
_READ_ONCE: Final = 5_000
_READ_S: Final = 0.05  # that much is waited for
#: A broker has just become the one that knows of a group, as after a start of the brokers; it soon answers.
_LOADING: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
_EMPTY: Final = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)


class Broker:
    """The brokers of the settings.

    Raises:
        Refused: of any method: they do not answer, or do not allow it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = {**confluent_config(settings), "log_level": 0}
        self._admin: Any = kafka_admin.AdminClient(self._config)
        self._members: dict[str, Consumer] = {}
        self._readers: list[Consumer] = []
        self._producer: Producer | None = None

    def close(self) -> None:
        """Leave the brokers alone."""
        for member in (*self._members.values(), *self._readers):
            member.close()
        self._readers.clear()
        self._members.clear()

    # -- logs ------------------------------------------------------------------------------------------

    def sources(self, names: Iterable[str]) -> list[Source]:
        """Every partition of those topics that exist."""
        found = _asked(self._admin.list_topics, timeout=_ANSWER_S).topics
        return [
            Source(name, number)
            for name in names
            if name in found
            for number in sorted(found[name].partitions)
        ]

    def span(self, source: Source) -> tuple[int, int]:
        """Offsets at which a log begins and ends."""
        low, high = _asked(
            self._member(ERASING_GROUP).get_watermark_offsets,
            TopicPartition(*source),
            timeout=_ANSWER_S,
        )
        return low, high

    def read(self, source: Source, begin: int, end: int) -> Iterator[Entry]:
        """Records of a log, in order; where compaction or transactions have left gaps, those that are there."""
        if begin >= end:
            return
        consumer = self._reader()
        try:
            consumer.assign([TopicPartition(*source, begin)])
            moved = time.monotonic()
            while time.monotonic() - moved < _STALL_S:
                for message in consumer.consume(_READ_ONCE, timeout=_READ_S):
                    error, offset = message.error(), message.offset() or 0
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                        raise KafkaException(error)
                    if offset >= end:
                        return
                    if error is None:
                        moved = time.monotonic()
                        yield _entry(message, offset)
                    if offset + 1 >= end:
                        return
            raise Refused(f"{source}: nothing more can be read; is the broker well?")
        except KafkaException as error:
            raise _refusal(error, str(source)) from None
        finally:
            self._readers.append(consumer)

    def _reader(self) -> Consumer:
        if self._readers:
            return self._readers.pop()
        return Consumer(
            {
                **self._config,
                "group.id": ERASING_GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,  # the end of a log is told only once the broker has waited
                "isolation.level": "read_uncommitted",  # as workers read
            }
        )

    def append(
        self,
        source: Source,
        entries: Iterable[Entry],
        placed: Callable[[int, int], None] | None = None,
    ) -> int:
        """Append records, in order, and wait until all replicas have them; returns how many.

        Args:
            source: where to.
            entries: as they are to be; with a timestamp of 0 or less that of now.
            placed: told of each the offset it says it had, and the one it got.
        """
        producer = self._appending()
        failed: list[KafkaError] = []
        count = done = 0

        def told(offset: int) -> Callable[[KafkaError | None, Any], None]:
            def on_delivery(error: KafkaError | None, message: Any) -> None:
                nonlocal done
                done += 1
                if error is not None:
                    failed.append(error)
                elif placed is not None:
                    placed(offset, message.offset())

            return on_delivery

        for entry in entries:
            count += 1
            self._put(producer, source, entry, told(entry.offset))
            if failed:
                break
        producer.flush(_STALL_S)
        if failed:
            raise _refusal(KafkaException(failed[0]), str(source))
        if done != count:
            raise Refused(f"{source}: {count - done} records were not taken in time")
        return count

    def append_one(self, source: Source, entry: Entry) -> int:
        """Append a record; returns where it stands."""
        places: list[int] = []
        self.append(source, [entry], lambda _, new: places.append(new))
        return places[0]

    @staticmethod
    def _put(producer: Producer, source: Source, entry: Entry, told: Callable[..., None]) -> None:
        while True:
            try:
                producer.produce(
                    source.topic,
                    value=entry.value,
                    key=entry.key,
                    headers=list(entry.headers),
                    partition=source.partition,
                    timestamp=max(entry.timestamp, 0),
                    on_delivery=told,
                )
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                raise _refusal(error, str(source)) from None
            else:
                producer.poll(0)
                return

    def delete_before(self, source: Source, offset: int) -> None:
        """Move the beginning of a log; what is before it is read by nobody any more."""
        asked = self._admin.delete_records([TopicPartition(*source, offset)], request_timeout=_ANSWER_S)
        for future in asked.values():
            _asked(future.result)

    def sizes(self, names: Iterable[str]) -> dict[Source, list[int]]:
        """Bytes on disk of each partition, of every replica; what waits to be removed from disk is not counted."""
        wanted = frozenset(names)

        async def look() -> dict[tuple[str, int], list[int]]:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self._settings.brokers, **aiokafka_security(self._settings)
            )
            try:
                await admin.start()
                return await sizes(admin, wanted)
            finally:
                await admin.close()

        return {Source(*source): held for source, held in asyncio.run(look()).items()}

    # -- settings of topics ----------------------------------------------------------------------------

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, tuple[str, bool]]]:
        """Of each topic every setting, and whether it is the topic's own."""
        resources = [_api.ConfigResource(_api.ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        found = {}
        for resource, future in self._admin.describe_configs(resources, request_timeout=_ANSWER_S).items():
            entries = _asked(future.result)
            found[resource.name] = {
                name: (str(entry.value), entry.source == _api.ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
                for name, entry in entries.items()
            }
        return found

    def configure(self, topic: str, values: Mapping[str, str | None]) -> None:
        """Change settings of a topic, None back to the broker's default, and wait until they are seen."""
        changes = [
            _api.ConfigEntry(
                name,
                value,
                incremental_operation=_api.AlterConfigOpType.DELETE
                if value is None
                else _api.AlterConfigOpType.SET,
            )
            for name, value in values.items()
        ]
        resource = _api.ConfigResource(_api.ResourceType.TOPIC, topic, incremental_configs=changes)
        for future in self._admin.incremental_alter_configs([resource], request_timeout=_ANSWER_S).values():
            _asked(future.result)
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            held = self.configs([topic])[topic]
            if all(
                not held[name][1] if value is None else held[name] == (value, True)
                for name, value in values.items()
            ):
                return
            time.sleep(0.05)  # the broker tells nobody: asking again is all there is
        raise Refused(f"{topic}: its settings do not become as asked")

    # -- groups ----------------------------------------------------------------------------------------

    def groups(self) -> list[str]:
        """Every consumer group."""
        found = _asked(self._admin.list_consumer_groups(request_timeout=_ANSWER_S).result)
        return sorted(group.group_id for group in found.valid)

    def members(self, group: str) -> int:
        """How many consumers a group has now; -1: it is not empty, though no member is known yet."""
        found = self._group(group)
        if found.members or found.state in _EMPTY:
            return len(found.members)
        return -1

    def _group(self, group: str) -> Any:
        deadline = time.monotonic() + _ANSWER_S
        while True:
            (future,) = self._admin.describe_consumer_groups([group], request_timeout=_ANSWER_S).values()
            try:
                return future.result()
            except KafkaException as error:
                if error.args[0].code() not in _LOADING or time.monotonic() > deadline:
                    raise _refusal(error, group) from None
            time.sleep(_READ_S)

    def committed(self, group: str, sources: Sequence[Source]) -> dict[Source, int]:
        """Where a group goes on, of those partitions where it has said so."""
        asked = [TopicPartition(*source) for source in sources]
        if not asked:
            return {}
        found = _asked(self._member(group).committed, asked, timeout=_ANSWER_S)
        return {Source(tp.topic, tp.partition): tp.offset for tp in found if tp.offset != OFFSET_INVALID}

    def commit(self, group: str, source: Source, offset: int) -> None:
        """Say where a group goes on; the broker allows it only while nobody is in it."""
        _asked(self._member(group).commit, offsets=[TopicPartition(*source, offset)], asynchronous=False)

    def _member(self, group: str) -> Consumer:
        # It never joins: it asks for the group's offsets and sets them.
        if group not in self._members:
            self._members[group] = Consumer({**self._config, "group.id": group, "enable.auto.commit": False})
        return self._members[group]

    def _appending(self) -> Producer:
        if self._producer is None:
            compression = self._settings.compression
            self._producer = Producer(
                {
                    **self._config,
                    "enable.idempotence": True,
                    "acks": "all",
                    "compression.type": compression,
                    "linger.ms": 20,
                    "message.max.bytes": _LARGEST,
                    "message.timeout.ms": round(_STALL_S * 1000),
                }
            )
        return self._producer


def _entry(message: Any, offset: int) -> Entry:
    return Entry(offset, message.timestamp()[1], message.key(), message.value(), message.headers() or [])


def _asked(question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return question(*args, **kwargs)
    except KafkaException as error:
        raise _refusal(error, "") from None


def _refusal(error: KafkaException, where: str) -> Refused:
    cause = error.args[0]
    text = f"{cause.str()} ({cause.name()})" if isinstance(cause, KafkaError) else str(cause)
    return Refused(f"{where}: {text}" if where else text)
