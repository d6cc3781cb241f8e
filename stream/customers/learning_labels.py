"""Looks at customers with a contract, and what became of them: labels that never peek.

At a moment of theirs, customers with a running subscription are *frozen*: their figures are written down from what
was known before any event of that moment or later. A horizon on it is known who has left, which is who has no
running subscription then; they and those who stayed become known at the same time, for else the cancellations of a
cohort would be learned weeks before its loyal customers, and everyone would seem to leave.

The customer's own events move this on, each before it is folded in (``due``), and so does the partition, for
customers of whom nothing is heard (``advance`` once event time has passed the moment).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .identity import customer_hash, hash64
from .learning_features import Example, features, pack, unpack
from .state import NEVER, Contract, Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .fold import Occurrence
    from .state import Customer, CustomerConfig, Lessons, Subscription

STARTED: Final = "subscription_started"
CANCELLED: Final = "subscription_cancelled"

#: Looks held until they are gathered: more than one only after a gap of more than a horizon in the input.
_KNOWN: Final = 3


def moment_after(time_ms: int, hashed: int, lessons: Lessons) -> int:
    """A customer's first moment after a time.

    Args:
        time_ms: Any.
        hashed: ``customer_hash`` of the id.
        lessons: The schedule.
    """
    first_ms = hashed % (lessons.horizon_ms // lessons.every_ms) * lessons.every_ms
    return first_ms + ((time_ms - first_ms) // lessons.horizon_ms + 1) * lessons.horizon_ms


def fold_contract(c: Customer, e: Occurrence, config: CustomerConfig) -> None:
    """Take the start or the end of a subscription in; of one reference the newest event by event time counts.

    Args:
        c: After all else of the event was folded in.
        e: Of one of both kinds.
        config: As in ``fold``.
    """
    contract = c.contract
    if contract is None:
        contract = c.contract = Contract()
    ref = hash64(e.ref) if e.ref else 0
    running = e.kind == STARTED
    held: list[Subscription] = contract.subscriptions
    for i, (name, newest_ms, runs) in enumerate(held):
        if name == ref:
            # Of the same millisecond the start goes first.
            if (e.time_ms, not running) > (newest_ms, not runs):
                held[i] = (ref, e.time_ms, running)
            break
    else:
        held.append((ref, e.time_ms, running))
        if len(held) > config.max_subscriptions:
            held.remove(min(held, key=_least_needed))
    if not any(runs for _, _, runs in held):
        contract.since_ms = 0
    elif not contract.since_ms:
        contract.since_ms = e.time_ms
        if config.lessons is not None and contract.due_ms == NEVER:
            contract.due_ms = moment_after(c.last_ms, customer_hash(e.customer_id), config.lessons)


def advance(c: Customer, upto_ms: int, config: CustomerConfig) -> bool:
    """Do what is due up to a moment: what was frozen a horizon before becomes known, and more is frozen.

    Args:
        c: Nothing of the moments that are due, or of later, has been folded in.
        upto_ms: The time that has come.
        config: As in ``fold``.

    Returns:
        Whether anything changed.
    """
    contract, lessons = c.contract, config.lessons
    if contract is None or lessons is None or contract.due_ms > upto_ms:
        return False
    while contract.due_ms <= upto_ms:
        at_ms, frozen = contract.due_ms, contract.frozen
        runs = contract.since_ms > 0
        if frozen is not None and (runs or _ended_ms(contract) >= frozen.at_ms):
            known = Frozen(frozen.at_ms, frozen.figures, not runs)
            contract.known = [*contract.known[1 - _KNOWN :], known]
        if runs:
            contract.frozen = Frozen(at_ms, pack(features(c, at_ms, contract.since_ms, config)))
            contract.due_ms = at_ms + lessons.horizon_ms
        else:
            contract.frozen = None
            contract.due_ms = NEVER
    return True


def gathered(c: Customer, since_ms: int, upto_ms: int, lessons: Lessons) -> Iterator[tuple[int, Example]]:
    """The examples of a customer that become known at some moments; the same however often it is asked.

    Args:
        c: After ``advance`` to the last moment.
        since_ms: The first moment.
        upto_ms: The last one.
        lessons: The schedule.

    Yields:
        The moment at which it became known, and the example. Those of a version with other figures are left out.
    """
    if c.contract is None:
        return
    for frozen in c.contract.known:
        known_ms = frozen.at_ms + lessons.horizon_ms
        if since_ms <= known_ms <= upto_ms and (x := unpack(frozen.figures)) is not None:
            yield known_ms, Example(x, frozen.left)


def is_looked_at(hashed: int, since_ms: int, upto_ms: int, lessons: Lessons) -> bool:
    """Whether any of some moments is one of a customer's: it costs less to ask than to look.

    Args:
        hashed: ``customer_hash`` of the id.
        since_ms: The first moment.
        upto_ms: The last one.
        lessons: The schedule.
    """
    return moment_after(since_ms - 1, hashed, lessons) <= upto_ms


def _ended_ms(contract: Contract) -> int:
    """When the last subscription ended, if none is running: who had gone before the look is no example."""
    return max((newest_ms for _, newest_ms, _ in contract.subscriptions), default=0)


def _least_needed(held: Subscription) -> tuple[bool, int]:
    return held[2], held[1]
