"""What customers are expected to buy and spend: published figures, the model simulated, and the signals."""

from __future__ import annotations

from math import asin, log
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.customers import Customer, CustomerConfig, ValueModel, fold, signals
from stream.customers.value import WEEK_MS, expected_purchases, expected_spend, hypergeometric, p_alive
from tests.customers.oracle import T0, touch

CDNOW = ValueModel()


def test_a_published_customer_is_expected_to_buy_as_published() -> None:
    """Customer 1 of [Fader, Hardie, Lee, "Implementing the BG/NBD model in Excel", 2005]: 1.226 in 39 weeks."""
    assert expected_purchases(CDNOW, 2, 30.43, 38.86) == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize(
    ("n", "mean", "expected"), [(2, 22.35, 24.66), (1, 11.77, 18.92), (7, 73.74, 71.47), (2, 25.55, 27.29)]
)
def test_published_customers_are_expected_to_spend_as_published(n: int, mean: float, expected: float) -> None:
    """CDNOW with the fit of [Fader, Hardie 2013]: p 6.25, q 3.74, gamma 15.44."""
    assert expected_spend(CDNOW, n, mean) == pytest.approx(expected, abs=0.01)


def test_what_a_purchase_is_worth_lies_between_the_customer_and_all() -> None:
    """Of nobody's purchases it is everybody's mean, of very many the customer's own."""
    assert expected_spend(CDNOW, 0, 0.0) == pytest.approx(6.25 * 15.44 / 2.74)
    assert expected_spend(CDNOW, 10**6, 80.0) == pytest.approx(80.0, rel=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "c", "z", "known"),
    [
        (1.0, 1.0, 2.0, 0.5, log(2) / 0.5),  # -ln(1 - z) / z
        (0.5, 0.5, 1.5, 0.81, asin(0.9) / 0.9),  # asin(sqrt z) / sqrt z
        (0.3, 2.5, 2.5, 0.9, 0.1**-0.3),  # (1 - z)^-a
        (-2.0, 3.0, 4.0, 0.5, 0.4),  # a polynomial
    ],
)
def test_the_series_gives_known_values(a: float, b: float, c: float, z: float, known: float) -> None:
    """Gauss' function where it is an elementary one."""
    assert hypergeometric(a, b, c, z) == pytest.approx(known, rel=1e-13)


weeks = st.floats(min_value=0, max_value=520)
near = st.integers(min_value=0, max_value=60)


@given(near, weeks, weeks)
def test_the_formula_is_equation_10(x: int, recency: float, since: float) -> None:
    """Euler's transformation changes how it is computed, not what."""
    age, m = recency + since, CDNOW
    t = m.horizon_ms / WEEK_MS
    z, c = t / (m.alpha + age + t), m.a + m.b + x - 1
    inner = ((m.alpha + age) / (m.alpha + age + t)) ** (m.r + x) * hypergeometric(m.r + x, m.b + x, c, z)
    left = m.a / (m.b + x - 1) * ((m.alpha + age) / (m.alpha + recency)) ** (m.r + x) if x else 0.0
    want = c / (m.a - 1) * (1 - inner) / (1 + left)
    assert expected_purchases(m, x, recency, age) == pytest.approx(want, rel=1e-6, abs=1e-12)


@given(st.integers(min_value=0, max_value=10**9), weeks, weeks, weeks)
def test_silence_only_lowers_what_is_expected(x: int, recency: float, since: float, more: float) -> None:
    """With the same purchases, longer ago: less probably alive and fewer to come; never negative or no number."""
    age = recency + since
    sooner, later = (
        (p_alive(CDNOW, x, recency, at), expected_purchases(CDNOW, x, recency, at))
        for at in (age, age + more)
    )
    assert 0 <= later[0] <= sooner[0] <= 1
    assert 0 <= later[1] <= sooner[1] * (1 + 1e-9)


def test_customers_of_the_model_do_as_expected() -> None:
    """30,000 simulated customers, by purchases of 39 weeks: those of the next 39, and who is alive, on average."""
    random, span = Random(7), CDNOW.horizon_ms / WEEK_MS
    errors: dict[int, list[float]] = {}
    living: dict[int, list[float]] = {}
    for _ in range(30_000):
        rate = random.gammavariate(CDNOW.r, 1 / CDNOW.alpha)
        leaves = random.betavariate(CDNOW.a, CDNOW.b)
        bought: list[float] = []
        at, alive_at_span = 0.0, True
        while (at := at + random.expovariate(rate or 1e-300)) < 2 * span:
            bought.append(at)
            if random.random() < leaves:
                alive_at_span = at >= span
                break
        x = sum(at < span for at in bought)
        recency = bought[x - 1] if x else 0.0
        group = min(x, 4)
        errors.setdefault(group, []).append(len(bought) - x - expected_purchases(CDNOW, x, recency, span))
        living.setdefault(group, []).append(alive_at_span - p_alive(CDNOW, x, recency, span))
    assert sorted(errors) == [0, 1, 2, 3, 4]
    for found in (*errors.values(), *(living[group] for group in range(1, 5))):
        assert abs(fmean(found)) < 4 * stdev(found) / len(found) ** 0.5


