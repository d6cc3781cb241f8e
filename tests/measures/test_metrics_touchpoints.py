"""Metrics of touchpoint events: stocks, money, durations; what has no interval, no value, no observation."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import (
    EVER,
    WHOLE,
    Line,
    MetricValue,
    Shown,
    Versus,
    add,
    decode_partial_or_mark,
    duration,
    encode_partial,
    money,
    value_of,
)
from stream.measures.declare import Declarations
from stream.measures.intervals import compound_poisson, poisson_score, student, wilson, z_quantile
from stream.measures.partials import Partial
from tests.measures.examples import amounts, lasted, sums

ACQUIRED = ("acquired", (1,))


@pytest.mark.parametrize(
    ("name", "key", "vec"),
    [
        ("referral_rate", "purchases", (40, 10)),
        ("reopen_rate", "tickets", (40, 10)),
        ("self_service_deflection", "sessions", (40, 10)),
        ("abandonment", "ended|form", (40, 10)),
        ("cart_abandonment", "ended|cart", (40, 10)),
        ("queue_abandonment", "ended|queue", (40, 10)),
    ],
)
def test_rates_have_wilsons_interval(name, key, vec):
    """A rate has the Wilson interval of its hits."""
    low, high = wilson(10, 40, 0.9)
    value = value_of(name, sums([(key, vec)]), 0.9)
    assert value.interval == pytest.approx((100 * low, 100 * high))
    assert value.confidence == 0.9


@pytest.mark.parametrize("vec", [(2, 3), (2, -1)])
def test_more_hits_than_cases_have_no_interval(vec):
    """Tickets reopened of those resolved before the window make a rate above 100, without an interval."""
    value = value_of("reopen_rate", sums([("tickets", vec)]), 0.95)
    assert value.value == 50 * vec[1]
    assert value.interval is None


@pytest.mark.parametrize("name", ["referral_rate", "reopen_rate", "abandonment", "cart_abandonment"])
def test_hits_without_cases_have_no_rate(name):
    """Where nothing could be hit there is no rate, whatever was hit."""
    key = {"referral_rate": "purchases", "reopen_rate": "tickets"}.get(name, "ended|cart")
    assert value_of(name, {key: [0, 2]}, 0.95) is None


steps = st.lists(st.sampled_from([1, 1, -1]), max_size=40)


@given(steps, steps, st.randoms(use_true_random=False))
def test_churn_and_retention_by_brute_force(before, within, rng):
    """Both are what counting the subscribers one by one gives, and add up to 100."""
    at_start = started = lost = now = 0
    observed = {False: [], True: []}
    for inside, moves in ((False, before), (True, within)):
        at_start = now
        started = lost = 0
        for move in moves:
            if move < 0 and not now:
                continue
            now += move
            started += move > 0
            lost += move < 0
            observed[inside].append(("subscribers", (move, int(move > 0), int(move < 0))))
    rng.shuffle(observed[True])
    stats, ever = sums(observed[True]), sums(observed[False] + observed[True])
    churn = value_of("churn_rate", stats, 0.95, ever, "30d")
    retention = value_of("retention_rate", stats, 0.95, ever, "30d")
    if not at_start:
        assert churn is retention is None
        return
    assert churn.value == pytest.approx(100 * lost / at_start)
    assert retention.value == pytest.approx(100 * (now - started) / at_start)
    assert churn.value + retention.value == pytest.approx(100)
    assert churn.n == retention.n == at_start
    assert (
        churn.parts
        == retention.parts
        == {
            "at_start": at_start,
            "started": started,
            "lost": lost,
            "at_end": now,
        }
    )
    assert (churn.interval is None) == (retention.interval is None) == (lost > at_start)


def test_nobody_at_the_start_has_no_churn():
    """Of no subscribers, or of a stock that is not known, no share can be lost."""
    joined = {"subscribers": [3, 3, 0]}
    assert value_of("churn_rate", joined, 0.95, joined) is None
    assert value_of("retention_rate", joined, 0.95, joined) is None
    assert value_of("churn_rate", {"subscribers": [-1, 0, 1]}, 0.95) is None


def test_lifetime_value_is_of_the_whole_log_alone():
    """It has a value in the window ``ever`` and in no other; the others have none there."""
    stats = sums([*amounts("revenue", "USD", [50] * 5), ACQUIRED])
    values = Shown(Declarations(), 0.95).values(WHOLE, {"1h": stats, EVER: dict(stats)})
    assert {name: list(windows) for name, windows in values.items()} == {
        "lifetime_value": [EVER],
        "revenue": ["1h"],
    }
    assert value_of("lifetime_value", stats, 0.95, stats, "90d") is None
    assert value_of("revenue", stats, 0.95, stats, EVER) is None


def test_lifetime_value_without_customers():
    """Revenue of nobody known is no lifetime value; nor are customers without revenue."""
    assert value_of("lifetime_value", sums(amounts("revenue", "USD", [5])), 0.95, window=EVER) is None
    assert value_of("lifetime_value", sums([ACQUIRED]), 0.95, window=EVER) is None


def test_acquisition_cost_interval():
    """Spend is divided by the ends of the score interval of the customers, the more the cheaper."""
    stats = sums([*amounts("acquisition_spend", "EUR", [1000]), *[ACQUIRED] * 8])
    fewest, most = poisson_score(8, 0.95)
    value = value_of("acquisition_cost", stats, 0.95)
    assert value.interval == pytest.approx((1000 / most, 1000 / fewest))
    credit = sums([*amounts("acquisition_spend", "EUR", [-1000]), *[ACQUIRED] * 8])
    assert value_of("acquisition_cost", credit, 0.95).interval == pytest.approx(
        (-1000 / fewest, -1000 / most)
    )


def test_spend_without_customers_has_no_cost_each():
    """Nobody acquired, or nothing spent, is no acquisition cost, and not an infinite one."""
    assert value_of("acquisition_cost", sums(amounts("acquisition_spend", "EUR", [9])), 0.95) is None
    assert value_of("acquisition_cost", sums([ACQUIRED]), 0.95) is None


def test_currencies_are_kept_apart():
    """Money in two currencies has no sum and no currency, only a sum for each; with one left it has again."""
    stats = sums(amounts("revenue", "EUR", [1, 2]) + amounts("revenue", "USD", [4]))
    mixed = value_of("revenue", stats, 0.95)
    assert (mixed.value, mixed.interval, mixed.currency, mixed.n) == (None, None, None, 3)
    assert mixed.parts == {"EUR": 3, "USD": 4}
    key, vec = money("revenue", 4, "usd")
    add(stats, key, vec, -1)
    assert value_of("revenue", stats, 0.95).value == 3
    assert value_of("revenue", stats, 0.95).currency == "EUR"


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        (math.nan, "EUR"),
        (math.inf, "EUR"),
        (1e13, "EUR"),
        (-1e13, "EUR"),
        (1e308, None),
        (5, "EU|R"),
        (5, "€"),
        (5, " "),
        (5, "x" * 17),
    ],
)
def test_money_that_is_none(value, currency):
    """An amount that is no number or absurd, and a code that is none, observe nothing and raise nothing."""
    assert money("revenue", value, currency) is None


def test_money_observes():
    """Ten-thousandths of a unit, to the nearest; spend has no squares; no currency is XXX."""
    assert money("cost", 0.29999, "eur") == ("cost|EUR", (1, 3000, 9_000_000))
    assert money("revenue", -2, None) == ("revenue|XXX", (1, -20_000, 400_000_000))
    assert money("revenue", 2, "") == money("revenue", 2, "xxx")
    assert money("acquisition_spend", 2, "USD") == ("acquisition_spend|USD", (1, 20_000))


def test_sums_have_no_bound():
    """Sums far beyond 64 bits add up, travel and come apart again to the last digit."""
    stats = {}
    for key, vec in (money("revenue", 9.9e12, "EUR"), *duration("waiting_time", 250_000_000_000_000)):
        add(stats, key, vec, 1_000_000)
    _, sent = encode_partial(Partial.of("{}", "s/0", 1, 1, stats, 7))
    arrived = decode_partial_or_mark(sent).stats
    assert arrived == stats
    assert arrived["revenue|EUR"][2] > 2**64
    assert value_of("revenue", arrived, 0.95).value == 9.9e18
    assert value_of("waiting_time", arrived, 0.95).value == 250_000_000_000


def test_revenue_interval():
    """A sum of money has the interval of a compound Poisson total, in units of the currency."""
    value = value_of("revenue", sums(amounts("revenue", "EUR", [10, 20, 30])), 0.95)
    low, high = compound_poisson(60, 1400, 0.95)
    assert value.interval == pytest.approx((low, high))
    assert 0 < low < 60 < high


def test_duration_mean_and_interval():
    """Mean and t interval in seconds, cut at nothing; a single one has no interval."""
    value = value_of("resolution_time", sums(lasted("resolution_time", [10, 20, 60])), 0.95)
    assert value.value == value.parts["mean"] == 30
    low, high = student(3, 90, 4100, 0.95)
    assert low < 0
    assert value.interval == pytest.approx((0, high))
    assert value_of("resolution_time", sums(lasted("resolution_time", [10])), 0.95).interval is None


def test_durations_of_two_kinds_do_not_mix():
    """Resolution and waiting each have their own sums."""
    stats = sums(lasted("resolution_time", [10]) + lasted("waiting_time", [20]))
    assert value_of("resolution_time", stats, 0.95).value == 10
    assert value_of("waiting_time", stats, 0.95).value == 20


def test_a_negative_duration_is_refused():
    """Whoever pairs events refuses a negative duration; here it is a mistake of the program."""
    with pytest.raises(ValueError, match="negative"):
        duration("waiting_time", -1)


def test_customers_exact_and_estimated():
    """An exact number is its own interval; an estimated one has that of its error, not below 0."""
    exact = value_of("customers", {"customers": [40, 1, 0]}, 0.95)
    assert (exact.value, exact.n, exact.interval, exact.parts) == (40, 40, (40, 40), {"relative_error": 0})
    half = z_quantile(0.95) * 0.0081
    estimated = value_of("customers", {"customers": [10_000, 0, 81]}, 0.95)
    assert estimated.interval == pytest.approx((10_000 * (1 - half), 10_000 * (1 + half)))
    assert value_of("customers", {"customers": [3, 0, 9000]}, 0.95).interval[0] == 0
    assert value_of("customers", {"customers": [0, 1, 0]}, 0.95) is None


def test_what_is_not_there_is_left_out_of_the_json():
    """Optional fields appear only where they hold something; a value of None always does."""
    value = MetricValue(value=None, n=3, interval=None, confidence=0.95, parts={})
    bare = {"value": None, "n": 3, "interval": None, "confidence": 0.95, "parts": {}}
    assert json.loads(msgspec.json.encode(value)) == bare
    full = msgspec.structs.replace(
        value, currency="EUR", goal=Line(80, -6, owner="retail"), versus=Versus("A", 1.5, (0.5, 2.5))
    )
    assert json.loads(msgspec.json.encode(full)) == bare | {
        "currency": "EUR",
        "goal": {"value": 80, "gap": -6, "owner": "retail"},
        "versus": {"variant": "A", "difference": 1.5, "interval": [0.5, 2.5], "evidence": "anytime"},
    }
