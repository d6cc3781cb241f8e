"""The CDNOW sample [Fader, Hardie, Lee 2005] that the ``lifetimes`` package brings along, and a reference fit.

2,357 customers of a music shop who came first in the first quarter of 1997, and their purchases up to June 1998.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

DAY_MS: Final = 86_400_000
#: The end of week 39, to which the published parameters were fitted, and the end of the data, 39 weeks later.
WEEK_39: Final = datetime(1997, 9, 30, tzinfo=UTC)
WEEK_78: Final = datetime(1998, 6, 30, tzinfo=UTC)
WEEK_39_MS: Final = round(WEEK_39.timestamp() * 1000)
PUBLISHED: Final = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
#: Eighteen days divide the days from 1970 to the end of week 39: it is one of the moments.
EVERY: Final = "18d"


@dataclass(frozen=True)
class Shopper:
    """One customer: x, t_x and T at the end of week 39, and days with purchases in the 39 weeks after it."""

    name: str
    x: int
    recency: float
    age: float
    later: int


@cache
def transactions() -> list[tuple[str, datetime, float]]:
    """Customer, day and dollars of each purchase, in the order of the days."""
    spec = find_spec("lifetimes")
    if spec is None or spec.origin is None:
        raise ImportError("lifetimes is not installed: make setup")
    text = (Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt").read_text()
    found = []
    for line in text.splitlines():
        if line.strip():
            _, name, day, _, dollars = line.split()
            found.append((name, datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC), float(dollars)))
    return sorted(found, key=lambda each: each[1])


def events() -> list[dict[str, Any]]:
    """Each purchase as an event, as it is in the file: those of one day are not added up."""
    return [
        {
            "event_id": f"p{number}",
            "customer_id": f"c{name}",
            "occurred_at": round(day.timestamp() * 1000),
            "kind": "purchase",
            "value": dollars,
            "currency": "USD",
        }
        for number, (name, day, dollars) in enumerate(transactions())
    ]


@cache
def shoppers() -> list[Shopper]:
    """All of them, counted plainly from the file."""
    days: dict[str, set[datetime]] = defaultdict(set)
    for name, day, _ in transactions():
        days[name].add(day)
    found = []
    for name, bought in sorted(days.items()):
        before = sorted(day for day in bought if day <= WEEK_39)
        week = timedelta(weeks=1)
        found.append(
            Shopper(
                f"c{name}",
                len(before) - 1,
                (before[-1] - before[0]) / week,
                (WEEK_39 - before[0]) / week,
                len(bought) - len(before),
            )
        )
    return found


@cache
def reference_fit() -> tuple[dict[str, float], list[float]]:
    """Parameters by the fitter of ``lifetimes``, and what its own formula expects of each shopper in 39 weeks."""
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was written for an older pandas
        from lifetimes.fitters.beta_geo_fitter import BetaGeoFitter  # noqa: PLC0415
        from numpy import array  # noqa: PLC0415

        people = shoppers()
        x, recency, age = (
            array([getattr(each, name) for each in people], dtype=float) for name in ("x", "recency", "age")
        )
        fitter = BetaGeoFitter()
        fitter.fit(x, recency, age)
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(39, x, recency, age)
    return {name: float(fitter.params_[name]) for name in PUBLISHED}, [float(each) for each in expected]


def mean_error(expected: list[float]) -> float:
    """Mean absolute error of what was expected of each shopper against what they bought."""
    people = shoppers()
    return sum(abs(guess - each.later) for guess, each in zip(expected, people, strict=True)) / len(people)
