"""Evidence that may be looked at all the time: what the proofs rest on, and that it comes out so."""

from __future__ import annotations

import random
from itertools import product
from math import exp, log1p, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.bounded import Bounded, bounded, least_mean
from stream.alerting.detectors import (
    CHANGES,
    Episode,
    Watch,
    _grown,
    alarmed,
    began,
    calm,
    mean_before,
    pursued,
    watched,
)
from stream.alerting.model import ChangeSpec, Direction
from stream.measures import Stats, add, observation, value_of
from stream.measures.stats import minus

SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7), "loyalty": (1, 10), "engagement": (1, 10)}
METRICS = st.sampled_from(sorted(SCALES))
CLASSES = {"nps": (0.0, 0.5, 1.0), "csat": (0.0, 1.0), "engagement": (0.0, 0.25, 0.5, 0.75, 1.0)}
DOWN = ChangeSpec(Direction.DOWN, 10_000, "7d")
UP = ChangeSpec(Direction.UP, 10_000, "7d")


def replies(metric, scores) -> Stats:
    """Sums of what the scores observe."""
    stats: Stats = {}
    for score in scores:
        add(stats, *observation(metric, score, SCALES[metric], True))
    return stats


def scores(metric, least=1, most=40):
    """Answers on the metric's usual scale."""
    low, high = SCALES[metric]
    return st.lists(st.integers(low, high), min_size=least, max_size=most)


def csat(bad, good) -> Stats:
    """Sums of so many."""
    return {"csat": [good, bad + good]} if bad + good else {}


def moments(xs) -> Bounded:
    """Of which only the three sums are known."""
    return Bounded(len(xs), sum(xs), sum(x * x for x in xs), (), (), 0.0, 1.0)


def classes(points, counts) -> Bounded:
    """Of which everything is known."""
    pairs = list(zip(points, counts, strict=True))
    total, squares = sum(p * c for p, c in pairs), sum(p * p * c for p, c in pairs)
    return Bounded(sum(counts), total, squares, tuple(points), tuple(counts), 0.0, 1.0)


@given(data=st.data(), metric=METRICS)
def test_bounded_is_the_metric_on_another_scale(data, metric):
    """The mean of the observations, put back into the unit, is the metric's value; none is beyond 0 or 1."""
    stats = replies(metric, data.draw(scores(metric)))
    seen = bounded(metric, stats)
    assert seen.value(seen.mean) == pytest.approx(value_of(metric, stats, 0.95).value)
    assert 0 <= seen.squares <= seen.total + 1e-9 <= seen.n + 1e-9
    if seen.points:
        assert seen.points == CLASSES[metric]
        assert sum(p * c for p, c in zip(seen.points, seen.counts, strict=True)) == pytest.approx(seen.total)
    over = seen.mirrored()
    assert over.value(over.mean) == pytest.approx(seen.value(seen.mean))
    assert over.mean == pytest.approx(1 - seen.mean)
    assert over.place(seen.value(0.3)) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("metric", "stats"),
    [
        ("nps", {}),
        ("waiting_time", {"waiting_time": [1, 2, 3]}),
        ("nps", {"nps": [2, -1, 0]}),
        ("csat", {"csat": [3, 2]}),
        ("loyalty", {"loyalty": [-1, -5, -25]}),
        ("loyalty", {"loyalty": [2, 10, 1]}),
        ("ces", {"ces|1|7|+": [1, 0, 0], "ces|1|10|+": [1, 0, 0]}),
    ],
)
def test_what_are_no_replies_of_one_kind_is_no_evidence(metric, stats):
    """No replies, no reply metric, more taken back than came, impossible sums, mixed scales: None."""
    assert bounded(metric, stats) is None


@given(
    points=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    short=st.floats(0, 0.5),
    known=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    kept=st.booleans(),
)
def test_a_bet_never_pays_while_the_mean_is_good(points, weights, short, known, kept):
    """Over all panes of two replies from any distribution whose mean is at least m, capital is at most kept."""
    weights = weights[: len(points)]
    chances = [weight / sum(weights) for weight in weights]
    mean = max(0.0, sum(p * c for p, c in zip(points, chances, strict=True)) - short)
    before = (len(known), sum(known), sum(x * x for x in known))
    expected = [0.0] * len(CHANGES)
    for outcome in product(range(len(points)), repeat=2):
        counts = [outcome.count(place) for place in range(len(points))]
        seen = classes(points, counts) if kept else moments([points[place] for place in outcome])
        grown = _grown(seen, before, mean, CHANGES)
        chance = prod(chances[place] for place in outcome)
        expected = [total + chance * exp(each) for total, each in zip(expected, grown, strict=True)]
    assert max(expected) <= 1 + 1e-9


