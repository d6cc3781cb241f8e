"""Evidence that may be looked at all the time: e-detectors of a change, e-processes against a line.

(being filled in; the signatures stand)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.alerting.bounded import bounded, least_mean
from stream.alerting.model import Direction

if TYPE_CHECKING:
    from stream.alerting.bounded import Bounded
    from stream.alerting.model import ChangeSpec
    from stream.measures.stats import Stats


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
    """The evidence that a mean is beyond a line, since its value first was.

    Attributes:
        of: What is measured.
        sums: The e-process of each bet.
        n: Replies since it began,
        total: their sum on 0..1, mirrored for what is above a line,
        squares: and that of their squares.
        number: Of the episode among those of its rule, for ``fdr``; 0 without.
    """

    of: str
    sums: tuple[float, ...]
    n: int
    total: float
    squares: float
    number: int = 0

    @property
    def evidence(self) -> float:
        """The e-process: were the mean on the good side, it would ever reach 1/a with a chance of at most a."""
        return sum(self.sums) / len(self.sums)


def watched(
    change: ChangeSpec, metric: str, confidence: float, state: Watch | None, news: Stats, reference: Stats
) -> Watch | None:
    """Take in what became known at one closing. Returns the same object where that tells nothing.

    Args:
        change: Direction and how rarely it may be wrong.
        metric: A reply metric.
        confidence: Of the interval whose conservative end is the mean before.
        state: As of the closing before; None: begins now (after it was resolved, too).
        news: Sums of the replies that became known at this closing, on time or late.
        reference: Sums of ``change.reference`` WITHOUT ``news``.
    """
    raise NotImplementedError


def alarmed(change: ChangeSpec, state: Watch | None) -> bool:
    """Whether the evidence is as much as the rule asks for: fires."""
    return state is not None and state.evidence >= change.one_false_alarm_per


def calm(change: ChangeSpec, state: Watch | None) -> bool:
    """Whether, of a rule that fires, the evidence is gone: resolved (begin anew with None)."""
    return state is None or state.evidence * state.evidence <= change.one_false_alarm_per


def began(metric: str, window: Stats, number: int = 0) -> Episode | None:
    """An episode, at the closing at which the value first lies beyond the line; of its replies none is taken in.

    Args:
        metric: A reply metric.
        window: Sums of the rule's window at this closing.
        number: Of the episode among those of its rule.
    """
    raise NotImplementedError


def pursued(metric: str, below: bool, line: float, state: Episode, news: Stats) -> Episode:
    """Take in the replies of a later closing. Returns the same object where they tell nothing.

    Args:
        metric: A reply metric.
        below: Whether the rule is one of being below the line (or a drop), else of being above.
        line: In the metric's unit; it may move, and must not depend on ``news``.
        state: As of the closing before.
        news: Sums of the replies that became known at this closing.
    """
    raise NotImplementedError


def line_from(metric: str, reference: Stats, confidence: float, points: float, below: bool) -> float | None:
    """The line of drop (``below``) and rise: ``points`` from the conservative end of the earlier mean.

    In the metric's unit; None where the earlier window has no replies of one kind.
    """
    raise NotImplementedError
