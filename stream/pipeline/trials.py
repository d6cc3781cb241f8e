"""Which slices are compared with which: the variants of experiments and their controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.measures import Shown, Stats
    from stream.measures.windows import Windows

    Sums = Callable[[str], Mapping[str, Stats]]


class Trials:
    """The variants met in one partition. All variants of a slice, and its control, are in the same one.

    Args:
        shown: What the slices take part in.
        windows: The slices there are already.
    """

    def __init__(self, shown: Shown, windows: Windows) -> None:
        self._shown = shown
        self._variants: dict[str, dict[str, None]] = {}  # control -> those compared with it, in order
        self._met(windows.slices() if shown.has_experiments else ())

    def beside(self, changed: Iterable[str]) -> list[str]:
        """Slices whose comparisons changed although they did not: their control is among ``changed``."""
        if not self._shown.has_experiments:
            return []
        keys = dict.fromkeys(changed)
        self._met(keys)
        found = {
            variant: None for key in keys for variant in self._variants.get(key, ()) if variant not in keys
        }
        return sorted(found)

    def controls(self, slice_key: str, sums_of: Sums) -> dict[str, Stats]:
        """Experiment -> sums of its control in it, of those that the slice is a variant of."""
        found = {}
        for experiment in self._shown.experiments_of(slice_key):
            control = experiment.slice_of(experiment.control)
            if control != slice_key:
                found[experiment.name] = sums_of(control).get(experiment.name, {})
        return found

    def _met(self, keys: Iterable[str]) -> None:
        for key in keys:
            for experiment in self._shown.experiments_of(key):
                control = experiment.slice_of(experiment.control)
                if control != key:
                    self._variants.setdefault(control, {})[key] = None
