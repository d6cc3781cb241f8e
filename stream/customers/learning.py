"""Who with a contract will leave: a logistic model that learns from cancellations, a cohort at a time.

A *cohort* is everyone with a live contract whose figures were written down (frozen) at one moment; a horizon later
it is known who left (``learning_labels``). The model is Bayesian: what is known of the weights is a normal
distribution, first the declared one, and each cohort's likelihood is taken in by Newton's method around its mode
[Laplace's approximation, handed on; Spiegelhalter, Lauritzen, "Sequential updating of conditional probabilities",
Networks 20, 1990]. One pass so comes as near to the batch fit as makes no difference, whatever the scales of the
figures; nothing has to be tuned, and the order within a cohort does not matter.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING, Final

import msgspec

from .learning_features import DECLARED, FEATURES
from .learning_linear import Triangle, diagonal, mixed, solve, times
from .state import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .learning_features import Example, Vector

#: Labels of either kind before a learned version takes the place of the declared prior.
ENOUGH: Final = 50
#: What a cohort says weighs half as much after this long.
HALF_LIFE_MS: Final = 360 * DAY_MS
#: Chance that a cohort without drift is taken for one.
DRIFT_ALPHA: Final = 0.001

#: How sure the declared weights are: standard deviations of the base, and of each weight.
_BASE_SD: Final = 2.0
_WEIGHT_SD: Final = 1.0
_Z_ALPHA: Final = 3.0902  # the normal quantile of 1 - DRIFT_ALPHA
_STEPS: Final = 25
_CLOSE: Final = 1e-9
_FLAT: Final = 1e-9
_STEEP: Final = 35.0
_UNDECIDED: Final = 0.5


class Learner(msgspec.Struct, array_like=True, gc=False):
    """All that is kept of what was learned: about 2 kB, however many cohorts there were.

    Attributes:
        weights: The base, then a weight for each of ``FEATURES``: the mode of what is believed.
        precision: Of that belief.
        examples: Seen in all.
        left: Of them, those who left.
        weight: Examples that the belief is worth, older ones counting less.
        means: Of the figures, of examples seen, older ones counting less.
        learned_ms: The moment of the newest cohort; 0: none.
        drifted_ms: When a drift was found last; 0: never.
    """

    weights: list[float]
    precision: Triangle
    examples: int = 0
    left: int = 0
    weight: float = 0.0
    means: list[float] = []
    learned_ms: int = 0
    drifted_ms: int = 0

    @property
    def enough(self) -> bool:
        """Whether enough of either kind was seen for the declared prior to stand back."""
        return min(self.left, self.examples - self.left) >= ENOUGH


def newcomer() -> Learner:
    """One who has learned nothing: the declared weights, and how sure they are."""
    return Learner(list(DECLARED), _doubt(), means=[0.0] * len(FEATURES))


def learn(learner: Learner, cohort: Sequence[Example], at_ms: int) -> float | None:
    """Take a cohort in.

    Args:
        learner: Changed in place.
        cohort: Examples whose labels have become known; none is one that was learned before.
        at_ms: The moment at which they did; later than that of the cohort before.

    Returns:
        The statistic of ``drift`` over its critical value: more than 1 means that the world has changed, and that
        all before now counts as one cohort only. None where too little is known to tell.
    """
    if not cohort:
        return None
    doubt = _doubt()
    if learner.learned_ms:
        kept = 0.5 ** ((at_ms - learner.learned_ms) / HALF_LIFE_MS)
        learner.precision = mixed(learner.precision, kept, doubt, 1.0 - kept)
        learner.weight *= kept
    found = drift(learner, cohort) if learner.enough else None
    if found is not None and found > 1.0:
        kept = min(1.0, len(cohort) / learner.weight)
        learner.precision = mixed(learner.precision, kept, doubt, 1.0 - kept)
        learner.weight *= kept
        learner.drifted_ms = at_ms
    learner.weights, learner.precision = _mode(learner.weights, learner.precision, cohort)
    learner.weight += len(cohort)
    share = len(cohort) / learner.weight
    for i in range(len(FEATURES)):
        mean = sum([example.x[i] for example in cohort]) / len(cohort)
        learner.means[i] += share * (mean - learner.means[i])
    learner.examples += len(cohort)
    learner.left += sum(example.left for example in cohort)
    learner.learned_ms = at_ms
    return found


def drift(learner: Learner, cohort: Sequence[Example]) -> float:
    """Whether a cohort contradicts what was learned before it: Rao's score test [1948].

    If nothing has changed, the slope of the cohort's likelihood at the learned weights is normal around 0, with
    a variance of I + I P⁻¹ I: the cohort's information, and how uncertain the weights are. Its length in that
    measure is then chi-squared. That finds any change of the relation between figures and leaving, in whichever
    direction, and no change of who the customers are.

    Returns:
        The statistic over its critical value at ``DRIFT_ALPHA``.
    """
    slope, information = _slope(learner.weights, cohort)
    kept = [i for i, row in enumerate(information) if row[i] > _FLAT]
    size = len(information)
    rows = [times(information, [float(i == j) for j in range(size)]) for i in kept]
    spread = [solve(learner.precision, row) for row in rows]
    measure = [
        [
            information[i][j] + sum(x * y for x, y in zip(rows[a], spread[b], strict=True))
            for b, j in enumerate(kept[: a + 1])
        ]
        for a, i in enumerate(kept)
    ]
    for a in range(len(kept)):
        measure[a][a] *= 1.0 + _FLAT  # figures that always go together leave nothing to divide by
    given = [slope[i] for i in kept]
    try:
        statistic = sum(x * y for x, y in zip(given, solve(measure, given), strict=True))
    except ValueError:
        return 0.0
    return statistic / _chi_squared(len(kept))


def predict(weights: Sequence[float], x: Vector) -> float:
    """The probability to leave within the horizon, 0..1."""
    return sigmoid(weights[0] + sum([w * f for w, f in zip(weights[1:], x, strict=True)]))


def sigmoid(odds: float) -> float:
    """1 / (1 + e^-odds)."""
    return 1.0 / (1.0 + exp(-max(-_STEEP, min(_STEEP, odds))))


def _doubt() -> Triangle:
    return diagonal([_BASE_SD**-2] + [_WEIGHT_SD**-2] * len(FEATURES))


def _mode(
    before: list[float], precision: Triangle, cohort: Sequence[Example]
) -> tuple[list[float], Triangle]:
    """The most probable weights after a cohort, and the precision there: Newton's method, halving long steps."""
    weights = before
    value = _value(weights, before, precision, cohort)
    for _ in range(_STEPS):
        slope, information = _slope(weights, cohort)
        pull = times(precision, [w - b for w, b in zip(weights, before, strict=True)])
        total = mixed(precision, 1.0, information, 1.0)
        step = solve(total, [s - p for s, p in zip(slope, pull, strict=True)])
        part = 1.0
        while part > _CLOSE:
            tried = [w + part * s for w, s in zip(weights, step, strict=True)]
            reached = _value(tried, before, precision, cohort)
            if reached >= value:
                break
            part *= _UNDECIDED
        else:
            break
        gained, weights, value = reached - value, tried, reached
        if gained <= _CLOSE * (1.0 + abs(value)):
            break
    return weights, mixed(precision, 1.0, _slope(weights, cohort)[1], 1.0)


