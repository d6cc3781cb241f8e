"""Evidence that may be looked at all the time: e-detectors of a change, e-processes against a line.

Both are capital that grows by bets against "nothing is wrong", here: the mean of observations between 0 and 1 is
at least m. A reply x multiplies the stake by 1 + b(m - x), for a b >= 0 chosen before x was known: whatever the
distribution, that is 1 or less on average. Metrics that must not rise are mirrored. Of a pane the replies' sums
are known and not their order; but the product over a pane does not depend on the order. How much to stake
depends on how large the change is, which nobody knows: several bets run side by side, and what counts is their
mean. That mean has the same properties as each of them.

*E-detector* (``change``) [Shin, Ramdas & Rinaldo, "E-detectors", The New England Journal of Statistics in Data
Science 2:2, 2024]: at every pane one unit of capital is put in for each of its n replies, M = L (M + n) with L
the product over the pane, a Shiryaev-Roberts statistic. While nothing changes M less the number of replies falls
or stays on average, so at an alarm at M >= A at least A replies have passed on average since the beginning: no
matter what answers look like, or how often one looks.

*E-process* (``evidence: anytime``): one unit once, when the value first is beyond the line (an episode), W = L W.
Were the mean on the good side, W would ever reach 1/a with a chance of at most a [Ville 1939; Waudby-Smith &
Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86:1, 2024].

Where only number, sum and sum of squares of a pane's replies are kept, the capital is what is left of it in the
worst case. log(1 + b(m - x)) lies above every parabola that touches it at some x0 and meets it at x = 1, because
its third derivative is negative (the remainder of Hermite's interpolation, f'''/6 (x - x0)^2 (x - 1), is not
negative from 0 to 1), and the sum of a parabola needs no more than these three sums. That holds for every x0, so
it may be chosen when the replies are known. The best is where replies that are all either x0 or 1 have the same
three sums, and the bound is the capital of those. (With x0 = m it is Fan, Grama & Liu's inequality [Electronic
Journal of Probability 20, 2015].) One reply or two are known from their sums, and nothing is lost.
"""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt
from typing import TYPE_CHECKING, Final

import msgspec

from stream.alerting.bounded import bounded, least_mean, padded
from stream.alerting.model import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.alerting.bounded import Bounded
    from stream.alerting.model import ChangeSpec
    from stream.measures.stats import Stats

CHANGES: Final = (0.1, 0.2, 0.4, 0.8)
"""Changes that an e-detector is looking for, in standard deviations of one reply."""

GAPS: Final = (0.15, 0.4, 1.0)
"""Distances from the line that an e-process is looking for, likewise."""

_MOST: Final = 0.9  # of the capital is at stake in one reply, at most
_ENDS: Final = 1.0  # replies more at each end of the scale, in what bets are chosen by
_RICHEST: Final = 1e12  # an e-process is not carried on beyond: nobody asks for more evidence


class Watch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far a change is believed to have happened: what must survive a restart.

    Attributes:
        of: What is measured (the scale of effort): another begins anew.
        sums: The e-detector of each bet.
        n: Replies looked at.
    """

    of: str
    sums: tuple[float, ...]
    n: int

    @property
    def evidence(self) -> float:
        """The e-detector: an alarm at as many replies as are to pass between two false ones."""
        return sum(self.sums) / len(self.sums)


class Episode(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The evidence that a mean is beyond a line, since its value first was: what must survive a restart.

    Attributes:
        of: What is measured.
        sums: The e-process of each bet.
        n: Replies since it began.
        known: Number, sum and sum of squares, as they are between 0 and 1, of the replies that bets are chosen
            by: the window's in which it began, and those since.
        number: Of the episode among those of its rule, for ``fdr``; 0 without.
    """

    of: str
    sums: tuple[float, ...]
    n: int
    known: tuple[int, float, float]
    number: int = 0

    @property
    def evidence(self) -> float:
        """The e-process."""
        return sum(self.sums) / len(self.sums)


def watched(
    change: ChangeSpec, metric: str, confidence: float, state: Watch | None, news: Stats, reference: Stats
) -> Watch | None:
    """Take in what became known at one closing. Returns the same object where that tells nothing.

    Args:
        change: Direction and how rarely it may be wrong.
        metric: A reply metric.
        confidence: With which the mean before is what it is taken for, or better.
        state: As of the closing before; None: begins now (after it was resolved, too).
        news: Sums of the replies that became known at this closing, on time or late.
        reference: Sums of the window ``change.reference`` WITHOUT ``news``: the bet must not know its outcome.
    """
    seen, before = bounded(metric, news), bounded(metric, reference)
    if seen is None or before is None or before.of != seen.of:
        return state
    if change.direction is Direction.UP:
        seen, before = seen.mirrored(), before.mirrored()
    if state is None or state.of != seen.of:
        state = Watch(seen.of, (0.0,) * len(CHANGES), 0)
    mean = least_mean(before, confidence)
    grown = _grown(seen, (before.n, before.total, before.squares), mean, CHANGES)
    held = [each + seen.n for each in state.sums]
    return Watch(seen.of, _times(held, grown, change.one_false_alarm_per), state.n + seen.n)


