"""One key of a topic, read from the partition where it can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream.api.problems import Failed
from stream.brokers.admin import BrokerAway, partitions
from stream.brokers.reading import groupless
from stream.brokers.security import aiokafka_security
from stream.intake import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.settings import Settings

_SECONDS: Final = 60
_POLL_MS: Final = 500


async def newest_of(
    settings: Settings, topic: str, key: bytes, stamp_of: Callable[[bytes], Any]
) -> bytes | None:
    """The value of a key with the highest stamp, as recovery takes it; None: there is none, or it was deleted.

    Raises:
        Failed: the broker does not answer, or the topic is not there.
    """
    try:
        there = await partitions(settings.brokers, aiokafka_security(settings))
        if topic not in there:
            raise Failed(
                503, "kafka", f"{topic}: no such topic; create what is missing with: cx topics create"
            )
        source = TopicPartition(topic, partition_of(key, there[topic]))
        consumer = groupless(settings)
        try:
            async with asyncio.timeout(_SECONDS):
                await consumer.start()
                return await _read(consumer, source, key, stamp_of)
        finally:
            await consumer.stop()
    except (BrokerAway, KafkaError, OSError, TimeoutError) as error:
        raise Failed(503, "kafka", f"Kafka did not answer ({type(error).__name__})", retry_after=2) from None


async def _read(
    consumer: Any, source: TopicPartition, key: bytes, stamp_of: Callable[[bytes], Any]
) -> bytes | None:
    consumer.assign([source])
    end = (await consumer.end_offsets([source]))[source]
    await consumer.seek_to_beginning(source)
    found: bytes | None = None
    while await consumer.position(source) < end:
        for records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=5_000)).values():
            for record in records:
                if record.key != key or record.offset >= end:
                    continue
                value = record.value
                if value is None:
                    found = None
                elif found is None or stamp_of(value) >= stamp_of(found):
                    found = value
    return found
