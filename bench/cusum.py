"""What a detector is held against that knows everything: CUSUM with the distributions before and after given.

[Page 1954; Lorden 1971, Moustakides 1986: no procedure with as few false alarms has a smaller delay in the worst
case.] S = max(0, S + log(after(x) / before(x))), alarm at S >= h, reply by reply.
"""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CYCLES = 20_000
_DELAYS = 2_000
_SETTLING = 300  # replies before the change: where a CUSUM that has run for long stands
_ROUNDS = 12


class Cusum(NamedTuple):
    """A CUSUM for classes of replies.

    Attributes:
        before: Chances of the classes before the change, none of them 0 where ``after`` is not.
        after: And after it.
        threshold: h.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    threshold: float


def tuned(before: Sequence[float], after: Sequence[float], replies: float, seed: int = 1) -> Cusum:
    """The CUSUM with so many replies between two false alarms on average.

    Of a cycle, from 0 until it is back there or beyond h: the mean between two alarms is E[length] / P(beyond h).
    That chance is small, and is found where it is large: with replies as after the change, each path weighted by
    how much rarer it is before [Siegmund 1976].
    """
    low, high = 0.5, log(replies) + 3
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        cusum = Cusum(tuple(before), tuple(after), middle)
        if between_alarms(cusum, seed) < replies:
            low = middle
        else:
            high = middle
    return Cusum(tuple(before), tuple(after), high)


def between_alarms(cusum: Cusum, seed: int = 1) -> float:
    """Replies between two false alarms on average."""
    gains = _gains(cusum)
    usual, other = drawing(cusum.before, seed), drawing(cusum.after, seed + 1)
    length = 0
    for _ in range(_CYCLES):
        at = 0.0
        while True:
            length += 1
            at += gains[usual()]
            if not 0 < at < cusum.threshold:
                break
    beyond = 0.0
    for _ in range(_CYCLES):
        at = 0.0
        while True:
            at += gains[other()]
            if at <= 0:
                break
            if at >= cusum.threshold:
                beyond += exp(-at)
                break
    return length / max(beyond, 1e-300)


def delay(cusum: Cusum, seed: int = 1, times: int = _DELAYS) -> float:
    """Replies from the change to the alarm on average, having run before it for long without alarm."""
    gains = _gains(cusum)
    usual, other = drawing(cusum.before, seed), drawing(cusum.after, seed + 1)
    taken = 0
    for _ in range(times):
        at = 0.0
        for _ in range(_SETTLING):
            at = max(0.0, at + gains[usual()])
            if at >= cusum.threshold:
                at = 0.0
        while at < cusum.threshold:
            taken += 1
            at = max(0.0, at + gains[other()])
    return taken / times


def drawing(chances: Sequence[float], seed: int) -> Callable[[], int]:
    """Draws classes with these chances."""
    rng = random.Random(seed).random
    bounds = [*accumulate(chances)][:-1]
    return lambda: bisect(bounds, rng())


def _gains(cusum: Cusum) -> list[float]:
    return [
        log(after / before) if before else 0.0
        for before, after in zip(cusum.before, cusum.after, strict=True)
    ]
