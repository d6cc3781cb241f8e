"""Rules over what one customer does over time: expectations, sequences, counts, and signals that hold.

What has happened is kept as moments, and what is told of it as a difference: after every record, and whenever
something is due, the alerts that the history comes to are compared with those that were told. So a record that
comes late takes back what was told too soon (``withdrawn``), changes it (``amended``), or ends it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.alerting.claims import decode_claim, encode_claim
from stream.alerting.compiled import SPOKEN, compiled, looking, moment_of, patterns_of, tells
from stream.alerting.contact import Gate, Outbox, Reason
from stream.alerting.history_claims import history_claim, moved, signal_claim, signal_figures
from stream.alerting.model import SignalRule
from stream.alerting.records import RecordIndex
from stream.alerting.sequences import NOTHING_HELD
from stream.alerting.watch import DELAYED, SUPPRESSED, TOLD, WITHDRAWN, Told, Trail, Watch, outlived

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from stream.alerting.claims import Claim
    from stream.alerting.compiled import History, Looking
    from stream.alerting.model import HistoryRule, Rule, RuleBook
    from stream.alerting.records import EventLike
    from stream.alerting.watch import Found

#: Histories held of one customer, and moments of each; further back moments are only summed up.
MOST_TRAILS: Final = 64
MOST_MOMENTS: Final = 64
#: An alert that waits for its end is remembered for so long at least.
LINGER_MS: Final = 30 * 86_400_000

#: Why something about a history was left out.
NO_REFERENCE: Final = "no_reference"
BEYOND_HISTORY: Final = "beyond_history"
OVER_CAPACITY: Final = "over_capacity"

#: Why an alert that was told is not as it was.
LATE_DATA: Final = "late_data"
CAME_LATE: Final = "came_late"
NO_LONGER_HOLDS: Final = "no_longer_holds"
RULE_REMOVED: Final = "rule_removed"


@dataclass(slots=True)
class Turn:
    """A customer whose turn it is.

    Attributes:
        customer_id: Whose.
        first_ms: Time of the customer's oldest event, from which on it is looked at every so often.
        last_ms: Time of the newest.
        watch: What is kept; changed in place.
        signals: Works signals out, as of a moment.
        gate: What alerts have to pass.
        outbox: Takes what is told.
        clock_ms: Up to when everything is known.
        reach_ms: How far behind the newest event others may come.
        only: Marks of the rules that judge; None: all.
    """

    customer_id: str
    first_ms: int
    last_ms: int
    watch: Watch
    signals: Callable[[int], Mapping[str, Any]]
    gate: Gate
    outbox: Outbox
    clock_ms: int
    reach_ms: int
    only: Collection[int] | None = None


class HistoryRules:
    """The rules over time of a book, compiled once.

    Args:
        book: with such rules or without.

    Attributes:
        marks: Of all its rules.
        rules: All rules about customers, by name.
        signals: Names of the signals that are looked at.
    """

    def __init__(self, book: RuleBook) -> None:
        self.rules: Final[dict[str, Rule]] = {
            rule.alert: rule for rule in (*book.customer_rules, *book.history_rules)
        }
        histories = [compiled(rule) for rule in book.history_rules if not isinstance(rule, SignalRule)]
        self._histories = {one.mark: one for one in histories}
        self._looks = [looking(rule) for rule in book.history_rules if isinstance(rule, SignalRule)]
        self.marks: Final = frozenset(self._histories) | {one.mark for one in self._looks}
        self._index = RecordIndex(
            (pattern.on, pattern.tests, (one, 1 << bit))
            for one in histories
            for bit, pattern in enumerate(patterns_of(one.rule))
        )
        self.signals: Final = frozenset(name for one in self._looks for name, _ in one.tests)
        self._moved_by = {kind: self._told_on(kind) for kind in SPOKEN}

    @property
    def looks(self) -> bool:
        """Whether every customer is looked at now and then."""
        return bool(self._looks)

    def concerned(self, event: EventLike) -> bool:
        """Whether ``note`` has to look closer; False for most records, at the cost of one look-up."""
        return bool(self._looks or self._index.likely(event))

    def note(self, event: EventLike, turn: Turn) -> None:
        """Take in a record of the customer, after its signals have."""
        hits: dict[int, int] = {}
        for one, bit in self._index.found(event):
            if turn.only is None or one.mark in turn.only:
                hits[one.mark] = hits.get(one.mark, 0) | bit
        for mark, sorts in hits.items():
            self._take(self._histories[mark], sorts, event, turn)
        if turn.watch.trails:
            _forget(turn)
        looks = self._moved(event)
        if looks:
            self._look(looks, max(event.time_ms, turn.last_ms), event.event_id, turn)

    def tells_nothing(self, event: EventLike, signal: Callable[[str], Any]) -> bool:
        """Whether ``note`` comes to nothing where neither histories are kept of a customer, nor alerts.

        Args:
            event: A record of the customer.
            signal: Works one signal out, after the record.
        """
        if self._index.likely(event):
            return False
        for _, _, tests in self._moved(event):
            for name, passes in tests:
                if not passes(signal(name)):
                    break
            else:
                return False
        return True

    def due(self, due_ms: int, turn: Turn) -> None:
        """Do what is due by now: ``due_ms`` is the moment ``next_ms`` has said."""
        watch = turn.watch
        looks = {one.mark for one in self._looks}
        for told in [one for one in watch.told if one.status == DELAYED and one.due_ms <= due_ms]:
            turn.gate.tell_late(self.rules, watch, told, turn.outbox, turn.clock_ms)
            if told.status != DELAYED and not _followed(told, watch, looks):
                watch.told.remove(told)
        for trail in watch.trails:
            history = self._histories.get(trail.rule)
            if trail.due_ms and trail.due_ms <= due_ms and history is not None:
                self._settle(history, trail, turn)
        age_ms = due_ms - turn.first_ms
        due = [one for one in self._looks if age_ms > 0 and age_ms % one.rule.every_ms == 0]
        if due:
            self._look(due, max(due_ms, turn.last_ms), str(due_ms), turn)

    def next_ms(self, watch: Watch, first_ms: int, clock_ms: int) -> int:
        """When a customer has to be looked at next; 0: never.

        Every so often since the first event: at a time of their own, so that not all come at once.
        """
        due_ms = watch.due_ms
        age_ms = max(clock_ms - first_ms, watch.looked_ms - first_ms, 0)
        for one in self._looks:
            every_ms = one.rule.every_ms
            look_ms = first_ms + (age_ms // every_ms + 1) * every_ms
            due_ms = min(due_ms, look_ms) if due_ms else look_ms
        return due_ms

    def take_over(self, at_ms: int, since: Mapping[int, int | None], turn: Turn) -> None:
        """Let go of what rules have kept that do not hold any more; their alerts are over at ``at_ms``.

        Args:
            at_ms: the moment.
            since: see ``outlived``.
            turn: whose turn it is.
        """
        told, trails = outlived(turn.watch, since)
        for one in told:
            ends_ms = max(at_ms, one.at_ms)
            if one.lives and one.end_ms < 0:
                self._over(one, ends_ms, RULE_REMOVED, turn)
            elif one.status == DELAYED:
                turn.outbox.decide(decode_claim(one.claim), Reason.OVER_BEFORE_TOLD)
            turn.watch.told.remove(one)
        for trail in trails:
            trail.cut(since.get(trail.rule))
            if not trail.moments:
                turn.watch.trails.remove(trail)

    def _moved(self, event: EventLike) -> tuple[Looking, ...]:
        """The rules on whose signals a record may tell."""
        looks = self._moved_by.get(event.kind)
        return self._moved_by[""] if looks is None else looks

    def _told_on(self, kind: str | None) -> tuple[Looking, ...]:
        """The rules on whose signals a record of a kind may tell; None: a reply, "": any other kind."""
        return tuple(one for one in self._looks if any(tells(kind, name) for name, _ in one.tests))

    def _take(self, history: History, sorts: int, event: EventLike, turn: Turn) -> None:
        ref = ""
        if history.same_ref:
            ref = getattr(event, "ref", None) or ""
            if not ref:
                turn.outbox.counted[NO_REFERENCE] += 1
                return
        watch = turn.watch
        for trail in watch.trails:
            if trail.rule == history.mark and trail.ref == ref:
                break
        else:
            trail = Trail(history.mark, ref, [])
            if len(watch.trails) >= MOST_TRAILS:
                watch.trails.remove(min(watch.trails, key=_needed))
                turn.outbox.counted[OVER_CAPACITY] += 1
            watch.trails.append(trail)
        if event.time_ms <= trail.floor_ms:
            turn.outbox.counted[BEYOND_HISTORY] += 1
            return
        insort(trail.moments, moment_of(history, sorts, event))
        self._settle(history, trail, turn)

    def _settle(self, history: History, trail: Trail, turn: Turn) -> None:
        """Tell what differs from what was told, and say when to look again."""
        watch, clock_ms = turn.watch, turn.clock_ms
        found, _ = history.walk(trail.held or NOTHING_HELD, trail.moments)
        told = {one.at_ms: one for one in watch.told if one.rule == history.mark and one.ref == trail.ref}
        true = {one.at_ms: one for one in reversed(found)}
        for at_ms, known in told.items():
            if at_ms in true or known.status == WITHDRAWN:
                continue
            if at_ms > trail.floor_ms:
                self._withdraw(history.rule.alert, known, turn)
            else:  # nothing can change it any more
                watch.told.remove(known)
        due_ms = 0
        for at_ms in sorted(true):
            one, was = true[at_ms], told.get(at_ms)
            if was is not None and was.status != WITHDRAWN:
                self._compare(history, trail.ref, was, one, turn)
            elif one.waits and at_ms > clock_ms:
                due_ms = min(due_ms, at_ms) if due_ms else at_ms
            elif at_ms > trail.floor_ms:
                self._fire(history, trail.ref, was, one, turn)
        trail.due_ms = due_ms
        _trim(history, trail, min(turn.last_ms, clock_ms) - turn.reach_ms)
        newest_ms = trail.moments[-1][0] if trail.moments else trail.floor_ms
        until_ms = newest_ms + history.rule.within_ms
        if history.lives and found and found[-1].end_ms < 0:
            until_ms = max(until_ms, found[-1].at_ms + LINGER_MS)
        trail.until_ms = 0 if due_ms else until_ms + turn.reach_ms

    def _fire(self, history: History, ref: str, was: Told | None, found: Found, turn: Turn) -> None:
        cause = found.event_id
        told = was
        if told is None:
            told = Told(history.mark, ref, found.at_ms, cause, SUPPRESSED, history.lives)
            turn.watch.told.append(told)
        else:
            told.event_id, told.end_ms = cause, -1
            cause = f"{cause}/{told.times}"
        claim = history_claim(history.rule, turn.customer_id, ref, found, cause)
        told.status = SUPPRESSED
        if _cooled(history.rule, claim, turn):
            turn.gate.tell(history.rule, claim, turn.watch, told, turn.outbox, turn.clock_ms)
        if found.end_ms >= 0:
            self._over(told, found.end_ms, CAME_LATE, turn)

    def _compare(self, history: History, ref: str, told: Told, found: Found, turn: Turn) -> None:
        """An alert that was told already: whether late data made it another, or it is over."""
        if told.event_id != found.event_id:
            told.event_id = found.event_id
            if told.claim:
                fresh = history_claim(history.rule, turn.customer_id, ref, found, found.event_id)
                self._amend(told, fresh, turn)
        if told.end_ms == found.end_ms:
            return
        if told.end_ms < 0:
            self._over(told, found.end_ms, CAME_LATE, turn)
            return
        told.end_ms = found.end_ms
        if told.claim:
            self._amend(told, decode_claim(told.claim), turn)

    def _amend(self, told: Told, fresh: Claim, turn: Turn) -> None:
        known = decode_claim(told.claim)
        kept = msgspec.structs.replace(
            known, figures=fresh.figures, annotations=fresh.annotations, links=fresh.links
        )
        told.claim = encode_claim(kept)
        if told.status != TOLD:
            return
        ends_ms = None if told.end_ms < 0 else told.end_ms
        as_of_ms = max(kept.as_of_ms, told.end_ms)
        cause = _cause(told)
        turn.outbox.tell(moved(kept, "amended", LATE_DATA, as_of_ms, ends_at_ms=ends_ms, cause=cause))

    def _withdraw(self, alert: str, told: Told, turn: Turn) -> None:
        if told.status == TOLD:
            claim = decode_claim(told.claim)
            at_ms = claim.as_of_ms
            cause = _cause(told)
            turn.outbox.tell(moved(claim, "withdrawn", LATE_DATA, at_ms, ends_at_ms=at_ms, cause=cause))
        elif told.status == DELAYED:
            turn.outbox.decide(decode_claim(told.claim), Reason.OVER_BEFORE_TOLD)
        told.status, told.due_ms, told.claim = WITHDRAWN, 0, b""
        if turn.watch.fired.get(alert) == told.at_ms:  # what never was begins no cooldown
            del turn.watch.fired[alert]

    def _over(
        self,
        told: Told,
        end_ms: int,
        reason: str,
        turn: Turn,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """An alert is over: that is told if it was told itself."""
        told.end_ms = end_ms
        if told.status == DELAYED:
            turn.outbox.decide(decode_claim(told.claim), Reason.OVER_BEFORE_TOLD)
            told.status, told.due_ms, told.claim = SUPPRESSED, 0, b""
        elif told.status == TOLD:
            claim = decode_claim(told.claim)
            as_of_ms = max(end_ms, claim.as_of_ms)
            turn.outbox.tell(
                moved(
                    claim,
                    "resolved",
                    reason,
                    as_of_ms,
                    ends_at_ms=end_ms,
                    cause=_cause(told),
                    figures=figures,
                )
            )

    def _look(self, looks: Iterable[Looking], at_ms: int, cause: str, turn: Turn) -> None:
        """See whether signals hold: an alert when they begin to, and its end when they no longer do."""
        values: Mapping[str, Any] | None = None
        watch = turn.watch
        for mark, rule, tests in looks:
            if turn.only is not None and mark not in turn.only:
                continue
            values = turn.signals(at_ms) if values is None else values
            holds = all(passes(values.get(name)) for name, passes in tests)
            told = next((one for one in watch.told if one.rule == mark), None)
            if holds and told is None:
                claim = signal_claim(rule, turn.customer_id, at_ms, values, cause)
                if _cooled(rule, claim, turn):
                    told = Told(mark, "", at_ms, cause, SUPPRESSED, lives=True)
                    watch.told.append(told)
                    turn.gate.tell(rule, claim, watch, told, turn.outbox, turn.clock_ms)
            elif told is not None and not holds:
                figures = signal_figures(rule, values)
                self._over(told, at_ms, NO_LONGER_HOLDS, turn, figures)
                watch.told.remove(told)


def _cause(told: Told) -> str:
    """What tells a transition of an alert from every other one."""
    told.times += 1
    return f"{told.at_ms}/{told.event_id}/{told.times}"


def _cooled(rule: HistoryRule, claim: Claim, turn: Turn) -> bool:
    """Whether a rule is not in its cooldown for the customer; then the next one begins."""
    if not rule.cooldown_ms:
        return True
    fired, at_ms = turn.watch.fired, claim.as_of_ms
    last_ms = fired.get(rule.alert)
    if last_ms is not None and at_ms < last_ms + rule.cooldown_ms:
        turn.outbox.decide(claim, Reason.IN_COOLDOWN, last_ms)
        return False
    fired[rule.alert] = at_ms
    return True


def _forget(turn: Turn) -> None:
    """Drop the histories that no event can reach any more, with what was told of them."""
    watch = turn.watch
    gone = {(one.rule, one.ref) for one in watch.trails if one.until_ms and one.until_ms < turn.last_ms}
    if gone:
        watch.trails = [one for one in watch.trails if (one.rule, one.ref) not in gone]
        watch.told = [one for one in watch.told if (one.rule, one.ref) not in gone or one.status == DELAYED]


def _followed(told: Told, watch: Watch, looks: Collection[int]) -> bool:
    """Whether anything may still change an alert."""
    return told.rule in looks or any((one.rule, one.ref) == (told.rule, told.ref) for one in watch.trails)


def _trim(history: History, trail: Trail, floor_ms: int) -> None:
    """Give up the moments before ``floor_ms``, and those beyond what is held: what follows from them stays."""
    moments = trail.moments
    cut = bisect_left(moments, (floor_ms,))
    if len(moments) - cut > MOST_MOMENTS:
        most = len(moments) - MOST_MOMENTS // 2
        # Between two times, as above, unless there is too much of one.
        between = bisect_left(moments, (moments[most][0],))
        cut = between if between and len(moments) - between <= MOST_MOMENTS else most
    if cut:
        _, trail.held = history.walk(trail.held or NOTHING_HELD, moments[:cut])
        trail.floor_ms = moments[cut - 1][0]
        del moments[:cut]


def _needed(trail: Trail) -> tuple[bool, int]:
    """Order in which histories are dropped: what nothing is due of first, the oldest first."""
    return trail.due_ms > 0, trail.moments[-1][0] if trail.moments else trail.floor_ms
