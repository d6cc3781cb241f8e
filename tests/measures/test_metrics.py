"""Each metric by a table of worked examples."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import METRICS, Stats, add, all_values, is_empty, merge, observation, subtract, value_of
from stream.measures.ces import units

DEFAULT = {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "ces": (1.0, 7.0)}


def collect(metric, scores, scale=None, higher_is_better=True) -> Stats:
    """Sum of what the scores observe."""
    stats: Stats = {}
    for score in scores:
        seen = observation(metric, score, scale or DEFAULT[metric], higher_is_better)
        assert seen is not None
        add(stats, *seen)
    return stats


@pytest.mark.parametrize(
    ("metric", "scores", "scale", "higher", "expected"),
    [
        ("nps", [10] * 88 + [3] * 8 + [7] * 4, None, True, 80),
        ("nps", [9, 10], None, True, 100),
        ("nps", [0, 6], None, True, -100),
        ("nps", [7, 8], None, True, 0),
        ("nps", [9, 6, 6], (1, 10), True, -100 / 3),
        ("nps", [6.5, 8.5], None, True, 0),
        ("nps", [5, 3], (0, 5), True, 0),
        ("nps", [0, 1, 10], None, False, 100 / 3),
        ("csat", [5] * 20 + [4] * 17 + [3] * 13, None, True, 74),
        ("csat", [8, 9, 10, 7], (1, 10), True, 75),
        ("csat", [1, 2, 3], None, False, 200 / 3),
        ("ces", [10, 10, 8, 6, 9], (1, 10), True, 8.6),
        ("ces", [10, 10, 8, 6, 9], (1, 10), False, 8.6),
        ("ces", [1.25, 6.5], None, True, 3.875),
        ("ces", [0, 100, 50], (0, 100), True, 50),
        ("ces", [1, 1, 1], (1, 5), True, 1),
    ],
)
def test_value(metric, scores, scale, higher, expected):
    """Every worked example gives its figure, exactly where it is a short decimal."""
    value = value_of(metric, collect(metric, scores, scale, higher), 0.95)
    assert value is not None
    assert value.value == pytest.approx(expected, abs=1e-12)
    assert value.n == len(scores)


def test_worked_examples_are_exact():
    """The published examples come out without a rounding error in the last digit."""
    assert value_of("ces", collect("ces", [10, 10, 8, 6, 9], (1, 10)), 0.95).value == 8.6
    assert value_of("csat", collect("csat", [5] * 37 + [1] * 13), 0.95).value == 74
    assert value_of("nps", collect("nps", [10] * 88 + [1] * 8 + [8] * 4), 0.95).value == 80


def test_parts():
    """Parts are the fractions behind a value; CES gives its place on 0 to 100."""
    nps = value_of("nps", collect("nps", [10, 9, 8, 0]), 0.95)
    assert nps.parts == {"promoters": 0.5, "passives": 0.25, "detractors": 0.25}
    assert value_of("csat", collect("csat", [5, 1, 1, 1]), 0.95).parts == {"satisfied": 0.25}
    assert value_of("ces", collect("ces", [7, 4]), 0.95).parts == {"normalised": 75}
    assert value_of("ces", collect("ces", [1, 4], None, False), 0.95).parts == {"normalised": 75}


def test_mixed_scales_of_effort():
    """Effort on several scales has no value of its own, only the normalised mean over all answers."""
    stats = collect("ces", [7, 7, 7])
    merge(stats, collect("ces", [1], (1, 10)))
    value = value_of("ces", stats, 0.95)
    assert (value.value, value.interval, value.n, value.parts) == (None, None, 4, {"normalised": 75})


def test_effort_asked_both_ways_is_mixed():
    """Two directions on one scale are never averaged into one figure."""
    stats = collect("ces", [7])
    merge(stats, collect("ces", [1], None, False))
    assert value_of("ces", stats, 0.95).value is None
    assert value_of("ces", stats, 0.95).parts["normalised"] == 100


def test_nothing_is_absent():
    """No observations give no value, never 0."""
    assert all_values({}, 0.95) == {}
    assert [value_of(name, {}, 0.95) for name in METRICS] == [None] * len(METRICS)
    assert value_of("unheard_of", {}, 0.95) is None


@pytest.mark.parametrize(
    ("metric", "score", "scale"),
    [
        ("nps", 11, (0, 10)),
        ("nps", -0.1, (0, 10)),
        ("csat", math.nan, (1, 5)),
        ("csat", 1, (1, 1)),
        ("ces", 1, (5, 1)),
        ("ces", math.inf, (1, math.inf)),
        ("ces", 5, (0, 1e9)),
        ("loyalty", 11, (1, 10)),
        ("engagement", 0, (1, 10)),
        ("revenue", 5, (1, 10)),
        ("unheard_of", 5, (1, 10)),
    ],
)
def test_no_observation(metric, score, scale):
    """A score off its scale, a scale that is none, or an unknown metric observes nothing and raises nothing."""
    assert observation(metric, score, scale, True) is None


def test_one_part_per_scale_whatever_its_type():
    """Whole bounds name the same part as integers and as floats."""
    assert observation("ces", 3, (1, 7), True) == observation("ces", 3.0, (1.0, 7.0), True)
    assert observation("ces", 3, (1, 7), True)[0] == "ces|1|7|+"
    assert observation("ces", 3, (0.5, 7), False)[0] == "ces|0.5|7|-"


@pytest.mark.parametrize(("span", "expected"), [(6, 10_000), (10, 10_000), (99, 1000), (1000, 100), (1e6, 0)])
def test_units(span, expected):
    """Answers stay below 100,000 units, so that sums of squares fit 64 bits."""
    assert units(span) == expected


vectors = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(-3, 3), min_size=2, max_size=2).filter(any)
)


@given(vectors, vectors)
def test_sums_and_differences_undo_each_other(left, right):
    """Merge then subtract leaves exactly what was there, and no zeros."""
    stats = {key: list(vec) for key, vec in left.items()}
    merge(stats, right)
    assert all(any(vec) for vec in stats.values())
    subtract(stats, right)
    assert stats == left
    subtract(stats, left)
    assert is_empty(stats)


def test_add_several_times():
    """``times`` counts equal observations at once, also backwards."""
    stats: Stats = {}
    add(stats, "nps", (1, 0, 0), 3)
    add(stats, "nps", (1, 0, 0), -2)
    assert stats == {"nps": [1, 0, 0]}
    add(stats, "nps", (1, 0, 0), -1)
    assert stats == {}
