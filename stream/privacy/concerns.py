"""What of each topic is about people who were erased. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream import topics
from stream.privacy.finding import customers_in, fingerprint_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.privacy.entries import Entry, Source
    from stream.privacy.erasures import Erasures


class Concerns:
    """Tells the records that go from those that stay.

    Args:
        erasures: who is erased.

    Attributes:
        customers: ids met on the way: those that are erased, and whose erased records were seen.
        alerts: fingerprints of alerts about them.
    """

    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures
        self.customers: set[str] = set()
        self.alerts: set[str] = set()

    def goes(self, source: Source, entry: Entry) -> bool:
        """Whether a record of one of ``topics.NAMING`` is about someone who was erased by then."""
        if source.topic in topics.INPUTS:
            return self._input(*source, entry.offset, entry)
        if source.topic == topics.DEADLETTERS:
            place = _place(entry)
            # A letter is as old as the record it is about, wherever it stands itself.
            return self._input(*(place or (*source, entry.offset)), entry)
        if source.topic == topics.ALERTS:
            customer = subject_of(entry.value)
            if customer is None or not self._erasures.erased(customer, *source, entry.offset):
                return False
            self.customers.add(customer)
            mark = fingerprint_of(entry.value)
            if mark is not None:
                self.alerts.add(mark)
            return True
        return fingerprint_of(entry.value) in self.alerts

    def _input(self, topic: str, partition: int, offset: int, entry: Entry) -> bool:
        found = [
            customer
            for customer in customers_in(entry.key, entry.value)
            if self._erasures.erased(customer, topic, partition, offset)
        ]
        self.customers.update(found)
        return bool(found)


def _place(entry: Entry) -> tuple[str, int, int] | None:
    """Where the record of a dead letter stood, or that which a note is about."""
    said = {name: value for name, value in entry.headers if isinstance(value, bytes)}
    try:
        return said["topic"].decode(), int(said["partition"]), int(said["offset"])
    except (KeyError, ValueError):
        return None


def events_in(value: bytes | None, customers: set[str]) -> bool:
    """Whether a value holds an alert event about one of some customers, somewhere in it."""
    return value is not None and any(needle in value for one in customers for needle in _subjects(one))


def _subjects(customer: str) -> Iterator[bytes]:

    yield b'"subject":' + msgspec.json.encode(f"customer:{customer}")
