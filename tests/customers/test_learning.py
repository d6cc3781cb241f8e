"""The churn learner: as good as a batch fit, calibrated, on its guard against changes."""

from __future__ import annotations

import random
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from stream.customers import PRIOR
from stream.customers.learning import DRIFT_ALPHA, ENOUGH, drift, learn, newcomer, predict
from stream.customers.learning_checks import Validation
from stream.customers.learning_cohorts import beginner, decode_learned, encode_learned, take_cohort
from stream.customers.learning_features import DECLARED, FEATURES, Example
from stream.customers.learning_linear import diagonal, solve, times

from .contracts import (
    WEEK,
    Cohorts,
    Person,
    Progress,
    cohorts,
    learn_all,
    logistic,
    peeking,
    people,
    unhappy_leave,
)

DAYS = 540
SIZE = len(FEATURES)


@pytest.fixture(scope="module")
def by_moment() -> Cohorts:
    """Fifteen hundred contracts over one and a half years."""
    return cohorts(people(1_500, DAYS, 1, unhappy_leave), DAYS)


@pytest.fixture(scope="module")
def progress(by_moment: Cohorts) -> Progress:
    """All of them learned."""
    return learn_all(by_moment)


def area(examples: list[Example], said: list[float]) -> float:
    """AUC."""
    return float(roc_auc_score([each.left for each in examples], said))


def test_one_pass_orders_customers_as_well_as_a_batch_fit_that_has_seen_them_all(progress: Progress) -> None:
    """Progressive AUC lies within 0.02 of a batch logistic regression fitted to the very examples asked of."""
    _, examples, said = progress
    x, left = [each.x for each in examples], [each.left for each in examples]
    batch = LogisticRegression(C=1e6, max_iter=5_000).fit(x, left)
    best = float(roc_auc_score(left, batch.predict_proba(x)[:, 1]))
    assert len(examples) > 6_000
    assert best > 0.7
    assert area(examples, said) > best - 0.02
    assert area(examples, [predict(DECLARED, each.x) for each in examples]) < area(examples, said)


