"""All that is kept of one customer, as plain values with names: for people, and for the person it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .fold import MONEY_UNITS
from .ranking import ranked, shown
from .signals import signals
from .state import OPEN, story_of

if TYPE_CHECKING:
    from .state import Customer, CustomerConfig

_EVERYTHING = (-1, -1)


def profile(customer_id: str, customer: Customer, at_ms: int, config: CustomerConfig) -> dict[str, Any]:
    """What is known of a customer at a moment. Names ending in ``_ms`` are epoch milliseconds.

    Args:
        customer_id: Whose.
        customer: With at least one event.
        at_ms: The moment, moved to the newest event if it is before that.
        config: As in ``fold``.
    """
    at_ms = max(at_ms, customer.last_ms)
    return {
        "as_of_ms": at_ms,
        **shown(ranked(customer_id, customer, at_ms, config)),
        "first_event_ms": customer.first_ms,
        "last_event_ms": customer.last_ms,
        "first_purchase_ms": customer.first_purchase_ms,
        "last_purchase_ms": customer.last_purchase_ms,
        "spend_by_currency": {name: units / MONEY_UNITS for name, units in sorted(customer.spend.items())},
        "scores": {
            metric: {"score": score, "place": place / 10, "at_ms": newest_ms}
            for metric, (newest_ms, _, score, place) in sorted(customer.scores.items())
        },
        "tickets": [
            {"ref": ref, "open": bool(flags & OPEN), "newest_ms": newest_ms}
            for ref, newest_ms, _, flags in customer.tickets
        ],
        "signals": signals(customer, at_ms, config),
    }


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
