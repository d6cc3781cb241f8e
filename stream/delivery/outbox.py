"""What one partition of ``cx.alerts`` owes to whom: taken in, sent, tried again, parked. Pure: time is given.

Everything here is in the table ``deliveries``, so whoever takes the partition over goes on from there. An alert is
sent at least once to each of its targets, always with the event's id; alerts of one fingerprint in their order.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from stream.delivery.ledger import Ledger
from stream.delivery.line import CUSTOMER_HELD_MS, Parcel
from stream.delivery.model import Kind
from stream.delivery.notice import Unreadable, decode
from stream.delivery.push import lasts
from stream.delivery.records import (
    HELD,
    ID,
    SEEN,
    TARGET,
    Entry,
    Fate,
    Held,
    Outcome,
    Try,
    Verdict,
    alert_key,
    redrive_of,
)
from stream.delivery.routes import targets_of
from stream.delivery.schedule import delay_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.delivery.line import Line
    from stream.delivery.model import DeliveryPlan, Target
    from stream.delivery.notice import Notice

#: Alerts of a partition that are owed or parked, at most; beyond, the longest parked are forgotten first.
MOST: Final = 10_000
#: Alerts that fire in an Alertmanager and are pushed again, for each target and partition.
MOST_HELD: Final = 5_000
#: An alert that a target refuses so often is parked.
REFUSALS: Final = 5
#: Parked alerts are kept so long.
PARKED_MS: Final = 28 * 24 * 3_600_000
#: Of so many alerts the ids are known: one that is told again after a crash is not sent again.
IDS: Final = 1_024
#: Bytes of an event: with what is written beside it, it has to fit into a record of the table.
LARGEST: Final = 512 * 1024


class Outbox(Ledger):
    """The state of one partition, and what is done about it.

    Args:
        plan, seed: of the ledger.
        erased: whether a customer is erased, as far as an offset of ``cx.alerts`` goes.
    """

    def __init__(
        self, plan: DeliveryPlan, seed: str, erased: Callable[[str, int], bool] = lambda _name, _at: False
    ) -> None:
        super().__init__(plan, seed)
        self._erased = erased

    # -- what comes in ---------------------------------------------------------------------------------

    def take(self, offset: int, told_ms: int, event: bytes | None, now_ms: int) -> Verdict | None:
        """Take in a record of ``cx.alerts``; ``told_ms`` is its time on the topic. None: it is in already."""
        if offset <= self._seen["alerts"]:
            return None
        self._seen["alerts"] = offset
        self._dirty[f"{SEEN}alerts"] = None
        if event is not None and len(event) > LARGEST:
            return Verdict.TOO_LARGE
        try:
            notice = decode(event or b"")
        except Unreadable:
            return Verdict.UNREADABLE
        if self._of_erased(notice, offset):
            return Verdict.ERASED
        targets = targets_of(self.plan, notice)
        verdict = self._judge(offset, told_ms, notice, now_ms) if targets else Verdict.UNROUTED
        if verdict is Verdict.ROUTED and offset not in self._entries:  # a crash may have kept it
            self._owe(offset, told_ms, event or b"", notice, targets, now_ms)
        return verdict

    def _judge(self, offset: int, told_ms: int, notice: Notice, now_ms: int) -> Verdict:
        if self._ids.get(notice.id, offset % IDS) != offset % IDS:
            return Verdict.REPEATED
        if now_ms - told_ms > self.plan.give_up_ms:
            return Verdict.TOO_OLD
        if self.plan.stale_ms is not None and now_ms - notice.as_of_ms > self.plan.stale_ms:
            return Verdict.STALE
        self._know(notice.id, offset)
        return Verdict.ROUTED

    def _owe(
        self, offset: int, told_ms: int, event: bytes, notice: Notice, targets: list[Target], now_ms: int
    ) -> None:
        mark = notice.data.fingerprint
        entry = Entry(notice.id, mark, told_ms, event, {})
        self._entries[offset] = entry
        for target in targets:
            line = self.lines[target.key]
            if target.kind is Kind.ALERTMANAGER:
                self._supersede(line, mark)
            tried = entry.to[target.key] = Try(now_ms)
            if line.trouble is not None and line.trouble.gone:
                self._park(offset, target.key, tried, "gone", now_ms)
            else:
                line.add(offset, mark)
        self._dirty[alert_key(offset)] = None
        self._bound()

    def redrive(self, offset: int, request: bytes | None, now_ms: int) -> int:
        """Take in a record of ``cx.redrives``; says how many are owed again."""
        if offset <= self._seen["redrives"]:
            return 0
        self._seen["redrives"] = offset
        self._dirty[f"{SEEN}redrives"] = None
        try:
            wanted = redrive_of(request or b"")
        except (msgspec.DecodeError, ValueError):
            return 0
        for key, line in self.lines.items():
            if wanted.target in (None, key) and line.trouble is not None:
                line.trouble = None  # also where nothing is parked: what is owed need not wait
                self._dirty[TARGET + key] = None
        ids = None if wanted.ids is None else set(wanted.ids)
        count = 0
        for place in list(self._parked):
            at, key = place
            entry = self._entries[at]
            if key in self.lines and wanted.target in (None, key) and (ids is None or entry.id in ids):
                del self._parked[place]
                entry.to[key] = Try(now_ms)
                self.lines[key].add(at, entry.fingerprint)
                self._dirty[alert_key(at)] = None
                count += 1
        return count

    def forget(self) -> int:
        """Drop every alert about a customer who is erased by now; says how many."""
        found = [at for at, entry in self._entries.items() if self._of_erased(decode(entry.event), at)]
        for offset in found:
            for key in list(self._entries[offset].to):
                self._drop(offset, key)
        for key, line in self.lines.items():
            held = [m for m, each in line.held.items() if self._of_erased(decode(each.event), each.offset)]
            for mark in held:
                del line.held[mark]
                self._dirty[f"{HELD}{key}/{mark}"] = None
        return len(found)

    def _of_erased(self, notice: Notice, offset: int) -> bool:
        return notice.customer is not None and self._erased(notice.customer, offset)

    def _know(self, event_id: str, offset: int) -> None:
        slot = offset % IDS
        old = self._ring.get(slot)
        if old is not None and self._ids.get(old) == slot:
            del self._ids[old]
        self._ring[slot] = event_id
        self._ids[event_id] = slot
        self._dirty[f"{ID}{slot}"] = None

    def _supersede(self, line: Line, fingerprint: str) -> None:
        """An Alertmanager is told how things are, not how they were."""
        key = line.target.key
        parked = [at for at, of in self._parked if of == key and self._entries[at].fingerprint == fingerprint]
        for offset in [*line.waiting(fingerprint), *parked]:
            self._drop(offset, key)
            self.fates[key, Fate.SUPERSEDED] += 1

    # -- what goes out ---------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[Parcel]:
        """The requests that are to be made now; each has to be settled."""
        found = []
        for line in self.lines.values():
            while offsets := line.take(now_ms):
                events = tuple(self._entries[offset].event for offset in offsets)
                found.append(Parcel(line.target, tuple(offsets), events, now_ms))
            while marks := line.again(now_ms):
                events = tuple(held.event for held in self._pushed(line, marks, now_ms))
                found.append(Parcel(line.target, (), events, now_ms))
        return found

    def _pushed(self, line: Line, marks: tuple[str, ...], now_ms: int) -> list[Held]:
        found = []
        for mark in marks:
            held = line.held[mark]
            found.append(held)  # once more: it is over a while after the last push
            if now_ms - held.since_ms > CUSTOMER_HELD_MS and decode(held.event).customer is not None:
                del line.held[mark]
                self._dirty[f"{HELD}{line.target.key}/{mark}"] = None
        return found

    def next_ms(self, now_ms: int) -> int | None:
        """When ``due`` may have something; None: not before something comes in or is settled."""
        moments = [at for line in self.lines.values() if (at := line.next_ms(now_ms)) is not None]
        return min(moments, default=None)

    def settle(self, parcel: Parcel, outcome: Outcome, now_ms: int) -> None:
        """A request has ended."""
        line = self.lines[parcel.target.key]
        line.requests -= 1
        key = parcel.target.key
        if outcome.kind == "delivered":
            self._recovered(line)
            for offset in parcel.offsets:
                self._delivered(line, offset, now_ms)
        elif outcome.kind == "refused":
            self._recovered(line)  # it answers; it does not want this one
            self._refused(line, parcel, outcome, now_ms)
        else:
            line.failed(now_ms, parcel.started_ms, outcome.why, outcome.retry_after_ms, self._seed)
            self._dirty[TARGET + key] = None
            for offset in parcel.offsets:
                if (tried := self._owed(offset, key)) is not None:
                    tried.tries += 1
                    tried.why, tried.at_ms = outcome.why, now_ms
                    self._dirty[alert_key(offset)] = None
                    line.retry(offset, 0)
            if outcome.kind == "gone" and line.trouble is not None:
                line.trouble.gone = True
                for offset in list(line.owed):
                    self._park(offset, key, self._entries[offset].to[key], "gone", now_ms)
        self._give_up(line, now_ms)
        self._bound()

    def _recovered(self, line: Line) -> None:
        if line.trouble is not None:
            line.trouble = None
            self._dirty[TARGET + line.target.key] = None

    def _delivered(self, line: Line, offset: int, now_ms: int) -> None:
        key = line.target.key
        if self._owed(offset, key) is None:
            return  # forgotten meanwhile
        self.fates[key, Fate.DELIVERED] += 1
        if line.target.kind is Kind.ALERTMANAGER:
            entry = self._entries[offset]
            self._hold(line, offset, entry, now_ms)
        self._drop(offset, key)

    def _hold(self, line: Line, offset: int, entry: Entry, now_ms: int) -> None:
        notice, mark = decode(entry.event), entry.fingerprint
        if lasts(notice):
            since_ms = line.held[mark].since_ms if mark in line.held else now_ms
            line.hold(mark, Held(entry.event, since_ms, offset), now_ms)
            if len(line.held) > MOST_HELD:
                oldest = next(iter(line.held))
                del line.held[oldest]
                self._dirty[f"{HELD}{line.target.key}/{oldest}"] = None
        elif not notice.momentary and line.held.pop(mark, None) is None:
            return
        self._dirty[f"{HELD}{line.target.key}/{mark}"] = None

    def _refused(self, line: Line, parcel: Parcel, outcome: Outcome, now_ms: int) -> None:
        key = parcel.target.key
        for offset in parcel.offsets:
            tried = self._owed(offset, key)
            if tried is None:
                continue
            tried.tries += 1
            tried.refusals += 1
            tried.why, tried.at_ms = outcome.why, now_ms
            self._dirty[alert_key(offset)] = None
            if tried.refusals >= REFUSALS:
                self._park(offset, key, tried, outcome.why, now_ms)
                continue
            tried.next_ms = now_ms + delay_ms(tried.refusals, f"{self._seed}\0{key}\0{offset}")
            # Of many that went together nobody knows which it was.
            line.retry(offset, tried.next_ms, alone=True)

    def _give_up(self, line: Line, now_ms: int) -> None:
        key = line.target.key
        pushes = line.target.kind is Kind.ALERTMANAGER
        for offset in list(line.owed) if line.trouble is not None else ():
            entry = self._entries[offset]
            tried = entry.to[key]
            if now_ms - tried.since_ms <= self.plan.give_up_ms:
                break  # the longest owed come first
            if offset in line.flying:
                continue
            notice = decode(entry.event) if pushes else None
            if notice is not None and lasts(notice):
                continue  # it is told how things are, whenever it is back
            if notice is not None and notice.over:
                self._drop(offset, key)  # nobody pushed it, so it is over there for long
                self.fates[key, Fate.SUPERSEDED] += 1
            else:
                self._park(offset, key, tried, tried.why or line.trouble.why if line.trouble else "", now_ms)

    def _bound(self) -> None:
        while len(self._entries) > MOST:
            if self._parked:
                offset, key = next(iter(self._parked))
            else:
                offset = next(iter(self._entries))
                key = next(iter(self._entries[offset].to))
            self.fates[key, Fate.LOST] += 1
            self._drop(offset, key)

    def tidy(self, now_ms: int) -> None:
        """Now and then: what has been parked for very long is forgotten."""
        for offset, key in list(self._parked):
            if now_ms - self._entries[offset].to[key].at_ms <= PARKED_MS:
                break
            self._drop(offset, key)

    # -- for metrics -----------------------------------------------------------------------------------

    def levels(self) -> dict[str, tuple[int, int, int | None, bool]]:
        """Of each target: how many are owed, how many parked, since when the longest, and whether it is well."""
        parked = Counter(key for _, key in self._parked)
        found = {}
        for key, line in self.lines.items():
            first = next(iter(line.owed), None)
            since = None if first is None else self._entries[first].to[key].since_ms
            found[key] = (len(line.owed), parked[key], since, line.trouble is None)
        return found
