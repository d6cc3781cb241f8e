"""Key drivers: R^2 and its shares, from sums over pairs."""

from __future__ import annotations

import random
from itertools import combinations
from math import factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.measures import METRICS, Stats, add
from stream.measures.drivers import LEAST_N, observe, place, relative_weights, responses
from stream.measures.eigen import eigen

DRIVERS = METRICS["drivers"]


def collect(responses) -> Stats:
    """Sums of what (overall, answers) observe."""
    stats: Stats = {}
    for overall, answers in responses:
        for key, vec in observe(overall, answers):
            add(stats, key, vec)
    return stats


def solve(matrix, right):
    """Gaussian elimination with pivoting: nothing shared with the code that is tested."""
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        best = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for k in range(size):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [x - factor * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def r_squared(matrix, right, subset):
    """R^2 of the regression on some of the candidates."""
    if not subset:
        return 0.0
    beta = solve([[matrix[i][j] for j in subset] for i in subset], [right[i] for i in subset])
    return sum(b * right[i] for b, i in zip(beta, subset, strict=True))


def shapley(matrix, right):
    """Each candidate's R^2 gained, averaged over all orders of taking them in."""
    size = len(right)
    gained = [0.0] * size
    for i in range(size):
        others = [j for j in range(size) if j != i]
        for count in range(size):
            weight = factorial(count) * factorial(size - count - 1) / factorial(size)
            for subset in combinations(others, count):
                more = r_squared(matrix, right, (*subset, i)) - r_squared(matrix, right, subset)
                gained[i] += weight * more
    return gained


def correlations(size, seed):
    """Correlations of ``size`` candidates and one to explain, from data, so that they are possible."""
    rng = random.Random(seed)
    mixing = [[rng.gauss(0, 1) for _ in range(size + 1)] for _ in range(size + 1)]
    data = [
        [sum(a * b for a, b in zip(row, z, strict=True)) for row in mixing]
        for z in ([rng.gauss(0, 1) for _ in range(size + 1)] for _ in range(60))
    ]
    columns = list(zip(*data, strict=True))
    centred = [[x - sum(column) / len(column) for x in column] for column in columns]
    norms = [sum(x * x for x in column) ** 0.5 for column in centred]
    full = [
        [sum(x * y for x, y in zip(a, b, strict=True)) / m / n for b, n in zip(centred, norms, strict=True)]
        for a, m in zip(centred, norms, strict=True)
    ]
    return [row[:-1] for row in full[:-1]], full[-1][:-1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_weights_add_up_to_r_squared(size, seed):
    """No weight is negative, and together they are the R^2 of the regression on all candidates."""
    matrix, right = correlations(size, seed)
    weights = relative_weights(matrix, right)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(r_squared(matrix, right, tuple(range(size))), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_two_candidates_have_their_shapley_values(seed):
    """For two candidates the relative weights are the Shapley values."""
    matrix, right = correlations(2, seed)
    assert relative_weights(matrix, right) == pytest.approx(shapley(matrix, right), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_more_candidates_are_near_their_shapley_values(seed):
    """For four, no share of the R^2 is further than 12 points from the Shapley value."""
    matrix, right = correlations(4, seed)
    weights, values = relative_weights(matrix, right), shapley(matrix, right)
    for weight, value in zip(weights, values, strict=True):
        assert weight / sum(weights) == pytest.approx(value / sum(values), abs=0.12)


def test_uncorrelated_candidates_have_their_squared_correlations():
    """Where candidates have nothing in common, each weighs its own correlation squared."""
    found = relative_weights([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0.6, -0.5, 0.1])
    assert found == pytest.approx([0.36, 0.25, 0.01])


def test_candidates_that_say_the_same_share_equally():
    """A singular matrix is no trouble: twins halve what one alone would have."""
    twins = relative_weights([[1, 1, 0], [1, 1, 0], [0, 0, 1]], [0.6, 0.6, 0.3])
    assert twins == pytest.approx([0.18, 0.18, 0.09])


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.floats(-1, 1), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_eigenvectors(rows):
    """V diag(d) V' is the matrix, and V is orthonormal."""
    size = range(len(rows))
    matrix = [[rows[i][j] + rows[j][i] for j in size] for i in size]
    values, v = eigen(matrix)
    for i in size:
        for j in size:
            assert sum(v[i][k] * values[k] * v[j][k] for k in size) == pytest.approx(matrix[i][j], abs=1e-9)
            assert sum(v[k][i] * v[k][j] for k in size) == pytest.approx(float(i == j), abs=1e-9)


def customers(n=400, seed=7):
    """Overall answers made three parts of speed, one of price, some chance, and none of parking."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        speed, price, parking = (rng.randrange(0, 10_001) for _ in range(3))
        overall = min(max(round(0.6 * speed + 0.2 * price + rng.gauss(1000, 1200)), 0), 10_000)
        found.append((overall, {"speed": speed, "price": price, "parking": parking}))
    return found


def test_the_driver_is_found():
    """Of a score made mostly of one answer, that answer has most of the R^2, and chance next to nothing."""
    value = DRIVERS.value(collect(customers()), 0.95)
    assert value is not None
    assert list(value.parts) == ["speed", "price", "parking"]
    assert value.parts["speed"] == pytest.approx(0.9, abs=0.05)
    assert value.parts["parking"] < 0.02
    assert sum(value.parts.values()) == pytest.approx(1)
    assert (value.n, value.interval) == (400, None)
    assert 60 < value.value < 85


def test_an_answer_that_is_missing_takes_no_other_out():
    """Each pair counts whoever gave both answers; customers who skipped a question still count elsewhere."""
    some = [
        (overall, {name: x for name, x in answers.items() if name != "price" or k % 2})
        for k, (overall, answers) in enumerate(customers())
    ]
    value = DRIVERS.value(collect(some), 0.95)
    assert (value.n, list(value.parts)) == (200, ["speed", "price", "parking"])


def test_taking_back_leaves_what_was_there():
    """Responses are added and taken back in any order; the value depends on what is left alone."""
    stats = collect(customers())
    for overall, answers in customers(50, seed=8):
        for key, vec in observe(overall, answers):
            add(stats, key, vec)
    for overall, answers in customers(50, seed=8):
        for key, vec in observe(overall, answers):
            add(stats, key, vec, -1)
    assert stats == collect(customers())


def test_too_little_says_nothing():
    """Below 30 pairs, or where an answer is always the same, there is no value rather than a wild one."""
    assert DRIVERS.value({}, 0.95) is None
    assert DRIVERS.value(collect(customers(LEAST_N - 1)), 0.95) is None
    assert DRIVERS.value(collect(customers(LEAST_N)), 0.95).n == LEAST_N
    same = [(overall, {**answers, "price": 5000}) for overall, answers in customers()]
    assert set(DRIVERS.value(collect(same), 0.95).parts) == {"speed", "parking"}


def test_contradicting_pairs_are_survived():
    """Correlations that no one set of customers could have still give shares, and an R^2 of at most 100."""
    stats: Stats = {}
    for k in range(100):
        x = 100 * k
        for name in "ab":  # each goes with the overall answer ...
            for key, vec in observe(x, {name: x}):
                add(stats, key, vec)
        add(
            stats, "drivers|a|b", (1, x, 9900 - x, x * x, (9900 - x) ** 2, x * (9900 - x))
        )  # ... and not together
    value = DRIVERS.value(stats, 0.95)
    assert value is None or value.value <= 100
    del stats["drivers|a|b"]
    value = DRIVERS.value(stats, 0.95)
    assert (value.value, value.parts) == (100, pytest.approx({"a": 0.5, "b": 0.5}))


def test_any_name_will_do():
    """Bars and per cent signs in the names of questions come back as they were."""
    odd = ["a|b", "100 % | sure", "%7C", "ünï"]
    rng = random.Random(3)
    stats = collect((rng.randrange(100), {name: rng.randrange(100) for name in odd}) for _ in range(60))
    assert set(DRIVERS.value(stats, 0.95).parts) == set(odd)


def test_place():
    """Scores on any scale and in either direction become places from worst to best."""
    assert [place(1, (1, 5), True), place(5, (1, 5), True), place(2, (1, 5), False)] == [0, 10_000, 7_500]
    assert place(6, (1, 5), True) is None


def test_answers_that_belong_together():
    """With an overall answer goes the nearest of each candidate, the earlier of two, in time."""
    answers = [
        (0, "far", 1),
        (100, "a", 2),
        (190, "a", 3),
        (200, "", 9),
        (210, "a", 4),
        (220, "b", 5),
        (900, "", 7),
    ]
    assert list(responses(answers, 100)) == [(200, seen) for seen in observe(9, {"a": 3, "b": 5})]
    assert list(responses([(0, "a", 1)], 100)) == []
    assert [moment for moment, _ in responses(answers, 680)] == [200] * 6 + [900]
