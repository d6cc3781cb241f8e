"""What every metric must do, by being registered: describe itself, have an example, and obey the laws of sums."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.measures import (
    EVER,
    EVER_STEMS,
    METRICS,
    REPLY_METRICS,
    Stats,
    add,
    all_values,
    decode_partial_or_mark,
    duration,
    encode_partial,
    merge,
    money,
    observation,
    subtract,
    value_of,
)
from stream.measures.partials import Partial
from stream.measures.stats import minus, plus
from tests.measures.examples import DEFAULT, EXAMPLES, Example, sums

CONFIDENCE = 0.95
ROWS = [(name, row) for name, rows in EXAMPLES.items() for row in rows]


def window_of(name: str) -> str:
    """A window in which the metric has values."""
    return EVER if METRICS[name].windows == EVER else "1h"


def before_and_within(row: Example) -> Stats:
    """Sums since the beginning of the log."""
    return sums([*row.ever, *row.observed])


def test_every_metric_has_a_table():
    """Registered and in the tables of examples are the same."""
    assert set(EXAMPLES) == set(METRICS)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_describes_itself(name):
    """Name, family, unit, direction, stems and windows are of the kinds that others know."""
    metric = METRICS[name]
    assert metric.name == name
    assert metric.family in {"replies", "rates", "durations", "money", "customers", "explanation"}
    assert metric.unit in {"points", "percent", "scale", "seconds", "money", "count"}
    assert metric.better in {"higher", "lower", None}
    assert metric.windows in {"rolling", "ever"}
    assert metric.stems
    assert not any("|" in stem for stem in metric.stems)
    assert set(metric.ever) <= EVER_STEMS
    if metric.windows == EVER:  # its window has the stems declared in ``ever``, and no others
        assert metric.stems == metric.ever
    assert "interval" in (type(metric).value.__doc__ or "").lower()


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_example(name, row):
    """Every worked example gives its figure, n, parts and currency."""
    value = value_of(name, sums(row.observed), CONFIDENCE, before_and_within(row), window_of(name))
    assert value is not None
    assert value.n == row.n
    assert value.value == (None if row.value is None else pytest.approx(row.value, abs=1e-9))
    assert {part: value.parts[part] for part in row.parts} == pytest.approx(dict(row.parts), abs=1e-12)
    assert value.currency == row.currency
    if row.value is None:
        assert value.interval is None
    elif value.interval is not None and name != "nps":  # adjusted Wald is not about the plain score
        assert value.interval[0] - 1e-9 <= row.value <= value.interval[1] + 1e-9


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_metric_reads_its_stems_alone(name, row):
    """Other metrics' sums, of stems that begin alike too, change nothing; all_values says the same."""
    metric = METRICS[name]
    observed = sums(row.observed)
    assert {key.partition("|")[0] for key in observed} <= set(metric.stems)
    others: Stats = {}
    for other in (observed for rows in EXAMPLES.values() for observed, *_ in rows):
        for key, vec in other:
            if key.partition("|")[0] not in metric.stems:
                add(others, key, vec)
    others |= {f"{stem}x": [1, 2, 3] for stem in metric.stems}
    ever, window = before_and_within(row), window_of(name)
    alone = value_of(name, observed, CONFIDENCE, ever, window)
    assert value_of(name, others | observed, CONFIDENCE, others | ever, window) == alone
    assert all_values(others | observed, CONFIDENCE, others | ever, window=window)[name] == alone
    assert all_values(observed, CONFIDENCE, ever, (name, "unheard_of"), window) == {name: alone}
    assert all_values(observed, CONFIDENCE, ever, [], window) == {}