def _value(
    weights: list[float], before: list[float], precision: Triangle, cohort: Iterable[Example]
) -> float:
    """The logarithm of what Newton's method makes as large as it can be, but for a constant."""
    away = [w - b for w, b in zip(weights, before, strict=True)]
    total = -0.5 * sum(a * p for a, p in zip(away, times(precision, away), strict=True))
    base, rest = weights[0], weights[1:]
    for x, left in cohort:
        odds = base + sum([w * f for w, f in zip(rest, x, strict=True)])
        odds = -odds if left else odds
        total -= odds + log(1.0 + exp(-odds)) if odds > 0 else log(1.0 + exp(odds))
    return total


def _slope(weights: list[float], cohort: Iterable[Example]) -> tuple[list[float], Triangle]:
    """The slope of the cohort's log-likelihood at some weights, and its information: sums over the examples."""
    size = len(weights)
    slope = [0.0] * size
    information: Triangle = [[0.0] * (i + 1) for i in range(size)]
    base, rest = weights[0], weights[1:]
    for x, left in cohort:
        p = sigmoid(base + sum([w * f for w, f in zip(rest, x, strict=True)]))
        off = left - p
        curve = p * (1.0 - p)
        # Most figures of most customers are 0.
        seen = [(0, 1.0)] + [(i, f) for i, f in enumerate(x, 1) if f]
        for at, (i, f) in enumerate(seen):
            slope[i] += off * f
            row, bent = information[i], curve * f
            for j, g in seen[: at + 1]:
                row[j] += bent * g
    return slope, information


def _chi_squared(freedom: int) -> float:
    """The quantile at 1 - ``DRIFT_ALPHA`` [Wilson, Hilferty 1931]; within 1 % of the tables."""
    part = 2.0 / (9.0 * freedom)
    return freedom * (1.0 - part + _Z_ALPHA * sqrt(part)) ** 3
