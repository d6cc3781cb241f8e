"""Which parameters hold when: the declared ones, until versions that were fitted or learned take their place."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from .learning_cohorts import NAMES
from .learning_model import model_of
from .state import CustomerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

BGNBD: Final = "bgnbd"
GAMMA_GAMMA: Final = "gamma_gamma"
CHURN: Final = "churn"
#: Of the versions of a moment this one is published last: whoever has it has all.
LAST: Final = BGNBD
#: Model -> parameters that a version of it has.
PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    BGNBD: ("r", "alpha", "a", "b"),
    GAMMA_GAMMA: ("p", "q", "gamma"),
}

_NEVER: Final = 2**62


class Models:
    """The configuration of customers by event time.

    The same versions give the same answers, in whatever order they came.

    Args:
        declared: what holds before the first version; all but the models is taken from it always.

    Attributes:
        known_ms: All versions as of moments up to this one have come; -1: none has.
    """

    def __init__(self, declared: CustomerConfig = CustomerConfig()) -> None:  # noqa: B008 - frozen
        self._declared = declared
        self._versions: dict[tuple[int, str], Mapping[str, float]] = {}
        self._from: list[int] = []
        self._configs: list[CustomerConfig] = []
        self._now = (-_NEVER, _NEVER, declared)  # from, until, what holds there
        self.known_ms = -1

    def __len__(self) -> int:
        """How many versions there are."""
        return len(self._versions)

    def take(self, name: str, from_ms: int, as_of_ms: int, parameters: Mapping[str, float]) -> None:
        """Let a version hold from a moment on; of two of a name and moment the later given.

        Args:
            name: of the model; one that is not known here changes nothing.
            from_ms: event time.
            as_of_ms: the moment it was made from.
            parameters: by name; none: the declared ones.

        Raises:
            ValueError: there is no model with these parameters; nothing is changed.
        """
        config_with(self._declared, name, parameters)
        self._versions[from_ms, name] = parameters
        if name == LAST:
            self.known_ms = max(self.known_ms, as_of_ms)
        self._rebuild()

    def drop(self, name: str, from_ms: int) -> None:
        """Call a version off: what held before it goes on."""
        if self._versions.pop((from_ms, name), None) is not None:
            self._rebuild()

    def at(self, time_ms: int) -> CustomerConfig:
        """What holds at a moment of event time."""
        begin, end, config = self._now
        if begin <= time_ms < end:
            return config
        place = bisect_right(self._from, time_ms)
        begin = self._from[place - 1] if place else -_NEVER
        end = self._from[place] if place < len(self._from) else _NEVER
        config = self._configs[place - 1] if place else self._declared
        self._now = (begin, end, config)
        return config

    def _rebuild(self) -> None:
        config = self._declared
        self._from, self._configs = [], []
        for from_ms, name in sorted(self._versions):
            config = config_with(config, name, self._versions[from_ms, name], self._declared)
            if self._from[-1:] == [from_ms]:
                self._configs[-1] = config
            else:
                self._from.append(from_ms)
                self._configs.append(config)
        self._now = (_NEVER, -_NEVER, self._declared)  # nothing: to be looked up


def config_with(
    config: CustomerConfig,
    name: str,
    parameters: Mapping[str, float],
    declared: CustomerConfig | None = None,
) -> CustomerConfig:
    """A configuration with one model replaced; unchanged where the name is not known here.

    Args:
        config: of the others.
        name: of the model.
        parameters: by name; none: those of ``declared``, or of ``config``.
        declared: see there.

    Raises:
        ValueError: there is no model with these parameters; the text names the parameter.
    """
    if name == CHURN:
        return replace(config, churn=model_of(dict(parameters), NAMES) if parameters else None)
    wanted = PARAMETERS.get(name)
    if wanted is None:
        return config
    if not parameters:
        value = (config if declared is None else declared).value
        parameters = {each: getattr(value, each) for each in wanted}
    if missing := [each for each in wanted if each not in parameters]:
        raise ValueError(f"{missing[0]}: is missing among the parameters of {name}")
    return replace(config, value=replace(config.value, **{each: float(parameters[each]) for each in wanted}))
