"""Parameters fitted to counts: the published ones, the likelihood by its own definition, and what is no sample."""

from __future__ import annotations

from math import exp, lgamma, log
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cdnow import PUBLISHED, mean_error, reference_fit, shoppers, transactions
from stream.customers.fitting import Unfit, digamma, fit_bgnbd, fit_gamma_gamma
from stream.customers.fitting_maximum import maximum
from stream.customers.value import ValueModel, expected_purchases

CDNOW = [(each.x, each.recency, each.age, 1.0) for each in shoppers()]


def likelihood(
    rows: list[tuple[int, float, float, float]], r: float, alpha: float, a: float, b: float
) -> float:
    """Equation 6 of [Fader, Hardie, Lee 2005], as it is printed."""
    total = 0.0
    for x, recency, age, weight in rows:
        first = lgamma(b + x) + lgamma(a + b) - lgamma(b) - lgamma(a + b + x)
        alive = exp(first + lgamma(r + x) - lgamma(r) + r * log(alpha) - (r + x) * log(alpha + age))
        gone = 0.0
        if x:
            last = (
                lgamma(a + 1) + lgamma(b + x - 1) + lgamma(a + b) - lgamma(a) - lgamma(b) - lgamma(a + b + x)
            )
            gone = exp(last + lgamma(r + x) - lgamma(r) + r * log(alpha) - (r + x) * log(alpha + recency))
        total += weight * log(alive + gone)
    return total


def test_cdnow_gives_the_published_parameters() -> None:
    """Within half a percent, and with the likelihood that the paper's own formula gives there."""
    found = fit_bgnbd(CDNOW)
    assert found.parameters == pytest.approx(PUBLISHED, rel=0.005)
    assert (found.n, found.weight) == (2357, 2357)
    assert found.log_likelihood == pytest.approx(likelihood(CDNOW, **found.parameters), abs=1e-4)


def test_the_fit_is_that_of_lifetimes_and_expects_as_well() -> None:
    """The same parameters to four digits, and no larger error in weeks 40 to 78 than its own formula."""
    theirs, expected = reference_fit()
    ours = fit_bgnbd(CDNOW).parameters
    assert ours == pytest.approx(theirs, rel=1e-4)
    model = ValueModel(**ours)
    mine = [expected_purchases(model, each.x, each.recency, each.age) for each in shoppers()]
    assert mine == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert mean_error(mine) <= mean_error(expected) + 5e-7
    # Beside it the plain extrapolation: everyone goes on at their own rate.
    assert mean_error(mine) < 0.8 * mean_error([each.x / each.age * 39 for each in shoppers()])


@given(st.randoms(use_true_random=False), st.integers(2, 5))
@settings(max_examples=5, deadline=None)
def test_neither_order_nor_splitting_of_weights_changes_the_fit(random: Random, times: int) -> None:
    """A row of weight 3 is three customers, and the order of rows says nothing."""
    few = CDNOW[::8]
    once = fit_bgnbd([(x, recency, age, float(times)) for x, recency, age, _ in few])
    often = [row for row in few for _ in range(times)]
    random.shuffle(often)
    again = fit_bgnbd(often)
    assert again.parameters == pytest.approx(once.parameters, rel=2e-5)
    assert again.weight == once.weight == times * len(few)


def test_amounts_of_the_model_give_its_parameters_back() -> None:
    """12,000 simulated customers: within 12 %, in whatever unit money is counted."""
    random, p, q, gamma = Random(5), 6.25, 3.74, 15.44
    rows = []
    for _ in range(12_000):
        scale, x = 1 / random.gammavariate(q, 1 / gamma), 1 + random.randrange(6)
        rows.append((x, sum(random.gammavariate(p, scale) for _ in range(x)) / x, 1.0))
    found = fit_gamma_gamma(rows)
    assert found.parameters == pytest.approx({"p": p, "q": q, "gamma": gamma}, rel=0.12)
    cents = fit_gamma_gamma([(x, mean * 100, weight) for x, mean, weight in rows])
    assert cents.parameters == pytest.approx(
        {**found.parameters, "gamma": found.parameters["gamma"] * 100}, rel=1e-4
    )


