"""Customers in order of what it would cost to lose them, by the signals that rules see, at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from .churn import churn_of
from .signals import signals
from .state import Customer, CustomerConfig
from .value import WEEK_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .signals import Signals

_DEFAULTS: Final = CustomerConfig()


class Ranked(msgspec.Struct, gc=False):
    """One customer at a moment; None where nothing is known, as of purchases before the first one.

    Attributes:
        customer_id: Whose.
        expected_purchases: Within the horizon of the configuration's value model (BG/NBD).
        expected_value: Money expected from them (Gamma-Gamma), in ``currency``.
        p_alive: Probability that the customer still buys.
        churn_probability: 0..1, see ``churn``.
        recency: t_x of the model: weeks from the first purchase to the last.
        frequency: x of the model: days with purchases after the first one.
        age: T of the model: weeks from the first purchase to the moment.
        value_at_risk: Expected value times churn probability.
        currency: Of the money; "" where purchases named none.
        segment: The newest one named.
        purchases: All of them.
        spend: Money of all of them.
        days_since_last_purchase: The plain baseline beside the models.
        reasons: Of the churn probability: what each adds to the log-odds, largest first.
        churn_learned: Whether it was learned from cancellations, rather than declared.
        rank: Place in the order of value at risk, from 1.
        purchases_rank: Place in the order of expected purchases, most first.
        recency_rank: Place in the order of the last purchase, most recent first: who bought last buys next.
    """

    customer_id: str
    expected_purchases: float | None
    expected_value: float | None
    p_alive: float | None
    churn_probability: float
    recency: float | None
    frequency: int | None
    age: float | None
    value_at_risk: float | None
    currency: str | None
    segment: str | None
    purchases: int
    spend: float | None
    days_since_last_purchase: float | None
    reasons: tuple[tuple[str, float], ...]
    churn_learned: bool = False
    rank: int = 0
    purchases_rank: int = 0
    recency_rank: int = 0


def rank(
    customers: Iterable[tuple[str, Customer]], at_ms: int, config: CustomerConfig = _DEFAULTS
) -> list[Ranked]:
    """Customers by value at risk, largest first; without one last; ties by id, as in both other orders.

    Args:
        customers: Ids and states; without any event applied they are passed over.
        at_ms: The moment; for a customer with a newer event it is the time of that.
        config: As in ``fold``; its value model has the horizon.
    """
    found = [ranked(name, customer, at_ms, config) for name, customer in customers if customer.events]
    found.sort(key=lambda each: each.customer_id)
    for place, each in enumerate(sorted(found, key=lambda each: _most(each.expected_purchases)), 1):
        each.purchases_rank = place
    for place, each in enumerate(sorted(found, key=lambda each: _least(each.days_since_last_purchase)), 1):
        each.recency_rank = place
    found.sort(key=lambda each: _most(each.value_at_risk))
    for place, each in enumerate(found, 1):
        each.rank = place
    return found


def ranked(
    customer_id: str,
    customer: Customer,
    at_ms: int,
    config: CustomerConfig = _DEFAULTS,
    known: Signals | None = None,
) -> Ranked:
    """One customer, who had at least one event, without places in any order.

    Arguments as of ``rank``; ``known`` are all signals of the customer at that moment, if they are there already.
    """
    if known is None:
        known = signals(customer, at_ms, config)
    churn = churn_of(customer, known, at_ms, config)
    expected: Any = known["expected_value"]
    first_ms, last_ms = customer.first_purchase_ms, customer.last_purchase_ms
    return Ranked(
        customer_id=customer_id,
        expected_purchases=known["expected_purchases"],
        expected_value=expected,
        p_alive=known["p_alive"],
        churn_probability=churn.value,
        recency=None if first_ms is None or last_ms is None else (last_ms - first_ms) / WEEK_MS,
        frequency=None if first_ms is None else customer.purchase_days - 1,
        age=None if first_ms is None else (max(at_ms, customer.last_ms) - first_ms) / WEEK_MS,
        value_at_risk=None if expected is None else expected * churn.value,
        currency=None if expected is None else _currency(customer, config),
        segment=customer.segment,
        purchases=customer.purchases,
        spend=known["spend"],
        days_since_last_purchase=known["recency_days"],
        reasons=churn.reasons,
        churn_learned=churn.learned,
    )


def within(config: CustomerConfig, horizon_ms: int, currency: str | None = None) -> CustomerConfig:
    """The configuration, looking ahead for ``horizon_ms``; with a currency, money in others does not count.

    Raises:
        ValueError: The horizon is not more than 0.
    """
    return replace(config, value=replace(config.value, horizon_ms=horizon_ms), currency=currency)


def shown(each: Ranked) -> dict[str, Any]:
    """As plain values, in the order of the fields; places only where there are any."""
    fields = {name: getattr(each, name) for name in each.__struct_fields__}
    fields["reasons"] = [{"reason": name, "adds": added} for name, added in each.reasons]
    if not each.rank:
        for name in ("rank", "purchases_rank", "recency_rank"):
            del fields[name]
    return fields


def _currency(customer: Customer, config: CustomerConfig) -> str:
    return next(iter(customer.spend)) if config.currency is None else config.currency


def _most(figure: float | None) -> tuple[bool, float]:
    return figure is None, -(figure or 0.0)


def _least(figure: float | None) -> tuple[bool, float]:
    return figure is None, figure or 0.0
