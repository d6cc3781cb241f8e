"""Quantiles of durations against the exact ones."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.measures import Stats, add, duration, value_of
from stream.measures.sketch import ACCURACY, BLOCK, block, bucket, estimate, quantiles
from stream.measures.stats import minus, plus

times = st.integers(0, 300) | st.integers(0, 10**6) | st.integers(0, 253_402_300_799_999)
SHARES = (0.0, 0.25, 0.5, 0.9, 0.99, 1.0)
#: Of a float at the edge of a bucket.
SLACK = 1 + 1e-9


def sketch(values) -> Stats:
    """The blocks of durations, without their moments."""
    stats: Stats = {}
    for value in values:
        add(stats, *duration("t", value)[1])
    return stats


def exact(values, share):
    """The lower quantile by sorting."""
    return sorted(values)[floor(share * (len(values) - 1))]


@given(times)
@example(0)
@example(1)
@example(2)
def test_an_estimate_is_within_the_accuracy(value):
    """Whatever is in a bucket is within 1 % of what the bucket stands for; 0 is 0."""
    assert abs(estimate(bucket(value)) - value) <= ACCURACY * value * SLACK


@given(times, times)
def test_buckets_and_names_keep_the_order(one, other):
    """A longer duration is in no lower bucket, and names of blocks sort as text as their buckets do."""
    low, high = sorted((one, other))
    assert bucket(low) <= bucket(high)
    assert block(bucket(low))[0] <= block(bucket(high))[0]


def test_a_block_holds_its_total_and_one_count():
    """An observation adds one to its block's total and one to its bucket."""
    name, vec = block(BLOCK * 2 + 3)
    assert name == "002"
    assert vec[0] == sum(vec[1:]) == vec[1 + 3] == 1
    assert len(vec) == BLOCK + 1


@given(st.lists(times, min_size=1, max_size=60))
def test_quantiles_against_the_exact_ones(values):
    """Every quantile is within 1 % of the exact one of the same rank."""
    blocks = sketch(values)
    found = quantiles(blocks, sorted(blocks), SHARES)
    for share, estimated in zip(SHARES, found, strict=True):
        value = exact(values, share)
        assert abs(estimated - value) <= ACCURACY * value * SLACK


@given(st.lists(times, min_size=1, max_size=40), st.lists(times, max_size=40))
def test_subtracting_leaves_the_sketch_of_the_rest(kept, gone):
    """Merged and taken out again, a sketch is what it would be had the others never been in."""
    both = plus(sketch(kept), sketch(gone))
    assert both == sketch([*gone, *kept])
    left = minus(both, sketch(gone))
    assert left == sketch(kept)
    for share, estimated in zip(SHARES, quantiles(left, sorted(left), SHARES), strict=True):
        value = exact(kept, share)
        assert abs(estimated - value) <= ACCURACY * value * SLACK


@given(st.lists(times, min_size=1, max_size=40))
def test_published_quantiles(values):
    """p50, p90 and p99 of a duration are in seconds, within 1 % of the exact ones."""
    stats: Stats = {}
    for value in values:
        for observed in duration("waiting_time", value):
            add(stats, *observed)
    parts = value_of("waiting_time", stats, 0.95).parts
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert parts[name] == pytest.approx(exact(values, share) / 1000, rel=ACCURACY * SLACK, abs=0)


def test_nothing_has_no_quantiles():
    """No blocks, no quantiles."""
    assert quantiles({}, [], SHARES) == []
