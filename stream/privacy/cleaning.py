"""Compacted topics without people who were erased: tombstones now, and a cleaning that is made to come soon.

Kafka removes the older values of a key, and later its tombstone, when it next cleans a log. Settings say when that
is: they are lowered for the time. The newest file of a log is never cleaned, so a spacer (a tombstone of a key
that nobody has) makes the broker begin another. A log is clean when up to its last spacer every key is there once,
and no tombstone is but those of spacers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stream import topics
from stream.privacy.concerns import events_in
from stream.privacy.entries import Entry, Source
from stream.privacy.erasures import NOTE_PREFIX, source_of
from stream.privacy.traces import decision_keys, refs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream.alerting.model import RuleBook
    from stream.privacy.broker import Broker
    from stream.privacy.erasures import Erasures
    from stream.settings import Settings

SPACER: Final = b"cx-rewrite"
#: For the time: every log is worth cleaning, whatever is old enough goes at once.
CLEANED: Final = {
    "segment.ms": "1",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "1000",
}
_NOW: Final = 0


class Compacted:
    """What compacted topics hold of people who were erased.

    Args:
        broker: whose topics.
        settings: of the deployment.
        erasures: who is erased.
        books: every version of the rules.

    Attributes:
        back: who was erased and came back: they stay, as they are since then.
    """

    def __init__(
        self, broker: Broker, settings: Settings, erasures: Erasures, books: Iterable[RuleBook]
    ) -> None:
        self._broker = broker
        self._erasures = erasures
        self.back: set[str] = set()
        self._books = list(books)
        self._table = topics.changelog(settings.app_id, topics.CUSTOMERS_TABLE)
        self._notes = topics.changelog(settings.app_id, topics.PANES_TABLE)
        self._deliveries = topics.changelog(settings.app_id, topics.DELIVERIES_TABLE)

    def tombstones(self, customers: set[str]) -> dict[Source, list[bytes]]:
        """What has to be deleted where, also where nothing but older values are left to be cleaned away.

        Args:
            customers: ids known to be erased; those found here are added. Those who came back stay.
        """
        found: dict[Source, list[bytes]] = {}
        refs: dict[str, set[str]] = {}
        back = self.back
        for source in self._broker.sources([self._table]):
            held = {key: value for key, value in self._all(source) if self._erased(key)}
            notes = self._noted(source.partition) if held else {}
            for key, value in held.items():
                customer = key.decode()
                customers.add(customer)
                if value is not None and self._came_back(customer, notes, source.partition):
                    back.add(customer)
                    continue
                refs[customer] = set() if value is None else refs_of(value)
                found.setdefault(source, []).append(key)
            if back and source not in found and any(key.decode() in back for key in held):
                found[source] = []  # its older values go, the newest stays
        gone = customers - back
        for source in self._broker.sources([topics.CUSTOMERS]):
            self._note(found, source, [key for key, _ in self._all(source) if self._erased(key)], back)
        keys = {key for one in gone for key in decision_keys(one, refs.get(one, ()), self._books)}
        for source in self._broker.sources([topics.DECISIONS]):
            self._note(found, source, [key for key, _ in self._all(source) if key in keys], ())
        for source in self._broker.sources([self._deliveries]):
            self._note(found, source, [key for key, value in self._all(source) if events_in(value, gone)], ())
        return found

    def bury(self, found: dict[Source, list[bytes]]) -> None:
        """Write the tombstones."""
        for source, keys in found.items():
            self._broker.append(source, [Entry(0, _NOW, key, None, []) for key in keys])

    def _note(
        self, found: dict[Source, list[bytes]], source: Source, keys: list[bytes], back: Iterable[str]
    ) -> None:
        if keys:
            stay = {one.encode() for one in back}
            found[source] = [key for key in dict.fromkeys(keys) if key not in stay]

    def _erased(self, key: bytes) -> bool:
        try:
            return self._erasures.of(key.decode()) is not None
        except UnicodeDecodeError:
            return False

    def _noted(self, partition: int) -> dict[bytes, bytes | None]:
        """What a partition has noted of erasures that it has carried out."""
        source = Source(self._notes, partition)
        return {key: value for key, value in self._all(source) if key.startswith(NOTE_PREFIX)}

    def _came_back(self, customer: str, notes: dict[bytes, bytes | None], partition: int) -> bool:
        first, second = (source_of(topic, partition) for topic in topics.INPUTS)
        marks = set(self._erasures.keys.all_of(customer))
        kept = {key: value for key, value in notes.items() if value is not None}
        return marks.isdisjoint(self._erasures.open_in(kept, (first, second)))

    def _all(self, source: Source) -> Iterator[tuple[bytes, bytes | None]]:
        for entry in self._broker.read(source, *self._broker.span(source)):
            if entry.key is not None:
                yield entry.key, entry.value


def roll(broker: Broker, source: Source) -> int:
    """Let a log begin a new file; returns up to where it can be cleaned."""
    return broker.append_one(source, Entry(0, round(time.time() * 1000), SPACER, None, []))


def clean(broker: Broker, source: Source, end: int) -> bool:
    """Whether a log is clean up to an offset: every key once, and no tombstone."""
    seen: set[int] = set()
    for entry in broker.read(source, broker.span(source)[0], end):
        if entry.key == SPACER:
            continue
        mark = hash(entry.key)
        if entry.value is None or mark in seen:
            return False
        seen.add(mark)
    return True
