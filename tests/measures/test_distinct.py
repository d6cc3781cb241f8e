"""Distinct customers: exact up to the capacity, honestly estimated above it."""

from __future__ import annotations

import random
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.measures.distinct import BITS, Distinct, needed

# Hashes with many leading zeros are common here, so that small examples reach high levels.
hashes = st.one_of(
    st.integers(0, (1 << BITS) - 1),
    st.builds(lambda zeros, low: (1 << (BITS - zeros)) - 1 - low, st.integers(1, 62), st.integers(0, 1)),
    st.just(0),
)
additions = st.lists(st.tuples(hashes, st.integers(0, 12)), max_size=60)


def oracle(seen, capacity, first):
    """The definition: the lowest level at which at most ``capacity`` customers of the window qualify."""
    window = {customer for customer, pane in seen if pane >= first}
    level = 0
    while len(sample := [c for c in window if c < 1 << (BITS - level)]) > capacity:
        level += 1
    return (len(sample), True) if level == 0 else (max(len(sample) << level, capacity + 1), False)


@settings(max_examples=200, deadline=None)
@given(additions, st.integers(1, 6), st.randoms(use_true_random=False))
def test_a_window_is_answered_by_the_set_of_its_customers(seen, capacity, rng):
    """Whatever the order and the repeats, every window at the frontier is what the definition says."""
    distinct = Distinct(capacity)
    shuffled = [*seen, *seen[::2]]
    rng.shuffle(shuffled)
    for customer, pane in shuffled:
        distinct.add(customer, pane)
    for first in range(14):
        assert distinct.count(first, 13)[:2] == oracle(seen, capacity, first)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(hashes, st.integers(0, 5)), max_size=12), max_size=20), st.integers(1, 6))
def test_windows_slide_and_the_past_is_forgotten(panes, capacity):
    """As panes close, with late ones among them, and the old are forgotten, every window stays right."""
    distinct, seen = Distinct(capacity), []
    for now, arrivals in enumerate(panes):
        for customer, late in arrivals:
            pane = max(now - late, 0)
            seen.append((customer, pane))
            distinct.add(customer, pane)
        distinct.forget(now - 6)
        for first in range(max(now - 6, 0), now + 2):
            assert distinct.count(first, now + 1)[:2] == oracle(seen, capacity, first)
    assert len(distinct) <= 64 * capacity
    distinct.forget(len(panes))
    assert len(distinct) == 0
    assert distinct.count(len(panes), len(panes)) == (0, True, 0.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(additions, max_size=3), additions, st.integers(1, 6))
def test_all_at_once_and_in_parts_that_were_cut_to_what_is_needed(parts, later, capacity):
    """What is needed of parts, put together at once, answers as all of it does, then and with more to come."""
    together: dict[int, int] = {}
    for part in parts:
        panes: dict[int, int] = {}
        for customer, pane in part:
            panes[customer] = max(panes.get(customer, -1), pane)
        kept = needed(panes, capacity)
        assert kept.items() <= panes.items()
        together |= {customer: max(pane, together.get(customer, -1)) for customer, pane in kept.items()}
    distinct, seen = Distinct.of(capacity, together), [each for part in parts for each in part]
    for first in range(14):
        assert distinct.count(first, 13)[:2] == oracle(seen, capacity, first)
    for customer, pane in later:
        distinct.add(customer, pane)
    for first in range(14):
        assert distinct.count(first, 13)[:2] == oracle(seen + later, capacity, first)


def test_what_is_needed_of_many_is_little():
    """Of a hundred thousand customers some thousands, for each level the newest."""
    rng = random.Random(1)
    assert len(needed({rng.getrandbits(BITS): pane for pane in range(100_000)}, 1000)) < 9_000


@settings(deadline=None)
@given(additions, st.lists(hashes, max_size=20), st.integers(1, 6), st.integers(0, 13))
def test_customers_counted_on_top(seen, also, capacity, first):
    """Counting some on top gives what adding them would give, and adds nothing."""
    distinct = Distinct(capacity)
    for customer, pane in seen:
        distinct.add(customer, pane)
    expected = oracle([*seen, *((customer, 13) for customer in also)], capacity, first)
    assert distinct.count(first, 14, also)[:2] == expected
    assert distinct.count(first, 14)[:2] == oracle(seen, capacity, first)


@settings(deadline=None)
@given(additions, st.integers(1, 6), st.integers(1, 4))
def test_coarse_panes_answer_aligned_windows_alike(seen, capacity, coarse):
    """Taken back from panes of a coarser tier, windows that start at such a pane are the same to the digit."""
    fine, rough = Distinct(capacity), Distinct(capacity)
    for customer, pane in seen:
        fine.add(customer, pane)
        rough.add(customer, pane // coarse * coarse)
    for first in range(0, 13, coarse):
        assert fine.count(first, 13) == rough.count(first, 13)


def test_exact_up_to_the_capacity():
    """Exactly ``capacity`` customers are counted, one more is estimated, and says so."""
    rng = random.Random(4)
    distinct = Distinct(100)
    for n in range(1, 101):
        distinct.add(rng.getrandbits(BITS), 3)
        assert distinct.count(0, 4) == (n, True, 0.0)
    distinct.add(rng.getrandbits(BITS), 3)
    n, exact, error = distinct.count(0, 4)
    assert (exact, n > 100, 0.05 < error < 0.2) == (False, True, True)
    assert distinct.count(0, 4).vector() == [n, 0, round(10_000 * error)]
    assert distinct.count(4, 4).vector() == [0, 1, 0]


def test_the_stated_error_is_the_error():
    """Over 800 populations the estimate is unbiased, and errs as it says: 1.20 / sqrt(capacity)."""
    rng = random.Random(20020)
    capacity = 64
    errors, stated = [], []
    for _ in range(800):
        n = rng.randrange(400, 3_000)
        distinct = Distinct(capacity)
        for _ in range(n):
            distinct.add(rng.getrandbits(BITS), 0)
        found = distinct.count(0, 1)
        errors.append((found.n - n) / n)
        stated.append(found.relative_error)
    rms = sqrt(sum(error * error for error in errors) / len(errors))
    assert abs(sum(errors) / len(errors)) < 3 * rms / sqrt(len(errors))
    assert rms == pytest.approx(1.20 / sqrt(capacity), rel=0.08)
    assert sqrt(sum(each * each for each in stated) / len(stated)) == pytest.approx(rms, rel=0.08)


def test_what_cannot_be_answered_is_refused():
    """Windows of the past, forgotten panes, long hashes and no capacity are refused, never guessed."""
    distinct = Distinct(4)
    distinct.add(7, 5)
    with pytest.raises(ValueError, match="ends at 5"):
        distinct.count(0, 5)
    distinct.forget(3)
    with pytest.raises(ValueError, match="before 3 are forgotten"):
        distinct.count(2, 6)
    with pytest.raises(ValueError, match="64 bits"):
        distinct.add(1 << BITS, 5)
    with pytest.raises(ValueError, match="at least 1"):
        Distinct(0)
