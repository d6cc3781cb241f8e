"""What the records of one customer come to under a rule over time: sequences and counts, as pure functions.

A rule's *walk* goes through moments in order of event time and answers with the alerts they come to and with
what has to be known to go on from there. So the oldest moments can be given up: for every cut,
``walk(held, old)`` followed by ``walk(its held, rest)`` finds the alerts of ``walk(held, old + rest)``. When a
record comes late the walk is done again, and what differs is what changes: nothing depends on the order of
arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from stream.alerting.watch import Begun, Found, Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.alerting.model import CountRule, SequenceRule
    from stream.alerting.watch import Moment

NOTHING_HELD: Final = Held()
#: Beginnings of a sequence that are followed at once; of more the earliest are given up.
MOST_BEGUN: Final = 16


class Walk(Protocol):
    """A rule over moments, ascending and after those in ``held``: alerts by time, and what to go on with."""

    def __call__(self, held: Held, moments: Sequence[Moment]) -> tuple[list[Found], Held]:
        """Walk."""


class SequenceWalk:
    """Steps one after the other within a time and, where it is said, something that should not follow.

    A record takes every sequence that waits for it one step on. The one that began first is the first to be
    complete, and then the others are forgotten. What it waits for may come until its time is over, at that
    very millisecond too; meanwhile no other is begun. Coming later, it ends the newest alert. A record may end
    one and begin the next. Where time is over at a record's ``due_at``, one without begins nothing.
    """

    def __init__(self, rule: SequenceRule) -> None:
        self._steps = len(rule.steps)
        self._within_ms = rule.within_ms
        self._due_at = rule.due_at
        self._waits = rule.unless is not None

    def __call__(self, held: Held, moments: Sequence[Moment]) -> tuple[list[Found], Held]:
        """See ``Walk``."""
        begun, waiting, current = list(held.begun), held.waiting, held.current
        found = [] if current is None else [current]
        ends = 1 << self._steps
        for moment in moments:
            time_ms, sorts = moment[0], moment[1]
            if waiting is not None and time_ms > waiting.over_ms:
                current = _overdue(waiting)
                found.append(current)
                waiting = None
            if sorts & ends:
                waiting = None
                if current is not None:
                    found[-1] = msgspec.structs.replace(current, end_ms=time_ms)
                    current = None
            if sorts & (ends - 1) and waiting is None:
                begun, complete = self._step(begun, moment)
                if complete is None:
                    continue
                begun = []
                if self._waits:
                    waiting = complete
                else:
                    found.append(Found(time_ms, complete.start_ms, complete.event_id, complete.shown))
        if waiting is not None:
            found.append(_overdue(waiting))
        return found, Held(tuple(begun), waiting, current)

    def _step(self, begun: list[Begun], moment: Moment) -> tuple[list[Begun], Begun | None]:
        """Those begun after a record, and the first that is complete."""
        time_ms, sorts, event_id, due_ms, shown = moment
        after: list[Begun] = []
        for one in begun:
            if time_ms > one.over_ms:
                continue
            on = sorts >> one.steps & 1
            after.append(msgspec.structs.replace(one, steps=one.steps + 1) if on else one)
        if sorts & 1 and (due_ms or not self._due_at):
            over_ms = time_ms + self._within_ms
            if self._due_at:
                over_ms = max(min(over_ms, due_ms), time_ms)
            after.append(Begun(time_ms, event_id, over_ms, 1, shown))
        complete = next((one for one in after if one.steps == self._steps), None)
        return after[-MOST_BEGUN:], complete


def _overdue(one: Begun) -> Found:
    return Found(one.over_ms, one.start_ms, one.event_id, one.shown, waits=True)


class CountWalk:
    """So many records within a time: an alert when there are, and another only after there were fewer."""

    def __init__(self, rule: CountRule) -> None:
        self._at_least = rule.at_least
        self._within_ms = rule.within_ms

    def __call__(self, held: Held, moments: Sequence[Moment]) -> tuple[list[Found], Held]:
        """See ``Walk``. Of ``current``, ``end_ms`` is until when there are enough."""
        recent, current = list(held.recent), held.current
        found = [] if current is None else [msgspec.structs.replace(current, end_ms=-1)]
        for time_ms, _, event_id, _, shown in moments:
            recent = [*recent[1 - self._at_least :], time_ms]
            if len(recent) < self._at_least or time_ms - recent[0] > self._within_ms:
                continue
            until_ms = recent[0] + self._within_ms
            if current is not None and time_ms <= current.end_ms:
                current = msgspec.structs.replace(current, end_ms=until_ms)
                continue
            current = Found(time_ms, recent[0], event_id, shown, until_ms)
            found.append(msgspec.structs.replace(current, end_ms=-1))
        return found, Held(current=current, recent=tuple(recent[1 - self._at_least :]))
