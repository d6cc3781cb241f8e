"""What goes to Kafka: answered when the brokers have it, bounded, and off the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from stream.api.problems import Failed
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream.api.telemetry import ApiTelemetry

logger = logging.getLogger(__name__)

MOST_INFLIGHT: Final = 50_000
"""Records on their way to the brokers; beyond it requests are told to come again."""
_MOST_KBYTES: Final = 256 * 1024
_DELIVERY_MS: Final = 10_000
_POLL_S: Final = 0.1
_ASK_S: Final = 5.0
_FLUSH_S: Final = 12.0
_LARGEST: Final = 4 * 1024 * 1024


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class _Batch:
    """The records of one request, until the brokers have answered for all of them."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.left = count
        self.failed = 0
        self.why = ""
        self._loop = loop
        self.done: asyncio.Future[None] = loop.create_future()

    def delivered(self, error: KafkaError | None, _message: Any) -> None:
        """Called in the polling thread, and in no other."""
        if error is not None:
            self.failed += 1
            self.why = str(error.name())
        self.left -= 1
        if self.left == 0:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Outbox:
    """One producer for a process. ``publish`` belongs to the event loop that started it.

    Args:
        config: of a confluent-kafka client; see ``stream.brokers.security.confluent_config``.
        telemetry: told how many records are on their way.
        most: records on their way at most.
        tracing: the context of the request goes along as headers of its records.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        telemetry: ApiTelemetry,
        most: int = MOST_INFLIGHT,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._config = dict(config)
        self._telemetry = telemetry
        self._most = most
        self._inflight = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._producer = self._new()

    def start(self) -> None:
        """Start to hear what the brokers answer."""
        self._thread = threading.Thread(target=self._poll, name="cx-outbox", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Wait for what is on its way, for as long as it may take, and stop."""
        await asyncio.to_thread(self._producer.flush, _FLUSH_S)
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish records in their order, and wait until the brokers have all of them.

        Raises:
            Failed: there is no room, or the brokers do not have all of them. Some may be published: whoever sends
                them again does no harm, as event ids are remembered.
        """
        if not records:
            return
        if self._inflight + len(records) > self._most:
            raise Failed(503, "busy", "Kafka takes events more slowly than they come", retry_after=1)
        batch = _Batch(len(records), asyncio.get_running_loop())
        self._count(len(records))
        try:
            self._produce(records, batch)
            await batch.done
        finally:
            self._count(-len(records))
        if batch.failed:
            logger.warning("%d of %d records did not reach Kafka: %s", batch.failed, len(records), batch.why)
            raise Failed(
                503, "kafka", f"{batch.failed} of {len(records)} did not reach Kafka ({batch.why}); send all "
                "of them again", retry_after=2
            )  # fmt: skip

    async def partitions(self) -> dict[str, int]:
        """How many partitions each topic has.

        Raises:
            KafkaException: no broker answers.
        """
        found = await asyncio.to_thread(self._producer.list_topics, timeout=_ASK_S)
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    def _produce(self, records: Sequence[Outgoing], batch: _Batch) -> None:
        produce, context = self._producer.produce, self._tracing.headers()
        for number, record in enumerate(records):
            try:
                produce(
                    record.topic,
                    record.value,
                    record.key,
                    on_delivery=batch.delivered,
                    headers=[*record.headers, *context] or None,
                )
            except (BufferError, KafkaException) as error:
                code = KafkaError._QUEUE_FULL if isinstance(error, BufferError) else error.args[0].code()  # noqa: SLF001
                if code == KafkaError._FATAL:  # noqa: SLF001 - librdkafka's own codes have such names
                    self._producer = self._new()
                raise Failed(
                    503, "kafka", f"{len(records) - number} of {len(records)} could not be sent "
                    f"({KafkaError(code).name()}); send all of them again", retry_after=2
                ) from None  # fmt: skip

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(_POLL_S)

    def _count(self, more: int) -> None:
        self._inflight += more
        self._telemetry.inflight(self._inflight)

    def _new(self) -> Producer:
        return Producer(
            {
                **self._config,
                "partitioner": "murmur2_random",  # as Java's and aiokafka's clients do
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": _DELIVERY_MS,
                "message.max.bytes": _LARGEST,
                "queue.buffering.max.messages": self._most,
                "queue.buffering.max.kbytes": _MOST_KBYTES,
                "error_cb": _nothing,
                "log_level": 0,
            }
        )


def _nothing(_error: KafkaError) -> None:
    """Whether the brokers answer is asked for by ``partitions``; the library's own cries are many."""
