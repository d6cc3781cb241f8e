"""What of the ordered claims is told, and when: one instant of event time after the other.

At an instant first every claim is taken in, so that what fires is known; then follows, for what is new or has
waited until now: the turn of its group, silences, inhibitions, its rule's limit, storms. What they keep back
waits, and is told when they let it go and it still fires. What ends or corrects an alert that was told is always
told, at once: nobody is left with an alert that is over. Of one that was not told, the end is not told either.

Everything depends on the claims' order, the versions of the rules and the silences: on no clock, and not on how
claims came in batches.
"""

from __future__ import annotations

import hashlib
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas import format_ms
from stream.alerting import grouping
from stream.alerting.claims import Claim, Decision
from stream.alerting.floods import LIMITED, STORM, Floods, queue_of
from stream.alerting.inhibition import Inhibitor
from stream.alerting.matching import labels_of
from stream.alerting.silencing import Silencer
from stream.alerting.summaries import rank
from stream.alerting.told import Record, told_late

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.hygiene import Grouped, Silence
    from stream.alerting.ledger import Ledger
    from stream.alerting.model import RuleBook

ALERT: Final = "alert/"
GROUP: Final = "group/"
FLOOD: Final = "flood/"

GROUPED: Final = "grouped"
SILENCED: Final = "silenced"
INHIBITED: Final = "inhibited"
TOLD: Final = "told"
OVER: Final = "over_before_told"

#: The reason in the event of what is told after it was kept back. What waits for its group is told as it is.
_ENDED: Final = {
    SILENCED: "silence_ended",
    INHIBITED: "inhibition_ended",
    LIMITED: "limit_ended",
    STORM: "storm_ended",
}

_encoder: Final = msgspec.json.Encoder()
_record: Final = msgspec.json.Decoder(Record)