@given(
    xs=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    mean=st.floats(0.001, 0.999),
    known=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_of_sums_alone_a_bet_wins_no_more_than_of_the_replies(xs, mean, known):
    """What is made of number, sum and squares is at most what the replies themselves make."""
    before = (len(known), sum(known), sum(y * y for y in known))
    exact = _grown(classes(xs, [1] * len(xs)), before, mean, CHANGES)
    assert all(a <= b + 1e-6 for a, b in zip(_grown(moments(xs), before, mean, CHANGES), exact, strict=True))


@given(xs=st.lists(st.integers(0, 6), min_size=1, max_size=2), mean=st.floats(0.1, 0.9))
def test_of_two_replies_nothing_is_lost(xs, mean):
    """One reply or two are known from their sums."""
    xs = [x / 6 for x in xs]
    exact = _grown(classes(xs, [1] * len(xs)), (4, 2.0, 1.5), mean, CHANGES)
    assert _grown(moments(xs), (4, 2.0, 1.5), mean, CHANGES) == pytest.approx(exact, abs=1e-6)


def test_of_sums_alone_most_is_left():
    """Of a drop of 20 points of loyalty three quarters of the growth are left where only sums are kept."""
    rng = random.Random(3)
    usual = [min(1.0, max(0.0, rng.gauss(0.75, 0.2))) for _ in range(2000)]
    lower = [min(1.0, max(0.0, rng.gauss(0.55, 0.2))) for _ in range(2000)]
    before = (2000, sum(usual), sum(x * x for x in usual))
    exact = max(_grown(classes(lower, [1] * 2000), before, 0.75, CHANGES))
    assert 0.75 * exact < max(_grown(moments(lower), before, 0.75, CHANGES)) < exact


@given(
    panes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8), up=st.booleans()
)
def test_the_detector_is_the_sum_over_all_beginnings(panes, up):
    """M is, of each bet, the sum over panes of their replies times all that was won from that pane on."""
    reference = csat(20, 80)
    change = ChangeSpec(Direction.UP if up else Direction.DOWN, 1e300, "7d")
    state, won = None, []
    for bad, good in panes:
        state = watched(change, "csat", 0.95, state, csat(bad, good), reference)
        if bad + good:
            seen = bounded("csat", csat(bad, good))
            before = bounded("csat", reference)
            seen, before = (seen.mirrored(), before.mirrored()) if up else (seen, before)
            known = (before.n, before.total, before.squares)
            won.append((seen.n, _grown(seen, known, least_mean(before, 0.95), CHANGES)))
    if not won:
        assert state is None
        return
    for bet, held in enumerate(state.sums):
        wanted = sum(n * exp(sum(g[bet] for _, g in won[at:])) for at, (n, _) in enumerate(won))
        assert held == pytest.approx(wanted)
    assert state.n == sum(n for n, _ in won)


def test_it_does_not_matter_which_way_is_up():
    """A rise is to ``up`` what the mirrored fall is to ``down``."""
    fall = watched(DOWN, "csat", 0.95, None, csat(5, 1), csat(30, 70))
    rise = watched(UP, "csat", 0.95, None, csat(1, 5), csat(70, 30))
    assert fall.sums == pytest.approx(rise.sums)


def test_a_change_is_told_and_is_over_again():
    """It fires after a drop of 20 points, not before; it is over when replies are good again."""
    rng = random.Random(1)
    state, told, over = None, None, None
    for at in range(3000):
        share = 0.6 if 1000 <= at < 1500 else 0.8
        good = rng.random() < share
        state = watched(DOWN, "csat", 0.95, state, csat(1 - good, good), csat(2_000, 8_000))
        if told is None and alarmed(DOWN, state):
            told = at
        elif told is not None and over is None and calm(DOWN, state):
            over = at
    assert 1000 < told < 1150
    assert 1500 < over < 1700


def test_nothing_new_is_the_same_object():
    """Without replies, without a reference, or with another scale in the reference, the state stays."""
    state = watched(DOWN, "csat", 0.95, None, csat(1, 1), csat(10, 40))
    for news, reference in (({}, csat(1, 4)), (csat(1, 0), {}), ({"nps": [1, 0, 0]}, csat(1, 4))):
        assert watched(DOWN, "csat", 0.95, state, news, reference) is state
    seven = {"ces|1|7|+": [2, 60_000, 1_800_000_000]}
    ten = {"ces|1|10|+": [2, 60_000, 1_800_000_000]}
    assert watched(DOWN, "ces", 0.95, None, seven, ten) is None
    first = watched(DOWN, "ces", 0.95, None, seven, seven)
    again = watched(DOWN, "ces", 0.95, first, ten, ten)
    assert again.n == 2
    assert again.of == "ces|1|10|+"


