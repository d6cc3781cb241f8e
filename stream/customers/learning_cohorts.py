"""Cohort after cohort: what was said of each is judged, then it is learned, then a version may come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .learning import ENOUGH, Learner, learn, newcomer, predict
from .learning_checks import Validation
from .learning_features import DECLARED, FEATURES
from .learning_model import ChurnModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .learning_features import Example

NAMES: Final = tuple(FEATURES)
#: The plain baseline: who has been silent longest leaves first.
BASELINE: Final = "quiet"

_QUIET: Final = NAMES.index(BASELINE)
_QUIET_MAX: Final = 8.0


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Weights, and the moment from which they hold."""

    from_ms: int
    weights: list[float]


class Learned(msgspec.Struct, array_like=True, gc=False):
    """All that goes on from cohort to cohort: some 10 kB.

    Attributes:
        learner: What is believed.
        model: Of the versions in force at the looks, what came of them.
        prior: Of the declared prior, at the same looks.
        baseline: Of the plain baseline, at the same looks; only the order counts.
        said: Versions that may still be judged, the oldest first.
        odd: How far the newest cohort was from what was expected, 1 being the line to a drift; None: unknown.
    """

    learner: Learner
    model: Validation = msgspec.field(default_factory=Validation)
    prior: Validation = msgspec.field(default_factory=Validation)
    baseline: Validation = msgspec.field(default_factory=Validation)
    said: list[Said] = []
    odd: float | None = None

    @property
    def version(self) -> ChurnModel | None:
        """The model to publish; None as long as the declared prior holds."""
        if not self.learner.enough:
            return None
        return ChurnModel(NAMES, tuple(self.learner.weights), tuple(self.learner.means))

    @property
    def figures(self) -> dict[str, float]:
        """How good it is, by name; only what is known."""
        learner = self.learner
        found = {
            "labels": float(learner.examples),
            "left": float(learner.left),
            "judged": self.model.n,
            "auc": self.model.auc,
            "brier": self.model.brier,
            "calibration_error": self.model.calibration_error,
            "prior_auc": self.prior.auc,
            "prior_brier": self.prior.brier,
            "baseline_auc": self.baseline.auc,
            "drift": self.odd,
        }
        return {name: figure for name, figure in found.items() if figure is not None}

    @property
    def reason(self) -> str:
        """Why the declared prior still holds; "" where it does not."""
        learner = self.learner
        if learner.enough:
            return ""
        stayed = learner.examples - learner.left
        return f"{learner.left} who left and {stayed} who stayed are known, {ENOUGH} of each are needed"


def beginner() -> Learned:
    """Nothing learned yet."""
    return Learned(newcomer())


def take_cohort(
    learned: Learned, cohort: Sequence[Example], frozen_ms: int, at_ms: int, from_ms: int
) -> None:
    """Judge what was said of a cohort, then learn it.

    Args:
        learned: Changed in place. A cohort not after the newest one changes nothing: it was learned.
        cohort: In an order that is the same each time, as sums of floats depend on it.
        frozen_ms: The moment at which it was looked at.
        at_ms: The moment at which its labels were known, later.
        from_ms: The moment from which what is learned now will hold.
    """
    if at_ms <= learned.learner.learned_ms or not cohort:
        return
    learned.said = learned.said[sum(said.from_ms <= frozen_ms for said in learned.said[1:]) :]
    if learned.said and learned.said[0].from_ms <= frozen_ms:
        _judge(learned, cohort, learned.said[0].weights, at_ms)
    learned.odd = learn(learned.learner, cohort, at_ms)
    if learned.learner.enough:
        learned.said.append(Said(from_ms, learned.learner.weights))


def encode_learned(learned: Learned) -> bytes:
    """Bytes of what was learned."""
    return msgspec.msgpack.encode(learned)


def decode_learned(data: bytes | None) -> Learned:
    """What ``encode_learned`` was given; a beginner where there is nothing, or it is of other figures.

    Raises:
        msgspec.DecodeError: the bytes are nothing learned.
    """
    if data is None:
        return beginner()
    learned = msgspec.msgpack.decode(data, type=Learned)
    return learned if len(learned.learner.weights) == len(DECLARED) else beginner()


def _judge(learned: Learned, cohort: Sequence[Example], weights: Sequence[float], at_ms: int) -> None:
    for validation in (learned.model, learned.prior, learned.baseline):
        validation.begin(at_ms)
    for x, left in cohort:
        learned.model.take(predict(weights, x), left=left)
        learned.prior.take(predict(DECLARED, x), left=left)
        learned.baseline.take(x[_QUIET] / _QUIET_MAX, left=left)
