"""``cx.erasures``, read whole before a worker takes part and followed from then on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from pydantic import ValidationError

from stream import topics
from stream.brokers.reading import groupless
from stream.privacy.erasures import Erasures
from stream.privacy.fingerprints import Keys, KeyUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.serving import Telemetry
    from stream.settings import Settings

logger = logging.getLogger(__name__)

_POLL_MS: Final = 500
_RETRY_S: Final = 2.0
_SOURCE: Final = TopicPartition(topics.ERASURES, 0)

REWRITING: Final = (
    "the logs are being rewritten without people who were erased, or that was cut short; "
    "cx customers erase --rewrite finishes it"
)


class RewriteUnderWay(RuntimeError):  # noqa: N818 - reads as what happened
    """The logs are being rewritten: nobody may read them."""

    def __init__(self) -> None:
        super().__init__(REWRITING)


def keys_of(settings: Settings) -> Keys:
    """The keys of a deployment, before ``cx.erasures`` was read."""
    secret = settings.privacy_key
    return Keys(None if secret is None else secret.get_secret_value())


class ErasureFeed:
    """Who is erased, as it is on the broker.

    Args:
        settings: of the deployment.
        telemetry: told what became of each record; None: nobody is.

    Attributes:
        erasures: what is known by now.
        on_erased: called when someone more is erased.
        on_rewriting: called when a rewrite of the logs begins while this worker runs.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry | None = None) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._consumer: AIOKafkaConsumer | None = None
        self._polling = asyncio.Lock()
        self.erasures = Erasures(keys_of(settings))
        self.on_erased: list[Callable[[], None]] = []
        self.on_rewriting: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Read the topic to its end.

        Raises:
            KafkaError: the broker does not answer; may be tried again.
            KeyUnknown: ``CX_PRIVACY_KEY`` is not the one that is needed.
        """
        await self.stop()
        self.erasures = Erasures(keys_of(self._settings))
        consumer = groupless(self._settings)
        try:
            await consumer.start()
            consumer.assign([_SOURCE])
            end = (await consumer.end_offsets([_SOURCE]))[_SOURCE]
            await consumer.seek_to_beginning(_SOURCE)
            while await consumer.position(_SOURCE) < end:
                await self._poll(consumer)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        if len(self.erasures):
            logger.info("%d customers are erased", len(self.erasures))

    async def catch_up(self) -> None:
        """Take in what is there by now: once a worker is in its group, before it goes on to read.

        A rewrite begins with its mark, and only then asks whether the group is empty. So either it sees this
        worker, or this worker sees it.

        Raises:
            RewriteUnderWay: the logs must not be read now.
            KafkaError, KeyUnknown: as ``start``.
        """
        consumer = self._consumer
        if consumer is None:
            return
        end = (await consumer.end_offsets([_SOURCE]))[_SOURCE]
        while await consumer.position(_SOURCE) < end:
            await self._poll(consumer)
        if self.erasures.rewriting:
            raise RewriteUnderWay

    async def follow(self) -> None:
        """Take what comes, until cancelled. ``start`` comes before.

        Raises:
            KeyUnknown: an erasure came that this worker cannot carry out.
        """
        consumer = self._consumer
        while consumer is not None:
            version, rewriting = self.erasures.version, self.erasures.rewriting
            try:
                await self._poll(consumer)
            except ConsumerStoppedError:  # by ``stop``, in whatever order the worker's parts end
                return
            except KafkaError as error:
                logger.warning("%s: %s; tried again", topics.ERASURES, type(error).__name__)
                await asyncio.sleep(_RETRY_S)
                continue
            if self.erasures.rewriting and not rewriting:
                for told in self.on_rewriting:
                    told()
            if self.erasures.version != version:
                for told in self.on_erased:
                    told()

    async def stop(self) -> None:
        """Leave the broker alone."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        async with self._polling:
            for records in (await consumer.getmany(_SOURCE, timeout_ms=_POLL_MS)).values():
                for record in records:
                    self.take(record.key, record.value, record.offset)

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in one record; one that is wrong is left out, said in the log and counted.

        Raises:
            KeyUnknown: as ``start``.
        """
        verdict = "applied" if value is not None else "removed"
        try:
            self.erasures.take(key or b"", value)
        except KeyUnknown:
            raise
        except (ValidationError, ValueError) as wrong:
            verdict = "refused"
            why = type(wrong).__name__  # its text may hold what the record does
            logger.error("%s: the record at offset %d is left out: %s", topics.ERASURES, offset, why)  # noqa: TRY400
        if self._telemetry is not None:
            self._telemetry.feed(topics.ERASURES, verdict)
