"""Fold one event into one customer, exactly once."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Final, Protocol

from . import identity, known
from .identity import (
    ARRIVAL_BYTES,
    ENTRY_BYTES,
    HASH_BYTES,
    MAX_SECONDS,
    hash64,
    pack_arrival,
    pack_entry,
)
from .known import note
from .learning_labels import CANCELLED, STARTED, advance, fold_contract
from .state import DAY_MS, OPEN, OPENED, REOPENED, RESOLVED, CustomerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .state import Customer, Ticket

#: Verdicts of ``fold``.
APPLIED: Final = "applied"  # folded in
DUPLICATE: Final = "duplicate"  # its event id was folded in with another record; only the stamp moved
REPLAYED: Final = "replayed"  # this very record was folded in, or refused, before; nothing changed

#: Codes of the source topics.
TOPIC_CODES: Final = ("t", "r")

TICKET_FLAGS: Final = {"ticket_opened": OPENED, "ticket_resolved": RESOLVED, "ticket_reopened": REOPENED}

PURCHASE: Final = "purchase"
#: Money is kept as an integer number of these in one unit of currency.
MONEY_UNITS: Final = 10_000
#: Totals saturate here, so that no input can make a state that cannot be encoded.
MONEY_MAX: Final = 2**62

#: A larger sum of money in one event is a mistake; the event counts, its value does not.
_VALUE_MAX: Final = 1e13
_COUNT_MAX: Final = 255
#: Scores up to this are kept as integers where they are whole.
_WHOLE_MAX: Final = 2.0**53
_PLACES: Final = 1000.0
_REF_MAX: Final = 64
_CURRENCY_MAX: Final = 16
_PROMISES: Final = frozenset((known.PROMISE_MADE, known.PROMISE_KEPT))
_DEFAULTS: Final = CustomerConfig()
_ONE: Final = [bytes((n,)) for n in range(_COUNT_MAX + 1)]


class Occurrence(Protocol):
    """What ``fold`` reads of an event; the event of ``stream.intake`` fits."""

    @property
    def customer_id(self) -> str: ...  # noqa: D102 - names as in the contract
    @property
    def event_id(self) -> str: ...  # noqa: D102
    @property
    def time_ms(self) -> int: ...  # noqa: D102
    @property
    def metric(self) -> str | None: ...  # noqa: D102
    @property
    def kind(self) -> str | None: ...  # noqa: D102
    @property
    def segment(self) -> str | None: ...  # noqa: D102
    @property
    def ref(self) -> str | None: ...  # noqa: D102
    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def currency(self) -> str | None: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def scale(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def higher_is_better(self) -> bool: ...  # noqa: D102
    @property
    def touchpoint(self) -> str | None: ...  # noqa: D102
    @property
    def stage(self) -> str | None: ...  # noqa: D102
    @property
    def channel(self) -> str | None: ...  # noqa: D102
    @property
    def region(self) -> str | None: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, str | int | float | bool | None] | None: ...  # noqa: D102
    @property
    def due_ms(self) -> int | None: ...  # noqa: D102


def fold(  # noqa: C901, PLR0912, PLR0915 - run per event: calls would cost as much as the work
    c: Customer, e: Occurrence, topic: str, offset: int, config: CustomerConfig = _DEFAULTS
) -> str:
    """Fold an event into a customer, in place, and say what became of it.

    Args:
        c: changed unless the verdict is ``replayed``.
        e: an event of this customer.
        topic: code of the source topic, ``"t"`` (touchpoints) or ``"r"`` (replies).
        offset: of the record in its partition; within one topic records come in the order of their offsets.
        config: declared limits.

    Returns:
        ``applied``, ``duplicate`` or ``replayed``. A duplicate is an event whose id is that of one of the
        last ``dedup_per_customer`` applied events, unless that one lies further than ``dedup_horizon_ms``
        behind the customer's newest event.

    Raises:
        ValueError: an unknown topic code.
    """
    if topic == "t":
        if offset <= c.stamp_t:
            return REPLAYED
        c.stamp_t = offset
        arrival = offset << 1
    elif topic == "r":
        if offset <= c.stamp_r:
            return REPLAYED
        c.stamp_r = offset
        arrival = offset << 1 | 1
    else:
        raise ValueError(f"topic code {topic!r}: must be one of {TOPIC_CODES}")
    if c.duplicates:
        c.duplicates = identity.trim_duplicates(c.duplicates, c.stamp_t, c.stamp_r, config.replay_offsets)

    time_ms = e.time_ms
    second = time_ms // 1000
    if second < 0 or second > MAX_SECONDS:
        second = identity.seconds(time_ms)
    entry = pack_entry(hash64(e.event_id), second, arrival)
    seen = c.seen
    if seen:
        wanted = entry[:HASH_BYTES]
        # Nearly always absent, which one search through the bytes tells.
        if seen.find(wanted) >= 0 and identity.find(seen, wanted, _floor_s(c, config)) >= 0:
            listed = c.duplicates + pack_arrival(arrival)
            c.duplicates = listed[-config.max_duplicates * ARRIVAL_BYTES :]
            return DUPLICATE
        seen += entry
        excess = len(seen) - config.dedup_per_customer * ENTRY_BYTES
        c.seen = seen[excess:] if excess > 0 else seen
    else:
        c.seen = entry

    events = c.events = c.events + 1
    if not config.profile:
        if time_ms > c.last_ms:  # noqa: PLR1730 - the hot path: a call costs more
            c.last_ms = time_ms
        if e.kind == PURCHASE:
            if config.spend:
                _fold_purchase(c, e, config)
            else:
                c.purchases += 1
        return APPLIED
    contract = c.contract
    if contract is not None and time_ms >= contract.due_ms:
        advance(c, time_ms, config)  # before the event is folded in
    if events > 1:
        last_ms = c.last_ms
        bucket_ms = config.bucket_ms
        ahead = time_ms // bucket_ms - last_ms // bucket_ms
        if ahead == 0:
            counts = c.counts
            n = counts[0]
            if n < _COUNT_MAX:
                c.counts = _ONE[n + 1] + counts[1:]
        elif ahead > 0:
            _new_bucket(c, time_ms, ahead, config)
        else:
            _straggler(c, time_ms, -ahead, config)
        if time_ms > last_ms:
            c.last_ms = time_ms
        elif time_ms < c.first_ms:
            c.first_ms = time_ms
    else:
        c.first_ms = c.last_ms = time_ms
        c.counts = b"\x01"
        c.active_buckets = 1

    segment = e.segment
    if segment is not None and (time_ms > c.segment_ms or _takes(c, segment, time_ms)):
        c.segment = segment
        c.segment_ms = time_ms
    note(c.known, e, time_ms, config.max_touchpoints)
    metric = e.metric
    if metric is not None:
        c.replies += 1
        _fold_score(c, metric, e, arrival)
        return APPLIED
    if config.attributes and e.attributes is not None:
        known.attributes(c.known, e.attributes, time_ms, config.attributes)
    kind = e.kind
    if kind == PURCHASE:
        _fold_purchase(c, e, config)
    elif kind in TICKET_FLAGS:
        _fold_ticket(c, TICKET_FLAGS[kind], e, arrival, config)
    elif kind in {STARTED, CANCELLED}:
        fold_contract(c, e, config)
    elif kind in _PROMISES:
        known.promised(c.known, e, time_ms, kept=kind == known.PROMISE_KEPT)
        known.forget(c.known, c.last_ms - config.ticket_memory_ms, config.max_promises)
    return APPLIED


def was_applied(
    c: Customer, e: Occurrence, topic: str, offset: int, config: CustomerConfig = _DEFAULTS
) -> bool:
    """Say of a ``replayed`` record whether it was applied when it came first, rather than a duplicate.

    Needed where something else than the customer (a pane) still has to take the record in after a crash.
    Exact for records at most ``replay_offsets`` behind the customer's stamp, as long as the customer had
    fewer than ``max_duplicates`` duplicates there; with more, as long as the originals are remembered.

    Args:
        c: the customer, its state beyond this record.
        e: the event of the record.
        topic: code of the source topic.
        offset: of the record.
        config: as given to ``fold``.
    """
    arrival = offset << 1 | (topic == "r")
    if identity.is_listed(c.duplicates, arrival):
        return False
    if len(c.duplicates) < config.max_duplicates * ARRIVAL_BYTES:
        return True
    # The list is full: this may be a duplicate that was dropped from it. Then its original is another record.
    wanted = hash64(e.event_id).to_bytes(HASH_BYTES, "little")
    at = identity.find(c.seen, wanted, 0)
    if at < 0:
        return True
    original = identity.arrival_at(c.seen, at)
    # An original further on in the same topic is a second life of an id that was forgotten in between.
    return original == arrival or (original & 1 == arrival & 1 and original > arrival)


def _floor_s(c: Customer, config: CustomerConfig) -> int:
    return identity.seconds(c.last_ms - config.dedup_horizon_ms)


def _takes(c: Customer, segment: str, time_ms: int) -> bool:
    """Whether a segment not newer than the known one replaces it; whichever came first."""
    return c.segment is None or (time_ms == c.segment_ms and segment > c.segment)


def _new_bucket(c: Customer, time_ms: int, ahead: int, config: CustomerConfig) -> None:
    """Begin a bucket further on; the oldest ones, and event ids beyond the horizon, drop out."""
    c.prev_ms = c.last_ms
    c.active_buckets += 1
    if ahead >= config.buckets:
        c.counts = b"\x01"
    else:
        counts = b"\x01" + bytes(ahead - 1) + c.counts
        if len(counts) > config.buckets:
            counts = counts[: config.buckets].rstrip(b"\0")
        c.counts = counts
    c.seen = identity.forget(c.seen, identity.seconds(time_ms - config.dedup_horizon_ms))


def _straggler(c: Customer, time_ms: int, age: int, config: CustomerConfig) -> None:
    """Count an event of an earlier bucket; of one beyond the buckets kept only the times take note."""
    if c.prev_ms is None or time_ms > c.prev_ms:
        c.prev_ms = time_ms
    if age >= config.buckets:
        return
    counts = c.counts
    if age >= len(counts):
        counts += bytes(age + 1 - len(counts))
    n = counts[age]
    if n == 0:
        c.active_buckets += 1
    if n < _COUNT_MAX:
        c.counts = counts[:age] + _ONE[n + 1] + counts[age + 1 :]


def _fold_score(c: Customer, metric: str, e: Occurrence, arrival: int) -> None:
    score, scale = e.score, e.scale
    if score is None or scale is None:
        return
    time_ms = e.time_ms
    low, high = scale
    place = _PLACES * (score - low) / (high - low) if high > low else _PLACES
    if not e.higher_is_better:
        place = _PLACES - place
    if not place >= 0.0:  # a scale too wide for its length to be a number gives NaN
        place = 0.0
    elif place > _PLACES:
        place = _PLACES
    known.scored(c.known, metric, time_ms, int(place + 0.5))
    scores = c.scores
    held = scores.get(metric)
    if held is not None:
        held_ms = held[0]
        if time_ms < held_ms or (time_ms == held_ms and arrival <= held[1]):
            return
    kept: int | float = score
    if -_WHOLE_MAX < score < _WHOLE_MAX and score == (whole := int(score)):
        kept = whole  # one byte instead of nine
    scores[metric] = (time_ms, arrival, kept, int(place + 0.5))


def _fold_purchase(c: Customer, e: Occurrence, config: CustomerConfig) -> None:
    time_ms = e.time_ms
    c.purchases += 1
    if c.first_purchase_ms is None or time_ms < c.first_purchase_ms:
        c.first_purchase_ms = time_ms
    if c.last_purchase_ms is None or time_ms > c.last_purchase_ms:
        c.last_purchase_ms = time_ms
    day = time_ms // DAY_MS
    days = c.bought_on
    if day in days:
        c.same_day += 1
    elif not days or day > days[0] or len(days) < config.max_purchase_days:
        insort(days, day)
        del days[: -config.max_purchase_days]
    if e.value is None:
        return
    currency, units = money_of(e)
    spend = c.spend
    total = spend.get(currency)
    if total is None:
        if len(spend) >= config.max_currencies:
            return
        total = 0
    total += units
    spend[currency] = total if -MONEY_MAX <= total <= MONEY_MAX else MONEY_MAX if total > 0 else -MONEY_MAX


def money_of(e: Occurrence) -> tuple[str, int]:
    """Currency ("" where none was given) and money of a purchase, as the spend of its customer counts them."""
    value = e.value or 0.0
    units = round(value * MONEY_UNITS) if -_VALUE_MAX < value < _VALUE_MAX else 0
    return _short(e.currency or "", _CURRENCY_MAX), units


def _short(text: str, longest: int) -> str:
    """Stand in for a text that is too long to keep."""
    return text if len(text) <= longest else f"{hash64(text):016x}"


def _fold_ticket(c: Customer, flag: int, e: Occurrence, arrival: int, config: CustomerConfig) -> None:
    """Note a ticket's event; whether it is open its newest event by event time says, whichever came last."""
    if flag == OPENED:
        c.tickets_opened += 1
    elif flag == RESOLVED:
        c.tickets_resolved += 1
    else:
        c.tickets_reopened += 1
    ref = e.ref
    if ref is None:
        c.loose_tickets += -1 if flag == RESOLVED else 1
        return
    ref = _short(ref, _REF_MAX)
    time_ms = e.time_ms
    is_open = 0 if flag == RESOLVED else OPEN
    tickets = c.tickets
    for i, (held, held_ms, held_arrival, flags) in enumerate(tickets):
        if held == ref:
            if (time_ms, arrival) > (held_ms, held_arrival):
                tickets[i] = (ref, time_ms, arrival, flags & ~OPEN | flag | is_open)
            else:
                tickets[i] = (ref, held_ms, held_arrival, flags | flag)
            break
    else:
        tickets.append((ref, time_ms, arrival, flag | is_open))
    drop_tickets(c, c.last_ms - config.ticket_memory_ms, config.max_tickets)


def drop_tickets(c: Customer, floor_ms: int, cap: int) -> None:
    """Drop resolved tickets before ``floor_ms``, and beyond the cap resolved ones first, oldest first."""
    kept: list[Ticket] = []
    for ticket in c.tickets:
        if ticket[3] & OPEN or ticket[1] >= floor_ms:
            kept.append(ticket)
        else:
            c.unopened += not ticket[3] & OPENED
    kept.sort()
    while len(kept) > cap:
        dropped = min(kept, key=_least_needed)
        kept.remove(dropped)
        c.unopened += not dropped[3] & (OPEN | OPENED)
    c.tickets = kept


def _least_needed(ticket: Ticket) -> tuple[bool, int, int]:
    return bool(ticket[3] & OPEN), ticket[1], ticket[2]
