"""What is kept of one customer for rules over time, as the customers table holds it.

A customer whom no rule has been about has one byte of it. New fields go before ``mark`` with a default, so that
every value ever written still decodes: see ``Watch.mark``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.alerting.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

Shown = tuple[str, ...]
"""Dimensions of a record that its rule's texts name, in the order of their names; "" for an absent one."""

Moment = tuple[int, int, str, int, Shown]
"""A record of note: event time, which of the rule's sorts it is of (a bit each, the last for what is waited
for), event id, its ``due_at`` or 0, and what texts show of it."""

TOLD, SUPPRESSED, DELAYED, WITHDRAWN = range(4)
"""What became of an alert: it went out, or never will; it waits; it went out and was taken back."""


class Begun(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Steps of a sequence that were seen: since when, of which record, until when it counts."""

    start_ms: int
    event_id: str
    over_ms: int
    steps: int
    shown: Shown


class Found(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An alert that a history comes to.

    Attributes:
        at_ms: Since when it holds.
        start_ms: Time of the record at which it began.
        event_id: Id of the record that is named as its cause.
        shown: Of that record.
        end_ms: When it was over; -1: it is not.
        waits: Whether it is only known once everything up to ``at_ms`` is.
    """

    at_ms: int
    start_ms: int
    event_id: str
    shown: Shown
    end_ms: int = -1
    waits: bool = False


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What moments that were given up leave behind.

    Attributes:
        begun: Sequences of which steps are missing, the earliest first.
        waiting: One that is complete but for what should not come.
        current: The alert that goes on.
        recent: Times of the newest records counted.
    """

    begun: tuple[Begun, ...] = ()
    waiting: Begun | None = None
    current: Found | None = None
    recent: tuple[int, ...] = ()


class Trail(msgspec.Struct, array_like=True, gc=False):
    """The history of one rule and, where the rule ties records together, one reference."""

    rule: int
    ref: str
    #: Ascending.
    moments: list[Moment]
    held: Held | None = None
    #: Moments up to this time were given up; -1: none.
    floor_ms: int = -1
    #: When something is due next; 0: nothing is.
    due_ms: int = 0
    #: With a newer event of the customer than this it may be forgotten; 0: not as it is.
    until_ms: int = 0

    def before(self, from_ms: int) -> bool:
        """Whether it rests on a record of before a moment."""
        if self.moments and self.moments[0][0] < from_ms:
            return True
        held = self.held
        if held is None:
            return False
        times = [one.start_ms for one in (*held.begun, held.waiting, held.current) if one is not None]
        return min([*times, *held.recent], default=from_ms) < from_ms

    def cut(self, from_ms: int | None) -> None:
        """Forget the records of before a moment; None: all."""
        self.held = None
        self.moments = [] if from_ms is None else [each for each in self.moments if each[0] >= from_ms]
        if self.due_ms and from_ms is not None:
            self.due_ms = max(self.due_ms, from_ms)  # what is due then is worked out anew


class Told(msgspec.Struct, array_like=True, gc=False):
    """An alert and what became of it, as long as anything may still change it."""

    #: 0: of a rule over one record, which nothing changes any more.
    rule: int
    ref: str
    at_ms: int
    event_id: str
    status: int
    #: Whether it may be over some time: else it has no end.
    lives: bool
    end_ms: int = -1
    #: When it is told, if it is delayed.
    due_ms: int = 0
    #: Transitions so far after the first.
    times: int = 0
    #: The claim, encoded, unless it was suppressed.
    claim: bytes = b""


class Watch(msgspec.Struct, array_like=True, gc=False):
    """All that rules over time know of a customer. ``Watch()`` is one they know nothing about."""

    #: The moment for which the customer is in the index of timers; 0: in none.
    alarm_ms: int = 0
    trails: list[Trail] = []
    told: list[Told] = []
    #: Rule over time -> event time it last fired at: for cooldowns.
    fired: dict[str, int] = {}
    #: When the customer was contacted.
    contacts: list[int] = []
    #: Alerts of rules with a limit: the rule, event time, what became of it (``limits``).
    limited: list[tuple[str, int, int]] = []
    #: Every so often signals are looked at: all such looks up to this moment are done.
    looked_ms: int = 0
    #: Always 1, so that a customer of whom nothing is known is told by its last bytes (``state.UNTOLD``).
    mark: int = 1

    @property
    def due_ms(self) -> int:
        """When something is due next; 0: nothing is."""
        dues = [trail.due_ms for trail in self.trails if trail.due_ms]
        dues += [told.due_ms for told in self.told if told.status == DELAYED]
        return min(dues, default=0)

    @property
    def blank(self) -> bool:
        """Whether nothing is known."""
        kept = self.trails or self.told or self.fired or self.contacts or self.limited
        return not (self.alarm_ms or self.looked_ms or kept)


NOTHING: Final = msgspec.Raw(b"\xc0")
"""A watch that was never begun."""


def outlived(watch: Watch, since: Mapping[int, int | None]) -> tuple[list[Told], list[Trail]]:
    """What rules have kept of a customer that do not hold any more.

    Records may be ahead of the time, and after a crash whole customers are: what a rule has kept since a moment
    from which on it holds again is not meant.

    Args:
        watch: of the customer.
        since: Mark of each rule that holds, None, or that will hold again, from when on.
    """
    told = [one for one in watch.told if one.rule and one.at_ms < (since.get(one.rule, NEVER) or 0)]
    trails = [
        one
        for one in watch.trails
        if (from_ms := since.get(one.rule, NEVER)) is not None and (from_ms == NEVER or one.before(from_ms))
    ]
    return told, trails


_decoder: Final = msgspec.msgpack.Decoder(Watch | None)


def read_watch(raw: msgspec.Raw) -> Watch:
    """A watch as written.

    Raises:
        msgspec.DecodeError: what was written is none.
    """
    return _decoder.decode(raw) or Watch()