def test_probabilities_are_what_happens(progress: Progress) -> None:
    """The calibration error of progressive predictions is below 0.03, also of those in the highest tenth."""
    learned, examples, said = progress
    assert learned.model.calibration_error is not None
    assert learned.model.calibration_error < 0.03
    order = sorted(range(len(said)), key=said.__getitem__)[-len(said) // 10 :]
    assert np.mean([said[i] for i in order]) == pytest.approx(
        np.mean([examples[i].left for i in order]), abs=0.03
    )


def test_probabilities_are_what_happens_where_the_model_is_wrong() -> None:
    """Also where the truth is no logistic model of the figures: who is unhappy leaves only if silent."""

    def only_together(person: Person, _day: float) -> float:
        return 0.02 if person.mood > 0.5 and person.silent > 5 else 0.001

    learned = learn_all(cohorts(people(600, DAYS, 5, only_together), DAYS)).learned
    assert learned.model.auc is not None
    assert learned.model.auc > 0.65
    assert learned.model.calibration_error is not None
    assert learned.model.calibration_error < 0.03


def test_what_is_judged_has_not_seen_its_label() -> None:
    """Where cancelling is pure chance, nothing is foreseen; a variant that peeks at farewells is found out."""

    def by_chance(_person: Person, _day: float) -> float:
        return 0.002

    honest = learn_all(cohorts(people(600, 300, 2, by_chance, farewell=True), 300)).learned.model
    n = honest.left * (honest.n - honest.left) / honest.n
    assert honest.auc is not None
    assert abs(honest.auc - 0.5) < 4 * sqrt(1 / 12 / n) + 0.01
    cheat = learn_all(peeking(people(600, 300, 2, by_chance, farewell=True), 300)).learned.model
    assert cheat.auc is not None
    assert cheat.auc > 0.9


def test_cohort_after_cohort_comes_to_what_all_at_once_does(by_moment: Cohorts) -> None:
    """Handing the belief on loses next to nothing against one fit of everything."""
    steps, once = newcomer(), newcomer()
    moments = sorted(by_moment)
    for place, at_ms in enumerate(moments):
        learn(steps, by_moment[at_ms], 1 + place)
    everything = [each for at_ms in moments for each in by_moment[at_ms]]
    learn(once, everything, 1)
    together = area(everything, [predict(once.weights, each.x) for each in everything])
    assert area(everything, [predict(steps.weights, each.x) for each in everything]) == pytest.approx(
        together, abs=0.003
    )
    assert (steps.examples, steps.left) == (once.examples, once.left)


def test_the_order_within_a_cohort_does_not_matter(by_moment: Cohorts) -> None:
    """Weights are the same but for the last digits of sums."""
    cohort = by_moment[sorted(by_moment)[20]]
    one, other = newcomer(), newcomer()
    learn(one, cohort, WEEK)
    learn(other, cohort[::-1], WEEK)
    assert one.weights == pytest.approx(other.weights, abs=1e-6)


def test_who_has_learned_nothing_says_what_is_declared() -> None:
    """The weights to begin with are those of the prior, which the figures carry the names of."""
    assert dict(zip(["base", *FEATURES], newcomer().weights, strict=True)) | PRIOR == dict(
        zip(["base", *FEATURES], newcomer().weights, strict=True)
    )
    x = tuple(float(name == "detractor") for name in FEATURES)
    assert predict(newcomer().weights, x) == pytest.approx(logistic(PRIOR["base"] + PRIOR["detractor"]))


def test_a_figure_that_never_varies_keeps_its_declared_weight() -> None:
    """Nothing is known of tickets where there are none; and nothing breaks."""
    dice = random.Random(3)
    learner = newcomer()
    place = list(FEATURES).index("mood")
    for week in range(1, 20):
        cohort = []
        for _ in range(200):
            x = tuple(dice.uniform(-1, 1) if i == place else 0.0 for i in range(SIZE))
            cohort.append(Example(x, dice.random() < logistic(-2 + x[place])))
        learn(learner, cohort, week * WEEK)
    weights = dict(zip(FEATURES, learner.weights[1:], strict=True))
    assert weights["open_tickets"] == PRIOR["open_tickets"]
    assert weights["mood"] == pytest.approx(1.0, abs=0.25)


def test_the_declared_prior_holds_until_enough_is_known() -> None:
    """No version as long as fewer than fifty left, or fewer than fifty stayed; the reason says how many are."""
    learned = beginner()
    some = [Example((0.0,) * SIZE, i % 7 == 0) for i in range(7 * (ENOUGH - 1))]
    take_cohort(learned, some, 0, 4 * WEEK, 5 * WEEK)
    assert learned.version is None
    assert learned.reason == "49 who left and 294 who stayed are known, 50 of each are needed"
    assert "auc" not in learned.figures
    take_cohort(learned, some[:1], WEEK, 5 * WEEK, 6 * WEEK)
    assert learned.version is not None
    assert learned.reason == ""


def test_a_cohort_is_learned_once() -> None:
    """What was learned goes on from its bytes; the same cohort again changes nothing."""
    learned = beginner()
    cohort = [Example(tuple(0.1 * i for i in range(SIZE)), True), Example((0.0,) * SIZE, False)]
    take_cohort(learned, cohort, 0, 4 * WEEK, 5 * WEEK)
    again = decode_learned(encode_learned(learned))
    assert encode_learned(again) == encode_learned(learned)
    take_cohort(again, cohort, 0, 4 * WEEK, 5 * WEEK)
    assert encode_learned(again) == encode_learned(learned)


def test_what_was_learned_of_other_figures_is_forgotten() -> None:
    """A version of the program that looks at more begins anew."""
    learned = beginner()
    learned.learner.weights = learned.learner.weights[:-1]
    assert decode_learned(encode_learned(learned)).learner.weights == list(DECLARED)


def test_a_version_is_judged_only_by_looks_that_it_was_in_force_for() -> None:
    """A cohort looked at before a version held says nothing of it; the version before that is what was said."""
    learned = beginner()
    calm, upset = (0.0,) * SIZE, tuple(float(name == "mood") for name in FEATURES)

    def cohort(share: float) -> list[Example]:
        return [Example(calm, i < 10) for i in range(100)] + [
            Example(upset, i < 100 * share) for i in range(100)
        ]

    take_cohort(learned, cohort(0.9), 0, 4 * WEEK, 5 * WEEK)
    first = list(learned.learner.weights)
    take_cohort(learned, cohort(0.1), 4 * WEEK, 8 * WEEK, 9 * WEEK)
    assert learned.model.n == 0
    take_cohort(learned, cohort(0.5), 6 * WEEK, 10 * WEEK, 11 * WEEK)
    squares = sum((each.left - predict(first, each.x)) ** 2 for each in cohort(0.5))
    assert learned.model.n == 200
    assert learned.model.brier == pytest.approx(squares / 200)


def world(dice: random.Random, weights: list[float], n: int) -> list[Example]:
    """People with figures at random who leave by these weights."""
    found = []
    for _ in range(n):
        seen = [dice.choice((0.0, 0.0, 1.0)) for _ in range(4)] + [dice.gauss(0, 0.7), dice.gauss(0, 0.7)]
        x = (*seen, *([0.0] * (SIZE - len(seen))))
        found.append(Example(x, dice.random() < predict(weights, x)))
    return found


def test_a_change_of_the_world_is_found_and_lived_down() -> None:
    """Leavers double at equal figures: found within six cohorts, and soon after what is said is right again."""
    dice, learner = random.Random(7), newcomer()
    weights = [-2.5, *([0.3] * SIZE)]
    for week in range(1, 60):
        learn(learner, world(dice, weights, 300), week * WEEK)
    assert learner.drifted_ms == 0
    weights[0] += 1.0
    found = [learn(learner, world(dice, weights, 300), week * WEEK) or 0.0 for week in range(60, 66)]
    assert max(found) > 1.0
    assert learner.drifted_ms >= 60 * WEEK
    for week in range(66, 76):
        learn(learner, world(dice, weights, 300), week * WEEK)
    fresh = world(dice, weights, 4_000)
    gap = np.mean([predict(learner.weights, each.x) - each.left for each in fresh])
    assert abs(gap) < 0.03


def test_a_world_that_does_not_change_hardly_ever_seems_to() -> None:
    """Of 150 cohorts of an unchanged world no more than two are taken for a drift: one in a thousand is due."""
    weights = [-2.5, *([0.3] * SIZE)]
    alarms = 0
    for seed in range(3):
        dice, learner = random.Random(seed), newcomer()
        for week in range(1, 61):
            found = learn(learner, world(dice, weights, 100), week * WEEK)
            alarms += found is not None and found > 1.0
    assert DRIFT_ALPHA == 0.001
    assert alarms <= 2


def test_who_the_customers_are_may_change_without_a_drift() -> None:
    """More unhappy customers leave more, as was learned: that contradicts nothing."""
    dice, learner = random.Random(11), newcomer()
    weights = [-2.5, *([0.3] * SIZE)]
    for week in range(1, 40):
        learn(learner, world(dice, weights, 300), week * WEEK)
    worse = [each for each in world(dice, weights, 3_000) if each.x[0] == each.x[1] == 1.0]
    assert len(worse) > 200
    assert drift(learner, worse) < 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=200))