class Telling:
    """The alerts, and what keeps them back.

    Args:
        ledger: takes what changes.
        kept: of so many alerts that are over the history is kept.
    """

    def __init__(self, ledger: Ledger, kept: int) -> None:
        self.records: dict[str, Record] = {}
        self.decided: list[Decision] = []
        self._ledger = ledger
        self._kept = kept
        self._book: RuleBook | None = None
        self._silences: list[Silence] = []
        self._silencer = Silencer(())
        self._inhibitor = Inhibitor(())
        self._groups: dict[str, int] = {}
        self._members: dict[str, set[str]] = {}
        self._waiting: dict[str, set[str]] = {}  # queue -> fingerprints
        self._floods = Floods(
            lambda queue: len(self._waiting.get(queue, ())),
            lambda claim: self._silencer.by(labels_of(claim), claim.as_of_ms) is not None,
        )
        self._clock: list[tuple[int, str]] = []
        self._at_ms = 0  # the instant at work
        #: Rules or silences have changed since the last instant.
        self.unsettled = False
        #: Of the rules: what is different for the lane has another one.
        self.version = ""
        self._dirty: set[str] = set()

    def restore(self, key: str, value: bytes) -> None:
        """Take back one value of the ledger."""
        if key.startswith(ALERT):
            self.records[key.removeprefix(ALERT)] = _record.decode(value)
        elif key.startswith(GROUP):
            self._groups[key.removeprefix(GROUP)] = int(value)
        else:
            self._floods.restore(key.removeprefix(FLOOD), value)

    def ready(self, at_ms: int | None, version: str, *, unsettled: bool) -> None:
        """All values are back; the last instant if there was one, and what ``version`` and ``unsettled`` were."""
        self._at_ms = at_ms or 0
        self.version, self.unsettled = version, unsettled
        for name in sorted(self.records):
            record = self.records[name]
            if record.held:
                self._wait(name, record, record.held, record.until_ms)

    def rules(self, book: RuleBook) -> None:
        """These rules hold from the next instant on."""
        if book is self._book:
            return
        self._book = book
        self._floods.rules(book)
        self._inhibitor = Inhibitor(book.hygiene.inhibitions)
        self._members = {}
        for name, record in self.records.items():
            if record.claim is not None:
                self._present(name, record.claim)
        for group in [group for group in self._groups if group not in self._members]:
            self._forget_group(group)
        self._silencer = Silencer((*book.hygiene.silences, *self._silences))
        # What waits is looked at again if something is different, and only then: a restart must change nothing.
        limits = [(rule.alert, rule.limit) for rule in book.metric_rules]
        version = hashlib.sha256(repr((book.hygiene, limits)).encode()).hexdigest()[:16]
        self.unsettled |= version != self.version
        self.version = version

    def silences(self, silences: Iterable[Silence], *, settled: bool = False) -> None:
        """These silences, beside those of the rules file, hold from the next instant on.

        ``settled``: they did already.
        """
        self._silences = list(silences)
        own = () if self._book is None else self._book.hygiene.silences
        self._silencer = Silencer((*own, *self._silences))
        self.unsettled |= not settled

    @property
    def next_ms(self) -> int | None:
        """When something is to be decided even if no claim comes."""
        while self._clock and not self._due(*self._clock[0]):
            heappop(self._clock)
        times = self._floods.times(self._at_ms)
        if self._clock:
            times.append(self._clock[0][0])
        return min(times, default=None)

    def instant(self, at_ms: int, claims: Iterable[Claim]) -> list[Claim]:
        """What is told at a moment, given all claims of that moment in their order."""
        self._at_ms = at_ms
        told: list[Claim] = []
        fresh: dict[str, None] = {}
        freed = [claim.fingerprint for claim in claims if self._take(claim, at_ms, told, fresh)]
        last = self._floods.calm(at_ms)
        woken = self._woken(at_ms, freed=freed, calm=last is not None)
        clear: list[Claim] = []
        for name in (*fresh, *(name for name in woken if name not in fresh)):
            record = self.records[name]
            news = record.claim
            if news is not None and not self._kept_back(record, news, at_ms, fresh=name in fresh):
                clear.append(news)
        self._pour(clear, at_ms, told)
        told.sort(key=lambda claim: claim.order)
        self._forget()
        return [*told, *(last or []), *self._floods.sum_up(at_ms)]

    def write(self) -> None:
        """Hand what has changed to the ledger."""
        for key in sorted(self._dirty.union(FLOOD + rule for rule in self._floods.dirty)):
            value = self._written(key)
            if value is None:
                self._ledger.drop(key)
            else:
                self._ledger.put(key, value)
        self._dirty.clear()
        self._floods.dirty.clear()

    def _written(self, key: str) -> bytes | None:
        if key.startswith(FLOOD):
            return self._floods.written(key.removeprefix(FLOOD))
        if key.startswith(GROUP):
            value: object = self._groups.get(key.removeprefix(GROUP))
        else:
            value = self.records.get(key.removeprefix(ALERT))
        return None if value is None else _encoder.encode(value)

    # A claim comes.

    def _take(self, claim: Claim, at_ms: int, told: list[Claim], fresh: dict[str, None]) -> bool:
        """Take a claim in; says whether an alert fires no more that kept others back."""
        name = claim.fingerprint
        record = self.records.get(name)
        if record is None:
            record = self.records[name] = Record()
        self._dirty.add(ALERT + name)
        if claim.state in ("firing", "no_data"):
            if not record.fires(claim):
                self._free(name, record)
                record.claim, record.told = None, False
            record.follow(claim)
            if record.held:
                record.note(claim, at_ms, record.held)
            else:
                fresh[name] = None
            return self._present(name, claim)
        if not record.fires(claim):  # an earlier alert
            if record.told_before(claim.starts_at_ms):
                self._tell(record, claim, told)
            return False
        if record.told:
            self._tell(record, claim, told)
        if claim.state == "amended":
            record.follow(claim)
            return self._present(name, claim)
        if not record.told:
            record.note(claim, at_ms, OVER)
            self._decide(record, claim, OVER, {})
        self._free(name, record)
        fresh.pop(name, None)
        record.claim, record.told = None, False
        return self._absent(name)

    def _present(self, name: str, claim: Claim) -> bool:
        labels = labels_of(claim)
        if self._grouped is not None:
            self._members.setdefault(grouping.group_of(self._grouped, labels), set()).add(name)
        return self._inhibitor.add(name, labels)

    def _absent(self, name: str) -> bool:
        if self._grouped is not None:
            group = grouping.group_of(self._grouped, self._inhibitor.labels(name))
            members = self._members.get(group, set())
            members.discard(name)
            if not members:
                self._forget_group(group)
        return self._inhibitor.remove(name)

    @property
    def _grouped(self) -> Grouped | None:
        return None if self._book is None else self._book.hygiene.grouped

    def _forget_group(self, group: str) -> None:
        self._members.pop(group, None)
        if self._groups.pop(group, None) is not None:
            self._dirty.add(GROUP + group)

    # What has waited long enough, or for something that is over.

    def _woken(self, at_ms: int, *, freed: list[str], calm: bool) -> list[str]:
        """What is to be looked at again; ``freed``: sources that fire no more, ``calm``: a storm is over."""
        woken: set[str] = set()
        while self._clock and self._clock[0][0] <= at_ms:
            until_ms, name = heappop(self._clock)
            if self._due(until_ms, name):
                woken.add(name)
        queues = [f"{INHIBITED}/{name}" for name in freed]
        if calm:
            queues.append(STORM)
        if self.unsettled:
            queues += [SILENCED, *self._floods.queues]
            queues += [queue for queue in self._waiting if queue.startswith(INHIBITED)]
            if self._grouped is None:
                queues.append(GROUPED)
        self.unsettled = False
        for queue in queues:
            woken.update(self._waiting.get(queue, ()))
        return sorted(woken)

    def _due(self, until_ms: int, name: str) -> bool:
        record = self.records.get(name)
        return record is not None and bool(record.held) and record.until_ms == until_ms

    # The stages.

    def _kept_back(self, record: Record, claim: Claim, at_ms: int, *, fresh: bool) -> bool:
        """Whether its group, a silence or an inhibition keeps an alert back."""
        labels = labels_of(claim)
        if fresh and self._grouped is not None:
            group = grouping.group_of(self._grouped, labels)
            turn = self._groups[group] = grouping.turn(self._grouped, self._groups.get(group), at_ms)
            self._dirty.add(GROUP + group)
            if turn > at_ms:
                self._hold(record, claim, GROUPED, turn, {"until": format_ms(turn)})
                return True
        silence = self._silencer.by(labels, at_ms)
        if silence is not None:
            figures = {"silence": silence.id, "until": format_ms(silence.ends_at_ms)}
            self._hold(record, claim, SILENCED, silence.ends_at_ms, figures)
            return True
        source = self._inhibitor.by(labels)
        if source is not None:
            self._hold(record, claim, INHIBITED, None, {"fingerprint": source}, source)
            return True
        return False

    def _pour(self, claims: list[Claim], at_ms: int, told: list[Claim]) -> None:
        """Tell alerts as far as limits and storms let them; the most urgent come first."""
        for claim in sorted(claims, key=lambda each: (rank(each.severity), each.order)):
            name = claim.fingerprint
            record = self.records[name]
            kept_back = self._floods.keeps_back(claim, record.held, at_ms)
            if kept_back is not None:
                why, until_ms = kept_back
                self._hold(
                    record, claim, why, until_ms, {} if until_ms is None else {"until": format_ms(until_ms)}
                )
                continue
            late = _ENDED.get(record.held)
            self._free(name, record)
            record.told = True
            self._tell(record, claim if late is None else told_late(claim, late, at_ms), told)

    def _hold(
        self,
        record: Record,
        claim: Claim,
        why: str,
        until_ms: int | None,
        figures: dict[str, Any],
        source: str = "",
    ) -> None:
        if record.held != why:
            record.note(claim, self._at_ms, why)
        other = record.source != source
        self._free(claim.fingerprint, record)
        record.source = source
        self._wait(claim.fingerprint, record, why, until_ms)
        self._decide(record, claim, why, figures, anew=other)

    def _wait(self, name: str, record: Record, why: str, until_ms: int | None) -> None:
        record.held, record.until_ms = why, until_ms
        self._waiting.setdefault(_queue(record), set()).add(name)
        if until_ms is not None:
            heappush(self._clock, (until_ms, name))
        self._dirty.add(ALERT + name)

    def _free(self, name: str, record: Record) -> None:
        if record.held:
            queue = _queue(record)
            self._waiting[queue].discard(name)
            if not self._waiting[queue]:
                del self._waiting[queue]
            record.held, record.until_ms, record.source = "", None, ""
            self._dirty.add(ALERT + name)

    def _tell(self, record: Record, claim: Claim, told: list[Claim]) -> None:
        if self._grouped is not None:
            group = grouping.group_of(self._grouped, labels_of(claim))
            claim = msgspec.structs.replace(claim, group=group)
        told.append(claim)
        record.note(claim, self._at_ms, TOLD)
        self._decide(record, claim, TOLD, {})

    def _decide(
        self, record: Record, claim: Claim, reason: str, figures: dict[str, Any], *, anew: bool = False
    ) -> None:
        """Say what became of an alert where it is something new, or with ``anew`` for something else."""
        self._dirty.add(ALERT + claim.fingerprint)
        if record.outcome != reason:
            record.outcome, record.since_ms = reason, self._at_ms
        elif not anew:
            return
        decision = Decision(
            stage="lane",
            alert=claim.alert,
            fingerprint=claim.fingerprint,
            labels=claim.labels,
            reason=reason,
            as_of_ms=self._at_ms,
            since_ms=record.since_ms,
            figures=figures,
        )
        self.decided.append(decision)

    def _forget(self) -> None:
        """Of alerts that are over, the histories that changed longest ago go, a part of them at a time."""
        if len(self.records) - len(self._inhibitor) <= self._kept:
            return
        over = [name for name, record in self.records.items() if record.claim is None]
        over.sort(key=lambda name: (self.records[name].past[-1].at_ms, name))
        for name in over[: len(over) - self._kept + self._kept // 8]:
            del self.records[name]
            self._dirty.add(ALERT + name)


def _queue(record: Record) -> str:
    """What it waits in: each limit has its own, and each alert that inhibits."""
    if record.held == LIMITED and record.claim is not None:
        return queue_of(record.claim.alert)
    return f"{INHIBITED}/{record.source}" if record.held == INHIBITED else record.held
