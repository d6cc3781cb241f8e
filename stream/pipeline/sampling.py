"""What a partition tells of its customers for models, and when: at moments, multiples of a period since 1970.

A moment is reached by the first record that is later, and what is told is what was known just before that record.
From the next moment on versions hold that were made from this one; so a partition that reaches a moment goes on
only when what was made of the moment before is known. Usually that has been so for a period; while a worker
catches up with its input, partitions wait for each other there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from stream.customers import decode as decode_customer
from stream.customers.examples import CHUNK, Sample, encode_example, row_of
from stream.pipeline.lessons import cohorts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.customers import Customer
    from stream.customers.examples import Row
    from stream.customers.models import Models
    from stream.pipeline.lessons import Everyone, Keep

_NEVER: Final = 2**62
_AT_ONCE: Final = -_NEVER


class Sampler:
    """Of one partition of the inputs.

    Args:
        partition: its number.
        every_ms: the period; 0: nothing is told, and nothing waited for.
        most: customers whose figures are told at a time, about.
        models: what is known of versions.
        newest_ms: the newest event time the partition has seen; None: none.

    Attributes:
        edge_ms: A record of this time or later has to be asked about (``reach``) before it is taken in.
    """

    def __init__(
        self, partition: int, every_ms: int, most: int, models: Models, newest_ms: int | None
    ) -> None:
        self._partition = partition
        self._every_ms = every_ms
        self._most = most
        self._models = models
        self._reached_ms = None if newest_ms is None or not every_ms else self._before(newest_ms)
        self._clock_ms: int | None = None  # how far the clock has gone beyond what was reached
        self._begun_ms = self._reached_ms  # before this nothing was told here, or by an earlier process
        self._told = False
        self._waived_ms = -1
        self._wanted_ms = -1  # what has to be known before the partition goes on
        self.edge_ms = _AT_ONCE if every_ms else _NEVER

    def _before(self, time_ms: int) -> int:
        """The latest moment before a time."""
        return (time_ms - 1) // self._every_ms * self._every_ms

    @property
    def blocked(self) -> bool:
        """Whether the partition has to wait for versions."""
        return self._wanted_ms > max(self._models.known_ms, self._waived_ms)

    def waive(self) -> None:
        """Wait no longer: what is known will have to do. Versions that come then hold from when they come."""
        self._waived_ms = self._wanted_ms

    def reach(self, time_ms: int, everyone: Everyone, keep: Keep, told: list[bytes]) -> bool:
        """A record of this time is next; says whether it may be taken in.

        Args:
            time_ms: not less than ``edge_ms``.
            everyone: all customers of the partition as they are before it.
            keep: told of customers that were given as written and have changed.
            told: what is to be published is added here.
        """
        moment_ms = self._before(time_ms)
        if self._reached_ms is None:
            self._reached_ms = self._begun_ms = moment_ms
            self._open(told, 0)
        elif not self._told or self._clock_ms is not None:
            self._open(told, self._reached_ms)
        self._told, self._clock_ms = True, None
        if moment_ms > self._reached_ms:
            since_ms, self._reached_ms = self._reached_ms + self._every_ms, moment_ms
            config = self._models.at(moment_ms)
            told += cohorts(self._partition, since_ms, moment_ms, self._most, config, everyone, keep)
            told += self._sampled(everyone, since_ms, moment_ms, clock=False)
        begun_ms = moment_ms if self._begun_ms is None else self._begun_ms
        # Versions hold from the moment itself on, so a record of just then has to wait for them, too.
        needed_ms = time_ms - time_ms % self._every_ms - self._every_ms
        self._wanted_ms = needed_ms if needed_ms >= begun_ms else -1
        if self.blocked:
            self.edge_ms = _AT_ONCE
            return False
        next_ms = self._reached_ms + self._every_ms
        self.edge_ms = next_ms if time_ms < next_ms else next_ms + 1
        return True

    def tick(self, now_ms: int, everyone: Everyone) -> list[bytes]:
        """Nothing came for long, and it is this late: what was reached by that, as for others' moments.

        A record of an earlier time takes it back.
        """
        if not self._every_ms:
            return []
        moment_ms = self._before(now_ms)
        reached_ms = -1 if self._reached_ms is None else self._reached_ms
        if moment_ms <= max(reached_ms, -1 if self._clock_ms is None else self._clock_ms):
            return []
        told: list[bytes] = []
        if self._reached_ms is not None and not self._told:
            self._open(told, self._reached_ms)
            self._told = True
        since_ms = 0 if self._reached_ms is None else self._reached_ms + self._every_ms
        told += self._sampled(everyone, since_ms, moment_ms, clock=True)
        self._clock_ms = moment_ms
        self.edge_ms = _AT_ONCE
        return told

    def _open(self, told: list[bytes], since_ms: int) -> None:
        """Say how far this partition is, with nothing about its customers."""
        if self._reached_ms is not None:
            told.append(encode_example(Sample(self._partition, self._reached_ms, since_ms)))

    def _sampled(self, everyone: Everyone, since_ms: int, moment_ms: int, *, clock: bool) -> list[bytes]:
        # Of twice as many customers every other one: whose hash ends with so many zeros. How many there are is
        # known at the end only, so more are thrown out on the way: memory may not hold all of them at once.
        people: list[tuple[bytes, bytes | Customer]] = []
        shift = mask = 0
        for count, (name, held) in enumerate(everyone(), 1):
            if count >> shift > self._most:
                shift += 1
                mask = (1 << shift) - 1
                people = [each for each in people if not crc32(each[0]) & mask]
            if not crc32(name) & mask:
                people.append((name, held))
        config = self._models.at(moment_ms)
        currencies: dict[str, int] = {}
        rows: list[Row] = []
        for _, held in people:
            customer = decode_customer(held) if isinstance(held, bytes) else held
            row = row_of(customer, config.currency, currencies)
            if row is not None:
                rows.append(row)
        rows.sort()  # the order of customers says nothing, and must not
        parts: Sequence[list[Row]] = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)] or [[]]
        return [
            encode_example(
                Sample(
                    self._partition,
                    moment_ms,
                    since_ms,
                    chunk,
                    chunk == len(parts) - 1,
                    clock,
                    float(1 << shift),
                    list(currencies),
                    part,
                )
            )
            for chunk, part in enumerate(parts)
        ]
