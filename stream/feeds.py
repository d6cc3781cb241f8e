"""What every worker reads whole and follows: rules (``cx.rules``), silences, and versions of models.

These topics are compacted and have one partition. They are read to their end before the worker takes part, and
followed from then on, by a consumer without a group. What is wrong in them is said in the log and counted, and
changes nothing; it never stops a worker.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from schemas import ModelVersion, RulesVersion, format_ms, to_ms
from schemas import Silence as SilenceRecord
from schemas.times import parse
from stream import topics
from stream.alerting.hygiene import Silence
from stream.alerting.matching import check, parse_matcher
from stream.alerting.rules import RuleError
from stream.brokers.reading import groupless
from stream.customers import CustomerConfig
from stream.customers.models import Models
from stream.deployment import read_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.alerting.model import RuleBook
    from stream.serving import Telemetry
    from stream.settings import Settings

logger = logging.getLogger(__name__)

_POLL_MS: Final = 500
_RETRY_S: Final = 2.0
_MOST_SHOWN: Final = 500  # characters of a refusal in the log


@dataclass(frozen=True, slots=True)
class Version:
    """Rules, and the moment of event time from which on they judge."""

    from_ms: int
    book: RuleBook


class Refused(ValueError):  # noqa: N818 - reads as what happened
    """A record is not what its topic holds; the text says why, and holds nothing of its content but names."""


class Feeds:
    """The versions of the rules, the silences and the versions of models, as they are on the broker.

    Args:
        settings: of the deployment.
        kept: the rules the worker starts with: what is kept, and what judges before the first version.
        telemetry: told what became of each record.
        customers: what is declared of customers: it holds before the first version of a model.

    Attributes:
        models: What is in force when, of all versions that have come.
    """

    def __init__(
        self,
        settings: Settings,
        kept: RuleBook,
        telemetry: Telemetry,
        customers: CustomerConfig = CustomerConfig(),  # noqa: B008 - frozen
    ) -> None:
        self._settings = settings
        self._kept = kept
        self._telemetry = telemetry
        self._books: dict[int, RuleBook] = {}
        self._silences: dict[str, Silence] = {}
        self.models = Models(customers)
        self._consumer: AIOKafkaConsumer | None = None
        #: Called with rules and the moment from which they hold: those of the file are in force before.
        self.on_rules: list[Callable[[RuleBook, int], None]] = []
        #: Called with all silences when one has changed.
        self.on_silences: list[Callable[[list[Silence]], None]] = []
        #: Called with each version of a model that has come; ``models`` has it by then.
        self.on_models: list[Callable[[ModelVersion], None]] = []

    @property
    def versions(self) -> list[Version]:
        """Every version, the earliest first."""
        return [Version(from_ms, self._books[from_ms]) for from_ms in sorted(self._books)]

    @property
    def silences(self) -> list[Silence]:
        """Every silence, in the order of their ids."""
        return [self._silences[name] for name in sorted(self._silences)]

    async def start(self) -> None:
        """Read the topics to their ends.

        Raises:
            KafkaError: the broker does not answer; may be tried again.
        """
        await self.stop()
        consumer = groupless(self._settings)
        try:
            await consumer.start()
            sources = [TopicPartition(topic, 0) for topic in topics.FEEDS]
            consumer.assign(sources)
            ends = await consumer.end_offsets(sources)
            for source in sources:
                await consumer.seek_to_beginning(source)
            while [source for source in sources if await consumer.position(source) < ends[source]]:
                await self._take(await consumer.getmany(timeout_ms=_POLL_MS))
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        if self._books or self._silences or self.models.known_ms >= 0:
            logger.info(
                "%d versions of the rules, %d silences, %d versions of models",
                len(self._books),
                len(self._silences),
                len(self.models),
            )

    async def follow(self) -> None:
        """Take what comes, until cancelled. ``start`` comes before."""
        consumer = self._consumer
        while consumer is not None:
            try:
                await self._take(await consumer.getmany(timeout_ms=_POLL_MS))
            except ConsumerStoppedError:  # by ``stop``, in whatever order the worker's parts end
                return
            except KafkaError as error:
                logger.warning("%s: %s; tried again", " and ".join(topics.FEEDS), type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def stop(self) -> None:
        """Leave the broker alone."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _take(self, fetched: dict[TopicPartition, list[Any]]) -> None:
        silences = False
        for source, records in fetched.items():
            for record in records:
                if source.topic == topics.RULES:
                    await self.take_rules(record.key, record.value, record.offset)
                elif source.topic == topics.MODELS:
                    self.take_model(record.key, record.value, record.offset)
                else:
                    silences |= self.take_silence(record.key, record.value, record.offset)
        if silences:
            for told in self.on_silences:
                told(self.silences)

    async def take_rules(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in one record of ``cx.rules``; without a value the version of that key is called off."""
        try:
            if value is None:
                self._call_off(_moment(key))
                self._telemetry.feed(topics.RULES, "removed")
                return
            # A large file takes seconds to read, and heartbeats must not wait for it.
            version = await asyncio.to_thread(decode_version, key, value, self._settings, self._kept)
        except Refused as wrong:
            self._refused(topics.RULES, offset, wrong)
            return
        self._books[version.from_ms] = version.book
        self._telemetry.feed(topics.RULES, "applied")
        logger.info("rules of %s hold from %s on", version.book.filename, format_ms(version.from_ms))
        for told in self.on_rules:
            told(version.book, version.from_ms)

    def take_silence(self, key: bytes | None, value: bytes | None, offset: int) -> bool:
        """Take in one record of ``cx.silences``; says whether anything is different now."""
        if value is None:
            self._telemetry.feed(topics.SILENCES, "removed")
            return self._silences.pop((key or b"").decode(errors="replace"), None) is not None
        try:
            silence = decode_silence(key, value)
        except Refused as wrong:
            self._refused(topics.SILENCES, offset, wrong)
            return False
        self._telemetry.feed(topics.SILENCES, "applied")
        changed = self._silences.get(silence.id) != silence
        self._silences[silence.id] = silence
        return changed

    def take_model(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in one record of ``cx.models``; without a value the version of that key is called off."""
        try:
            if value is None:
                self.models.drop(*_model_of(key))
                self._telemetry.feed(topics.MODELS, "removed")
                return
            version = decode_model(key, value)
            try:
                self.models.take(
                    version.name, to_ms(version.valid_from), to_ms(version.as_of), version.parameters
                )
            except ValueError as error:
                raise Refused(f"parameters: {error}") from None
        except Refused as wrong:
            self._refused(topics.MODELS, offset, wrong)
            return
        self._telemetry.feed(topics.MODELS, "applied")
        for told in self.on_models:
            told(version)

    def _call_off(self, from_ms: int) -> None:
        """From that moment on the rules before it go on."""
        if self._books.pop(from_ms, None) is None:
            return
        before = [moment for moment in self._books if moment < from_ms]
        book = self._books[max(before)] if before else self._kept
        for told in self.on_rules:
            told(book, from_ms)

    def _refused(self, topic: str, offset: int, wrong: Refused) -> None:
        self._telemetry.feed(topic, "refused")
        text = str(wrong)
        logger.error(
            "%s: the record at offset %d is left out: %s",
            topic,
            offset,
            text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…",
        )


def decode_version(key: bytes | None, value: bytes, settings: Settings, kept: RuleBook) -> Version:
    """A record of ``cx.rules``.

    Raises:
        Refused: it is none, its rules are wrong, or they need what is not kept.
    """
    try:
        record = RulesVersion.model_validate_json(value)
    except ValidationError as error:
        raise Refused(_problems(error)) from None
    from_ms = to_ms(record.valid_from)
    if key != version_key(from_ms):
        raise Refused(f"the key is not its valid_from, {format_ms(from_ms)}")
    try:
        return Version(from_ms, read_version(record.rules, record.name, settings, kept))
    except RuleError as error:
        raise Refused(str(error)) from None


def version_key(from_ms: int) -> bytes:
    """The key of a version: the moment from which on it holds, in UTC."""
    return format_ms(from_ms).encode()


def decode_model(key: bytes | None, value: bytes) -> ModelVersion:
    """A record of ``cx.models``.

    Raises:
        Refused: it is none.
    """
    try:
        version = ModelVersion.model_validate_json(value)
    except ValidationError as error:
        raise Refused(_problems(error)) from None
    if key != model_key(version.name, from_ms := to_ms(version.valid_from)):
        raise Refused(f"the key is not its name and valid_from, {version.name}|{format_ms(from_ms)}")
    return version


def model_key(name: str, from_ms: int) -> bytes:
    """The key of a version of a model: its name, and the moment from which on it holds, in UTC."""
    return f"{name}|{format_ms(from_ms)}".encode()


def _model_of(key: bytes | None) -> tuple[str, int]:
    name, _, moment = (key or b"").partition(b"|")
    return name.decode(errors="replace"), _moment(moment)


def decode_silence(key: bytes | None, value: bytes) -> Silence:
    """A record of ``cx.silences``.

    Raises:
        Refused: it is none, or its matchers cannot be meant.
    """
    try:
        record = SilenceRecord.model_validate_json(value)
    except ValidationError as error:
        raise Refused(_problems(error)) from None
    if key != record.id.encode():
        raise Refused(f"the key is not its id, {record.id}")
    return silence_of(record)


def silence_of(record: SilenceRecord) -> Silence:
    """A silence as the lane takes it.

    Raises:
        Refused: its matchers cannot be meant.
    """
    try:
        matchers = tuple(parse_matcher(text) for text in record.matchers)
        check(matchers)
    except ValueError as error:
        raise Refused(f"matchers: {error}") from None
    return Silence(
        id=record.id,
        matchers=matchers,
        starts_at_ms=to_ms(record.starts_at),
        ends_at_ms=to_ms(record.ends_at),
        author=record.author,
        comment=record.comment,
    )


def _moment(key: bytes | None) -> int:
    try:
        return to_ms(parse((key or b"").decode()))
    except (PydanticCustomError, UnicodeDecodeError):
        raise Refused("the key is no moment, such as 2026-03-01T12:00:00Z") from None


def _problems(error: ValidationError) -> str:
    """Paths and rules, no values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or 'the value'}: {each['msg']}"
        for each in _some(error)
    )


def _some(error: ValidationError) -> Iterable[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)[:5]
