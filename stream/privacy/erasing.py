"""Erases customers: while workers run, and out of the logs as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from stream import topics
from stream.privacy.broker import Broker
from stream.privacy.cleaning import CLEANED, Compacted, clean, roll
from stream.privacy.entries import Refused, Source
from stream.privacy.erasures import note_key, note_of, source_of
from stream.privacy.feed import REWRITING
from stream.privacy.persons import all_ids
from stream.privacy.register import Register
from stream.privacy.rewriting import Rewriting, unwatched
from stream.privacy.stores import purge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from stream.alerting.model import RuleBook
    from stream.privacy.erasures import Erasures
    from stream.privacy.rewriting import Watch
    from stream.settings import Settings

#: Workers follow the topic all the time; after this long there is something in their way.
CARRY_OUT_S: Final = 60.0
#: Brokers look for files to remove every five minutes, and wait a minute more, where nothing else is set.
REMOVED_S: Final = 900.0
_LOOK_S: Final = 0.2
_SLOWEST_LOOK_S: Final = 10.0
_FILES_S: Final = 2.5  # from a log without a file to a disk without it, as the time's settings have it


class Left(NamedTuple):
    """Until when bytes may stay in a log by themselves; None: until it is rewritten, or for ever."""

    topic: str
    until_ms: int | None


class Erased(NamedTuple):
    """What an erasure came to.

    Attributes:
        customers: how many were asked for.
        carried_out: whether workers have carried it out; False: they do when they start.
        read_model: entries taken out of Redis; None: there is none.
        logs: topic -> records that were taken out of it, in a rewrite.
        left: where bytes stay for some time.
        proven: whether they were seen to be gone from the brokers' disks.
    """

    customers: int
    carried_out: bool
    read_model: int | None
    logs: dict[str, int]
    left: list[Left]
    proven: bool = False


def erase(
    settings: Settings,
    customers: Collection[str],
    *,
    wait_s: float = CARRY_OUT_S,
    watch: Watch = unwatched,
) -> Erased:
    """Erase customers while workers run: blocks until they have carried it out, if any are there.

    Args:
        settings: of the deployment.
        customers: who is erased.
        wait_s: so long workers have for it.
        watch: told how far it is.

    Raises:
        Refused: a rewrite is under way, or a broker or Redis does not answer; it may be asked again.
        KeyUnknown: ``CX_PRIVACY_KEY`` is not the one that is needed.
    """
    broker = Broker(settings)
    try:
        register = Register(broker, settings)
        if register.erasures.rewriting:
            raise Refused(REWRITING)
        watch("looking for all ids", 0, 0)
        customers = all_ids(broker, settings, customers)
        now_ms = round(time.time() * 1000)
        ends = _ends(broker)
        notes = {source: broker.span(source)[1] for source in _notes(broker, settings)}
        register.note(customers, now_ms, ends)
        carried_out = _carried_out(broker, settings, register.erasures, customers, notes, wait_s, watch)
        if carried_out:
            # What workers have told in between still was about the person who is erased.
            outputs = {source: end for source, end in _ends(broker).items() if not _input(source)}
            register.note(customers, now_ms, {**ends, **outputs})
        watch("clearing Redis", 0, 0)
        gone = purge(settings, frozenset(customers).__contains__)
        return Erased(len(customers), carried_out, gone, {}, _left(broker, settings, now_ms))
    finally:
        broker.close()


def rewrite(
    settings: Settings,
    customers: Collection[str],
    books: Iterable[RuleBook],
    *,
    wait: bool = False,
    say: Callable[[str], None] = lambda text: None,  # noqa: ARG005
    watch: Watch = unwatched,
) -> Erased:
    """Erase customers, and everyone who was erased before, out of the logs, while no worker runs.

    Args:
        settings: of the deployment.
        customers: who is erased now; may be nobody.
        books: every version of the rules.
        wait: until the bytes are gone from the brokers' disks.
        say: told what is being done.
        watch: told how far it is, all the time.

    Raises:
        Refused: workers run, records are left to be worked on, or a broker or Redis does not answer. Where it says
            so, it goes on when it is asked again.
        KeyUnknown: ``CX_PRIVACY_KEY`` is not the one that is needed.
    """
    broker = Broker(settings)
    try:
        register = Register(broker, settings)
        work = Rewriting(broker, settings, register, say, watch)
        fresh = work.begin()
        now_ms = round(time.time() * 1000)
        try:
            work.check_own()
            if customers:
                watch("looking for all ids", 0, 0)
                customers = all_ids(broker, settings, customers)
                register.note(customers, now_ms, _ends(broker))
            say("looking through the logs")
            looks = work.look()
            work.check_others(looks)
        except (Refused, ValueError):
            if fresh:
                register.over()
            raise
        compacted = Compacted(broker, settings, register.erasures, books)
        known = {*customers, *work.concerns.customers}
        watch("looking through the tables", 0, 0)
        tombs = compacted.tombstones(known)
        work.to_clean(tombs)
        compacted.bury(tombs)
        watch("clearing Redis", 0, 0)
        gone = purge(
            settings, lambda one: one not in compacted.back and register.erasures.of(one) is not None
        )
        work.rewrite(looks)
        proven = _wait(broker, register, work, say, watch) if wait else False
        work.restore()
        register.over()
        logs: dict[str, int] = {}
        for look in looks:
            if look.goes:
                logs[look.source.topic] = logs.get(look.source.topic, 0) + look.goes
        left = (
            []
            if proven
            else [Left(topic, None) for topic in sorted({*logs, *(each.topic for each in tombs)})]
        )
        return Erased(len(customers), True, gone, logs, left, proven)
    finally:
        broker.close()


def _ends(broker: Broker) -> dict[str, int]:
    return {str(source): broker.span(source)[1] for source in broker.sources(topics.NAMING)}


def _input(source: str) -> bool:
    return source.rpartition("/")[0] in topics.INPUTS


def _notes(broker: Broker, settings: Settings) -> list[Source]:
    return broker.sources([topics.changelog(settings.app_id, topics.PANES_TABLE)])


def _carried_out(
    broker: Broker,
    settings: Settings,
    erasures: Erasures,
    customers: Collection[str],
    notes: dict[Source, int],
    wait_s: float,
    watch: Watch,
) -> bool:
    """Wait until every partition has noted every erasure; False where no worker is there to do it.

    Raises:
        Refused: they have not in ``wait_s``.
    """
    wanted = {
        source: {
            note_key(mark): note_of(erasure, _sources(source.partition))
            for one in customers
            for mark in erasures.keys.all_of(one)
            if (erasure := erasures.held.get(mark)) is not None
        }
        for source in notes
    }
    deadline = time.monotonic() + wait_s
    while any(wanted.values()):
        for source, left in wanted.items():
            end = broker.span(source)[1]
            for entry in broker.read(source, notes[source], end) if left else ():
                if entry.key is not None and left.get(entry.key) == entry.value:
                    del left[entry.key]
            notes[source] = end
        watch("waiting for workers", sum(not left for left in wanted.values()), len(wanted))
        if not any(wanted.values()):
            return True
        if broker.members(settings.app_id) == 0:
            return False
        if time.monotonic() > deadline:
            missing = ", ".join(str(source.partition) for source, left in wanted.items() if left)
            raise Refused(
                f"the erasure is noted, but not carried out in {wait_s:g} s in partitions {missing}: look at "
                "/health/ready of the workers, and run it again"
            )
        time.sleep(_LOOK_S)
    return True


def _sources(partition: int) -> tuple[str, str]:
    first, second = (source_of(topic, partition) for topic in topics.INPUTS)
    return first, second


def _left(broker: Broker, settings: Settings, now_ms: int) -> list[Left]:
    """Until when bytes stay without a rewrite: a file goes whole, once its newest record is past retention."""
    compacted = topics.naming_by_key(settings.app_id)
    found = []
    there = {source.topic for source in broker.sources([*topics.NAMING, *compacted])}
    for topic, held in broker.configs(there).items():
        if topic in compacted:
            lag_ms = int(held["max.compaction.lag.ms"][0]) + int(held["delete.retention.ms"][0])
            until = None if lag_ms >= 2**62 else now_ms + lag_ms
        else:
            kept_ms = int(held["retention.ms"][0])
            until = None if kept_ms < 0 else now_ms + kept_ms + int(held["segment.ms"][0])
        found.append(Left(topic, until))
    return sorted(found)


def _wait(
    broker: Broker, register: Register, work: Rewriting, say: Callable[[str], None], watch: Watch
) -> bool:
    """Wait until nothing of what went is on the brokers' disks; False where that takes too long."""
    mark = register.mark
    dirty = [_source(name) for name in ([] if mark is None else mark.clean)]
    for topic in sorted({source.topic for source in dirty}):
        work.lower(topic, CLEANED)
    deadline = time.monotonic() + REMOVED_S
    pause = _LOOK_S
    rolled: dict[Source, tuple[int, float]] = {}
    say("waiting until the brokers have removed the old files and cleaned the compacted topics")
    steps = len(dirty) + 1  # the last: old files are gone
    while time.monotonic() < deadline:
        watch("waiting for the brokers", steps - 1 - len(dirty), steps)
        for source in list(dirty):
            end, at = rolled.get(source, (-1, 0.0))
            if end >= 0 and clean(broker, source, end):
                dirty.remove(source)
            elif (
                time.monotonic() - at > 4 * pause
            ):  # a second cleaning removes tombstones, once there is news
                rolled[source] = (roll(broker, source), time.monotonic())
        if not dirty and work.gone():
            time.sleep(_FILES_S)
            return True
        time.sleep(pause)
        pause = min(pause * 1.2, _SLOWEST_LOOK_S)
    return False


def _source(name: str) -> Source:
    topic, _, number = name.rpartition("/")
    return Source(topic, int(number))
