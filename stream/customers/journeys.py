"""What the history of one reference comes to: tickets, journeys, subscriptions, as pure functions.

A *moment* is what a history keeps of an event. A machine walks through the moments of one reference in order
of time and answers with *facts*, each of which counts somewhere in time and in the slices of the event that
opened. When an event arrives, facts that were not there before are counted and facts that are no longer true
are taken back, so the order of arrival does not matter: the sum is that of the facts of the whole history.

The oldest moments of a long history can be given up: ``Outcome.held`` is all that the rest needs to know of
them, and for every cut ``settled(old) + facts(held, rest) == facts(all)``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import msgspec

from stream.measures import DIMENSIONS, Dims

if TYPE_CHECKING:
    from collections.abc import Sequence

Moment = tuple[int, int, str]
"""Event time, role of the event, and its ``packed`` dimensions where it can open something, else "". Two
events that are alike in all three are one."""

Fact = tuple[int, str, int, int]
"""Time it counts at, packed dimensions it counts in, what it is, and an amount that depends on what it is."""

# What facts are, and their amounts.
ENDED: Final = 0  # a journey; 1: abandoned
RESOLVED: Final = 1  # a ticket; milliseconds since its opening
REOPENED: Final = 2  # a ticket
SESSION: Final = 3  # of support; 1: answered without a ticket
WAITED: Final = 4  # in a queue; milliseconds
SUBSCRIBED: Final = 5  # a customer without a live subscription got one
LOST: Final = 6  # a customer's last live subscription ended
EXPLAINED: Final = 7  # an overall answer with those that belong to it, as the text; its place

# Roles. Of the same millisecond the lower goes first.
OPENED, TICKET_RESOLVED, TICKET_REOPENED, SUPPORT, ANSWERED = 0, 1, 2, 3, 4  # of tickets
BEGUN, FINISHED, ABANDONED = 0, 1, 2  # of journeys
STARTED, CANCELLED = 0, 1  # of subscriptions
OVERALL, CANDIDATE = 0, 1  # of answers

# Why a moment does not fit its history.
NEVER_OPENED: Final = "never_opened"
NEGATIVE_DURATION: Final = "negative_duration"  # dated before its opening
ALREADY_OPEN: Final = "already_open"
ALREADY_RESOLVED: Final = "already_resolved"
ALREADY_ENDED: Final = "already_ended"
AFTER_DEADLINE: Final = "after_deadline"
OVER_CAPACITY: Final = "over_capacity"  # more is held of the customer already than is declared

#: A deadline more than an hour off is counted at the next full five minutes: so there are fewer cells ahead.
_LONG_MS: Final = 3_600_000
_ROUND_MS: Final = 300_000
#: Live subscriptions known of one customer.
MAX_LIVE: Final = 64


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the moments given up leave behind.

    Attributes:
        since_ms: When the ticket was opened, the journey begun, the first live subscription started; -1: none.
        place: Packed dimensions of that opening.
        is_open: Whether it is not resolved, ended, or lost yet.
        session_ms: Of the support session; -1: none.
        session_place: Its packed dimensions.
        answered: Whether self-service answered.
        ticketed: Whether a ticket was opened.
        live: References of the live subscriptions.
        answers: Time and text of the newest answer to each candidate.
    """

    since_ms: int = -1
    place: str = ""
    is_open: bool = False
    session_ms: int = -1
    session_place: str = ""
    answered: bool = False
    ticketed: bool = False
    live: tuple[int, ...] = ()
    answers: tuple[tuple[int, str], ...] = ()


NOTHING_HELD: Final = Held()


class Outcome(NamedTuple):
    """What a stretch of history comes to.

    Attributes:
        settled: Facts that moments after it cannot change.
        pending: Facts that hold as long as nothing more happens.
        problems: Reason of each moment that does not fit.
        held: What to go on with after these moments.
    """

    settled: list[Fact]
    pending: list[Fact]
    problems: list[str]
    held: Held


class Machine(Protocol):
    """A family of references."""

    def __call__(self, held: Held, moments: Sequence[Moment]) -> Outcome:
        """Walk through moments in ascending order, all after those in ``held``."""


