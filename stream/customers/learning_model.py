"""A learned model of who leaves, as the rest of the program sees it: weights, and what is usual."""

from __future__ import annotations

from math import isfinite
from typing import Final

import msgspec

BASE: Final = "base"
_USUAL: Final = "usual."


class ChurnModel(msgspec.Struct, frozen=True):
    """Log-odds of leaving within the horizon are the base and, of each figure, its weight times the figure.

    Attributes:
        names: Of the figures.
        weights: The base, then a weight for each figure.
        usual: What each figure is on average: reasons are told against it.

    Raises:
        ValueError: where the lengths do not fit, or something is no number.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    usual: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no model."""
        if not len(self.names) == len(self.weights) - 1 == len(self.usual):
            raise ValueError("weights: one for the base and one for each figure")
        if not all(isfinite(number) for number in (*self.weights, *self.usual)):
            raise ValueError("weights: must be finite numbers")

    @property
    def parameters(self) -> dict[str, float]:
        """All of it by name, as published; ``model_of`` reads it."""
        named = {BASE: self.weights[0], **dict(zip(self.names, self.weights[1:], strict=True))}
        return named | {_USUAL + name: usual for name, usual in zip(self.names, self.usual, strict=True)}


def model_of(parameters: dict[str, float], names: tuple[str, ...]) -> ChurnModel:
    """The model of published parameters.

    Args:
        parameters: By name.
        names: The figures that this version of the program knows, in their order.

    Raises:
        ValueError: one is missing; or there is one too many, which another version would have to reckon with.
    """
    expected = {BASE, *names, *(_USUAL + name for name in names)}
    if odd := sorted(expected ^ parameters.keys()):
        raise ValueError(f"{odd[0]}: {'missing' if odd[0] in expected else 'not known'} among those of churn")
    return ChurnModel(
        names,
        (parameters[BASE], *(parameters[name] for name in names)),
        tuple(parameters[_USUAL + name] for name in names),
    )
