"""How often intervals hold the truth: exactly where all outcomes can be summed up, else by simulation.

Run this file to write the tables of docs/metrics/intervals.md.
"""

from __future__ import annotations

import re
import sys
from functools import cache, lru_cache
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import polars as pl

from stream.measures.intervals import adjusted_wald, compound_poisson, poisson_score, student, wilson
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = ROOT / "docs" / "metrics" / "intervals.md"
CONFIDENCE: Final = 0.95
BAND: Final = (0.94, 0.965)
SIZES: Final = (30, 100, 300, 1000, 3000)

#: Of an interval that is simulated: samples drawn, by size. The standard error is 0.0009 to 0.0028.
ROUNDS: Final = {30: 60_000, 100: 40_000, 300: 20_000, 1000: 10_000, 3000: 6_000}
_DRAWN_AT_ONCE: Final = 6_000_000

#: Shares of promoters and detractors.
NPS: Final = {
    "50 % promoters, 20 % detractors": (0.50, 0.20),
    "70 %, 10 %": (0.70, 0.10),
    "30 %, 40 %": (0.30, 0.40),
    "48 %, 48 %: nearly all at the ends": (0.48, 0.48),
    "10 %, 5 %: nearly all passive": (0.10, 0.05),
    "88 %, 8 %": (0.88, 0.08),
    "97 %, 1 %": (0.97, 0.01),
    "0.5 %, 97 %": (0.005, 0.97),
}

#: Shares of hits.
RATES: Final = (0.5, 0.74, 0.8, 0.9, 0.95, 0.99, 0.0333, 0.008)

#: A grid of shares: 10.0 %, 10.1 %, ... 90.0 %.
GRID: Final = tuple(i / 1000 for i in range(100, 901))


def answers(low: int, *shares: int) -> list[int]:
    """A population of answers from ``low`` on, from shares in per cent."""
    assert sum(shares) == 100
    return [low + i for i, share in enumerate(shares) for _ in range(share)]


def lognormal(sigma: float) -> list[int]:
    """A population like a log-normal variable of median 100,000: its quantiles in equal steps."""
    quantile = NormalDist(log(100_000), sigma).inv_cdf
    return [round(exp(quantile((i + 0.5) / 10_000))) for i in range(10_000)]


#: Populations whose mean is estimated; each as its members, equally likely.
MEANS: Final[dict[str, Callable[[], list[int]]]] = {
    "effort 1-7, most find it easy": lambda: answers(1, 2, 3, 5, 10, 20, 35, 25),
    "effort 1-5, evenly spread": lambda: answers(1, 20, 20, 20, 20, 20),
    "effort 1-5, asked the other way round: 90 % answer 1": lambda: answers(1, 90, 4, 2, 1, 3),
    "loyalty 1-10, two camps": lambda: answers(1, 12, 6, 4, 3, 5, 5, 10, 20, 20, 15),
    "loyalty 1-10, 96 % answer 10": lambda: answers(1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 96),
    "engagement 20-100": lambda: [20 * each for each in answers(1, 5, 10, 20, 40, 25)],
    "duration, log-normal, sigma 0.5": lambda: lognormal(0.5),
    "duration, log-normal, sigma 1.0": lambda: lognormal(1.0),
    "money, log-normal, sigma 1.5": lambda: lognormal(1.5),
}


#: Amounts that come at random and whose total is estimated.
TOTALS: Final[dict[str, Callable[[], list[int]]]] = {
    "one price": lambda: [500_000],
    "two prices, 9 of 10 the lower, the higher ten times that": lambda: [100_000] * 9 + [1_000_000],
    "log-normal, sigma 1.0": lambda: lognormal(1.0),
    "log-normal, sigma 1.5": lambda: lognormal(1.5),
}


@lru_cache(maxsize=100_000)
def _wilson(hits: int, n: int) -> tuple[float, float]:
    return wilson(hits, n, CONFIDENCE)


def pmf(hits: int, n: int, share: float) -> float:
    """Probability of so many hits."""
    ways = lgamma(n + 1) - lgamma(hits + 1) - lgamma(n - hits + 1)
    return exp(ways + hits * log(share) + (n - hits) * log1p(-share))


def likely(n: int, share: float) -> range:
    """Numbers of hits that all others are less likely than 1e-8 together."""
    middle, reach = n * share, 7 * sqrt(n * share * (1 - share)) + 12
    return range(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)


@cache
def rate_coverage(n: int, share: float) -> float:
    """How often Wilson's interval holds the share: the sum over all numbers of hits."""
    held = 0.0
    for hits in likely(n, share):
        low, high = _wilson(hits, n)
        if low <= share <= high:
            held += pmf(hits, n, share)
    return held


@cache
def nps_coverage(n: int, promoters: float, detractors: float) -> float:
    """How often the adjusted Wald interval holds the score: the sum over all numbers of both."""
    truth = promoters - detractors
    held = 0.0
    for p in likely(n, promoters):
        inside = 0.0
        rest, share = n - p, detractors / (1 - promoters)
        for d in likely(rest, share):
            low, high = adjusted_wald(p, d, n, CONFIDENCE)
            if low <= truth <= high:
                inside += pmf(d, rest, share)
        held += pmf(p, n, promoters) * inside
    return held