def test_order_is_that_of_the_registry():
    """Values come in the order of METRICS, whatever the order of the sums or of the names."""
    everything = sums([seen for rows in EXAMPLES.values() for seen in rows[0].observed])
    backwards = dict(reversed(everything.items()))
    rolling = [name for name, metric in METRICS.items() if metric.windows == "rolling"]
    ever = {"subscribers": [2500, 2500, 0]}
    assert list(all_values(backwards, CONFIDENCE, ever)) == rolling
    assert list(all_values(backwards, CONFIDENCE, ever, reversed(rolling))) == rolling
    assert list(all_values(backwards, CONFIDENCE, backwards, window=EVER)) == ["lifetime_value"]


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_absent(name):
    """No observations give no value, never 0."""
    for window in ("1h", EVER):
        assert value_of(name, {}, CONFIDENCE, {}, window) is None
        assert all_values({}, CONFIDENCE, {}, window=window) == {}


def test_absent_metrics_are_not_called(monkeypatch):
    """A metric of which there are no sums costs nothing: it is not asked for its value."""
    asked = []
    for kind in {type(metric) for metric in METRICS.values()}:

        def value(self, *args, original=kind.value):
            asked.append(self.name)
            return original(self, *args)

        monkeypatch.setattr(kind, "value", value)
    all_values({"nps": [1, 0, 0], "csat": [1, 1]}, CONFIDENCE)
    assert asked == ["nps", "csat"]


class Law(NamedTuple):
    """How a metric is checked by brute force.

    Attributes:
        event: Strategy of one event.
        observe: What an event adds.
        brute: Value of the metric from the events themselves, n above 0; None: there is none.
        tolerance: Relative, of the comparison.
    """

    event: st.SearchStrategy[Any]
    observe: Callable[[Any], list[tuple[str, tuple[int, ...]]]]
    brute: Callable[[list[Any]], float | None]
    tolerance: float = 1e-9


def reply_law(name: str, brute: Callable[[list[int]], float]) -> Law:
    """Of whole scores on the default scale."""
    low, high = DEFAULT[name]
    return Law(st.integers(low, high), lambda score: [observation(name, score, (low, high), True)], brute)


def rate_law(key: str) -> Law:
    """Of events that count, each a hit or none."""
    return Law(
        st.booleans(),
        lambda hit: [(key, (1, int(hit)))],
        lambda hits: 100 * sum(hits) / len(hits) if hits else None,
    )


def money_law(name: str) -> Law:
    """Of amounts in whole cents of one currency."""
    return Law(
        st.integers(-10_000, 10_000_000),
        lambda cents: [money(name, cents / 100, "EUR")],
        lambda cents: sum(cents) / 100 if cents else None,
    )


def duration_law(name: str) -> Law:
    """Of milliseconds up to a year."""
    return Law(
        st.integers(0, 10_000) | st.integers(0, 31_536_000_000),
        lambda ms: list(duration(name, ms)),
        lambda times: statistics.fmean(times) / 1000 if times else None,
    )


def _engagement(scores):
    level = {1: 20, 2: 20, 3: 40, 4: 40, 5: 60, 6: 60, 7: 80, 8: 80, 9: 100, 10: 100}
    return statistics.fmean(level[score] for score in scores)


def _tickets(events):
    resolved = events.count("resolved")
    return 100 * events.count("reopened") / resolved if resolved else None


def _acquisition(events):
    spent = [cents for cents in events if cents is not None]
    customers = len(events) - len(spent)
    return sum(spent) / 100 / customers if customers and spent else None


def _spent(cents):
    return [] if cents is None else [("value_at_risk|EUR", (1, 100 * cents))]


