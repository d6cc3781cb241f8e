"""Producing events to the input topics: keys, partitions, counts."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from stream import topics
from stream.cli.problems import Problem
from stream.intake import route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream.privacy.pseudonyms import Pseudonyms

_ANSWER_SECONDS: Final = 10.0
_DELIVERY_MS: Final = 60_000
_FLUSH_SECONDS: Final = 65.0
_BY_KEY: Final = -1  # librdkafka's RD_KAFKA_PARTITION_UA


class Refusal(StrEnum):
    """Why a line was not sent."""

    NOT_JSON = "not JSON"
    NOT_OBJECT = "not a JSON object"
    TOO_LARGE = "larger than the broker takes"


class Sender:
    """Sends JSON objects as they are, keyed by customer as the worker expects it.

    Args:
        config: of a confluent-kafka client; see `stream.brokers.security.confluent_config`.
        topic: where all go; None: replies (with ``metric``) and touchpoints (others) each to their own.
        pseudonyms: what takes the place of customer ids; None: they stay.

    Raises:
        Problem: no broker answers.
    """

    def __init__(
        self, config: Mapping[str, Any], topic: str | None = None, pseudonyms: Pseudonyms | None = None
    ) -> None:
        self._topic = topic
        self._pseudonyms = pseudonyms
        self.delivered: Counter[str] = Counter()  # by topic
        self.failed: Counter[str] = Counter()  # by the broker's reason
        self._trouble = ""
        self._producer = Producer(
            {
                **config,
                "partitioner": "murmur2_random",  # as Java's and aiokafka's clients do
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": _DELIVERY_MS,
                "error_cb": self._on_error,
                "log_level": 0,
            }
        )
        try:
            self._producer.list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException:
            where = config["bootstrap.servers"]
            detail = f": {self._trouble}" if self._trouble else ""
            raise Problem(f"no Kafka broker answers at {where} (CX_BROKERS){detail}") from None

    def send(self, line: bytes) -> Refusal | None:
        """Queue one record; waits when the queue is full. A line that is no JSON object is refused."""
        try:
            line.decode()
            if self._pseudonyms is not None:
                line = self._pseudonyms.record(line)
            reply, customer = route(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _refusal(line)
        # Without an id it is sent all the same: the worker makes it a dead letter that says so.
        key = None if customer is None else customer.encode()
        return self.put(self._topic or (topics.REPLIES if reply else topics.TOUCHPOINTS), key, line)

    def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int | None = None,
        *,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
        then: Callable[[], None] | None = None,
    ) -> Refusal | None:
        """Queue any bytes; waits when the queue is full.

        Without a timestamp it is the time of sending; without a partition it is the key's. ``then`` is called
        once the broker has it.
        """
        stamp = timestamp_ms or 0  # 0: librdkafka takes the time of sending

        def delivered(error: KafkaError | None, message: Any) -> None:
            self._on_delivery(error, message)
            if error is None and then is not None:
                then()

        while True:
            try:
                self._producer.produce(
                    topic,
                    value=value,
                    key=key,
                    headers=list(headers),
                    partition=_BY_KEY if partition is None else partition,
                    on_delivery=self._on_delivery if then is None else delivered,
                    timestamp=stamp,
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    return Refusal.TOO_LARGE
                raise
            else:
                self._producer.poll(0)
                return None

    def flush(self) -> None:
        """Wait until the broker has everything, or has refused it."""
        left = self._producer.flush(_FLUSH_SECONDS)
        if left:
            self.failed[self._trouble or "no answer in time"] += left

    def _on_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self.delivered[message.topic()] += 1
        else:
            self.failed[error.str()] += 1

    def _on_error(self, error: KafkaError) -> None:
        self._trouble = error.str()


def _refusal(line: bytes) -> Refusal:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal.NOT_JSON
    return Refusal.NOT_OBJECT
