"""Customers in words and tables, for ``cx customers``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from schemas.times import format_ms
from stream.customers.churn import REASONS
from stream.customers.known import MOST_COUNTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.customers.ranking import Ranked

#: Column of the ranking -> what it says.
COLUMNS: Final = {
    "#": "place in the order",
    "customer": "id",
    "segment": "the newest one named",
    "at risk": "value at risk: the two columns after it, multiplied",
    "value": "money expected within the horizon",
    "churn": "probability to leave",
    "buys": "purchases expected within the horizon",
    "alive": "probability to still buy at all",
    "bought": "purchases so far",
    "last": "days since the last purchase",
    "by buys": "place by expected purchases, most first",
    "by last": "place by the last purchase, most recent first: the plain baseline",
    "why": "what raises the churn probability, largest first",
}
_LEFT: Final = ("customer", "segment", "why")


def table(ranking: Sequence[Ranked], at_ms: int) -> None:
    """A row for each customer, on stdout."""
    from rich.console import Console  # noqa: PLC0415 - not for --json
    from rich.table import Table  # noqa: PLC0415

    click.echo(f"as of {format_ms(at_ms)}")
    shown = Table(box=None)
    for column in COLUMNS:
        left = column in _LEFT
        shown.add_column(column, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for each in ranking:
        shown.add_row(
            str(each.rank),
            each.customer_id,
            each.segment or "",
            _money(each.value_at_risk, each.currency),
            _money(each.expected_value, None),
            f"{100 * each.churn_probability:.0f}%",
            _figure(each.expected_purchases, 2),
            "" if each.p_alive is None else f"{100 * each.p_alive:.0f}%",
            str(each.purchases),
            _figure(each.days_since_last_purchase, 0),
            str(each.purchases_rank),
            str(each.recency_rank),
            ", ".join(REASONS.get(name, name) for name, added in each.reasons if added > 0),
        )
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False).print(shown)


def lines(known: dict[str, Any]) -> list[tuple[str, str]]:
    """A profile, as JSON has it, as (heading, text)."""
    signals = known["signals"]
    found = [("as of", known["as_of"])]
    found += [("also", alias) for alias in known.get("aliases", ())]
    found += [(name, known[name]) for name in ("segment", "stage", "channel", "region") if known[name]]
    found += [("attribute", f"{name} {value}") for name, value in known["attributes"].items()]
    first, last = known["first_event"], known["last_event"]
    found.append(
        ("events", f"{_count(signals['events'], 'event')}, {_replies(signals)}, from {first} to {last}")
    )
    rhythm = signals["mean_gap_days"]
    said = "own rhythm not known yet" if rhythm is None else f"one active day in {rhythm:.1f}"
    found.append(("activity", f"{signals['activity_rate']:.2g} events a day, {said}, {_ago(signals)}"))
    found += _visited(known["touchpoints"])
    found += [
        ("score", f"{metric} {held['score']:g} at {held['at']} ({held['place']:g} of 100{_trend(held)})")
        for metric, held in known["scores"].items()
    ]
    counted = [f"{signals[f'{what}_tickets']} {what}" for what in ("open", "opened", "resolved", "reopened")]
    found.append(("tickets", ", ".join(counted)))
    found += [("", f"{each['ref']} open since {each['newest']}") for each in known["tickets"] if each["open"]]
    found += _promised(known)
    if known["waits"]:
        found.append(("waits", f"{known['waits']} in queues, {known['mean_wait_seconds']:.0f} s on average"))
    found += _bought(known)
    found.append(("churn", f"{100 * known['churn_probability']:.0f}%, {_churn_by(known)}"))
    found += [
        ("", f"{REASONS.get(each['reason'], each['reason'])} ({each['adds']:+.1f})")
        for each in known["reasons"]
    ]
    if known["value_at_risk"] is not None:
        found.append(("at risk", _money(known["value_at_risk"], known["currency"])))
    found += [("due", " ".join(filter(None, (each["at"], each["ref"])))) for each in known["due"]]
    found += [("alerted", f"{rule} at {at}") for rule, at in known["alerts_last_fired"].items()]
    found += [("contacted", at) for at in known["contacted"]]
    return found


def _visited(touchpoints: dict[str, Any]) -> list[tuple[str, str]]:
    """The touchpoints, the latest visited first; what is beyond those that are kept by name comes last."""
    order = sorted(touchpoints.items(), key=lambda each: (each[0] != "", each[1]["last"]), reverse=True)
    return [
        (
            "touchpoint",
            f"{name or '(others)'}: {_visits(held['events'])}, the newest in the hour from {held['last']}",
        )
        for name, held in order
    ]


def _visits(n: int) -> str:
    return f"{n} events or more" if n == MOST_COUNTED else _count(n, "event")


def _trend(held: dict[str, Any]) -> str:
    """The newest place against the mean of the one or two before it."""
    if held["trend"] is None:
        return ""
    by = round(held["trend"], 1)
    return f"; {abs(by):g} {'above' if by > 0 else 'below'} those before" if by else "; as those before"


def _promised(known: dict[str, Any]) -> list[tuple[str, str]]:
    if not (known["promises"] or known["promises_kept"] or known["promises_broken"]):
        return []
    counted = (
        f"{len(known['promises'])} open, {known['promises_kept']} kept, {known['promises_broken']} broken"
    )
    waiting = [
        ("", f"{each['ref']} open, {'due ' + each['due'] if each['due'] else 'without a deadline'}")
        for each in known["promises"]
    ]
    return [("promises", counted), *waiting]


def _churn_by(known: dict[str, Any]) -> str:
    return "as learned from cancellations" if known["churn_learned"] else "by a declared prior"


def _bought(known: dict[str, Any]) -> list[tuple[str, str]]:
    if not known["purchases"]:
        return [("purchases", "none")]
    spent = ", ".join(f"{money:.2f} {name}".rstrip() for name, money in known["spend_by_currency"].items())
    since = f"from {known['first_purchase']} to {known['last_purchase']}"
    ahead = f"{known['expected_purchases']:.2f} purchases; alive with {100 * known['p_alive']:.0f}%"
    last = f"last bought {known['days_since_last_purchase']:.0f} days ago"
    found = [
        ("purchases", f"{known['purchases']} for {spent or 'no money named'}, {since}"),
        ("expected", f"{ahead}; {last}"),
    ]
    if known["expected_value"] is not None:
        found.append(("value", _money(known["expected_value"], known["currency"])))
    return found


def _replies(signals: dict[str, Any]) -> str:
    return "1 reply" if signals["replies"] == 1 else f"{signals['replies']} replies"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _ago(signals: dict[str, Any]) -> str:
    return f"last heard {signals['days_since_last']:.1f} days ago"


def _money(amount: float | None, currency: str | None) -> str:
    return "" if amount is None else f"{amount:.2f} {currency or ''}".rstrip()


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