@cache
def mean_coverage(n: int, population: str) -> float:
    """How often Student's interval holds the mean of a population, over seeded samples with replacement."""
    members = MEANS[population]()
    truth = sum(members) / len(members)
    source = pl.Series(members, dtype=pl.Int64)
    held = done = 0
    while done < ROUNDS[n]:
        rounds = min(ROUNDS[n] - done, _DRAWN_AT_ONCE // n)
        drawn = source.sample(n * rounds, with_replacement=True, seed=done + n)
        totals = drawn.reshape((rounds, n)).arr.sum()
        squares = (drawn * drawn).reshape((rounds, n)).arr.sum()
        for total, square in zip(totals.to_list(), squares.to_list(), strict=True):
            interval = student(n, total, square, CONFIDENCE)
            assert interval is not None
            held += interval[0] <= truth <= interval[1]
        done += rounds
    return held / done


def poisson_pmf(count: int, mean: float) -> float:
    """Probability of so many events."""
    return exp(count * log(mean) - mean - lgamma(count + 1))


def likely_counts(mean: float) -> range:
    """Numbers of events that all others are less likely than 1e-8 together."""
    reach = 7 * sqrt(mean) + 12
    return range(max(0, int(mean - reach)), int(mean + reach) + 1)


@cache
def count_coverage(mean: float) -> float:
    """How often the score interval holds the mean of a Poisson count: the sum over all counts."""
    held = 0.0
    for count in likely_counts(mean):
        low, high = poisson_score(count, CONFIDENCE)
        if low <= mean <= high:
            held += poisson_pmf(count, mean)
    return held


@cache
def total_coverage(n: int, amounts: str) -> float:
    """How often the compound Poisson interval holds the expected total of n events, over seeded samples."""
    members = TOTALS[amounts]()
    truth = n * sum(members) / len(members)
    source = pl.Series(members, dtype=pl.Int64)
    counts = pl.Series([c for c in likely_counts(n) for _ in range(round(1e5 * poisson_pmf(c, n)))])
    held = done = 0
    while done < ROUNDS[n]:
        rounds = min(ROUNDS[n] - done, _DRAWN_AT_ONCE // n)
        ends = counts.sample(rounds, with_replacement=True, seed=done + n).cum_sum()
        drawn = source.sample(ends[-1], with_replacement=True, seed=done + n + 1)
        totals, squares = (_between(each.cum_sum(), ends) for each in (drawn, drawn * drawn))
        for total, square in zip(totals, squares, strict=True):
            low, high = compound_poisson(total, square, CONFIDENCE)
            held += low <= truth <= high
        done += rounds
    return held / done


def _between(sums: pl.Series, ends: pl.Series) -> list[int]:
    """Sums of the stretches that end at the ends, from running sums; no stretch is empty."""
    upto = sums.gather(ends - 1)
    return (upto - upto.shift(1, fill_value=0)).to_list()


@cache
def lopsidedness(amounts: str) -> float:
    """E x^3 / (E x^2)^1.5: by the root of the expected number of events, the skewness of their total."""
    members = TOTALS[amounts]()
    third, second = (sum(each**power for each in members) / len(members) for power in (3, 2))
    return float(third / second**1.5)


@cache
def skewness(population: str) -> float:
    """Third standardised moment of a population."""
    members = MEANS[population]()
    mean = sum(members) / len(members)
    second = sum((each - mean) ** 2 for each in members) / len(members)
    return float(sum((each - mean) ** 3 for each in members) / len(members) / second**1.5)


def grid_coverage(n: int) -> tuple[float, float, float, float]:
    """Of Wilson's interval over the grid of shares: least, mean and greatest coverage, share in the band."""
    found = [rate_coverage(n, share) for share in GRID]
    inside = sum(BAND[0] <= each <= BAND[1] for each in found)
    return min(found), sum(found) / len(found), max(found), inside / len(found)


def shown(coverage: float, digits: int = 2) -> str:
    """A figure of a table; in bold outside the band."""
    text = f"{100 * coverage:.{digits}f}"
    return text if BAND[0] <= coverage <= BAND[1] else f"**{text}**"


def _table(head: str, rows: dict[str, list[str]]) -> str:
    lines = [f"| {head} | " + " | ".join(f"n = {n}" for n in SIZES) + " |", "|---" * (len(SIZES) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())])


def nps_table() -> str:
    """Coverage of NPS."""
    return _table(
        "population", {name: [shown(nps_coverage(n, *shares)) for n in SIZES] for name, shares in NPS.items()}
    )


def rates_table() -> str:
    """Coverage of rates."""
    rows = {f"{100 * share:g} %": [shown(rate_coverage(n, share)) for n in SIZES] for share in RATES}
    grid = [grid_coverage(n) for n in SIZES]
    rows["10 to 90 %, least"] = [shown(each[0]) for each in grid]
    rows["10 to 90 %, mean"] = [shown(each[1]) for each in grid]
    rows["10 to 90 %, greatest"] = [shown(each[2]) for each in grid]
    rows["of these shares, in the band"] = [f"{100 * each[3]:.0f} %" for each in grid]
    return _table("share", rows)


def means_table() -> str:
    """Coverage of means."""
    return _table(
        "population",
        {
            f"{name} (skewness {skewness(name):.1f})": [shown(mean_coverage(n, name), 1) for n in SIZES]
            for name in MEANS
        },
    )


def totals_table() -> str:
    """Coverage of sums, and of costs a head."""
    rows = {f"amounts: {name}": [shown(total_coverage(n, name), 1) for n in SIZES] for name in TOTALS}
    return (
        _table("simulated; n events expected", rows)
        + "\n| exact; n customers expected: acquisition cost | "
        + " | ".join(shown(count_coverage(n)) for n in SIZES)
        + " |"
    )


TABLES: Final = {"nps": nps_table, "rates": rates_table, "means": means_table, "totals": totals_table}


def render(page: str) -> str:
    """The page with its tables as they must be."""
    for name, table in TABLES.items():
        page, found = re.subn(
            rf"(?s)(<!-- {name}: [^\n]*-->\n).*?(?=<!-- end -->)", lambda m, t=table: f"{m[1]}{t()}\n", page
        )
        if found != 1:
            raise ValueError(f"{name}: marked {found} times")
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
