"""What rules over time know of two ids of one person, as one. Pure."""

from __future__ import annotations

from stream.alerting.watch import Trail, Watch


def join_watches(mine: Watch, theirs: Watch) -> None:
    """Add what is known of an alias; its expectations and alerts go on as they are, their ends included.

    An alert that was told about the alias stays one about the alias, and is taken back as that.

    Args:
        mine: of the id that stays; changed. Its next alarm is for the caller to set.
        theirs: of the alias.
    """
    trails = {(trail.rule, trail.ref): trail for trail in mine.trails}
    for trail in theirs.trails:
        held = trails.get((trail.rule, trail.ref))
        trails[trail.rule, trail.ref] = trail if held is None else _trail(held, trail)
    mine.trails = [trails[key] for key in sorted(trails)]
    mine.told = sorted(
        [*mine.told, *theirs.told], key=lambda each: (each.at_ms, each.rule, each.ref, each.event_id)
    )
    for rule, at_ms in theirs.fired.items():
        mine.fired[rule] = max(at_ms, mine.fired.get(rule, -1))
    mine.contacts = sorted([*mine.contacts, *theirs.contacts])
    mine.looked_ms = max(mine.looked_ms, theirs.looked_ms)
    mine.limited = sorted([*mine.limited, *theirs.limited], key=lambda each: (each[1], each[0], each[2]))


def _trail(one: Trail, other: Trail) -> Trail:
    """Moments of both; of what was given up, that which reaches further."""
    first, second = sorted((one, other), key=lambda each: (each.floor_ms, each.moments))
    moments = sorted({*first.moments, *second.moments})
    dues = [each.due_ms for each in (one, other) if each.due_ms]
    untils = [one.until_ms, other.until_ms]
    return Trail(
        one.rule,
        one.ref,
        [moment for moment in moments if moment[0] > second.floor_ms],
        second.held or first.held,
        second.floor_ms,
        min(dues, default=0),
        max(untils) if all(untils) else 0,
    )
