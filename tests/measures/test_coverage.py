"""Nominal 95 % intervals hold the truth between 94 and 96.5 times in a hundred, or the page says where not."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.docs.pages import rows
from tests.measures.coverage import (
    BAND,
    GRID,
    MEANS,
    NPS,
    PAGE,
    ROUNDS,
    SIZES,
    TOTALS,
    count_coverage,
    likely,
    lopsidedness,
    mean_coverage,
    nps_coverage,
    pmf,
    rate_coverage,
    render,
    skewness,
    total_coverage,
)

LOW, HIGH = BAND


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("share", [0.008, 0.5, 0.99])
def test_what_is_summed_up_is_all_there_is(n: int, share: float) -> None:
    """The probabilities that are summed come to one."""
    assert sum(pmf(hits, n, share) for hits in likely(n, share)) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("shares", NPS.values(), ids=NPS)
def test_nps(n: int, shares: tuple[float, float]) -> None:
    """In the band with ten replies expected outside the largest class; else too wide, never too narrow."""
    largest = max(*shares, 1 - sum(shares))
    coverage = nps_coverage(n, *shares)
    assert coverage >= LOW
    assert coverage <= HIGH or n * (1 - largest) < 10


@pytest.mark.parametrize("n", SIZES[:2])
def test_nps_over_all_shares(n: int) -> None:
    """The same over all shares of promoters and detractors in steps of 5 %, to a hundredth of a point."""
    for p, d in product(range(1, 20), repeat=2):
        if p + d < 20 and n * (20 - max(p, d, 20 - p - d)) >= 200:
            assert LOW - 0.0001 <= nps_coverage(n, p / 20, d / 20) <= HIGH, (p, d)


@pytest.mark.parametrize("n", SIZES)
def test_rates(n: int) -> None:
    """Wilson's interval is in the band with forty hits and forty misses expected, whatever the share."""
    expected = [rate_coverage(n, share) for share in GRID if n * min(share, 1 - share) >= 40]
    assert all(LOW <= coverage <= HIGH for coverage in expected)
    assert expected or n < 80


@pytest.mark.parametrize("n", SIZES)
def test_rates_on_the_average(n: int) -> None:
    """Over shares from 10 to 90 % the coverage swings around 95 %."""
    assert sum(rate_coverage(n, share) for share in GRID) / len(GRID) == pytest.approx(0.95, abs=0.003)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("population", MEANS)
def test_means(n: int, population: str) -> None:
    """Student's interval is in the band where n is more than 25 times the squared skewness [Cochran 1977]."""
    coverage = mean_coverage(n, population)
    error = 3 * (0.05 * 0.95 / ROUNDS[n]) ** 0.5
    assert coverage <= HIGH + error
    assert coverage >= LOW - error or n <= 25 * skewness(population) ** 2


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("amounts", TOTALS)
def test_totals(n: int, amounts: str) -> None:
    """That of a sum is in the band where n is above 25 times the squared skewness of one amount's part."""
    coverage = total_coverage(n, amounts)
    error = 3 * (0.05 * 0.95 / ROUNDS[n]) ** 0.5
    assert coverage <= HIGH + error
    assert coverage >= LOW - error or n <= 25 * lopsidedness(amounts) ** 2


def test_counts() -> None:
    """The score interval of a Poisson count is in the band from 30 expected on."""
    assert all(LOW <= count_coverage(n) <= HIGH for n in (*range(30, 301), *SIZES))


def test_the_page_has_these_figures() -> None:
    """The tables of the page are what comes out: `python -m tests.measures.coverage` writes them.

    What is summed up is the same to the digit; what is simulated may move a little with another generator.
    """
    page = PAGE.read_text(encoding="utf-8")
    was, now = rows(page), rows(render(page))
    assert [row[0] for row in was] == [row[0] for row in now]
    for old, new in zip(was, now, strict=True):
        if not re.search("skewness|amounts", old[0]):
            assert old == new
        else:
            assert [figure(cell) for cell in old[1:]] == pytest.approx(
                [figure(cell) for cell in new[1:]], abs=1.0
            )


def test_the_words_of_the_page_have_these_figures() -> None:
    """What the prose says of coverage is what comes out."""
    page = PAGE.read_text(encoding="utf-8")
    cautious = [
        nps_coverage(30, p / 20, d / 20)
        for p, d in product(range(1, 20), repeat=2)
        if p + d < 20 and 30 * (20 - max(p, d, 20 - p - d)) >= 200
    ]
    assert f"the least is {100 * min(cautious):.2f}, at 30 replies" in page
    assert (
        f"churn of 0.55 % among 30 customers) it may fall to {100 * rate_coverage(30, 0.0055):.0f} %" in page
    )
    small = [rate_coverage(30, share) for share in GRID]
    assert f"between {100 * min(small):.0f} and {100 * max(small):.0f} % at\nn = 30" in page


def figure(cell: str) -> float:
    """The number in a cell."""
    return float(re.sub(r"[*%]", "", cell))