def tickets(held: Held, moments: Sequence[Moment]) -> Outcome:
    """A ticket, and the support session of the same reference.

    Each resolution of the open ticket counts, with the time since the opening, reopened or not. What comes
    while nothing of the reference was opened counts nowhere. The session counts once, at its first event;
    it is deflected if self-service answered and no ticket was opened, whenever that was.
    """
    since, place, is_open = held.since_ms, held.place, held.is_open
    settled: list[Fact] = []
    problems: list[str] = []
    early = 0  # resolutions before any opening
    for time_ms, role, where in moments:
        if role == OPENED:
            if is_open:
                problems.append(ALREADY_OPEN)
                continue
            if since < 0 and early:
                problems = [NEGATIVE_DURATION] * early + problems[early:]
            since, place, is_open = time_ms, where, True
        elif role == TICKET_RESOLVED:
            if is_open:
                is_open = False
                settled.append((time_ms, place, RESOLVED, time_ms - since))
            else:
                early += since < 0
                problems.append(NEVER_OPENED if since < 0 else ALREADY_RESOLVED)
        elif role == TICKET_REOPENED:
            if since < 0 or is_open:
                problems.append(NEVER_OPENED if since < 0 else ALREADY_OPEN)
            else:
                is_open = True
                settled.append((time_ms, place, REOPENED, 0))
    session_ms, session_place, answered, ticketed = _session(held, moments)
    pending: list[Fact] = []
    if session_ms >= 0:
        pending.append((session_ms, session_place, SESSION, int(answered and not ticketed)))
    return Outcome(
        settled,
        pending,
        problems,
        Held(since, place, is_open, session_ms, session_place, answered, ticketed),
    )


def _session(held: Held, moments: Sequence[Moment]) -> tuple[int, str, bool, bool]:
    """The support session: when it was, where, whether self-service answered, and whether there was a ticket."""
    session_ms, place = held.session_ms, held.session_place
    answered, ticketed = held.answered, held.ticketed
    for time_ms, role, where in moments:
        if role == OPENED:
            ticketed = True
        elif role == ANSWERED:
            answered = True
        elif role == SUPPORT and session_ms < 0:
            session_ms, place = time_ms, where
    return session_ms, place, answered, ticketed


