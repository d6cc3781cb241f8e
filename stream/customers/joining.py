"""Two ids of one person as one customer. Pure.

``join`` gives what a customer would have of whom all records had had one id. It does not matter which of two ids
stays, nor in which order several are joined, but for what is bounded and for the moments below:

- Which days two ids were both active on is known for the days that ``counts`` reaches, and on which both
  bought for those in ``bought_on``. Further back they count as different days.
- A resolved ticket that one id had forgotten cannot meet its opening at the other.
- Looks at contracts lie at moments of the id that stays; those of the other, and what is not gathered of
  them, end.

Histories that measures are made of are joined in ``joining_stories``, for they may change what was counted; what
rules over time know in ``stream.alerting.joining``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import identity, known
from .fold import DUPLICATE, MONEY_MAX, REPLAYED, drop_tickets
from .identity import ARRIVAL_BYTES, ENTRY_BYTES, customer_hash, pack_arrival
from .ids import NEW, Ids
from .known import Known
from .learning_labels import moment_after
from .state import NEVER, OPEN, Contract, Customer, Story, encode, story_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .state import CustomerConfig, Subscription

#: An arrival that no record has: of who was won as another id.
_ELSEWHERE: Final = 2**62
_COUNT_MAX: Final = 255


def part(c: Customer, durable: tuple[int, int]) -> bytes:
    """Merge an id into another one: its state goes, a mark stays.

    What stays is what records that come again after a crash ask for, and what tells duplicates of later ones.

    Args:
        c: the customer, whose ``ids`` say where it goes; changed in place.
        durable: offset up to which either topic is durable in the panes.

    Returns:
        The state that goes, encoded.
    """
    story = story_of(c, durable)
    journal, story.journal = story.journal, []
    duplicates, c.duplicates = c.duplicates, b""
    seen, ids = c.seen, c.known.ids or Ids()
    # What was passed on already comes by itself.
    c.seen = b"".join(
        seen[at : at + ENTRY_BYTES]
        for at in range(0, len(seen), ENTRY_BYTES)
        if (arrival := identity.arrival_at(seen, at)) >> 1 <= ids.since[arrival & 1]
    )
    goes = encode(c)
    stays = Customer(c.stamp_t, c.stamp_r, last_ms=c.last_ms, acquired=c.acquired)
    stays.seen, stays.duplicates = seen, duplicates
    if journal:
        stays.story = Story(journal=journal)
    stays.known.ids = c.known.ids
    for field in Customer.__struct_fields__:
        setattr(c, field, getattr(stays, field))
    return goes


def join(c: Customer, o: Customer, name: tuple[str, str], arrival: int, config: CustomerConfig) -> None:
    """Join what another id had to a customer, but for its story, and for what rules know of it.

    Args:
        c: of the id that stays; changed in place.
        o: state of the alias, as ``part`` gives it; not to be used any more.
        name: the id that stays, and the alias.
        arrival: of the record that brings it; what was remembered of the alias' records counts as of this one.
        config: as in ``fold``.
    """
    _activity(c, o, config)
    c.seen = _seen(c.seen, o.seen, arrival, config.dedup_per_customer)
    c.fired = _newest(c.fired, o.fired)
    if o.segment is not None and (c.segment is None or (o.segment_ms, o.segment) > (c.segment_ms, c.segment)):
        c.segment, c.segment_ms = o.segment, o.segment_ms
    for metric, (at_ms, _, score, place) in o.scores.items():
        held = c.scores.get(metric)
        if held is None or (at_ms, place, score) > (held[0], held[3], held[2]):
            c.scores[metric] = (at_ms, arrival, score, place)
    c.replies += o.replies
    _purchases(c, o, config)
    _tickets(c, o, arrival, config)
    _contract(c, o, name[0], config)
    _known(c.known, o.known, config)
    known.forget(c.known, c.last_ms - config.ticket_memory_ms, config.max_promises)
    if c.acquired < 0 <= o.acquired:
        c.acquired = _ELSEWHERE
    note_alias(c, name[1], joined=True)
    for alias, (_, _, whole) in ({} if o.known.ids is None else o.known.ids.aliases).items():
        if alias != name[0]:
            note_alias(c, alias, joined=whole)


def note_alias(c: Customer, alias: str, *, joined: bool = False, came: tuple[int, int] = (0, 0)) -> None:
    """Note of an alias that its history came, or how many of its records did."""
    ids = c.known.ids
    if ids is None:
        ids = c.known.ids = Ids()
    first, second, whole = ids.aliases.get(alias, NEW)
    ids.aliases[alias] = (max(first, came[0]), max(second, came[1]), whole or joined)


def repeated(c: Customer, topic: str, offset: int, config: CustomerConfig) -> str:
    """Take in a record that is known to be a repetition, whatever its id; as ``fold``."""
    if offset <= (c.stamp_r if topic == "r" else c.stamp_t):
        return REPLAYED
    if topic == "r":
        c.stamp_r = offset
    else:
        c.stamp_t = offset
    listed = c.duplicates + pack_arrival(offset << 1 | (topic == "r"))
    c.duplicates = listed[-config.max_duplicates * ARRIVAL_BYTES :]
    return DUPLICATE


def _activity(c: Customer, o: Customer, config: CustomerConfig) -> None:
    if not o.events:
        return
    if not c.events:
        for field in ("events", "first_ms", "last_ms", "prev_ms", "counts", "active_buckets"):
            setattr(c, field, getattr(o, field))
        return
    bucket_ms = config.bucket_ms
    newest_ms = max(c.last_ms, o.last_ms)
    newest = newest_ms // bucket_ms
    mine, theirs = (
        (bytes(newest - each.last_ms // bucket_ms) + each.counts)[: config.buckets].ljust(
            config.buckets, b"\0"
        )
        for each in (c, o)
    )
    counts = bytes(min(a + b, _COUNT_MAX) for a, b in zip(mine, theirs, strict=True))
    both = sum(a > 0 and b > 0 for a, b in zip(mine, theirs, strict=True))
    before = [
        at
        for at in (c.last_ms, o.last_ms, c.prev_ms, o.prev_ms)
        if at is not None and at // bucket_ms < newest
    ]
    c.prev_ms = max(before, default=None)
    c.counts = counts.rstrip(b"\0")
    c.active_buckets += o.active_buckets - both
    c.events += o.events
    c.first_ms, c.last_ms = min(c.first_ms, o.first_ms), newest_ms


def _seen(mine: bytes, theirs: bytes, arrival: int, most: int) -> bytes:
    """Event ids of both, those with the newest times."""
    packed = pack_arrival(arrival)
    cut = ENTRY_BYTES - ARRIVAL_BYTES
    entries = [mine[at : at + ENTRY_BYTES] for at in range(0, len(mine), ENTRY_BYTES)]
    entries += [theirs[at : at + cut] + packed for at in range(0, len(theirs), ENTRY_BYTES)]
    entries.sort(key=lambda each: each[identity.HASH_BYTES : cut][::-1])  # seconds, little-endian
    return b"".join(entries[-most:])


def _newest(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, int]:
    return {key: max(mine.get(key, -1), theirs.get(key, -1)) for key in {**mine, **theirs}}


def _purchases(c: Customer, o: Customer, config: CustomerConfig) -> None:
    days = {*c.bought_on, *o.bought_on}
    c.same_day += o.same_day + len(c.bought_on) + len(o.bought_on) - len(days)
    c.bought_on = sorted(days)[-config.max_purchase_days :]
    c.purchases += o.purchases
    c.first_purchase_ms = _least(c.first_purchase_ms, o.first_purchase_ms)
    c.last_purchase_ms = _most(c.last_purchase_ms, o.last_purchase_ms)
    for currency, units in sorted(o.spend.items()):
        if currency in c.spend or len(c.spend) < config.max_currencies:
            total = c.spend.get(currency, 0) + units
            c.spend[currency] = max(-MONEY_MAX, min(total, MONEY_MAX))


def _least(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _most(one: int | None, other: int | None) -> int | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _tickets(c: Customer, o: Customer, arrival: int, config: CustomerConfig) -> None:
    for field in ("tickets_opened", "tickets_resolved", "tickets_reopened", "loose_tickets", "unopened"):
        setattr(c, field, getattr(c, field) + getattr(o, field))
    held = {ticket[0]: ticket for ticket in c.tickets}
    for ref, at_ms, _, flags in o.tickets:
        mine = held.get(ref)
        if mine is None:
            held[ref] = (ref, at_ms, arrival, flags)
            continue
        seen = (mine[3] | flags) & ~OPEN
        # Of the same moment the one that leaves it open, for somebody has to look at it.
        if (at_ms, flags & OPEN) > (mine[1], mine[3] & OPEN):
            held[ref] = (ref, at_ms, arrival, seen | flags & OPEN)
        else:
            held[ref] = (ref, mine[1], mine[2], seen | mine[3] & OPEN)
    c.tickets = list(held.values())
    if c.tickets:
        drop_tickets(c, c.last_ms - config.ticket_memory_ms, config.max_tickets)


def _contract(c: Customer, o: Customer, name: str, config: CustomerConfig) -> None:
    theirs = o.contract
    if theirs is None:
        return
    mine = c.contract
    if mine is None:
        mine = c.contract = Contract()
    held: dict[int, Subscription] = {each[0]: each for each in mine.subscriptions}
    for each in theirs.subscriptions:
        present = held.get(each[0])
        if present is None or (each[1], not each[2]) > (present[1], not present[2]):
            held[each[0]] = each
    # What runs is held longest, then what ended last.
    kept = sorted(held.values(), key=lambda each: (each[2], each[1]))[-config.max_subscriptions :]
    mine.subscriptions = sorted(kept, key=lambda each: (each[1], each[0]))
    since = [each.since_ms for each in (mine, theirs) if each.since_ms]
    mine.since_ms = min(since) if since and any(runs for _, _, runs in kept) else 0
    if mine.since_ms and mine.due_ms == NEVER and config.lessons is not None:
        mine.due_ms = moment_after(c.last_ms, customer_hash(name), config.lessons)


def _known(mine: Known, theirs: Known, config: CustomerConfig) -> None:
    for where, packed in sorted(theirs.touchpoints.items()):
        known.add_touchpoint(mine, where, packed, config.max_touchpoints)
    for dimension in known.NAMED:
        value, second = getattr(theirs, dimension), getattr(theirs, f"{dimension}_s")
        held = (getattr(mine, f"{dimension}_s"), getattr(mine, dimension) or "")
        if value is not None and (second, value) > held:
            setattr(mine, dimension, value)
            setattr(mine, f"{dimension}_s", second)
    for name, given in theirs.attributes.items():
        mine.attributes[name] = max(mine.attributes.get(name, given), given)
    for metric, entries in theirs.scores.items():
        mine.scores[metric] = known.newest_scores(mine.scores.get(metric, b""), entries)
    for ref, (due_ms, kept_ms) in theirs.promises.items():
        was = mine.promises.get(ref, (-1, -1))
        mine.promises[ref] = (max(was[0], due_ms), max(was[1], kept_ms))
    mine.kept += theirs.kept
    mine.late += theirs.late
    mine.waits += theirs.waits
    mine.waited_ms += theirs.waited_ms
