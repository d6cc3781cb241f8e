"""The one ordered lane of claims: from several producers in, by time out, as far as they are to be told.

Every owner of a metrics partition sends its claims in order of time, and marks that say up to when it
has sent them all. Claims leave once the marks of ALL partitions have reached their instant, in one order
whatever the interleaving; a partition never heard of holds the lane. On their way out they pass what keeps
alerts few (``telling``), instant by instant, so that neither batches nor crashes change what is told.

State is kept as table entries. One round is: ``offer`` and ``mark`` for a batch, ``release``, publish
what came out, then write ``changes()``: its entries first, then the progress, which makes them count,
then the tombstones, of keys that the progress of an earlier round has made superfluous; only then
acknowledge. A crash anywhere in between leads to the claims of the unfinished round being released
again, with the same ids, and to nothing else. Silences from outside have a round of their own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream.alerting.claims import Claim, Decision, decode_claim, encode_claim
from stream.alerting.hygiene import Silence
from stream.alerting.ledger import Ledger
from stream.alerting.model import RuleBook
from stream.alerting.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.alerting.told import Past

_PROGRESS: Final = "progress"
_PENDING: Final = "pending/"
_SILENCE: Final = "silence/"

#: Of so many alerts that are over the history is kept.
KEPT: Final = 10_000


class Verdict(StrEnum):
    """What became of an offered claim."""

    HELD = "held"
    DUPLICATE = "duplicate"
    REPLAYED = "replayed"


class LaneChanges(NamedTuple):
    """What a round has to make durable, in this order: entries, progress (None: unmoved), tombstones.

    ``decided`` comes before them: what became of alerts, where that is something new.
    """

    entries: list[tuple[str, bytes]]
    progress: tuple[str, bytes] | None
    tombstones: list[str]
    decided: Sequence[Decision] = ()


class _Progress(msgspec.Struct, array_like=True):
    """How far the lane is: marks, the last round that counts, the instant up to which claims have left.

    ``version`` of the rules then; ``unsettled``: silences have changed, and what waits is to be looked at again.
    """

    marks: dict[int, int]
    round: int
    now_ms: int | None
    version: str
    unsettled: bool


_encoder: Final = msgspec.json.Encoder()
_progress: Final = msgspec.json.Decoder(_Progress)
_silence: Final = msgspec.json.Decoder(Silence)


class Lane:
    """Claims waiting for their turn, and the alerts that fire.

    Args:
        partitions: the metrics partitions that send claims and marks.
        book: the rules; None: all claims are told.
        kept: of so many alerts that are over the history is kept.

    Raises:
        ValueError: no partition.
    """

    def __init__(self, partitions: Iterable[int], book: RuleBook | None = None, kept: int = KEPT) -> None:
        self._partitions = frozenset(partitions)
        if not self._partitions:
            raise ValueError("a lane needs a partition")
        self._first = RuleBook("") if book is None else book
        self._versions: dict[int, RuleBook] = {}
        self._marks: dict[int, int] = {}
        self._now_ms: int | None = None
        self._round = 0
        self._pending: dict[str, Claim] = {}
        self._silences: dict[str, Silence] = {}
        self._dirty: dict[str, bytes] = {}  # pending entries to be written
        self._stored: set[str] = set()  # pending keys the table holds
        self._left: set[str] = set()  # pending keys that this round's progress makes superfluous
        self._dead: set[str] = set()  # and those that an earlier one has
        self._ledger = Ledger()
        self._telling = Telling(self._ledger, kept)
        self._version, self._unsettled = "", False  # as restored
        self._moved = False

    def restore(self, key: str, value: bytes) -> None:
        """Take one entry of the table back; ``ready`` when all are.

        Raises:
            ValueError: no entry of a lane.
        """
        if key == _PROGRESS:
            progress = _progress.decode(value)
            self._marks, self._round, self._now_ms = progress.marks, progress.round, progress.now_ms
            self._version, self._unsettled = progress.version, progress.unsettled
        elif key.startswith(_PENDING):
            claim = decode_claim(value)
            self._pending[claim.id] = claim
            self._stored.add(key)
        else:
            self._ledger.restore(key, value)

    def ready(self) -> None:
        """All entries are back: forget what the last progress had made superfluous."""
        for claim in [*self._pending.values()]:
            if self._now_ms is not None and claim.as_of_ms <= self._now_ms:
                self._leave(claim)
        self._dead, self._left, self._moved = self._left, set(), False
        for key, value in self._ledger.settle(self._round).items():
            if key.startswith(_SILENCE):
                silence = _silence.decode(value)
                self._silences[silence.id] = silence
            else:
                self._telling.restore(key, value)
        self._telling.ready(self._now_ms, self._version, unsettled=self._unsettled)
        self._telling.silences(self._silences.values(), settled=True)

    def swap(self, book: RuleBook, from_ms: int) -> None:
        """From this moment of event time on these rules hold, in place of those given for the same moment.

        A moment that has passed means at once, and is then not the same on every replay.
        """
        self._versions[from_ms] = book

    def silences(self, silences: Iterable[Silence]) -> bool:
        """The silences from outside, all of them, checked; they hold from where the lane is.

        True: they are others than before. Then what ``changes`` says is to be written before ``release`` is
        called: a round that is repeated must find the same silences.
        """
        given = {silence.id: silence for silence in silences}
        if given == self._silences:
            return False
        for name in self._silences.keys() - given.keys():
            self._ledger.drop(_SILENCE + name)
        for name, silence in given.items():
            if self._silences.get(name) != silence:
                self._ledger.put(_SILENCE + name, _encoder.encode(silence))
        self._silences = given
        self._telling.silences(given.values())
        return True

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
        key = _PENDING + claim.id
        self._dead.discard(key)
        self._left.discard(key)
        if key not in self._stored:
            self._dirty[key] = encode_claim(claim)
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
        """What is told now that the marks are where they are, in the order of the instants."""
        frontier = self.frontier_ms
        if frontier is None:
            return []
        told: list[Claim] = []
        due = [claim for claim in self._pending.values() if claim.as_of_ms <= frontier]
        due.sort(key=lambda claim: claim.order, reverse=True)
        if self._now_ms is not None and self._at(self._now_ms):
            told += self._telling.instant(self._now_ms, ())
        while (at_ms := self._next(due, frontier)) is not None:
            claims = []
            while due and due[-1].as_of_ms <= at_ms:
                claims.append(due.pop())
            self._at(at_ms)
            told += self._telling.instant(at_ms, claims)
            self._now_ms = at_ms
            for claim in claims:
                self._leave(claim)
        self._now_ms = frontier
        return told

    def changes(self) -> LaneChanges:
        """What has changed since the last call; the next call takes it as durable."""
        self._telling.write()
        entries, gone = self._ledger.changes(self._round + 1)
        self._moved |= bool(entries)
        entries += self._dirty.items()
        self._stored.update(self._dirty)
        tombstones = sorted(self._dead) + gone
        self._stored -= self._dead
        progress = None
        if self._moved:
            self._round += 1
            telling = self._telling
            state = _Progress(self._marks, self._round, self._now_ms, telling.version, telling.unsettled)
            progress = (_PROGRESS, _encoder.encode(state))
        self._dead, self._left = self._left, set()
        self._dirty = {}
        self._moved = False
        decided, self._telling.decided = self._telling.decided, []
        return LaneChanges(entries, progress, tombstones, tuple(decided))

    @property
    def frontier_ms(self) -> int | None:
        """The instant all partitions have reached; None while one has not been heard of."""
        marks = self._marks
        if not self._partitions <= marks.keys():
            return None
        return min(marks[partition] for partition in self._partitions)

    @property
    def waiting(self) -> int:
        """How many claims are held until the marks reach them."""
        return len(self._pending)

    @property
    def silent(self) -> frozenset[int]:
        """The partitions never heard of, which hold the lane."""
        return self._partitions - self._marks.keys()

    @property
    def active(self) -> dict[str, Claim]:
        """The alerts that fire now, told or not, by fingerprint."""
        return {name: each.claim for name, each in self._telling.records.items() if each.claim is not None}

    def history(self, fingerprint: str) -> Sequence[Past]:
        """The newest transitions of an alert, oldest first, and what became of them."""
        record = self._telling.records.get(fingerprint)
        return () if record is None else record.past

    def _check(self, partition: int) -> None:
        if partition not in self._partitions:
            raise ValueError(f"the lane was not told of partition {partition}")

    def _next(self, due: list[Claim], frontier: int) -> int | None:
        """The next instant at which something comes or is to be decided, up to the frontier."""
        times = [due[-1].as_of_ms] if due else []
        wake = self._telling.next_ms
        if wake is not None:
            times.append(wake)
        now = self._now_ms
        times += [from_ms for from_ms in self._versions if now is None or from_ms > now]
        at_ms = min(times, default=None)
        return None if at_ms is None or at_ms > frontier else at_ms

    def _at(self, at_ms: int) -> bool:
        """Let the rules of a moment hold; says whether there is something to be looked at again."""
        passed = [from_ms for from_ms in self._versions if from_ms <= at_ms]
        self._telling.rules(self._versions[max(passed)] if passed else self._first)
        return self._telling.unsettled

    def _leave(self, claim: Claim) -> None:
        del self._pending[claim.id]
        key = _PENDING + claim.id
        self._dirty.pop(key, None)
        if key in self._stored:
            self._left.add(key)
        self._moved = True
