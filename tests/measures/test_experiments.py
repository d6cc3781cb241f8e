"""Variants compared live: an interval that may be watched."""

from __future__ import annotations

import random
from math import sqrt
from statistics import fmean, pvariance, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import METRICS, Stats, add, observation
from stream.measures.durations import duration
from stream.measures.experiments import LEAST_N, TIGHTEST_N, compare, difference
from stream.measures.intervals import z_quantile
from stream.measures.moments import Comparable, Moments, of_hits

LOOKS = 5_000


def collect(metric, scores, scale) -> Stats:
    """Sums of what the scores observe."""
    stats: Stats = {}
    for score in scores:
        add(stats, *observation(metric, score, scale, True))
    return stats


def watched(seed, before, after, looks=LOOKS):
    """Replies arrive at random at one of two variants, with a look after each.

    Returns whether the anytime interval and a fixed one ever excluded no difference, and whether the anytime one
    ever excluded the true difference.
    """
    rng = random.Random(seed)
    z = z_quantile(0.95)
    hits, counts, rates = [0, 0], [0, 0], (before, after)
    truth = 100 * (after - before)
    anytime = fixed = missed = False
    for _ in range(looks):
        side = rng.random() < 0.5
        counts[side] += 1
        hits[side] += rng.random() < rates[side]
        if min(counts) < LEAST_N:
            continue
        old, new = of_hits(hits[0], counts[0]), of_hits(hits[1], counts[1])
        low, high = difference(old, new, 0.95)
        anytime |= not low <= 0 <= high
        missed |= not low <= truth <= high
        half = z * sqrt(old.variance / old.n + new.variance / new.n)
        fixed |= abs(new.mean - old.mean) > half
    return anytime, fixed, missed


@pytest.mark.timeout(300)
def test_looking_after_every_reply_does_not_mislead():
    """Of 400 comparisons without a difference, watched for 5,000 replies, at most 5 % ever claim one.

    The tolerance is two standard errors of the simulation. A fixed interval, watched alike, claims one in more
    than a fifth of them.
    """
    runs = 400
    found = [watched(seed, 0.7, 0.7) for seed in range(runs)]
    assert sum(anytime for anytime, _, _ in found) <= runs * (0.05 + 2 * sqrt(0.05 * 0.95 / runs))
    assert sum(fixed for _, fixed, _ in found) > 0.2 * runs


def test_a_difference_is_found():
    """Ten points of difference are found within 5,000 replies, and the true one is not excluded on the way."""
    found = [watched(seed, 0.6, 0.7) for seed in range(20)]
    assert all(anytime for anytime, _, _ in found)
    assert sum(missed for _, _, missed in found) <= 2


def test_the_interval_as_published():
    """The difference is the variant's value less the control's; the interval is around it, and says what it is."""
    control, variant = (
        collect("nps", [10] * 60 + [0] * 60, (0, 10)),
        collect("nps", [10] * 90 + [0] * 30, (0, 10)),
    )
    found = compare("nps", control, variant, 0.95, "A")
    assert (found.variant, found.difference, found.evidence) == ("A", 50, "anytime")
    assert found.interval[0] + found.interval[1] == pytest.approx(100)
    assert 0 < found.interval[0] < 50
    back = compare("nps", variant, control, 0.95, "B")
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_the_formula():
    """At n of each and a variance s^2 the half-width is what the method of mixtures gives, worked out by hand."""
    n, alpha = 1_000, 0.05
    low, high = difference(Moments(n, 0.0, 4.0), Moments(n, 0.0, 4.0), 1 - alpha)
    # t = n / 2, V = 8 / n, s^2 = V t = 4, t r^2 = 7.936...; by hand: 2 * sqrt(2 * 8.936 / (500 * 7.936) * 4.0908)
    assert high == pytest.approx(0.2715, abs=2e-4)
    assert low == -high


def test_tightest_where_it_says():
    """For a fixed number of replies, no other tuning gives a narrower interval than at ``TIGHTEST_N``."""
    widths = {
        n: difference(Moments(n, 0, 1.0), Moments(n, 0, 1.0), 0.95)[1] * sqrt(n) for n in range(100, 9000, 50)
    }
    assert min(widths, key=widths.__getitem__) == pytest.approx(TIGHTEST_N, rel=0.15)


