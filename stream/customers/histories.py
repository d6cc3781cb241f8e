"""Histories of a customer's references: kept within bounds, and an event at a time.

What of a history changed is given back as facts made and unmade (``journeys``). Within the bounds the order of
arrival does not matter; beyond them the oldest goes first, and is counted.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from .journeys import NOTHING_HELD, OVER_CAPACITY, Answers, Journey, Outcome
from .state import Story, Thread

if TYPE_CHECKING:
    from .journeys import Fact, Held, Machine, Moment
    from .state import CustomerConfig

BEYOND_HISTORY: Final = "beyond_history"
"""An event older than what is still held of its reference."""
HISTORY_TRIMMED: Final = "history_trimmed"
"""A moment that was summed up to make room: only an older event could tell."""

TICKETS: Final = "#t"
SUBSCRIPTIONS: Final = "#s"
DRIVERS: Final = "#d"


_STRAY: Final = Struct("<QQB")  # hash of the reference, event time, role
_EMPTY: Final = Outcome([], [], [], NOTHING_HELD)


class Family(NamedTuple):
    """Histories of one sort."""

    name: str
    machine: Machine
    blank: bool  # whether events without a reference belong together
    max_moments: int = 0  # held, where that is more than by the limits


def forget(story: Story, newest_ms: int) -> None:
    """Drop the histories that nothing can reach any more, the customer's newest event being of ``newest_ms``."""
    story.threads = [
        thread for thread in story.threads if not thread.until_ms or thread.until_ms >= newest_ms
    ]


def stray(
    story: Story,
    family: Family,
    ref: int,
    moment: Moment,
    newest_ms: int,
    config: CustomerConfig,
    unpaired: Counter[str],
) -> bool:
    """Lay aside a moment that opens nothing, if it has no history yet: most purchases finish no cart.

    Returns:
        Whether it was; else it is one for ``note``.
    """
    for thread in story.threads:
        if thread.ref == ref and thread.family == family.name:
            return False
    held = story.strays.get(family.name, b"")
    floor_ms = newest_ms - config.stray_ms
    while held and _time_of(held) < floor_ms:
        held = held[_STRAY.size :]
    entry = _STRAY.pack(ref, moment[0], moment[1])
    at = held.find(entry)
    while at >= 0 and at % _STRAY.size:  # straddles two entries
        at = held.find(entry, at + 1)
    if at < 0:
        full = len(held) >= config.max_strays * _STRAY.size
        for problem in family.machine(NOTHING_HELD, [moment]).problems:
            unpaired[problem] += 1
            if full:  # a purchase without a cart is no loss
                unpaired[OVER_CAPACITY] += 1
        held = held[_STRAY.size if full else 0 :] + entry
    story.strays[family.name] = held
    return True


def entries_of(held: bytes) -> list[tuple[int, int, int]]:
    """What was laid aside of a family: hash of the reference, event time, role."""
    return list(_STRAY.iter_unpack(held))


def take_strays(story: Story, name: str, ref: int) -> list[Moment]:
    """Take out what was laid aside of a history that begins."""
    held = story.strays.get(name)
    if not held:
        return []
    entries = entries_of(held)
    found = sorted((time_ms, role, "") for key, time_ms, role in entries if key == ref)
    if found:
        story.strays[name] = b"".join(_STRAY.pack(*entry) for entry in entries if entry[0] != ref)
    return found


def facts_of(family: Family, thread: Thread) -> list[Fact]:
    """What a history comes to."""
    return _facts(family.machine(thread.held or NOTHING_HELD, thread.moments))


def _time_of(entry: bytes) -> int:
    return int.from_bytes(entry[8:16], "little")


def note(
    story: Story, family: Family, ref: int, moment: Moment, config: CustomerConfig, unpaired: Counter[str]
) -> tuple[list[Fact], list[Fact]] | None:
    """Put a moment into its history.

    Args:
        story: a customer's; changed in place.
        family: what the history is of.
        ref: hash of the reference, 0 for none.
        moment: what happened.
        config: limits.
        unpaired: counts what does not fit, and what is given up.

    Returns:
        Facts made and unmade; None where that changes nothing.
    """
    name, machine, _, most = family
    most = max(most, config.max_moments)
    for thread in story.threads:
        if thread.ref == ref and thread.family == name:
            break
    else:
        if len(story.threads) >= config.max_refs:
            story.threads.remove(min(story.threads, key=_least_needed))
            unpaired[OVER_CAPACITY] += 1
        thread = Thread(name, ref, take_strays(story, name, ref))
        story.threads.append(thread)
    moments = thread.moments
    if moment in moments:
        return None
    if moment[0] <= thread.floor_ms:
        unpaired[BEYOND_HISTORY] += 1
        return None
    held = thread.held or NOTHING_HELD
    old = machine(held, moments) if moments or thread.held else _EMPTY
    insort(moments, moment)
    new = machine(held, moments)
    if new.problems and old.problems != new.problems:
        unpaired.update(Counter(new.problems) - Counter(old.problems))
    thread.until_ms = _until_ms(family, config, new.held, moments[-1][0])
    if len(moments) > most:
        cut = len(moments) - most // 2
        thread.held, thread.floor_ms = machine(held, moments[:cut]).held, moments[cut - 1][0]
        del moments[:cut]
        unpaired[HISTORY_TRIMMED] += cut
    before, after = _facts(old), _facts(new)
    gained = [fact for fact in after if fact not in before]
    lost = [fact for fact in before if fact not in after]
    return (gained, lost) if gained or lost else None


def _until_ms(family: Family, config: CustomerConfig, held: Held, newest_ms: int) -> int:
    """Up to which newest event of the customer a history is needed; 0: as long as it stays like this."""
    machine = family.machine
    if isinstance(machine, Answers):
        return newest_ms + machine.within_ms + config.stray_ms
    if isinstance(machine, Journey):
        if held.is_open:
            newest_ms = max(newest_ms, machine.counted_ms(held.since_ms))
        return newest_ms + config.stray_ms
    if held.is_open:
        return 0
    if family.name == TICKETS and (held.since_ms >= 0 or held.session_ms >= 0):
        return newest_ms + config.ticket_history_ms
    return newest_ms + config.stray_ms


def _facts(outcome: Outcome) -> list[Fact]:
    """All facts of a history. No two are alike: of one reference, nothing begins and ends twice at once."""
    return outcome.settled + outcome.pending


def _least_needed(thread: Thread) -> tuple[bool, bool, int]:
    """Order in which histories are dropped: what is over first, subscriptions last, each the oldest first."""
    newest_ms = thread.moments[-1][0] if thread.moments else thread.floor_ms
    return thread.family == SUBSCRIPTIONS, not thread.until_ms, thread.until_ms or newest_ms
