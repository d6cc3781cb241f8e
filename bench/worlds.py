"""Simulated replies of many slices, summed by pane, through the metrics partition as the agents run it."""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import cos, exp, pi, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import structs

from stream import topics
from stream.alerting.rules import load_rules
from stream.measures import Groupings, Mark, Partial, encode_mark, encode_partial, observation
from stream.measures.stats import add
from stream.pipeline import MetricsPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream.alerting.claims import Claim
    from stream.measures import Stats

HOUR_MS: Final = 3_600_000
START_HOUR: Final = 489_000  # since 1970: in October 2025


class Answers(NamedTuple):
    """What answers to a question look like.

    Attributes:
        scores: An answer of each sort.
        places: Where the metric has it, from 0 to 1.
        scale: Of the question.
        chances: Of each sort.
        low: The metric's value where all answers are the worst.
        span: And from there to all being the best.
    """

    scores: tuple[float, ...]
    places: tuple[float, ...]
    scale: tuple[float, float]
    chances: tuple[float, ...]
    low: float
    span: float

    @property
    def value(self) -> float:
        """The metric's value on average."""
        return self.low + self.span * _mean(self.places, self.chances)


ANSWERS: Final = {
    "csat": Answers((2, 5), (0, 1), (1, 5), (0.2, 0.8), 0, 100),
    "nps": Answers((3, 7, 10), (0, 0.5, 1), (0, 10), (0.2, 0.3, 0.5), -100, 200),
    "loyalty": Answers(
        tuple(range(1, 11)),
        tuple(place / 9 for place in range(10)),
        (1, 10),
        (0.02, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.2, 0.15),
        0,
        100,
    ),
}


@lru_cache(maxsize=1024)
def chances_of(metric: str, points: float) -> tuple[float, ...]:
    """The chances of answers where the value is so many points below the usual: tilted, as little as can be."""
    answers = ANSWERS[metric]
    wanted = _mean(answers.places, answers.chances) - points / answers.span
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        if _mean(answers.places, _tilted(answers, middle)) < wanted:
            low = middle
        else:
            high = middle
    return _tilted(answers, high) if points else answers.chances


def _tilted(answers: Answers, by: float) -> tuple[float, ...]:
    weights = [chance * exp(by * at) for at, chance in zip(answers.places, answers.chances, strict=True)]
    return tuple(weight / sum(weights) for weight in weights)


def _mean(places: Sequence[float], chances: Sequence[float]) -> float:
    return sum(place * chance for place, chance in zip(places, chances, strict=True))


@dataclass(frozen=True)
class World:
    """One sort of input.

    Attributes:
        metric: What is asked.
        per_hour: Replies of a slice in an hour, on average over the day.
        window: Of rules over a window.
        pane_ms: Length of panes.
        traffic: Over the day there are from 1 - traffic to 1 + traffic times the usual replies.
        level: Over the day the value is so many points above and below the usual.
    """

    metric: str
    per_hour: float
    window: str
    pane_ms: int = 60_000
    traffic: float = 0.0
    level: float = 0.0


class Slices:
    """Some slices of one world, hour by hour; each is a world of its own.

    Args:
        world: The sort of input.
        slices: How many.
        rules: A rules file.
        seed: Of the dice.

    Attributes:
        keys: Of the slices.
        heard: Replies so far, by slice: (end of the pane, replies up to there), pane by pane.
        waiting: How often, by rule, a value went across the line without there being enough evidence yet.
    """

    def __init__(self, world: World, slices: int, rules: str, seed: int) -> None:
        self.world = world
        self.keys = [f'{{"segment":"s{number}"}}' for number in range(slices)]
        self.heard: dict[str, list[tuple[int, int]]] = {key: [(0, 0)] for key in self.keys}
        self.waiting: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._reasons: dict[str, str] = {}
        self._version = 0
        self._sums: list[Stats] = []
        answers = ANSWERS[world.metric]
        for score in answers.scores:
            seen = observation(world.metric, score, answers.scale, True)
            self._sums += [] if seen is None else [{seen[0]: list(seen[1])}]
        windows = tuple(dict.fromkeys((world.window, "7d")))
        book = load_rules(rules, "study", windows=windows, pane_ms=world.pane_ms)
        config = PipelineConfig(
            topics.INPUTS, 1, Groupings((("segment",),), slices + 1), declared=book.declared
        )
        config = replace(config, panes=structs.replace(config.panes, pane_ms=world.pane_ms))
        self._sources = sorted(config.sources)
        self._part = MetricsPartition(0, config, book, {})

    def hour(self, number: int, points: float = 0.0, *, coarse: bool = False) -> list[Claim]:
        """An hour of replies, and the claims of its panes.

        Args:
            number: Of the hour.
            points: The value is so much below the usual.
            coarse: All replies are in the first pane: for a past of which only the sums matter.
        """
        world = self.world
        start, panes = (START_HOUR + number) * HOUR_MS // world.pane_ms, HOUR_MS // world.pane_ms
        day = cos(2 * pi * number / 24)
        chances = chances_of(world.metric, points - world.level * day)
        log: dict[int, list[bytes]] = {}
        for key in self.keys:
            heard = self.heard[key]
            for pane, stats, n in self._replies(
                world.per_hour * (1 + world.traffic * day), chances, panes, coarse
            ):
                self._version += 1
                at = start + pane
                partial = Partial.of(key, self._sources[-1], at, at, stats, self._version)
                log.setdefault(at, []).append(encode_partial(partial)[1])
                heard.append(((at + 1) * world.pane_ms, heard[-1][1] + n))
        values: list[bytes] = []
        for pane in sorted(log):
            values += [*log[pane], *self._marks(pane + 1)]
        values += self._marks(start + panes)
        changes = self._part.run(values)
        for decision in changes.decided:
            self._decided(decision.alert, decision.fingerprint, decision.reason)
        return changes.claims

    def replies_at(self, key: str, t_ms: int) -> int:
        """Replies of a slice in the panes that ended by then."""
        heard = self.heard[key]
        return heard[bisect(heard, (t_ms + 1,)) - 1][1]

    def _replies(
        self, rate: float, chances: Sequence[float], panes: int, coarse: bool
    ) -> Iterator[tuple[int, Stats, int]]:
        """(Pane of the hour, sums, replies) of one slice, in order."""
        rng, bounds = self._rng, [*accumulate(chances)][:-1]
        found: dict[int, Counter[int]] = {}
        if coarse:
            found[0] = Counter({sort: _poisson(rng, rate * chance) for sort, chance in enumerate(chances)})
        else:
            at = rng.expovariate(rate)
            while at < 1:
                found.setdefault(int(at * panes), Counter())[bisect(bounds, rng.random())] += 1
                at += rng.expovariate(rate)
        for pane, sorts in found.items():
            stats: Stats = {}
            for sort, times in sorts.items():
                for name, vec in self._sums[sort].items():
                    add(stats, name, vec, times)
            if stats:
                yield pane, stats, sorts.total()

    def _marks(self, closed: int) -> Iterator[bytes]:
        for source in self._sources:
            self._version += 1
            yield encode_mark(Mark(source, closed, False, (self._version, False), closed - 1))[1]

    def _decided(self, alert: str, fingerprint: str, reason: str) -> None:
        if reason == "not_enough_evidence" and self._reasons.get(fingerprint) not in (
            reason,
            "first_crossing",
        ):
            self.waiting[alert] += 1
        self._reasons[fingerprint] = reason


def _poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number; a large one as normal as it nearly is."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    number, at = 0, rng.expovariate(1.0)
    while at < mean:
        number, at = number + 1, at + rng.expovariate(1.0)
    return number