def test_nothing_is_said_too_early():
    """Below 50 observations of either there is a difference, but no interval; without any there is nothing."""
    few, many = collect("csat", [5] * (LEAST_N - 1), (1, 5)), collect("csat", [5, 1] * LEAST_N, (1, 5))
    assert compare("csat", many, few, 0.95, "A").interval is None
    assert compare("csat", many, few, 0.95, "A").difference == 50
    enough = collect("csat", [5] * LEAST_N, (1, 5))
    assert compare("csat", many, enough, 0.95, "A").interval is not None
    assert compare("csat", many, {}, 0.95, "A") is None
    assert compare("csat", {}, many, 0.95, "A") is None


def test_only_like_is_compared():
    """Effort on two scales, sums of money and unheard-of metrics are not compared."""
    one, other = collect("ces", [3, 4] * 50, (1, 5)), collect("ces", [3, 4] * 50, (1, 7))
    assert compare("ces", one, other, 0.95, "A") is None
    assert compare("ces", one, one, 0.95, "A").difference == 0
    money: Stats = {"revenue|EUR": [100, 10_000, 2_000_000]}
    assert compare("revenue", money, money, 0.95, "A") is None
    assert compare("unheard_of", money, money, 0.95, "A") is None


def test_durations_that_never_differ_have_no_interval():
    """Without any spread among unbounded amounts their variance is not known, and nothing is claimed."""
    stats: Stats = {}
    for _ in range(100):
        for key, vec in duration("waiting_time", 5_000):
            add(stats, key, vec)
    found = compare("waiting_time", stats, stats, 0.95, "A")
    assert (found.difference, found.interval) == (0, None)


SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7), "loyalty": (1, 10), "engagement": (1, 10)}


def worth(metric, score):
    """What one answer is worth, from the definition of the metric."""
    match metric:
        case "nps":
            return 100 if score >= 9 else -100 if score <= 6 else 0
        case "csat":
            return 100 if score >= 4 else 0
        case "ces":
            return score
        case "loyalty":
            return 100 * (score - 1) / 9
    return 20 * ((score + 1) // 2)


@pytest.mark.parametrize("metric", SCALES)
@given(data=st.data())
def test_moments_of_replies(metric, data):
    """The mean is the metric's value; the variance that of the answers with one more at each end of the scale."""
    low, high = SCALES[metric]
    scores = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=40))
    stats = collect(metric, scores, SCALES[metric])
    found = METRICS[metric].moments(stats)
    assert (found.n, found.mean) == (len(scores), pytest.approx(METRICS[metric].value(stats, 0.95).value))
    values = [worth(metric, score) for score in scores]
    if metric != "nps":  # three quarters of a promoter, of a detractor, and one and a half passives
        assert found.variance == pytest.approx(
            pvariance([*values, worth(metric, low), worth(metric, high)]), rel=1e-3, abs=1e-3
        )
    else:
        n = len(values) + 3
        mean = sum(values) / n
        assert found.variance == pytest.approx((sum(v * v for v in values) + 1.5 * 100**2) / n - mean**2)


@given(st.lists(st.integers(0, 10**8), min_size=2, max_size=40))
def test_moments_of_durations(spans):
    """Durations have the mean and variance of their sample, in seconds."""
    stats: Stats = {}
    for ms in spans:
        for key, vec in duration("waiting_time", ms):
            add(stats, key, vec)
    found = METRICS["waiting_time"].moments(stats)
    assert found.mean == pytest.approx(fmean(spans) / 1000)
    assert found.variance == pytest.approx(variance(spans) / 1e6, rel=1e-9)


def test_moments_of_rates():
    """Rates count hits as 100; what is no proportion has no moments."""
    assert METRICS["reopen_rate"].moments({"tickets": [10, 2]})[:2] == (10, 20)
    assert METRICS["reopen_rate"].moments({"tickets": [10, 12]}) is None
    assert METRICS["abandonment"].moments({"ended|cart": [10, 2], "ended|queue": [30, 2]})[:2] == (40, 10)
    assert METRICS["abandonment"].moments({}) is None


def test_what_can_be_compared():
    """All means can be compared: replies, proportions, durations."""
    assert {name for name, metric in METRICS.items() if isinstance(metric, Comparable)} == {
        *SCALES,
        "referral_rate",
        "reopen_rate",
        "abandonment",
        "cart_abandonment",
        "queue_abandonment",
        "self_service_deflection",
        "resolution_time",
        "waiting_time",
    }
