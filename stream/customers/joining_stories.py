"""Joins the histories of two ids of one person, and says what of what was counted changes by it. Pure.

Each id has counted what its own histories come to. Joined, they come to something else where they are of one
reference: a cart that one id began and the other bought, say. The difference is counted when they are joined, as
with an event that comes late; so the sums are those of one id.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import at_risk
from .histories import entries_of, facts_of, note, stray, take_strays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .histories import Family
    from .journeys import Fact, Moment
    from .state import CustomerConfig, Story, Thread

Changed = dict[str, tuple[list["Fact"], list["Fact"]]]
"""Family -> facts made and unmade."""


def join_stories(
    mine: Story, theirs: Story, families: Mapping[str, Family], newest_ms: int, config: CustomerConfig
) -> Changed:
    """Join the story of an alias to that of the id that stays.

    Args:
        mine: changed in place.
        theirs: not to be used any more.
        families: by name; of those that are not counted any more nothing is kept.
        newest_ms: newest event of both.
        config: limits, for the joined story as for any.
    """
    sums: dict[str, Counter[Fact]] = {}
    for thread in theirs.threads:
        family = families.get(thread.family)
        if family is not None:
            _thread(mine, thread, family, sums.setdefault(family.name, Counter()), config)
    for name, packed in theirs.strays.items():
        family = families.get(name)
        if family is None:
            continue
        for ref, time_ms, role in entries_of(packed):
            moment = (time_ms, role, "")
            if not stray(mine, family, ref, moment, newest_ms, config, Counter()):
                _note(mine, family, ref, [moment], sums.setdefault(name, Counter()), config)
    found: Changed = {}
    for name, counts in sums.items():
        gained, lost = sorted((+counts).elements()), sorted((-counts).elements())
        if gained or lost:
            found[name] = gained, lost
    gained, lost = at_risk.joined(mine, theirs, newest_ms)
    if gained or lost:
        found[at_risk.FAMILY] = gained, lost
    return found


def _thread(
    story: Story, theirs: Thread, family: Family, sums: Counter[Fact], config: CustomerConfig
) -> None:
    """Join a history; where moments of either were given up, the one that reaches further is gone on with."""
    mine = next(
        (each for each in story.threads if (each.family, each.ref) == (family.name, theirs.ref)), None
    )
    if mine is None or theirs.floor_ms > mine.floor_ms:
        if mine is not None:
            story.threads.remove(mine)
        story.threads.append(theirs)
        mine, theirs = theirs, mine
    moments: list[Moment] = []
    if theirs is not None:
        sums.subtract(facts_of(family, theirs))
        moments = theirs.moments
    _note(story, family, mine.ref, moments, sums, config)
    # What was laid aside because it had no history yet.
    _note(story, family, mine.ref, take_strays(story, family.name, mine.ref), sums, config)


def _note(
    story: Story,
    family: Family,
    ref: int,
    moments: Iterable[Moment],
    sums: Counter[Fact],
    config: CustomerConfig,
) -> None:
    for moment in moments:
        changed = note(story, family, ref, moment, config, Counter())  # what does not fit was counted before
        if changed is not None:
            sums.update(changed[0])
            sums.subtract(changed[1])
