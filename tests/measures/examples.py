"""A test table for each metric: what is observed, and what comes of it. A metric without one fails the tests."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.measures import Stats, add, duration, money, observation
from stream.measures.drivers import observe as answered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream.measures import Observation

DEFAULT = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7), "loyalty": (1, 10), "engagement": (1, 10)}


class Example(NamedTuple):
    """One row.

    Attributes:
        observed: What the window saw.
        value: Of the metric; None where it has one without a figure.
        n: Observations it rests on.
        parts: Some of its parts; {}: not looked at.
        ever: What was seen before the window.
        currency: Of the value.
    """

    observed: list[Observation]
    value: float | None
    n: int
    parts: Mapping[str, float] = MappingProxyType({})
    ever: Sequence[Observation] = ()
    currency: str | None = None


def sums(observed: Iterable[Observation]) -> Stats:
    """The observations added up."""
    stats: Stats = {}
    for key, vec in observed:
        add(stats, key, vec)
    return stats


def replies(
    metric: str, scores: Iterable[float], scale: Any = None, higher: bool = True
) -> list[Observation]:
    """Observations of scores that can all be used."""
    found = []
    for score in scores:
        seen = observation(metric, score, scale or DEFAULT[metric], higher)
        assert seen is not None
        found.append(seen)
    return found


def amounts(stem: str, currency: str | None, values: Iterable[float]) -> list[Observation]:
    """Observations of money that can all be used."""
    found = [money(stem, value, currency) for value in values]
    assert None not in found
    return [seen for seen in found if seen is not None]


def at_risk(*spent: tuple[str, float] | None) -> list[Observation]:
    """Unhappy customers, with the currency and the amount of what each has spent."""
    found: list[Observation] = [("value_at_risk", (1,)) for _ in spent]
    found += [(f"value_at_risk|{each[0]}", (1, round(each[1] * 10_000))) for each in spent if each]
    return found


def lasted(stem: str, seconds: Iterable[float]) -> list[Observation]:
    """Observations of durations."""
    return [seen for second in seconds for seen in duration(stem, round(second * 1000))]


EXAMPLES: dict[str, list[Example]] = {
    "nps": [
        Example(
            replies("nps", [10] * 88 + [3] * 8 + [7] * 4),
            80,
            100,
            {"promoters": 0.88, "passives": 0.04, "detractors": 0.08},
        ),
        Example(replies("nps", [9, 10]), 100, 2),
        Example(replies("nps", [0, 6]), -100, 2),
        Example(replies("nps", [7, 8]), 0, 2),
        Example(replies("nps", [9, 6, 6], (1, 10)), -100 / 3, 3),
        Example(replies("nps", [6.5, 8.5]), 0, 2),
        Example(replies("nps", [5, 3], (0, 5)), 0, 2),
        Example(replies("nps", [0, 1, 10], None, higher=False), 100 / 3, 3),
    ],
    "csat": [
        Example(replies("csat", [5] * 20 + [4] * 17 + [3] * 13), 74, 50, {"satisfied": 0.74}),
        Example(replies("csat", [8, 9, 10, 7], (1, 10)), 75, 4),
        Example(replies("csat", [1, 2, 3], None, higher=False), 200 / 3, 3),
    ],
    "ces": [
        Example(replies("ces", [10, 10, 8, 6, 9], (1, 10)), 8.6, 5),
        Example(replies("ces", [10, 10, 8, 6, 9], (1, 10), higher=False), 8.6, 5),
        Example(replies("ces", [1.25, 6.5]), 3.875, 2),
        Example(replies("ces", [0, 100, 50], (0, 100)), 50, 3, {"normalised": 50}),
        Example(replies("ces", [1, 1, 1], (1, 5)), 1, 3, {"normalised": 0}),
        Example(replies("ces", [1, 4], None, higher=False), 2.5, 2, {"normalised": 75}),
        Example(replies("ces", [7] * 3) + replies("ces", [1], (1, 10)), None, 4, {"normalised": 75}),
    ],
    "loyalty": [
        Example(replies("loyalty", [10, 1]), 50, 2),
        Example(replies("loyalty", [10, 10, 10]), 100, 3),
        Example(replies("loyalty", [10, 1, 1, 1], None, higher=False), 75, 4),
        Example(replies("loyalty", [0, 4], (0, 5)), 40, 2),
        Example(replies("loyalty", [2]), 11.1111, 1),
        Example(replies("loyalty", [5], (0, 5)) + replies("loyalty", [1]), 50, 2),
    ],
    "engagement": [
        Example(replies("engagement", [9, 7]), 90, 2, {"20": 0, "60": 0, "80": 0.5, "100": 0.5}),
        Example(
            replies("engagement", range(1, 11)), 60, 10, dict.fromkeys(("20", "40", "60", "80", "100"), 0.2)
        ),
        Example(replies("engagement", [2, 9], None, higher=False), 60, 2),
        Example(replies("engagement", [8.5, 8.4]), 90, 2),
        # Of 1-5: 1, 3.25, 5.5, 7.75, 10 of 1-10, so 1, 3, 6, 8, 10.
        *[Example(replies("engagement", [score], (1, 5)), 20 * score, 1) for score in (1, 2, 3, 4, 5)],
        # Of 0-10 the middle is 5.5 of 1-10, rounded up to 6.
        Example(replies("engagement", [5, 0, 10], (0, 10)), 60, 3),
    ],
    "referral_rate": [
        Example(
            [("purchases", (1, 1))] * 100 + [("purchases", (1, 0))] * 2900, 10 / 3, 3000, {"referred": 1 / 30}
        ),
    ],
    "churn_rate": [
        Example(
            [("subscribers", (-1, 0, 1))] * 20,
            0.8,
            2500,
            {"at_start": 2500, "started": 0, "lost": 20, "at_end": 2480},
            [("subscribers", (2500, 2600, 100))],
        ),
        # Those who come do not lower it.
        Example(
            [("subscribers", (-1, 0, 1))] * 20 + [("subscribers", (1, 1, 0))] * 700,
            0.8,
            2500,
            {"at_start": 2500, "started": 700, "lost": 20, "at_end": 3180},
            [("subscribers", (2500, 2600, 100))],
        ),
        Example([], 0, 5, {}, [("subscribers", (5, 5, 0))]),
        Example([("subscribers", (0, 3, 3))], 150, 2, {}, [("subscribers", (2, 2, 0))]),
    ],
    "retention_rate": [
        Example([("subscribers", (-1, 0, 1))] * 20, 99.2, 2500, {}, [("subscribers", (2500, 2600, 100))]),
        Example([("subscribers", (680, 700, 20))], 99.2, 2500, {}, [("subscribers", (2500, 2600, 100))]),
        Example([], 100, 5, {}, [("subscribers", (5, 5, 0))]),
    ],
    "lifetime_value": [
        Example(
            [*amounts("revenue", "USD", [50] * 5), ("acquired", (1,))],
            250,
            1,
            {"per_customer": 250},
            currency="USD",
        ),
        Example(
            [*amounts("revenue", "USD", [50] * 5), ("acquired", (1,))] * 900,
            225_000,
            900,
            {"per_customer": 250},
            currency="USD",
        ),
        Example(
            [*amounts("revenue", "EUR", [10]), *amounts("revenue", "USD", [7, -2]), ("acquired", (2,))],
            None,
            2,
            {"EUR": 10, "USD": 5},
        ),
    ],
    "acquisition_cost": [
        Example(
            [*amounts("acquisition_spend", "EUR", [800, 200]), *[("acquired", (1,))] * 8],
            125,
            8,
            {"spend": 1000},
            currency="EUR",
        ),
        Example(
            [
                *amounts("acquisition_spend", "EUR", [800]),
                *amounts("acquisition_spend", None, [1]),
                ("acquired", (4,)),
            ],
            None,
            4,
            {"EUR": 800, "XXX": 1},
        ),
    ],
    "resolution_time": [
        Example(lasted("resolution_time", [3600]), 3600, 1, {"mean": 3600}),
        Example(lasted("resolution_time", [60, 120, 600]), 260, 3, {"mean": 260}),
        Example(lasted("resolution_time", [0, 0]), 0, 2, {"p50": 0, "p99": 0}),
    ],
    "reopen_rate": [
        Example([("tickets", (1, 0))] * 50 + [("tickets", (0, 1))] * 4, 8, 50, {"reopened": 0.08}),
        Example([("tickets", (2, 3))], 150, 2),
    ],
    "waiting_time": [
        Example(lasted("waiting_time", [30, 90]), 60, 2),
    ],
    "abandonment": [
        Example(
            [("ended|cart", (4, 3)), ("ended|queue", (6, 1)), ("ended|a|b", (10, 0))],
            20,
            20,
            {"cart": 0.75, "queue": 1 / 6, "a|b": 0},
        ),
    ],
    "cart_abandonment": [
        Example([("ended|cart", (10, 7)), ("ended|queue", (9, 1))], 70, 10, {"abandoned": 0.7}),
    ],
    "queue_abandonment": [
        Example([("ended|cart", (10, 7)), ("ended|queue", (8, 1))], 12.5, 8, {"abandoned": 0.125}),
    ],
    "self_service_deflection": [
        Example([("sessions", (1, 1))] * 3 + [("sessions", (1, 0))], 75, 4, {"deflected": 0.75}),
    ],
    "revenue": [
        Example(amounts("revenue", "eur", [19.99, 0.01, -5]), 15, 3, {"mean": 5}, currency="EUR"),
        Example(amounts("revenue", None, [0.1, 0.2]), 0.3, 2, currency="XXX"),
        Example(
            amounts("revenue", "EUR", [1, 2]) + amounts("revenue", "USD", [4]), None, 3, {"EUR": 3, "USD": 4}
        ),
    ],
    "cost": [
        Example(amounts("cost", "JPY", [1000, 500]), 1500, 2, {"mean": 750}, currency="JPY"),
    ],
    "customers": [
        Example([("customers", (812, 1, 0))], 812, 812, {"relative_error": 0}),
        Example([("customers", (10_000, 0, 81))], 10_000, 10_000, {"relative_error": 0.0081}),
    ],
    "value_at_risk": [
        Example(at_risk(("EUR", 60), ("EUR", 40), None), 100, 3, {"mean": 100 / 3}, currency="EUR"),
        Example(at_risk(("EUR", 60), ("USD", 7)), None, 2, {"EUR": 60, "USD": 7}),
        Example(at_risk(None), None, 1, {}),
    ],
    "drivers": [
        Example(
            [seen for i in range(40) for seen in answered(250 * i, {"speed": 100 * i})], 100, 40, {"speed": 1}
        ),
    ],
}