def test_no_point_near_the_fit_is_more_likely() -> None:
    """A step of a hundredth in any parameter makes what was paid less likely [Fader, Hardie 2013, equation 1a]."""
    paid: dict[str, list[float]] = {}
    for name, _, dollars in transactions():
        paid.setdefault(name, []).append(dollars)
    rows = [(len(each), sum(each) / len(each), 1.0) for each in paid.values() if sum(each) > 0]

    def brute(p: float, q: float, gamma: float) -> float:
        return sum(
            lgamma(p * x + q)
            - lgamma(p * x)
            - lgamma(q)
            + q * log(gamma)
            + (p * x - 1) * log(m)
            + p * x * log(x)
            - (p * x + q) * log(gamma + m * x)
            for x, m, _ in rows
        )

    found = fit_gamma_gamma(rows)
    best = brute(**found.parameters)
    assert found.log_likelihood == pytest.approx(best, abs=1e-3)
    for name in found.parameters:
        for factor in (0.99, 1.01):
            assert brute(**{**found.parameters, name: found.parameters[name] * factor}) < best


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "0 customers have bought, 100 are needed"),
        (CDNOW[:99], "99 customers have bought, 100 are needed"),
        ([(0, 0.0, 30.0, 1.0)] * 200, "0 customers have bought again, 30 are needed"),
    ],
)
def test_too_few_are_not_fitted_to(rows: list[tuple[int, float, float, float]], why: str) -> None:
    """The error says how many there are and how many it takes; amounts are refused alike."""
    with pytest.raises(Unfit, match=why):
        fit_bgnbd(rows)
    with pytest.raises(Unfit, match="have paid"):
        fit_gamma_gamma([(x + 1, 10.0, weight) for x, _, _, weight in rows])


@pytest.mark.parametrize(
    "rows",
    [
        [(5, 20.0, 21.0, 1.0)] * 300,
        [(x % 7 + 1, float(x % 20), 20.0, 1.0) for x in range(500)],
        [(x % 2, float(x % 2), 400.0, 1.0) for x in range(500)],
        [(10_000 * (x % 3), 50.0, 52.0, 1.0) for x in range(300)],
    ],
    ids=["all alike", "all again", "gone at once", "very many"],
)
def test_strange_customers_give_a_model_or_a_reason(rows: list[tuple[int, float, float, float]]) -> None:
    """Whatever is fitted can be asked what it expects, and answers with a number that is not negative."""
    try:
        found = fit_bgnbd(rows)
    except Unfit:
        return
    model = ValueModel(**found.parameters)
    for x, recency, age, _ in rows[:10]:
        assert 0 <= expected_purchases(model, x, recency, age) < float("inf")


@given(st.floats(min_value=1e-3, max_value=1e6))
def test_digamma_is_the_slope_of_lgamma(x: float) -> None:
    """By its recurrence, and by a difference quotient."""
    assert digamma(x + 1) - digamma(x) == pytest.approx(1 / x, rel=1e-9, abs=1e-12)
    slope = (lgamma(x * 1.0001) - lgamma(x * 0.9999)) / (2e-4 * x)
    assert digamma(x) == pytest.approx(slope, rel=1e-4, abs=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(0.1, 20))
@settings(deadline=None)
def test_a_maximum_is_found_from_afar(top: list[float], steep: float) -> None:
    """Of a hill that is neither round nor even, from a point far off."""

    def hill(at: list[float]) -> tuple[float, list[float]]:
        away = [a - b for a, b in zip(at, top, strict=True)]
        slopes = [-2 * steep * (i + 1) * each - 4 * each**3 for i, each in enumerate(away)]
        return -sum(steep * (i + 1) * each**2 + each**4 for i, each in enumerate(away)), slopes

    found = maximum(hill, [each + 4 for each in top])  # type: ignore[arg-type]
    assert found.found
    assert found.at == pytest.approx(top, abs=1e-5)