def test_any_amount_of_evidence_is_a_number():
    """Thousands of bad replies in one pane neither overflow nor keep it from being over again."""
    state = watched(DOWN, "csat", 0.95, None, csat(100_000, 0), csat(20, 80))
    assert alarmed(DOWN, state)
    state = watched(DOWN, "csat", 0.95, state, csat(0, 400), csat(20, 80))
    assert calm(DOWN, state)
    assert watched(DOWN, "csat", 0.95, state, csat(0, 100_000), csat(20, 80)).evidence == 0
    episode = pursued("csat", True, 80, began("csat", csat(2, 2)), csat(100_000, 0))
    assert 1e11 < episode.evidence <= 1e12


@given(metric=METRICS, data=st.data(), below=st.booleans())
def test_states_come_back_from_the_table_as_they_were(metric, data, below):
    """What is written and read again goes on to the same figures."""
    import msgspec  # noqa: PLC0415

    window = replies(metric, data.draw(scores(metric)))
    news = replies(metric, data.draw(scores(metric)))
    watch = watched(DOWN, metric, 0.95, None, news, window)
    assert msgspec.json.decode(msgspec.json.encode(watch), type=Watch) == watch
    line = value_of(metric, window, 0.95).value
    episode = pursued(metric, below, line, began(metric, window, 7), news)
    assert msgspec.json.decode(msgspec.json.encode(episode), type=Episode) == episode


def test_one_in_twenty_episodes_at_most_alerts_for_nothing():
    """With the mean on the line and a look after every pane, evidence of 20 comes in at most 5 % of episodes."""
    rng = random.Random(2)
    wrong = 0
    for _ in range(400):
        episode = began("csat", csat(3, 7))
        for _ in range(300):
            good = sum(rng.random() < 0.8 for _ in range(2))
            episode = pursued("csat", True, 80.0, episode, csat(2 - good, good))
            if episode.evidence >= 20:
                wrong += 1
                break
    assert 0 < wrong <= 20


def test_what_made_an_episode_begin_is_no_evidence():
    """The replies of the window are known, and count for nothing."""
    assert began("csat", csat(50, 0)).evidence == 1
    assert began("csat", {}) is None


def test_an_episode_needs_replies_of_its_kind_and_a_line_on_the_scale():
    """Another scale, silence, and a line at the far end of the scale prove nothing."""
    episode = began("csat", csat(2, 2))
    assert pursued("csat", True, 80.0, episode, {}) is episode
    assert pursued("csat", True, 0.0, episode, csat(3, 0)) is episode
    assert pursued("csat", False, 100.0, episode, csat(0, 3)) is episode
    assert pursued("csat", True, 100.0, episode, csat(3, 0)).evidence > 1


@given(metric=METRICS, data=st.data())
def test_the_mean_before_is_the_cautious_end(metric, data):
    """What a fall is held against is below the earlier value, what a rise is held against above it."""
    window = replies(metric, data.draw(scores(metric, least=2)))
    value = value_of(metric, window, 0.95).value
    assert mean_before(DOWN, metric, 0.95, window) <= value + 1e-9
    assert mean_before(UP, metric, 0.95, window) >= value - 1e-9
    assert mean_before(DOWN, metric, 0.95, {}) is None


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_the_mean_before_is_seldom_taken_for_better_than_it_is(share):
    """The low end lies above the true mean in about one of twenty cases."""
    rng = random.Random(4)
    wrong = 0
    for _ in range(2000):
        good = sum(rng.random() < share for _ in range(150))
        wrong += least_mean(bounded("csat", csat(150 - good, good)), 0.95) > share
    assert wrong / 2000 < 0.065


def test_false_alarms_are_rarer_than_asked_for_with_a_reference_that_is_estimated():
    """Of 200,000 replies without a change, one in 1,000 may be a false alarm; the window rolls and is small."""
    rng = random.Random(5)
    change = ChangeSpec(Direction.DOWN, 1_000, "7d")
    wrong = 0
    for _ in range(40):
        panes = [
            (2 - good, good) for good in (sum(rng.random() < 0.8 for _ in range(2)) for _ in range(2_750))
        ]
        reference = csat(sum(b for b, _ in panes[:250]), sum(g for _, g in panes[:250]))
        state = None
        for at in range(250, len(panes)):
            state = watched(change, "csat", 0.95, state, csat(*panes[at]), reference)
            if alarmed(change, state):
                wrong, state = wrong + 1, None
            add(reference, "csat", csat(*panes[at])["csat"])
            reference = minus(reference, csat(*panes[at - 250]))
    assert 0 < wrong <= 200


def test_grown_is_the_sum_of_logarithms():
    """Of classes the growth is the exact product over the replies."""
    bets = _grown(classes((0.0, 1.0), (3, 2)), (100, 80.0, 80.0), 0.8, (0.5,))
    mean, variance = 81 / 102, 81 / 102 * 21 / 102
    step = 0.5 * variance**0.5
    bet = step / (variance + step * step)
    assert bets == pytest.approx([3 * log1p(bet * 0.8) + 2 * log1p(-bet * 0.2)])
    assert mean > 0.79
