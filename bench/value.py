"""How well purchases are foreseen: CDNOW at week 39, held against weeks 40 to 78, and what a fit costs."""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import Any

from bench.cdnow import PUBLISHED, mean_error, reference_fit, shoppers
from stream.customers.fitting import fit_bgnbd
from stream.customers.value import ValueModel, expected_purchases

SAMPLE = 20_000
TENTH = 10


def measure() -> dict[str, Any]:
    """Parameters, errors, and orders: the model, the reference and the plain baselines."""
    people = shoppers()
    began = perf_counter()
    fit = fit_bgnbd([(each.x, each.recency, each.age, 1.0) for each in people])
    seconds = perf_counter() - began
    model = ValueModel(**fit.parameters)
    ours = [expected_purchases(model, each.x, each.recency, each.age) for each in people]
    declared = [expected_purchases(ValueModel(), each.x, each.recency, each.age) for each in people]
    parameters, theirs = reference_fit()
    return {
        "customers": len(people),
        "parameters": fit.parameters,
        "reference_parameters": {name: round(value, 6) for name, value in parameters.items()},
        "worst_from_published": round(max(abs(fit.parameters[n] / v - 1) for n, v in PUBLISHED.items()), 5),
        "log_likelihood": round(fit.log_likelihood, 3),
        "mean_absolute_error": {
            "fitted": round(mean_error(ours), 6),
            "reference": round(mean_error(theirs), 6),
            "declared": round(mean_error(declared), 6),
            "own_rate_goes_on": round(mean_error([each.x / each.age * 39 for each in people]), 6),
        },
        "share_of_later_purchases_by_first_tenth": {
            "fitted": first_tenth(ours),
            "recency": first_tenth([each.recency - each.age for each in people]),
            "purchases": first_tenth([float(each.x) for each in people]),
        },
        "fit_s": round(seconds, 4),
        "fit_of_20000_s": round(of_many(), 3),
    }


def first_tenth(scores: list[float]) -> float:
    """Of all later purchases, those by the tenth of the customers with the highest scores."""
    people = shoppers()
    order = sorted(range(len(people)), key=lambda i: -scores[i])[: len(people) // TENTH]
    return round(sum(people[i].later for i in order) / sum(each.later for each in people), 4)


def of_many() -> float:
    """Seconds of a fit to as many customers as are sampled, no two alike."""
    random, people = Random(1), shoppers()
    rows = []
    for _ in range(SAMPLE):
        each = people[random.randrange(len(people))]
        later = random.random() / 7
        rows.append((each.x, each.recency + later * (each.x > 0), each.age + later, 1.0))
    began = perf_counter()
    fit_bgnbd(rows)
    return perf_counter() - began