def alarmed(change: ChangeSpec, state: Watch | None) -> bool:
    """Whether the evidence is as much as the rule asks for: it fires."""
    return state is not None and state.evidence >= change.one_false_alarm_per


def calm(change: ChangeSpec, state: Watch | None) -> bool:
    """Whether, of a rule that fires, the evidence is gone again: resolved; begin anew with None.

    Gone is half of it, counted in powers: replies as good as before, as many as it took to the alarm or fewer,
    or a ``reference`` that has come to know the new level.
    """
    return state is None or state.evidence * state.evidence <= change.one_false_alarm_per


def began(metric: str, window: Stats, number: int = 0) -> Episode | None:
    """An episode, at the closing at which the value first lies beyond the line; None without replies of one kind.

    The replies that made it begin are not taken in: they were chosen for being bad.

    Args:
        metric: A reply metric.
        window: Sums of the rule's window at this closing.
        number: Of the episode among those of its rule.
    """
    seen = bounded(metric, window)
    if seen is None:
        return None
    return Episode(seen.of, (1.0,) * len(GAPS), 0, (seen.n, seen.total, seen.squares), number)


def pursued(metric: str, below: bool, line: float, state: Episode, news: Stats) -> Episode:
    """Take in the replies of a later closing. Returns the same object where they tell nothing.

    Args:
        metric: A reply metric.
        below: Whether the rule is one of being below the line, else of being above.
        line: In the metric's unit; it may move, and must not depend on ``news``.
        state: As of the closing before.
        news: Sums of the replies that became known at this closing.
    """
    seen = bounded(metric, news)
    if seen is None or seen.of != state.of:
        return state
    n, total, squares = state.known
    known = (n + seen.n, total + seen.total, squares + seen.squares)
    if not below:
        seen = seen.mirrored()
        total, squares = n - total, n - 2 * total + squares
    mean = min(1.0, seen.place(line))
    if mean <= 0:
        return state  # beyond the end of the scale: there is nothing to prove
    grown = _grown(seen, (n, total, squares), mean, GAPS)
    sums = _times(state.sums, grown, _RICHEST)
    return Episode(state.of, sums, state.n + seen.n, known, state.number)


def mean_before(change: ChangeSpec, metric: str, confidence: float, reference: Stats) -> float | None:
    """What ``watched`` takes the mean before for, in the metric's unit; None without replies of one kind."""
    before = bounded(metric, reference)
    if before is None:
        return None
    if change.direction is Direction.UP:
        before = before.mirrored()
    return before.value(least_mean(before, confidence))


def _grown(
    seen: Bounded, known: tuple[int, float, float], mean: float, steps: tuple[float, ...]
) -> list[float]:
    """Logarithms of what the bets against "the mean is at least ``mean``" are multiplied by.

    Args:
        seen: The replies.
        known: Number, sum and sum of squares of replies known before, by which bets are chosen.
        mean: From 0 to 1.
        steps: What the bets are looking for, in standard deviations.
    """
    _, variance, _ = padded(*known, _ENDS)
    spread = sqrt(variance)
    most = _MOST / (1 - mean) if mean < 1 else inf
    outcomes = _outcomes(seen)
    grown = []
    for step in steps:
        change = step * spread
        # Of the best bet [Kelly 1956] on a change of this size the first term.
        bet = min(change / (variance + change * change), most)
        grown.append(sum(often * log1p(bet * (mean - x)) for x, often in outcomes))
    return grown


def _outcomes(seen: Bounded) -> list[tuple[float, float]]:
    """Replies and how often they came; of sums, those of the same sums of which a bet keeps least."""
    n, total = seen.n, seen.total
    if seen.points:
        return [pair for pair in zip(seen.points, seen.counts, strict=True) if pair[1]]
    if n == 1:
        return [(total, 1)]
    if n == 2:  # noqa: PLR2004 - no more unknowns than sums
        middle = total / 2
        away = sqrt(max(0.0, seen.squares / 2 - middle * middle))
        return [(max(0.0, middle - away), 1), (min(1.0, middle + away), 1)]
    short = n - total  # of 1 each
    short_squared = n - 2 * total + seen.squares
    if short <= 0 or short_squared <= 0:
        return [(1.0, n)]
    often = min(float(n), short * short / short_squared)
    return [(max(0.0, 1 - short / often), often), (1.0, n - often)]


def _times(held: Sequence[float], grown: Sequence[float], most: float) -> tuple[float, ...]:
    """Every bet's capital after its growth, all in proportion less where their mean would be above ``most``.

    Less is always allowed, and more than an alarm takes would only put off its end.
    """
    powers = [
        growth + log(capital) if capital > 0 else -inf for growth, capital in zip(grown, held, strict=True)
    ]
    highest = max(powers)
    if highest == -inf:
        return tuple(0.0 for _ in powers)
    shares = [exp(power - highest) for power in powers]
    whole = sum(shares) / len(shares)
    scale = most / whole if highest + log(whole) >= log(most) else exp(highest)
    return tuple(share * scale for share in shares)
