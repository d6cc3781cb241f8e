"""Metrics of replies: what is exact, what is mixed, what is refused. Worked examples are in ``examples``."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import Stats, add, is_empty, merge, observation, subtract, value_of
from stream.measures.ces import units
from tests.measures.examples import replies, sums


def collect(metric, scores, scale=None, higher_is_better=True) -> Stats:
    """Sum of what the scores observe."""
    return sums(replies(metric, scores, scale, higher_is_better))


def test_worked_examples_are_exact():
    """The published examples come out without a rounding error in the last digit."""
    assert value_of("ces", collect("ces", [10, 10, 8, 6, 9], (1, 10)), 0.95).value == 8.6
    assert value_of("csat", collect("csat", [5] * 37 + [1] * 13), 0.95).value == 74
    assert value_of("nps", collect("nps", [10] * 88 + [1] * 8 + [8] * 4), 0.95).value == 80


def test_effort_asked_both_ways_is_mixed():
    """Two directions on one scale are never averaged into one figure."""
    stats = collect("ces", [7])
    merge(stats, collect("ces", [1], None, False))
    assert value_of("ces", stats, 0.95).value is None
    assert value_of("ces", stats, 0.95).parts["normalised"] == 100


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
