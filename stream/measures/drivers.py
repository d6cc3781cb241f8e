"""Key drivers: which answers go together with the overall one, and how much of it each accounts for.

The overall score is regressed by least squares on the candidates; the value is R^2, the share of its variance
that they account for together, and each candidate's part is its relative weight [Johnson, "A heuristic method
for estimating the relative weight of predictor variables in multiple regression", Multivariate Behavioral
Research 35:1, 2000]. Relative weights are not negative, add up to R^2, are shared fairly between candidates that
say the same, and agree with the Shapley value (exactly for two candidates) at a fraction of its cost.

All that is needed are sums over pairs of answers, which add up and can be taken back. They are kept for every
pair that was answered together, so an answer that is missing takes no other out of account.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.measures.eigen import eigen
from stream.measures.metric import NOTHING, MetricValue, Scale, on_scale, oriented

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Literal

    from stream.measures.stats import Observation, Stats

MOST_CANDIDATES: Final = 12
"""More are possible, but the work grows with their cube and sums are kept for each pair."""

LEAST_N: Final = 30
"""Pairs of answers that a correlation must rest on."""

_UNITS: Final = 10_000
_STEM: Final = "drivers|"
_SINGULAR: Final = 1e-9


def place(score: float, scale: Scale, higher_is_better: bool) -> int | None:
    """An answer as its place on 0 (worst) to 10,000 (best); None where the score or scale cannot be used."""
    if not on_scale(score, scale):
        return None
    low, high = scale
    return round(_UNITS * (oriented(score, scale, higher_is_better) - low) / (high - low))


def observe(overall: int, answers: Mapping[str, int]) -> list[Observation]:
    """What one customer's overall answer adds, with the answers to candidates that belong to it.

    A vector [n, sum x, sum y, sum x^2, sum y^2, sum xy] for each pair: ``drivers||<y>`` of the overall answer x
    and a candidate y, ``drivers|<x>|<y>`` of two candidates in alphabetical order. Squares of places fit JSON's
    64 bits for 90 billion answers.

    Args:
        overall: Place of the overall answer.
        answers: Candidate -> place. Names must not be empty.
    """
    seen = [("", overall)]
    observations: list[Observation] = []
    for name in sorted(answers):
        y = answers[name]
        text = _escaped(name)
        observations += [(f"{_STEM}{first}|{text}", (1, x, y, x * x, y * y, x * y)) for first, x in seen]
        seen.append((text, y))
    return observations


def responses(answers: Sequence[tuple[int, str, int]], within_ms: int) -> Iterator[tuple[int, Observation]]:
    """What all the answers of one customer add, with the moment at which it counts: that of the overall answer.

    With each overall answer goes, of every candidate, the answer nearest in time, the earlier of two, if it is
    no further away than ``within_ms``. A pure function of the answers, so that one that comes late adds what
    this gives with it, less what it gave without.

    Args:
        answers: (epoch milliseconds, candidate or "" for the overall answer, place) in ascending order.
        within_ms: How far apart answers may lie to belong together.
    """
    for moment, name, overall in answers:
        if name:
            continue
        nearest: dict[str, tuple[int, int]] = {}
        for other, candidate, place_there in answers:
            apart = abs(other - moment)
            if candidate and apart <= within_ms and apart < nearest.get(candidate, (within_ms + 1, 0))[0]:
                nearest[candidate] = apart, place_there
        for observation in observe(overall, {candidate: at for candidate, (_, at) in nearest.items()}):
            yield moment, observation


class Drivers:
    """Key drivers. Parts ``drivers|<x>|<y>`` as ``observe`` makes them; the names are in the keys."""

    name: Final = "drivers"
    family: Final = "explanation"
    unit: Final = "percent"
    better: Final[Literal["higher", "lower"] | None] = None
    stems: Final = ("drivers",)
    ever: Final = ()
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """R^2 in per cent; parts: each candidate's share of it, 0..1, by name, the largest first.

        A candidate takes part once 30 pairs with the overall answer are in and neither side of them is always the
        same. Two candidates that were not answered together as often count as uncorrelated. ``n`` is the smallest
        number of pairs that a candidate's correlation with the overall answer rests on.

        Candidates that say the same, or sums over different customers that contradict each other, make the
        correlations singular or worse: directions with an eigenvalue of nothing or less are left out (the
        pseudo-inverse), and R^2 is cut to 100. There is no interval: none is known where every pair has its own
        customers.

        None where no candidate takes part, or the parts account for nothing.
        """
        overall: dict[str, _Pair] = {}
        among: dict[tuple[str, str], _Pair] = {}
        for key, vec in stats.items():
            if not key.startswith(_STEM):
                continue
            first, second = _names(key)
            pair = _pair(vec)
            if pair is None:
                continue
            if first:
                among[first, second] = pair
            else:
                overall[second] = pair
        names = sorted(overall)
        if not names:
            return None
        alike = [[_correlation(among, one, other) for other in names] for one in names]
        weights = relative_weights(alike, [overall[name].r for name in names])
        total = sum(weights)
        if total <= 0:
            return None
        parts = {name: weight / total for name, weight in zip(names, weights, strict=True)}
        return MetricValue(
            value=100 * min(total, 1.0),
            n=min(pair.n for pair in overall.values()),
            interval=None,
            confidence=confidence,
            parts=dict(sorted(parts.items(), key=lambda part: (-part[1], part[0]))),
        )


def relative_weights(alike: list[list[float]], overall: list[float]) -> list[float]:
    """Johnson's relative weights; they add up to R^2.

    Args:
        alike: Correlations among the candidates, symmetric.
        overall: Correlation of each with what is explained.
    """
    values, vectors = eigen(alike)
    size = range(len(overall))
    kept = [k for k in size if values[k] > _SINGULAR]
    # Coefficients on the nearest orthogonal variables, and what of those is in each candidate: the two square
    # roots V d^-1/2 V' r and V d^1/2 V'.
    along = [sum(vectors[i][k] * overall[i] for i in size) for k in size]
    beta = [sum(vectors[i][k] * along[k] / sqrt(values[k]) for k in kept) for i in size]
    return [
        sum(
            sum(vectors[i][k] * vectors[j][k] * sqrt(values[k]) for k in kept) ** 2 * beta[j] ** 2
            for j in size
        )
        for i in size
    ]


class _Pair(NamedTuple):
    n: int
    r: float


def _pair(vec: list[int]) -> _Pair | None:
    """Correlation of a pair; None on too little, or where one side is always the same."""
    n, x, y, xx, yy, xy = vec
    spread = (n * xx - x * x) * (n * yy - y * y)
    if n < LEAST_N or spread <= 0:
        return None
    return _Pair(n, (n * xy - x * y) / sqrt(spread))


def _correlation(among: Mapping[tuple[str, str], _Pair], one: str, other: str) -> float:
    if one == other:
        return 1.0
    pair = among.get((one, other) if one < other else (other, one))
    return 0.0 if pair is None else pair.r


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("|", "%7C")


@lru_cache(maxsize=1024)
def _names(key: str) -> tuple[str, str]:
    first, second = key.removeprefix(_STEM).split("|")
    return _plain(first), _plain(second)


def _plain(text: str) -> str:
    return text.replace("%7C", "|").replace("%25", "%")
