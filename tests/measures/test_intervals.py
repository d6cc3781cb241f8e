"""Intervals against published tables and by simulation."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures.intervals import (
    _t_exact,
    _t_expansion,
    _t_outside,
    adjusted_wald,
    compound_poisson,
    poisson_score,
    student,
    t_quantile,
    wilson,
    z_quantile,
)


@pytest.mark.parametrize(
    ("confidence", "df", "expected"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.30265),
        (0.95, 3, 3.18245),
        (0.99, 5, 4.03214),
        (0.90, 10, 1.81246),
        (0.95, 30, 2.04227),
        (0.999, 4, 8.61030),
        (0.95, 120, 1.97993),
        (0.50, 3, 0.76489),
        (0.998, 1000, 3.09840),
        (0.95, 10**9, 1.95996),
    ],
)
def test_t_against_the_tables(confidence, df, expected):
    """Student's quantiles are those of the printed tables."""
    assert t_quantile(confidence, df) == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize("df", [200, 201, 500, 5000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.9999])
def test_expansion_meets_the_exact_quantile(confidence, df):
    """From 200 degrees on the expansion is within 2e-9 of the exact quantile."""
    assert _t_expansion(z_quantile(confidence), df) == pytest.approx(_t_exact(confidence, df), abs=2e-9)


@given(st.floats(0.01, 0.9999999), st.integers(1, 400))
def test_t_quantile_inverts_the_distribution(confidence, df):
    """What lies outside the quantile is what the confidence leaves."""
    assert _t_outside(t_quantile(confidence, df), df) == pytest.approx(1 - confidence, rel=1e-6)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 2.0])
def test_confidence_is_checked(confidence):
    """A confidence that is none is refused."""
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        z_quantile(confidence)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        t_quantile(confidence, 5)


def test_degrees_of_freedom_are_checked():
    """No degrees of freedom, no quantile."""
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile(0.95, 0)


def test_adjusted_wald_by_hand():
    """The interval of 88 promoters and 8 detractors in 100 follows the formula."""
    p, d = 88.75 / 103, 8.75 / 103
    half = 1.959963984540054 * sqrt((p + d - (p - d) ** 2) / 103)
    assert adjusted_wald(88, 8, 100, 0.95) == pytest.approx((p - d - half, p - d + half), abs=1e-12)


def test_wilson_by_hand():
    """37 of 50: centre 0.722877, half-width 0.118408, by hand from the formula."""
    assert wilson(37, 50, 0.95) == pytest.approx((0.604468, 0.841285), abs=1e-6)


def test_student_by_hand():
    """10, 10, 8, 6, 9: mean 8.6, standard deviation 1.6733, t 2.7764."""
    assert student(5, 43, 381, 0.95) == pytest.approx((8.6 - 2.0777, 8.6 + 2.0777), abs=1e-4)
    assert student(1, 43, 43 * 43, 0.95) is None
    assert student(2, 10, 50, 0.95) == (5, 5)


@pytest.mark.parametrize("count", [0, 1, 8, 1000])
def test_poisson_score_solves_its_equation(count):
    """At its ends the count is z standard deviations from the mean; of no events the lower end is 0."""
    z = z_quantile(0.95)
    for end in poisson_score(count, 0.95):
        assert (count - end) ** 2 == pytest.approx(z * z * end, abs=1e-9)
    assert (poisson_score(count, 0.95)[0] == 0) == (count == 0)


def test_compound_poisson_of_equal_amounts():
    """A total of n equal amounts has the interval of a Poisson count, times the amount; mirrored below 0."""
    low, high = poisson_score(12, 0.9)
    assert compound_poisson(12 * 7, 12 * 49, 0.9) == pytest.approx((7 * low, 7 * high))
    assert compound_poisson(-12 * 7, 12 * 49, 0.9) == pytest.approx((-7 * high, -7 * low))


@pytest.mark.parametrize(("total", "squares"), [(0, 200), (1, 201), (-1, 201)])
def test_compound_poisson_of_amounts_that_cancel(total, squares):
    """Where gains and losses nearly cancel, the interval is the plain one, around the total."""
    half = z_quantile(0.95) * sqrt(squares)
    assert compound_poisson(total, squares, 0.95) == pytest.approx((total - half, total + half))


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_compound_poisson_holds_the_total_and_its_sign(amounts):
    """The interval of gains alone holds their total and does not cross 0."""
    low, high = compound_poisson(sum(amounts), sum(x * x for x in amounts), 0.95)
    assert 0 < low < sum(amounts) < high


@given(st.integers(1, 10**6), st.data())
def test_intervals_stay_in_range_and_hold_the_proportion(n, data):
    """Wilson holds the observed share and stays in 0..1; adjusted Wald stays in -1..1."""
    hits = data.draw(st.integers(0, n))
    low, high = wilson(hits, n, 0.95)
    assert 0 <= low <= hits / n <= high <= 1
    low, high = adjusted_wald(hits, data.draw(st.integers(0, n - hits)), n, 0.95)
    assert -1 <= low < high <= 1


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=30), st.integers(0, 10**12))
def test_student_does_not_cancel(answers, shift):
    """Moving all answers far from zero moves the interval and does not widen it."""

    def width(values):
        low, high = student(len(values), sum(values), sum(x * x for x in values), 0.95)
        return high - low

    assert width([x + shift for x in answers]) == pytest.approx(width(answers), rel=1e-6, abs=1e-3)