LAWS: dict[str, Law] = {
    "nps": reply_law("nps", lambda s: 100 * statistics.fmean((x >= 9) - (x <= 6) for x in s)),
    "csat": reply_law("csat", lambda s: 100 * statistics.fmean(x >= 4 for x in s)),
    "ces": reply_law("ces", statistics.fmean),
    # A place on 0..100 is rounded to 1e-4, so a mean is within half of that.
    "loyalty": reply_law("loyalty", lambda s: statistics.fmean((x - 1) / 9 * 100 for x in s))._replace(
        tolerance=1e-5
    ),
    "engagement": reply_law("engagement", _engagement),
    "referral_rate": rate_law("purchases"),
    "acquisition_cost": Law(
        st.none() | st.integers(0, 1_000_000),
        lambda cents: [
            ("acquired", (1,)) if cents is None else money("acquisition_spend", cents / 100, "EUR")
        ],
        _acquisition,
    ),
    "resolution_time": duration_law("resolution_time"),
    "reopen_rate": Law(
        st.sampled_from(["resolved", "reopened"]),
        lambda kind: [("tickets", (int(kind == "resolved"), int(kind == "reopened")))],
        _tickets,
    ),
    "waiting_time": duration_law("waiting_time"),
    "abandonment": Law(
        st.tuples(st.sampled_from(["cart", "queue", "form"]), st.booleans()),
        lambda ended: [(f"ended|{ended[0]}", (1, int(ended[1])))],
        lambda ended: 100 * statistics.fmean(abandoned for _, abandoned in ended) if ended else None,
    ),
    "cart_abandonment": rate_law("ended|cart"),
    "queue_abandonment": rate_law("ended|queue"),
    "self_service_deflection": rate_law("sessions"),
    "lifetime_value": Law(
        st.tuples(st.booleans(), st.integers(1, 100_000)),
        lambda bought: [money("revenue", bought[1] / 100, "USD"), *[("acquired", (1,))] * bought[0]],
        lambda bought: sum(cents for _, cents in bought) / 100 if any(new for new, _ in bought) else None,
    ),
    "revenue": money_law("revenue"),
    "cost": money_law("cost"),
    "value_at_risk": Law(
        st.none() | st.integers(1, 100_000),
        lambda cents: [("value_at_risk", (1,)), *_spent(cents)],
        lambda all_spent: sum(cents or 0 for cents in all_spent) / 100 if any(all_spent) else None,
    ),
}

ELSEWHERE = {
    "churn_rate": "of a stock: test_metrics_touchpoints",
    "retention_rate": "of a stock: test_metrics_touchpoints",
    "customers": "a set, which no sum is: test_distinct",
    "drivers": "a regression: test_drivers",
}


def test_every_metric_has_its_law():
    """Every metric is compared with brute force, here or where it is said."""
    assert set(LAWS) | set(ELSEWHERE) == set(METRICS)


@pytest.mark.parametrize("name", LAWS)
@settings(max_examples=60)
@given(data=st.data())
def test_sums_obey_the_laws(name, data):
    """Of two lots of events: the sum has the value of all of them, the difference that of those left.

    In any order, and through the JSON that travels.
    """
    law, window = LAWS[name], window_of(name)
    left = data.draw(st.lists(law.event, max_size=12))
    right = data.draw(st.lists(law.event, max_size=12))

    def stats_of(events):
        return sums([seen for event in events for seen in law.observe(event)])

    def check(stats, events):
        value = value_of(name, stats, CONFIDENCE, stats, window)
        expected = law.brute(events) if events else None
        if expected is None:
            assert value is None or value.value is None
        else:
            assert value.value == pytest.approx(expected, rel=law.tolerance, abs=1e-4 * law.tolerance + 1e-9)
            assert value.n > 0

    one, other = stats_of(left), stats_of(right)
    both = plus(one, other)
    assert both == stats_of(data.draw(st.permutations(left + right)))
    check(both, left + right)
    assert minus(both, other) == one
    check(minus(both, one), right)
    merged = {key: list(vec) for key, vec in one.items()}
    merge(merged, other)
    assert merged == both
    subtract(merged, one)
    assert merged == other
    _, sent = encode_partial(Partial.of("{}", "s/0", 1, 1, both, 7))
    arrived = decode_partial_or_mark(sent)
    assert isinstance(arrived, Partial)
    assert arrived.stats == both


@given(
    st.sampled_from(sorted(REPLY_METRICS)),
    st.tuples(st.floats(), st.floats(), st.floats()),
    st.booleans(),
    st.booleans(),
)
def test_no_score_and_no_scale_raises(name, numbers, ordered, higher):
    """Any score on any scale, of the ends of the number line too, observes one reply or nothing."""
    low, score, high = sorted(numbers) if ordered else numbers
    seen = observation(name, score, (low, high), higher)
    if seen is not None:
        value = value_of(name, sums([seen]), CONFIDENCE)
        assert value is not None
        assert value.n == 1
