"""What the state of a customer says at an instant, as named figures that rules can use."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from .fold import MONEY_UNITS
from .learning import predict
from .learning_features import features
from .rhythm import activity_rate, own_gap_ms
from .risk import SCORE_DAYS, probability, reasons_of
from .state import DAY_MS, OPEN, OPENED, CustomerConfig
from .value import WEEK_MS, expected_purchases, expected_spend, p_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import Customer

#: Signal -> what it means. ``signals`` answers with exactly these names.
SIGNALS: Final[dict[str, str]] = {
    "events": "events applied, of either kind",
    "replies": "replies among them",
    "days_since_first": "days since the oldest event",
    "days_since_last": "days since the newest event",
    "active_days": "active buckets (days) among the last 30 up to the newest event",
    "activity_rate": "events per day, exponentially decayed with a half-life of 7 days",
    "mean_gap_days": "own rhythm: mean days between active days, newer gaps weighing more",
    "gap_ratio": "the present silence, or on a day with events the one they ended, over the own rhythm",
    "silence_ratio": "the present silence over the own rhythm; 0 on a day with events",
    "open_tickets": "tickets open now",
    "oldest_open_ticket_days": "days since the longest open ticket was opened or reopened",
    "opened_tickets": "ticket_opened events",
    "resolved_tickets": "ticket_resolved events",
    "reopened_tickets": "ticket_reopened events",
    "unopened_tickets": "tickets resolved without having been opened",
    "frequency": "purchases",
    "recency_days": "days since the last purchase",
    "days_since_first_purchase": "days since the first purchase",
    "spend": "money of all purchases, in the declared or the customer's only currency; none with several",
    "mean_spend": "spend per purchase",
    "currencies": "currencies the customer has paid in",
    "last_nps": "newest nps score",
    "last_csat": "newest csat score, on its own scale",
    "last_ces": "newest ces score, on its own scale",
    "last_loyalty": "newest loyalty score",
    "last_engagement": "newest engagement score",
    "last_nps_place": "newest nps score as 0..100, 100 is best",
    "last_csat_place": "newest csat score as 0..100, 100 is best",
    "last_ces_place": "newest ces score as 0..100, 100 is effortless",
    "days_since_nps": "days since the newest nps reply",
    "days_since_csat": "days since the newest csat reply",
    "days_since_ces": "days since the newest ces reply",
    "churn_probability": "0..1: with a contract as learned from cancellations, else by a declared prior",
    "p_alive": "probability that the customer still buys; 1 as long as there was one purchase only",
    "expected_purchases": "days with purchases expected within the next 39 weeks",
    "expected_value": "money expected from them, in the currency of spend",
}

_DEFAULTS: Final = CustomerConfig()
_PLACED: Final = ("nps", "csat", "ces")
_UNPLACED: Final = ("loyalty", "engagement")

Signals = dict[str, float | int | None]


def signals(
    c: Customer, now_ms: int, config: CustomerConfig = _DEFAULTS, only: frozenset[str] | None = None
) -> Signals:
    """Signals of a customer at an instant of event time.

    Args:
        c: with at least one event applied; without any all signals are None but the counts, which are 0.
        now_ms: usually the time of the event at hand; an instant before the newest event counts as that.
        config: as in ``fold``.
        only: names that are wanted; others may be missing. None: all of ``SIGNALS``.

    Returns:
        A figure or None (nothing is known) by name. Durations are in days.
    """
    out: Signals = dict.fromkeys(SIGNALS if only is None else only)
    now_ms = max(now_ms, c.last_ms)
    groups = _ALL if only is None else _needed(only)
    if _ACTIVITY in groups:
        out["events"] = c.events
        out["replies"] = c.replies
        out["active_days"] = len(c.counts) - c.counts.count(0)
        _put_activity(out, c, now_ms, config)
    if _TICKETS in groups:
        _put_tickets(out, c, now_ms)
    if _PURCHASES in groups:
        _put_purchases(out, c, now_ms, config)
    if _SCORES in groups:
        _put_scores(out, c, now_ms)
    if c.events and (only is None or "churn_probability" in only):
        out["churn_probability"] = _churn_probability(c, now_ms, config)
    if only is None or not only.isdisjoint(_VALUE):
        _put_value(out, c, now_ms, config)
    return out


def signal(c: Customer, now_ms: int, config: CustomerConfig, name: str) -> float | int | None:
    """One of the ``signals``; those that tests mostly begin with at a fraction of the cost."""
    field = _COUNTED.get(name)
    if field is not None:
        return field(c)
    if name == "churn_probability":
        return _churn_probability(c, max(now_ms, c.last_ms), config) if c.events else None
    return signals(c, now_ms, config, _only(name))[name]


#: Signals that are kept as they are.
_COUNTED: Final[dict[str, Callable[[Customer], int]]] = {
    "events": attrgetter("events"),
    "replies": attrgetter("replies"),
    "opened_tickets": attrgetter("tickets_opened"),
    "resolved_tickets": attrgetter("tickets_resolved"),
    "reopened_tickets": attrgetter("tickets_reopened"),
    "frequency": attrgetter("purchases"),
}
_RISK: Final = frozenset({"churn_probability"})
_VALUE: Final = frozenset({"p_alive", "expected_purchases", "expected_value"})
_TICKETS: Final = frozenset(name for name in SIGNALS if name.endswith(("_tickets", "ticket_days")))
_PURCHASES: Final = frozenset(
    {"frequency", "recency_days", "days_since_first_purchase", "spend", "mean_spend", "currencies"}
)
_SCORES: Final = frozenset(
    name
    for name in SIGNALS
    if name.startswith("last_") or name in {f"days_since_{metric}" for metric in _PLACED}
)
_ACTIVITY: Final = frozenset(SIGNALS) - _RISK - _VALUE - _TICKETS - _PURCHASES - _SCORES
_ALL: Final[tuple[frozenset[str], ...]] = (_ACTIVITY, _TICKETS, _PURCHASES, _SCORES)


@cache
def _needed(only: frozenset[str]) -> tuple[frozenset[str], ...]:
    return tuple(group for group in _ALL if not group.isdisjoint(only))


@cache
def _only(name: str) -> frozenset[str]:
    return frozenset((name,))


def _put_scores(out: Signals, c: Customer, now_ms: int) -> None:
    scores = c.scores
    for metric in _PLACED:
        held = scores.get(metric)
        if held is not None:
            out["last_" + metric] = held[2]
            out["last_" + metric + "_place"] = held[3] / 10
            out["days_since_" + metric] = (now_ms - held[0]) / DAY_MS
    for metric in _UNPLACED:
        held = scores.get(metric)
        if held is not None:
            out["last_" + metric] = held[2]


def _put_activity(out: Signals, c: Customer, now_ms: int, config: CustomerConfig) -> None:
    if not c.events:
        return
    out["days_since_first"] = (now_ms - c.first_ms) / DAY_MS
    out["days_since_last"] = (now_ms - c.last_ms) / DAY_MS
    out["activity_rate"] = activity_rate(c, now_ms, config)
    silent = _is_silent(c, now_ms, config)
    gap_ms = own_gap_ms(c, config, but_newest=not silent)
    out["silence_ratio"] = None if gap_ms is None else 0.0
    if gap_ms is None:
        return
    out["mean_gap_days"] = gap_ms / DAY_MS
    if silent:
        out["gap_ratio"] = out["silence_ratio"] = (now_ms - c.last_ms) / gap_ms
    elif c.prev_ms is not None:
        out["gap_ratio"] = (c.last_ms - c.prev_ms) / gap_ms


def _is_silent(c: Customer, now_ms: int, config: CustomerConfig) -> bool:
    """Whether this is no longer the bucket of the newest event."""
    return now_ms // config.bucket_ms > c.last_ms // config.bucket_ms


def _churn_probability(c: Customer, now_ms: int, config: CustomerConfig) -> float:
    """What was learned, or ``risk.churn_probability`` of all signals without those that it does not look at."""
    contract = c.contract
    if contract is not None and contract.since_ms and config.churn is not None:
        return predict(config.churn.weights, features(c, now_ms, contract.since_ms, config))
    silence = nps = csat = ces = None
    if _is_silent(c, now_ms, config) and (gap_ms := own_gap_ms(c, config)) is not None:
        silence = (now_ms - c.last_ms) / gap_ms
    scores = c.scores
    if scores:
        since_ms = now_ms - SCORE_DAYS * DAY_MS
        held = scores.get("nps")
        if held is not None and held[0] >= since_ms:
            nps = held[2]
        held = scores.get("csat")
        if held is not None and held[0] >= since_ms:
            csat = held[3] / 10
        held = scores.get("ces")
        if held is not None and held[0] >= since_ms:
            ces = held[3] / 10
    return probability(reasons_of(silence, nps, csat, ces, _open_tickets(c), c.tickets_reopened))


def _open_tickets(c: Customer) -> int:
    held = sum([ticket[3] & OPEN != 0 for ticket in c.tickets]) if c.tickets else 0
    return held + max(0, c.loose_tickets)


def _put_tickets(out: Signals, c: Customer, now_ms: int) -> None:
    held_open = [ticket[1] for ticket in c.tickets if ticket[3] & OPEN]
    out["open_tickets"] = len(held_open) + max(0, c.loose_tickets)
    if held_open:
        out["oldest_open_ticket_days"] = (now_ms - min(held_open)) / DAY_MS
    out["opened_tickets"] = c.tickets_opened
    out["resolved_tickets"] = c.tickets_resolved
    out["reopened_tickets"] = c.tickets_reopened
    out["unopened_tickets"] = c.unopened + sum(not ticket[3] & (OPEN | OPENED) for ticket in c.tickets)


def _put_purchases(out: Signals, c: Customer, now_ms: int, config: CustomerConfig) -> None:
    out["frequency"] = c.purchases
    out["currencies"] = len(c.spend)
    if c.last_purchase_ms is None or c.first_purchase_ms is None:
        return
    out["recency_days"] = (now_ms - c.last_purchase_ms) / DAY_MS
    out["days_since_first_purchase"] = (now_ms - c.first_purchase_ms) / DAY_MS
    units = _units(c, config)
    if units is not None:
        out["spend"] = units / MONEY_UNITS
        out["mean_spend"] = units / MONEY_UNITS / c.purchases


def _units(c: Customer, config: CustomerConfig) -> int | None:
    """Money spent in the declared or the customer's only currency."""
    if config.currency is not None:
        return c.spend.get(config.currency)
    return next(iter(c.spend.values())) if len(c.spend) == 1 else None


def _put_value(out: Signals, c: Customer, now_ms: int, config: CustomerConfig) -> None:
    if c.last_purchase_ms is None or c.first_purchase_ms is None:
        return
    model = config.value
    n = c.purchase_days
    recency = (c.last_purchase_ms - c.first_purchase_ms) / WEEK_MS
    age = (now_ms - c.first_purchase_ms) / WEEK_MS
    out["p_alive"] = p_alive(model, n - 1, recency, age)
    purchases = out["expected_purchases"] = expected_purchases(model, n - 1, recency, age)
    units = _units(c, config)
    if units is not None:
        out["expected_value"] = purchases * expected_spend(model, n, units / MONEY_UNITS / n)
