"""Dead letters: read without their content, and sent again to where they came from."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from schemas.deadletter import REDRIVEN, DeadLetterHeaders
from stream import topics
from stream.cli.asking import records
from stream.cli.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.settings import Settings

    Headers = Sequence[tuple[str, bytes | None]]

_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
_LARGEST: Final = 4 * 1024 * 1024  # whatever the broker took once may be sent; it has the last word


class Place(NamedTuple):
    """Where a refused record stood."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """As on the command line."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Letter(NamedTuple):
    """A dead letter without its content; ``redriven`` is how often its record had been before it was refused."""

    place: Place
    reason: str
    detail: str
    at_ms: int
    size: int
    redriven: int


class Letters:
    """The dead letters of the topic, one a place: after a crash a worker may have written one twice.

    ``held`` is in the order of the partitions' logs; ``done`` are the places whose letters were sent again;
    ``strange`` counts records that are no dead letters of this version.
    """

    def __init__(self) -> None:
        self.held: dict[Place, Letter] = {}
        self.done: set[Place] = set()
        self.strange = 0

    def take(self, record: Any) -> Place | None:
        """A record of the topic, as aiokafka has it; returns the place of the letter that it is."""
        known = dict(record.headers)
        redriven = _count(known.get(REDRIVEN))
        try:
            about = DeadLetterHeaders.from_kafka(record.headers)
        except ValidationError:
            noted = _place(known) if "reason" not in known and redriven else None
            if noted is None:
                self.strange += 1
            else:
                self.done.add(noted)
            return None
        if about.topic not in topics.INPUTS:  # by whomever it was written: nothing else is ever sent to
            self.strange += 1
            return None
        place = Place(sys.intern(about.topic), about.partition, about.offset)
        if place not in self.held:
            self.held[place] = Letter(
                place,
                about.reason.value,
                sys.intern(about.detail),
                record.timestamp,
                len(record.value or b""),
                redriven,
            )
        return place

    def chosen(
        self, reasons: Sequence[str], names: Sequence[str], since_ms: int | None = None
    ) -> list[Letter]:
        """Those with one of the reasons, from one of the topics (none given: any), and not older."""
        return [
            each
            for each in self.held.values()
            if (not reasons or each.reason in reasons)
            and (not names or each.place.topic in names)
            and (since_ms is None or each.at_ms >= since_ms)
        ]


def counted(letters: Iterable[Letter]) -> list[tuple[str, str, int]]:
    """Reason, topic and how many: the most at the top."""
    found = Counter((each.reason, each.place.topic) for each in letters)
    return sorted(((*kind, n) for kind, n in found.items()), key=lambda row: (-row[2], row))


async def gather(settings: Settings, since_ms: int | None = None) -> Letters:
    """All there are; with ``since_ms`` at least those that are not older.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
        Problem: the topic is missing.
    """
    letters = Letters()
    async with contextlib.aclosing(records(settings, topics.DEADLETTERS, since_ms=since_ms)) as chunks:
        async for chunk in chunks:
            for record in chunk:
                letters.take(record)
    return letters


async def find(settings: Settings, place: Place) -> tuple[Letters, Any]:
    """The letter of a place and its record; the record is None where there is no letter.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
        Problem: the topic is missing.
    """
    letters, found = Letters(), None

    def same(partitions: int) -> Iterable[int]:  # a letter keeps its partition
        return range(place.partition, min(place.partition + 1, partitions))

    async with contextlib.aclosing(records(settings, topics.DEADLETTERS, only=same)) as chunks:
        async for chunk in chunks:
            for record in chunk:
                if letters.take(record) == place and found is None:
                    found = record
    return letters, found


async def redrive(settings: Settings, wanted: Iterable[Letter]) -> tuple[int, Counter[str]]:
    """Send letters again, each to the place's topic and partition, and note on the topic that they were.

    What is noted was taken by the broker before. So an end in the middle loses nothing; the few that were sent
    and not yet noted are sent once more next time, and count once by their event ids.

    Returns:
        How many were sent, and how many were not, by the broker's reason.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
        Problem: the topic is missing, or no broker answers.
    """
    from stream.brokers import admin  # noqa: PLC0415 - slow to import
    from stream.brokers.security import aiokafka_security, confluent_config  # noqa: PLC0415
    from stream.cli.sending import Sender  # noqa: PLC0415

    left = {each.place: each for each in wanted}
    sent = 0
    refused: Counter[str] = Counter()
    there = await admin.partitions(settings.brokers, aiokafka_security(settings))
    if missing := sorted({place.topic for place in left} - there.keys()):
        raise Problem(f"{', '.join(missing)}: no such topic; create what is missing with: cx topics create")
    sender = Sender({**confluent_config(settings), "message.max.bytes": _LARGEST})
    letters = Letters()
    async with contextlib.aclosing(records(settings, topics.DEADLETTERS, doing="sending again")) as chunks:
        async for chunk in chunks:
            taken: list[tuple[int, Letter]] = []
            for record in chunk:
                place = letters.take(record)
                letter = None if place is None else left.pop(place, None)
                if letter is None:
                    continue
                why = sender.put(
                    letter.place.topic,
                    record.key,
                    record.value,
                    headers=[*own_headers(record.headers), _again(letter)],
                    # Where the customer's other records are, whatever partitioner the producer has.
                    partition=letter.place.partition
                    if letter.place.partition < there[letter.place.topic]
                    else None,
                    then=_noting(taken, record.partition, letter),
                )
                if why is not None:
                    refused[why] += 1
            sender.flush()
            for partition, letter in taken:
                sender.put(topics.DEADLETTERS, None, b"", headers=_note(letter), partition=partition)
            sender.flush()
            sent += len(taken)
            if not left:
                break
    return sent, refused + sender.failed


def own_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that a refused record came with: a producer may have used the same names."""
    added = set(DeadLetterHeaders.model_fields)
    found = []
    for name, value in reversed(headers):
        if name in added:  # they are the last ones
            added.discard(name)
        elif name != REDRIVEN:
            found.append((name, value))
    return found[::-1]


def _noting(taken: list[tuple[int, Letter]], partition: int, letter: Letter) -> Callable[[], None]:
    return lambda: taken.append((partition, letter))


def _again(letter: Letter) -> tuple[str, bytes]:
    return REDRIVEN, b"%d" % (letter.redriven + 1)


def _note(letter: Letter) -> list[tuple[str, bytes | None]]:
    place = [(name, str(value).encode()) for name, value in letter.place._asdict().items()]
    return [*place, _again(letter)]


def _place(headers: dict[str, bytes | None]) -> Place | None:
    partition, offset = (headers.get(name) or b"" for name in ("partition", "offset"))
    if not (_NUMBER.fullmatch(partition) and _NUMBER.fullmatch(offset)):
        return None
    return Place((headers.get("topic") or b"").decode(errors="replace"), int(partition), int(offset))


def _count(value: bytes | None) -> int:
    return int(value) if value and _NUMBER.fullmatch(value) else 0
