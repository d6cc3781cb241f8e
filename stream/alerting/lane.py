"""The one ordered lane of claims: from several producers in, by time out.

Every owner of a metrics partition sends its claims in order of time, and marks that say up to when it
has sent them all. A claim leaves the lane once the marks of ALL partitions have reached its instant,
in the order (as_of, fingerprint, id): the same order whatever the interleaving. A partition never
heard of holds the lane.

State is kept as table entries. One round is: ``offer`` and ``mark`` for a batch, ``release``, publish
what came out, then write ``changes()``: its entries first, then the progress, which makes them count,
then the tombstones, of keys that the progress of an earlier round has made superfluous; only then
acknowledge. A crash anywhere in between leads to the claims of the unfinished round being released
again, with the same ids, and to nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream.alerting.claims import Claim, decode_claim, encode_claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PROGRESS: Final = "progress"
_PENDING: Final = "pending/"
_ACTIVE: Final = "active/"
_PAST: Final = "past/"


class Verdict(StrEnum):
    """What became of an offered claim."""

    HELD = "held"
    DUPLICATE = "duplicate"
    REPLAYED = "replayed"


class LaneChanges(NamedTuple):
    """What a round has to make durable, in this order: entries, progress (None: unmoved), tombstones."""

    entries: list[tuple[str, bytes]]
    progress: tuple[str, bytes] | None
    tombstones: list[str]


class _Progress(msgspec.Struct, array_like=True):
    """How far the lane is. ``done``: superfluous keys whose tombstones may not be durable yet."""

    marks: dict[int, int]
    count: int
    done: list[str]


class _Past(msgspec.Struct, array_like=True, frozen=True):
    at: int
    claim: Claim


_encoder: Final = msgspec.json.Encoder()
_progress: Final = msgspec.json.Decoder(_Progress)
_past: Final = msgspec.json.Decoder(_Past)


class Lane:
    """Claims waiting for their turn, the alerts that fire now, and the newest claims released.

    Args:
        partitions: the metrics partitions that send claims and marks.
        history: how many released claims are remembered. Changing it may forget some.

    Raises:
        ValueError: no partition, or no history.
    """

    def __init__(self, partitions: Iterable[int], history: int = 1000) -> None:
        self._partitions = frozenset(partitions)
        if not self._partitions or history < 1:
            raise ValueError("a lane needs a partition and a history of at least 1")
        self._history = history
        self._marks: dict[int, int] = {}
        self._count = 0  # claims released, ever
        self._pending: dict[str, Claim] = {}
        self._active: dict[str, Claim] = {}
        self._past: dict[int, Claim] = {}
        self._stored: set[str] = set()  # pending and active keys the table holds
        self._dirty: dict[str, bytes] = {}
        self._done: set[str] = set()  # superfluous with this round's progress
        self._dead: set[str] = set()  # superfluous with the last round's
        self._moved = False

    def restore(self, key: str, value: bytes) -> None:
        """Take one entry of the table back; ``ready`` when all are.

        Raises:
            ValueError: no entry of a lane.
        """
        if key == _PROGRESS:
            progress = _progress.decode(value)
            self._marks, self._count, self._dead = progress.marks, progress.count, set(progress.done)
        elif key.startswith(_PENDING):
            claim = decode_claim(value)
            self._pending[claim.id] = claim
            self._stored.add(key)
        elif key.startswith(_ACTIVE):
            claim = decode_claim(value)
            self._active[claim.fingerprint] = claim
            self._stored.add(key)
        elif key.startswith(_PAST):
            past = _past.decode(value)
            if key == self._past_key(past.at):
                self._past[past.at] = past.claim
        else:
            raise ValueError("not an entry of the lane's table")

    def ready(self) -> None:
        """All entries are back: forget what the last progress had made superfluous."""
        for key in self._dead:
            if key.startswith(_PENDING):
                self._pending.pop(key.removeprefix(_PENDING), None)
        for claim in [*self._active.values()]:
            if claim.state == "resolved":
                del self._active[claim.fingerprint]
                self._dead.add(_ACTIVE + claim.fingerprint)
        self._stored -= self._dead
        # What a round cut short had released comes again and is counted again.
        oldest = self._count - self._history
        self._past = {at: self._past[at] for at in sorted(self._past) if oldest <= at < self._count}

    def offer(self, partition: int, claim: Claim) -> Verdict:
        """Take a claim of a partition; it waits until ``release`` may let it go.

        Raises:
            ValueError: the lane was not told of this partition.
        """
        self._check(partition)
        reached = self._marks.get(partition)
        if reached is not None and claim.as_of_ms <= reached:
            return Verdict.REPLAYED
        if claim.id in self._pending:
            return Verdict.DUPLICATE
        self._pending[claim.id] = claim
        self._put(_PENDING + claim.id, encode_claim(claim))
        return Verdict.HELD

    def mark(self, partition: int, instant_ms: int) -> None:
        """Every claim of the partition up to ``instant_ms`` has been offered. A lower mark is ignored.

        Raises:
            ValueError: the lane was not told of this partition.
        """
        self._check(partition)
        reached = self._marks.get(partition)
        if reached is None or instant_ms > reached:
            self._marks[partition] = instant_ms
            self._moved = True

    def release(self) -> list[Claim]:
        """The claims whose time has come, in their order."""
        frontier = self.frontier_ms
        if frontier is None or not self._pending:
            return []
        released = [claim for claim in self._pending.values() if claim.as_of_ms <= frontier]
        released.sort(key=lambda claim: claim.order)
        for claim in released:
            del self._pending[claim.id]
            self._drop(_PENDING + claim.id)
            self._follow(claim)
            self._past[self._count] = claim
            self._past.pop(self._count - self._history, None)
            self._dirty[self._past_key(self._count)] = _encoder.encode(_Past(self._count, claim))
            self._count += 1
            self._moved = True
        return released

    def changes(self) -> LaneChanges:
        """What has changed since the last call; the next call takes it as durable."""
        entries = list(self._dirty.items())
        tombstones = sorted(self._dead - self._dirty.keys())
        progress = None
        if self._moved:
            done = sorted(self._done.union(tombstones))
            progress = (_PROGRESS, _encoder.encode(_Progress(self._marks, self._count, done)))
            self._dead, self._done = self._done, set()
        else:
            self._dead = set()
        self._stored.update(key for key, _ in entries if not key.startswith(_PAST))
        self._stored -= self._dead
        self._dirty = {}
        self._moved = False
        return LaneChanges(entries, progress, tombstones)

    @property
    def frontier_ms(self) -> int | None:
        """The instant all partitions have reached; None while one has not been heard of."""
        marks = self._marks
        if not self._partitions <= marks.keys():
            return None
        return min(marks[partition] for partition in self._partitions)

    @property
    def waiting(self) -> int:
        """How many claims are held."""
        return len(self._pending)

    @property
    def silent(self) -> frozenset[int]:
        """The partitions never heard of, which hold the lane."""
        return self._partitions - self._marks.keys()

    @property
    def active(self) -> Mapping[str, Claim]:
        """The claims of the alerts that fire now, by fingerprint."""
        return MappingProxyType(self._active)

    @property
    def recent(self) -> list[Claim]:
        """The newest claims released, oldest first, at most ``history`` of them."""
        return list(self._past.values())

    def _check(self, partition: int) -> None:
        if partition not in self._partitions:
            raise ValueError(f"the lane was not told of partition {partition}")

    def _follow(self, claim: Claim) -> None:
        key = _ACTIVE + claim.fingerprint
        if claim.state == "firing":
            self._active[claim.fingerprint] = claim
            self._put(key, encode_claim(claim))
        else:
            self._active.pop(claim.fingerprint, None)
            self._drop(key)
            if key in self._stored:
                # Until its tombstone is durable the entry itself has to say that the alert is over.
                self._dirty[key] = encode_claim(claim)

    def _put(self, key: str, value: bytes) -> None:
        self._dirty[key] = value
        self._done.discard(key)
        self._dead.discard(key)

    def _drop(self, key: str) -> None:
        """The key is superfluous; what the table never held needs neither entry nor tombstone."""
        self._dirty.pop(key, None)
        if key in self._stored:
            self._done.add(key)

    def _past_key(self, at: int) -> str:
        return f"{_PAST}{at % self._history}"