def test_amounts_of_the_model_are_as_expected() -> None:
    """20,000 simulated customers with two purchases, the thrifty and the others: their own mean, on average."""
    random, m = Random(11), CDNOW
    errors: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(20_000):
        scale = 1 / random.gammavariate(m.q, 1 / m.gamma)
        seen = fmean(random.gammavariate(m.p, scale) for _ in range(2))
        errors[seen < 25].append(m.p * scale - expected_spend(m, 2, seen))
    for found in errors.values():
        assert len(found) > 4_000
        assert abs(fmean(found)) < 4 * stdev(found) / len(found) ** 0.5


def _bought(*purchases: tuple[float, float | None, str | None], config: CustomerConfig) -> Customer:
    """A customer with purchases: (week, amount, currency)."""
    c = Customer()
    for i, (week, value, currency) in enumerate(purchases):
        event = touch(f"e{i}", T0 + round(week * WEEK_MS), "purchase", value=value, currency=currency)
        fold(c, event, "t", i, config)
    return c


def test_the_signals_are_the_model_of_the_purchases() -> None:
    """Purchases but the first, weeks from it to the last and to now, and the mean of all amounts."""
    config = CustomerConfig()
    c = _bought((0, 30.0, "EUR"), (30.43, 20.0, "EUR"), (12, 10.0, "EUR"), config=config)
    got = signals(c, T0 + round(38.86 * WEEK_MS), config, frozenset({"expected_value"}))
    assert got["expected_purchases"] == pytest.approx(1.226, abs=5e-4)
    assert got["expected_value"] == pytest.approx(1.2260 * expected_spend(CDNOW, 3, 20.0), rel=1e-4)
    whole = signals(c, T0 + round(38.86 * WEEK_MS), config)
    assert {name: whole[name] for name in got} == got
    assert whole["p_alive"] == p_alive(CDNOW, 2, 30.43, 38.86)


def test_other_parameters_may_be_declared() -> None:
    """Twice the scale of amounts and a longer look: more money, more purchases."""
    config = CustomerConfig(value=ValueModel(gamma=2 * CDNOW.gamma, horizon_ms=2 * CDNOW.horizon_ms))
    c = _bought((0, 30.0, "EUR"), (1, 20.0, "EUR"), config=config)
    ours, theirs = (signals(c, T0 + 2 * WEEK_MS, each) for each in (config, CustomerConfig()))
    for name in ("expected_purchases", "expected_value"):
        assert (ours[name] or 0) > (theirs[name] or 0) > 0


@pytest.mark.parametrize(
    ("purchases", "known"),
    [
        ((), set()),
        (((0, None, None),), {"p_alive", "expected_purchases"}),
        (((0, 5.0, "EUR"), (1, 5.0, "GBP")), {"p_alive", "expected_purchases"}),
        (((0, 5.0, None),), {"p_alive", "expected_purchases", "expected_value"}),
        (((0, -5.0, "EUR"),), {"p_alive", "expected_purchases", "expected_value"}),
    ],
)
def test_what_cannot_be_known_is_none(
    purchases: tuple[tuple[float, float | None, str | None], ...], known: set[str]
) -> None:
    """Without a purchase nothing; without an amount, or in two currencies, no money."""
    config = CustomerConfig()
    c = _bought(*purchases, config=config)
    fold(c, touch("last", T0 + WEEK_MS), "t", 99, config)
    got = signals(c, T0 + 2 * WEEK_MS, config)
    model = ("p_alive", "expected_purchases", "expected_value")
    assert {name for name in model if got[name] is not None} == known
    assert all((got[name] or 0) >= 0 for name in model)


@pytest.mark.parametrize(
    "wrong",
    [{"r": 0.0}, {"alpha": -1.0}, {"a": 1.0}, {"a": 0.2, "b": 0.8}, {"q": 1.0}, {"p": float("nan")}],
    ids=str,
)
def test_parameters_that_are_no_model_are_refused(wrong: dict[str, float]) -> None:
    """The error names the parameter."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
        ValueModel(**wrong)  # type: ignore[arg-type]