def test_figures_of_a_validation_are_those_of_the_list(said: list[tuple[float, bool]]) -> None:
    """AUC and Brier score as sklearn has them of the whole list; pairs within 1.3 % of each other may tie."""
    validation = Validation()
    validation.begin(WEEK)
    for p, left in said:
        validation.take(p, left=left)
    p, left = [each[0] for each in said], [each[1] for each in said]
    assert validation.brier == pytest.approx(brier_score_loss(left, p, pos_label=True))
    if len(set(left)) < 2:
        assert validation.auc is None
        return
    ties = sum(
        1
        for a, a_left in said
        for b, b_left in said
        if a_left and not b_left and abs(_odds(a) - _odds(b)) <= 0.05 + 1e-9
    )
    pairs = sum(left) * (len(left) - sum(left))
    assert validation.auc == pytest.approx(roc_auc_score(left, p), abs=ties / pairs / 2 + 1e-9)


def _odds(p: float) -> float:
    p = min(1 - 1e-6, max(1e-6, p))
    return max(-10.0, min(10.0, float(np.log(p / (1 - p)))))


def test_the_calibration_error_is_that_of_ten_groups() -> None:
    """Said 0.2 of everyone where 0.3 leave is off by 0.1; said right it is off by chance alone."""
    dice, off, right = random.Random(1), Validation(), Validation()
    off.begin(WEEK)
    right.begin(WEEK)
    for i in range(10_000):
        off.take(0.2, left=i % 10 < 3)
        p = dice.random()
        right.take(p, left=dice.random() < p)
    assert off.calibration_error == pytest.approx(0.1)
    assert right.calibration_error is not None
    assert right.calibration_error < 0.02


def test_older_judgements_count_less() -> None:
    """Half as much after 90 days."""
    validation = Validation()
    validation.begin(WEEK)
    validation.take(0.5, left=True)
    validation.begin(WEEK + 90 * 24 * 3600 * 1000)
    assert validation.n == pytest.approx(0.5)


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_systems_are_solved(size: int, seed: int) -> None:
    """As numpy solves them; a matrix times its solution is what was given."""
    dice = np.random.default_rng(seed)
    root = dice.normal(size=(size, size))
    full = root @ root.T + 0.1 * np.eye(size)
    low = [list(map(float, full[i, : i + 1])) for i in range(size)]
    y = list(map(float, dice.normal(size=size)))
    found = solve(low, y)
    assert found == pytest.approx(list(np.linalg.solve(full, y)), rel=1e-6, abs=1e-6)
    assert times(low, found) == pytest.approx(y, rel=1e-6, abs=1e-6)


def test_a_system_without_an_answer_is_refused() -> None:
    """A matrix that is not positive definite has no Cholesky root."""
    with pytest.raises(ValueError, match="positive definite"):
        solve(diagonal([1.0, 0.0]), [1.0, 1.0])
