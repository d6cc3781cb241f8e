"""A small sample of the study of docs/evidence.md: alerts for nothing, and delays."""

from __future__ import annotations

from statistics import fmean

import pytest

from bench import cusum
from bench.alarms import ASKED, HIGH, LOW, fell, unchanged
from bench.worlds import ANSWERS, World, chances_of

TWENTY = 20


@pytest.mark.parametrize(("world", "days"), [(LOW("csat"), 0.5), (HIGH("nps"), 0.06)])
def test_without_a_change_alerts_are_within_their_bound_and_a_plain_rule_fires_many_times_more(world, days):
    """Change detection, tests that may be watched and false discoveries keep their bounds."""
    seen = unchanged(world, days, on_line=True, slices=10, seed=11)
    assert seen.alerts["Change"] <= 2 * seen.replies / ASKED + 1
    assert seen.alerts["AnytimeOnLine"] <= 0.05 * seen.waiting["AnytimeOnLine"] + 2
    assert seen.alerted == 0
    assert seen.waiting["AnytimeOnLine"] > 20
    assert seen.alerts["Plain"] > 15 * max(1, seen.alerts["Change"])


@pytest.mark.parametrize(("metric", "seed"), [("csat", 1), ("nps", 2)])
def test_a_drop_of_20_points_is_told_nearly_as_soon_as_if_everything_were_known(metric, seed):
    """On average it takes at most 1.5 times the replies of a CUSUM that knows both distributions."""
    delays = fell(World(metric, 120, "1h"), TWENTY, 1, 24, slices=12, seed=seed)["Change"]
    told = [delay for delay in delays if delay is not None]
    assert len(told) >= 11
    known = cusum.tuned(ANSWERS[metric].chances, chances_of(metric, TWENTY), ASKED)
    assert fmean(told) <= 1.5 * cusum.delay(known)


def test_the_yardstick_is_what_it_says():
    """A CUSUM tuned to an alarm in 300 replies has one in about 300 when it is just run."""
    tuned = cusum.tuned((0.2, 0.8), (0.4, 0.6), 300)
    gains = (0.6931, -0.2877)
    draw, at, alarms, replies = cusum.drawing(tuned.before, 5), 0.0, 0, 200_000
    for _ in range(replies):
        at = max(0.0, at + gains[draw()])
        if at >= tuned.threshold:
            at, alarms = 0.0, alarms + 1
    assert replies / alarms == pytest.approx(300, rel=0.12)


def test_a_drop_is_a_drop_by_that_much():
    """The chances after a drop of 20 points have a value 20 points lower, and are chances."""
    for metric, answers in ANSWERS.items():
        lower = answers._replace(chances=chances_of(metric, TWENTY))
        assert lower.value == pytest.approx(answers.value - TWENTY, abs=1e-6)
        assert sum(lower.chances) == pytest.approx(1)
        assert min(lower.chances) > 0