class Journey:
    """Something begun that should be finished within a time.

    The first beginning counts; it ends by the first finishing or abandoning event in its time, or else as
    abandoned at its deadline. After that another beginning begins another journey.

    Args:
        within_ms: The time there is; finishing at that very millisecond is in time.
        waits: Whether the time from beginning to finishing is a wait: it counts also after the deadline.
        quiet: Whether what finishes it may as well come without any beginning, as purchases do.
    """

    def __init__(self, within_ms: int, *, waits: bool = False, quiet: bool = False) -> None:
        self.within_ms: Final = within_ms
        self._waits = waits
        self._quiet = quiet

    def counted_ms(self, since_ms: int) -> int:
        """When one begun at ``since_ms`` counts as abandoned."""
        deadline_ms = since_ms + self.within_ms
        return deadline_ms if self.within_ms <= _LONG_MS else -(-deadline_ms // _ROUND_MS) * _ROUND_MS

    def __call__(self, held: Held, moments: Sequence[Moment]) -> Outcome:
        """See ``Machine``."""
        since, place, is_open = held.since_ms, held.place, held.is_open
        within_ms = self.within_ms
        settled: list[Fact] = []
        problems: list[str] = []
        early = 0
        for time_ms, role, where in moments:
            lapsed = is_open and time_ms > since + within_ms
            if role == BEGUN:
                if is_open and not lapsed:
                    continue
                if lapsed:
                    settled.append((self.counted_ms(since), place, ENDED, 1))
                elif since < 0 and early:
                    problems = [NEGATIVE_DURATION] * early
                since, place, is_open = time_ms, where, True
                continue
            finishes = role == FINISHED
            if is_open:
                is_open = False
                if lapsed:
                    problems.append(AFTER_DEADLINE)
                    settled.append((self.counted_ms(since), place, ENDED, 1))
                else:
                    settled.append((time_ms, place, ENDED, 0 if finishes else 1))
                if finishes and self._waits:
                    settled.append((time_ms, place, WAITED, time_ms - since))
            elif not (finishes and self._quiet):
                early += since < 0
                problems.append(NEVER_OPENED if since < 0 else ALREADY_ENDED)
        pending: list[Fact] = [(self.counted_ms(since), place, ENDED, 1)] if is_open else []
        return Outcome(settled, pending, problems, Held(since, place, is_open))


def subscriptions(held: Held, moments: Sequence[Moment]) -> Outcome:
    """All subscriptions of a customer: who has at least one alive is a subscriber.

    A moment's text is the reference's hash, and then the packed dimensions, as ``subscription`` makes it. A
    subscriber is lost in the slices in which it was won, so that the net of every slice adds up.
    """
    since, place = held.since_ms, held.place
    live = list(held.live)
    settled: list[Fact] = []
    problems: list[str] = []
    early: dict[int, int] = {}  # of references cancelled without a start: where the problem stands
    for time_ms, role, text in moments:
        ref, where = _split(text)
        if role == STARTED:
            if ref in live:
                continue
            if ref in early:
                problems[early.pop(ref)] = NEGATIVE_DURATION
            if len(live) >= MAX_LIVE:
                problems.append(OVER_CAPACITY)
                continue
            if not live:
                since, place = time_ms, where
                settled.append((time_ms, place, SUBSCRIBED, 0))
            live.append(ref)
        elif ref in live:
            live.remove(ref)
            if not live:
                settled.append((time_ms, place, LOST, 0))
                since, place = -1, ""
        else:
            early[ref] = len(problems)
            problems.append(NEVER_OPENED)
    return Outcome(settled, [], problems, Held(since, place, bool(live), live=tuple(live)))


class Answers:
    """The answers of a customer that may explain one another: see ``drivers.responses``.

    A candidate's moment has the text that ``answer`` makes, an overall one its place. All facts are pending: an
    answer that comes late may be nearer. Those of moments given up stay as they were.

    Args:
        within_ms: How far apart answers may lie to belong together.
    """

    def __init__(self, within_ms: int) -> None:
        self.within_ms: Final = within_ms

    def __call__(self, held: Held, moments: Sequence[Moment]) -> Outcome:
        """See ``Machine``."""
        given = [*held.answers, *((time_ms, text) for time_ms, role, text in moments if role == CANDIDATE)]
        pending: list[Fact] = []
        for moment_ms, role, overall in moments:
            if role == OVERALL:
                nearest: dict[str, tuple[int, str]] = {}
                for time_ms, text in given:
                    name, apart = text.partition("\0")[0], abs(time_ms - moment_ms)
                    if apart <= self.within_ms and (name not in nearest or apart < nearest[name][0]):
                        nearest[name] = apart, text
                if nearest:
                    texts = sorted(text for _, text in nearest.values())
                    pending.append((moment_ms, "\0".join(texts), EXPLAINED, int(overall)))
        newest = {text.partition("\0")[0]: (time_ms, text) for time_ms, text in given}
        return Outcome([], pending, [], Held(answers=tuple(newest.values())))


def answer(candidate: str, place: int) -> str:
    """The text of a candidate's moment: of one name, ascending with the place."""
    return f"{candidate}\0{place:05d}"


def answers_of(text: str) -> dict[str, int]:
    """Candidate -> place, of the text of a fact of ``Answers``."""
    parts = text.split("\0")
    return dict(zip(parts[::2], map(int, parts[1::2]), strict=True))


def subscription(ref: int, place: str) -> str:
    """The text of a moment of ``subscriptions``."""
    return f"{ref:x};{place}"


@lru_cache(maxsize=8192)
def _split(text: str) -> tuple[int, str]:
    ref, _, place = text.partition(";")
    return int(ref, 16), place


@lru_cache(maxsize=8192)
def pack(dims: Dims) -> str:
    """Dimensions as one text: short where most of them are None; ``unpack`` takes them back out.

    No dimension can hold NUL: intake refuses it.
    """
    return "\0".join(["" if value is None else "=" + value for value in dims]).rstrip("\0")


@lru_cache(maxsize=8192)
def unpack(place: str) -> Dims:
    """The dimensions that ``pack`` made a text of."""
    values = [text[1:] if text else None for text in place.split("\0")]
    values += [None] * (len(DIMENSIONS) - len(values))
    return cast("Dims", tuple(values))
