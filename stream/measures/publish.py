"""The published form of values: what is shown of a slice, and one ``cx.metrics`` object of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from schemas import format_ms
from stream.measures.experiments import compare
from stream.measures.lines import held_against
from stream.measures.metric import EVER, NOTHING
from stream.measures.registry import all_values, value_of
from stream.measures.slices import WHOLE, parse_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.measures.declare import Declarations, Experiment, Goal
    from stream.measures.metric import MetricValue
    from stream.measures.stats import Stats

Values = dict[str, dict[str, "MetricValue"]]
"""Metric -> window -> value."""

_encode: Final = msgspec.json.Encoder().encode
_NO_CONTROLS: Final[Mapping[str, Stats]] = MappingProxyType({})
# Beyond this many slices the cache starts again: memory stays bounded whatever the slices are.
_CACHED: Final = 200_000


class Shown:
    """What is shown of the sums of slices: the same to subscribers, dashboards and rules.

    Only the metrics that are wanted; and of a slice (the whole is none) only values on enough observations,
    so that nobody is picked out. Immutable but for a cache.

    Args:
        declared: The metrics, windows, goals, experiments, and how many observations are enough.
        confidence: Of the intervals.
    """

    def __init__(self, declared: Declarations, confidence: float) -> None:
        self._metrics = declared.metrics
        self._windows = (*declared.windows, EVER)
        self._least = declared.min_slice_n if declared.min_slice_n > 1 else 0
        self._confidence = confidence
        self._goals: dict[str, list[Goal]] = {}
        for goal in declared.goals:
            self._goals.setdefault(goal.slice_key, []).append(goal)
        self._experiments = declared.experiments
        self._taking_part: dict[str, tuple[Experiment, ...]] = {}

    def values(
        self, slice_key: str, sums: Mapping[str, Stats], controls: Mapping[str, Stats] = _NO_CONTROLS
    ) -> Values:
        """Values by metric and window; a metric or window without observations is left out.

        Args:
            slice_key: The slice.
            sums: Window name -> sums, those of baselines and experiments among them.
            controls: Experiment -> sums of its control within it, as of the same moment.
        """
        least = self._enough(slice_key)
        ever = sums.get(EVER, NOTHING)
        values: Values = {}
        shorter: Stats = NOTHING
        computed: dict[str, MetricValue] = {}
        for window in self._windows:
            stats = sums.get(window)
            if stats is None:
                continue
            # Long windows hold the same as long as the log is short, or little happens: not computed again.
            if not computed or window == EVER or stats != shorter:
                computed = all_values(stats, self._confidence, ever, self._metrics, window)
                shorter = stats
            for metric, value in computed.items():
                if value.n >= least:
                    values.setdefault(metric, {})[window] = value
        for goal in self._goals.get(slice_key, ()):
            found = values.get(goal.metric)
            if found:
                values[goal.metric] = held_against(goal, found, sums, self._confidence, least)
        for experiment in self.experiments_of(slice_key):
            self._compared(slice_key, experiment, sums, controls, values)
        return values

    def reader(
        self, slice_key: str, sums: Mapping[str, Stats], metric: str, confidence: float
    ) -> Callable[[str], MetricValue | None]:
        """A metric's values by window, at a confidence of its own: what a rule looks at.

        None where there are no observations, no one right figure, or too few observations to be shown.
        """
        least = self._enough(slice_key)

        def read(window: str) -> MetricValue | None:
            stats, ever = sums.get(window, NOTHING), sums.get(EVER, NOTHING)
            found = value_of(metric, stats, confidence, ever, window)
            return None if found is None or found.value is None or found.n < least else found

        return read

    @property
    def has_experiments(self) -> bool:
        """Whether any slice can be a variant of one."""
        return bool(self._experiments)

    def experiments_of(self, slice_key: str) -> tuple[Experiment, ...]:
        """The experiments of which this slice is a variant, the control among them."""
        if not self._experiments:
            return ()
        found = self._taking_part.get(slice_key)
        if found is None:
            variant = parse_slice(slice_key).get("variant")
            found = tuple(
                each
                for each in self._experiments
                if variant is not None and each.slice_of(variant) == slice_key
            )
            if len(self._taking_part) >= _CACHED:
                self._taking_part.clear()
            self._taking_part[slice_key] = found
        return found

    def _enough(self, slice_key: str) -> int:
        return 0 if slice_key == WHOLE else self._least

    def _compared(
        self,
        slice_key: str,
        experiment: Experiment,
        sums: Mapping[str, Stats],
        controls: Mapping[str, Stats],
        values: Values,
    ) -> None:
        name = experiment.name
        confidence = experiment.confidence or self._confidence
        stats, control = sums.get(name, NOTHING), controls.get(name, NOTHING)
        is_control = experiment.slice_of(experiment.control) == slice_key
        for metric in experiment.metrics:
            value = value_of(metric, stats, confidence, window=name)
            if value is None or value.n < self._least:
                continue
            other = None if is_control else value_of(metric, control, confidence, window=name)
            if other is not None and other.n >= self._least:
                versus = compare(metric, control, stats, confidence, experiment.control)
                value = replace(value, versus=versus)
            values.setdefault(metric, {})[name] = value


def encode_metrics(
    slice_key: str,
    as_of_ms: int,
    final: bool,
    values: Mapping[str, Mapping[str, MetricValue]],
    corrected_from_ms: int | None = None,
) -> bytes:
    """The value of a ``cx.metrics`` record.

    Args:
        slice_key: Canonical slice key.
        as_of_ms: The instant of the values, epoch milliseconds.
        final: Whether nothing on time can change them any more.
        values: As ``Shown.values`` has them.
        corrected_from_ms: Late data changed the sums from here on, so what was published of the time since
            then is not right any more; None: nothing did.

    Returns:
        JSON ``{"slice", "as_of", "final", "metrics": {metric: {window: value}}}``, where a value has the
        attributes of ``MetricValue``, and ``corrected_from`` where it applies.
    """
    content = {
        "slice": parse_slice(slice_key),
        "as_of": format_ms(as_of_ms),
        "final": final,
        "metrics": values,
    }
    if corrected_from_ms is not None:
        content["corrected_from"] = format_ms(corrected_from_ms)
    return _encode(content)
