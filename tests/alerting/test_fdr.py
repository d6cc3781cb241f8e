"""False discoveries among slices: levels that add up, and shares that come out so."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.detectors import began, pursued
from stream.alerting.fdr import Ledger, needed, weight


def test_the_weights_add_up_to_less_than_one():
    """The sum of the first million weights and a bound of all that follow is at most 1."""
    # What follows is at most 1 / (2.1098 log(N)): the integral of 1 / (x log(x)^2).
    from math import log  # noqa: PLC0415

    many = 1_000_000
    total = sum(weight(number) for number in range(1, many + 1)) + 1 / (2.1098 * log(many + 1))
    assert 0.999 < total <= 1.0


@given(fdr=st.floats(0.001, 0.5), partitions=st.integers(1, 64), begun=st.integers(1, 10_000))
def test_more_is_needed_of_later_episodes_and_less_after_alerts(fdr, partitions, begun):
    """An episode needs more the later it began, less the more alerts there were, and never under 1."""
    ledger = Ledger(begun, 0)
    levels = [needed(fdr, partitions, ledger, number) for number in (begun, begun + 1, begun + 50)]
    assert all(1 <= a < b for a, b in pairwise(levels))
    assert needed(fdr, partitions, ledger.alert(), begun) < levels[0]
    assert needed(fdr, partitions, Ledger(begun, 10**9), begun) >= 1
    assert ledger.begin() == Ledger(begun + 1, 0)


def test_the_partitions_levels_add_up_to_the_whole():
    """What is given to each of eight partitions is an eighth of the level."""
    assert needed(0.1, 8, Ledger(1), 1) == 8 * needed(0.1, 1, Ledger(1), 1)


def test_the_share_of_false_alerts_is_at_most_what_was_asked_for():
    """Of 60 slices in turn, ten of them really bad, at most a tenth of the alerts are false on average."""
    rng = random.Random(6)
    shares, found = [], 0
    for _ in range(40):
        ledger, wrong, right = Ledger(), 0, 0
        for slice_ in range(60):
            bad = slice_ % 6 == 0
            ledger = ledger.begin()
            number = ledger.begun
            episode = began("csat", {"csat": [15, 20]}, number)
            for _ in range(60):
                good = sum(rng.random() < (0.55 if bad else 0.8) for _ in range(3))
                episode = pursued("csat", True, 80.0, episode, {"csat": [good, 3]})
                if episode.evidence >= needed(0.1, 1, ledger, number):
                    ledger = ledger.alert()
                    wrong, right = wrong + (not bad), right + bad
                    break
        shares.append(wrong / max(1, wrong + right))
        found += right
    assert sum(shares) / len(shares) <= 0.1
    assert found / 400 > 0.9
