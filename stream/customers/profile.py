"""All that is kept of one customer, as plain values with names: for people, and for the person it is about."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.times import format_ms

from .fold import MONEY_UNITS
from .known import broken, kept_in_all, open_promises, touched, trend
from .ranking import ranked, shown
from .signals import signals
from .state import DAY_MS, OPEN, story_of

if TYPE_CHECKING:
    from .state import Customer, CustomerConfig

_EVERYTHING = (-1, -1)


def profile(customer_id: str, customer: Customer, at_ms: int, config: CustomerConfig) -> dict[str, Any]:
    """What is known of a customer at a moment, as JSON has it: times are RFC 3339, what is not known is None.

    Args:
        customer_id: Whose.
        customer: With at least one event.
        at_ms: The moment, moved to the newest event if it is before that.
        config: As in ``fold``.
    """
    at_ms = max(at_ms, customer.last_ms)
    said = signals(customer, at_ms, config)
    known = customer.known
    return {
        "as_of": moment(at_ms),
        **shown(ranked(customer_id, customer, at_ms, config, said)),
        "stage": known.stage,
        "channel": known.channel,
        "region": known.region,
        "attributes": {name: value for name, (_, value) in sorted(known.attributes.items())},
        "events": customer.events,
        "replies": customer.replies,
        "first_event": moment(customer.first_ms),
        "last_event": moment(customer.last_ms),
        "first_purchase": _maybe(customer.first_purchase_ms),
        "last_purchase": _maybe(customer.last_purchase_ms),
        "spend_by_currency": {name: units / MONEY_UNITS for name, units in sorted(customer.spend.items())},
        "touchpoints": {
            name: {"events": count, "last": moment(last_ms)}
            for name, (count, last_ms) in [(name, touched(held)) for name, held in known.touchpoints.items()]
        },
        "scores": {
            metric: {
                "score": score,
                "place": place / 10,
                "at": moment(newest_ms),
                "trend": trend(known, metric),
            }
            for metric, (newest_ms, _, score, place) in sorted(customer.scores.items())
        },
        "tickets": [
            {"ref": ref, "open": bool(flags & OPEN), "newest": moment(newest_ms)}
            for ref, newest_ms, _, flags in customer.tickets
        ],
        "promises": [{"ref": ref, "due": _maybe(due_ms)} for ref, due_ms in open_promises(known)],
        "promises_kept": kept_in_all(known),
        "promises_broken": broken(known, at_ms),
        "waits": known.waits,
        "mean_wait_seconds": known.waited_ms / known.waits / 1000 if known.waits else None,
        "signals": said,
    }


def moment(ms: int) -> str:
    """As ``format_ms``, at a third of its cost: a profile has twenty moments."""
    day, rest = divmod(ms, DAY_MS)
    seconds, thousandths = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    digits = f".{thousandths:03}" if thousandths else ""
    return f"{_date(day)}T{hour:02}:{minute:02}:{second:02}{digits}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return format_ms(day * DAY_MS)[:10]


def _maybe(ms: int | None) -> str | None:
    return None if ms is None else moment(ms)


def everything(customer: Customer) -> dict[str, Any]:
    """Every field of the state as it is stored, by name; bytes as hexadecimal digits.

    Raises:
        msgspec.DecodeError: what was written makes no sense.
    """
    story_of(customer, _EVERYTHING)
    held: dict[str, Any] = plain(customer)
    return held


def plain(value: Any) -> Any:
    """Structs as mappings by field, tuples as lists, bytes as hexadecimal digits; raw parts are decoded."""
    if isinstance(value, msgspec.Raw):
        return plain(msgspec.msgpack.decode(value))
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
