"""When a rule crosses its line, kind by kind, from values alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from stream.alerting.conditions import crossing, difference, holding, look
from stream.alerting.rules import load_rules


@dataclass(frozen=True)
class Value:
    """A value as measures hands it over."""

    value: float
    n: int = 100
    interval: tuple[float, float] | None = None
    currency: str | None = None


RULE = """
groups:
  - name: g
    rules:
      - alert: Budget
        metric: csat
        min_n: 50
        burn_rate: {goal: 90, page: [[1h, 5m, 5]], ticket: [[24h, 1h, 1]]}
"""
BUDGET = load_rules(RULE, "r.yml").metric_rules[0]
# Of 100 answers 10 may be bad: a csat of 50 burns 5 times as fast, one of 40 six times.
BURNS = [
    ("both windows of a line burn too fast", {"1h": 40, "5m": 49, "24h": 95}, None, "still_firing"),
    ("exactly as fast as the line says is not too fast", {"1h": 50, "5m": 50, "24h": 95}, "ok", None),
    ("only the long one: it was so, and is over", {"1h": 40, "5m": 90, "24h": 95}, "ok", None),
    ("only the short one: too little yet", {"1h": 60, "5m": 0, "24h": 95}, "ok", None),
    ("one line of two is enough", {"1h": 60, "5m": 90, "24h": 85}, None, "still_firing"),
    ("nothing at all", {}, "no_data", "no_data"),
    ("nothing of late", {"1h": 40, "24h": 95}, "ok", None),
]


@pytest.mark.parametrize(("_", "values", "wanted", "held"), BURNS, ids=[name for name, *_ in BURNS])
def test_burn_rates(_: str, values: dict[str, float], wanted: str | None, held: str | None) -> None:
    """A line is crossed where both windows burn faster than it says; any line will do."""
    read = {name: Value(value) for name, value in values.items()}
    assert crossing(BUDGET, read.get) == wanted
    assert holding(BUDGET, read.get) == held


def test_a_burn_rate_wants_replies_in_its_long_window_only() -> None:
    """min_n gates the long window; the short one is there to end the alert, one answer will do."""
    few = {"1h": Value(0, 49), "5m": Value(0, 49), "24h": Value(95, 900)}
    assert crossing(BUDGET, few.get) == "ok"  # the ticket line has enough, and is not crossed
    assert crossing(BUDGET, (few | {"1h": Value(0, 50), "5m": Value(0, 1)}).get) is None
    assert crossing(BUDGET, (few | {"24h": Value(0, 49)}).get) == "not_enough_replies"


def test_a_burn_rate_shows_the_line_that_is_crossed_most() -> None:
    """What is shown is the line whose slower window is furthest above its rate."""
    shown = look(BUDGET, {"1h": Value(40), "5m": Value(30), "24h": Value(80)}.get)
    assert shown.window == "24h"  # 2 times and 6 times, at a rate of 1
    assert shown.burn is not None
    assert (shown.burn.long, shown.burn.short) == (2.0, 6.0)


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """Newcombe 1998, method 10, example (a): 56/70 and 48/80 differ by 0.2, interval 0.0524 to 0.3339."""
    found = difference(Value(56 / 70, 70, _wilson(56, 70)), Value(48 / 80, 80, _wilson(48, 80)))
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(Value(1), Value(1, 1, (0, 2))) is None


def _wilson(hits: int, n: int) -> tuple[float, float]:
    z, p = 1.959964, hits / n
    centre = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return centre - half, centre + half
