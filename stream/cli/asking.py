"""Questions to the broker of the settings: asked in one run of the event loop, refused in one line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from stream.accounts.records import Found
from stream.cli.problems import Problem
from stream.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable

    from stream.settings import Settings

_T = TypeVar("_T")
_POLL_MS = 500
_LARGEST = 4 * 1024 * 1024
_SECONDS = 60


def ask(settings: Settings, question: Coroutine[Any, Any, _T]) -> _T:
    """The answer of the broker.

    Raises:
        Problem: it does not answer, or refuses.
    """
    from aiokafka.errors import KafkaError  # noqa: PLC0415 - slow to import, and often not needed

    from stream.brokers.admin import BrokerAway  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the one line below says it better
    try:
        with progress(f"waiting for Kafka at {settings.brokers}"):
            return asyncio.run(question)
    except BrokerAway as error:
        raise Problem(f"{error} (CX_BROKERS={settings.brokers})") from None
    except KafkaError as error:
        raise Problem(f"the broker at CX_BROKERS={settings.brokers} refuses: {error}") from None
    except TimeoutError:
        raise Problem(f"the broker at {settings.brokers} agreed but did not finish in time") from None


async def read(
    settings: Settings,
    *names: str,
    wanted: Callable[[str, bytes, bytes | None], bool] | None = None,
    only: Callable[[int], Iterable[int]] = range,
) -> dict[str, list[Found]]:
    """Topics as they are now, partition by partition in the order of their logs.

    Args:
        settings: Where the broker is.
        names: Topics.
        wanted: Of topic, key and value; None: all.
        only: Of the number of a topic's partitions, which of them are read.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
        Problem: a topic is missing.
    """
    found: dict[str, list[Found]] = {name: [] for name in names}
    async with contextlib.aclosing(records(settings, *names, only=only)) as chunks:
        async for chunk in chunks:
            for record in chunk:
                key = record.key or b""
                if wanted is None or wanted(record.topic, key, record.value):
                    found[record.topic].append(Found(key, record.value, record.timestamp))
    return found


async def records(
    settings: Settings,
    *names: str,
    only: Callable[[int], Iterable[int]] = range,
    since_ms: int | None = None,
    doing: str = "",
) -> AsyncGenerator[list[Any]]:
    """As ``read``, but aiokafka's own records, headers and all, as they come; nothing is kept.

    Args:
        settings: Where the broker is.
        names: Topics.
        only: Of the number of a topic's partitions, which of them are read.
        since_ms: Records older than this may be left out, where the broker can find the place.
        doing: What is done meanwhile, in words, where it is more than reading.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
        Problem: a topic is missing.
    """
    from aiokafka import TopicPartition  # noqa: PLC0415

    from stream.brokers import admin  # noqa: PLC0415
    from stream.brokers.reading import groupless  # noqa: PLC0415
    from stream.brokers.security import aiokafka_security  # noqa: PLC0415

    there = await admin.partitions(settings.brokers, aiokafka_security(settings))
    if missing := [name for name in names if name not in there]:
        raise Problem(f"{', '.join(missing)}: no such topic; create what is missing with: cx topics create")
    sources = [TopicPartition(name, partition) for name in names for partition in only(there[name])]
    if not sources:
        return
    consumer = groupless(settings)
    try:
        await consumer.start()
        consumer.assign(sources)
        ends = await consumer.end_offsets(sources)
        await consumer.seek_to_beginning(*sources)
        if since_ms is not None:
            places = await consumer.offsets_for_times(dict.fromkeys(sources, since_ms))
            for source, place in places.items():
                if place is not None:  # the embedded broker never finds one
                    consumer.seek(source, place.offset)
        begins = {source: await consumer.position(source) for source in sources}
        left = sum(ends[source] - begin for source, begin in begins.items())
        with progress(doing or f"reading {' and '.join(names)}", left) as step:
            while chunk := await _next(consumer, ends):
                yield chunk
                step.at(sum([await consumer.position(source) - begin for source, begin in begins.items()]))
    finally:
        await consumer.stop()


async def _next(consumer: Any, ends: dict[Any, int]) -> list[Any]:
    """What comes next before the ends; empty when they are reached."""
    async with asyncio.timeout(_SECONDS):
        while left := [source for source in ends if await consumer.position(source) < ends[source]]:
            found = await consumer.getmany(*left, timeout_ms=_POLL_MS)
            if chunk := [
                record
                for source, records in found.items()
                for record in records
                if record.offset < ends[source]
            ]:
                return chunk
    return []


async def write(
    settings: Settings,
    topic: str,
    records: list[tuple[bytes, bytes | None]],
    partitions: Iterable[int | None] = (None,),
) -> None:
    """Publish keys and values, and wait until the brokers have them.

    Args:
        settings: Where the broker is.
        topic: Where to.
        records: Keys and values.
        partitions: Each of these gets all of them; None: the one that a record's key is for.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
    """
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from stream.brokers.admin import BrokerAway  # noqa: PLC0415
    from stream.brokers.security import aiokafka_security  # noqa: PLC0415

    producer = AIOKafkaProducer(
        bootstrap_servers=settings.brokers,
        acks="all",
        max_request_size=_LARGEST,
        **aiokafka_security(settings),
    )
    try:
        try:
            await producer.start()
        except KafkaError as error:
            raise BrokerAway(f"no Kafka broker answers at {settings.brokers}") from error
        async with asyncio.timeout(_SECONDS):
            for partition in partitions:
                for key, value in records:
                    await producer.send_and_wait(topic, value, key=key, partition=partition)
    finally:
        await producer.stop()
