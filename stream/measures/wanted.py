"""Which windows the declarations ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.lines import shifts
from stream.measures.plans import Span, WindowConfig, window
from stream.measures.registry import METRICS

if TYPE_CHECKING:
    from stream.measures.declare import Declarations, Experiment

EXACT_CUSTOMERS: Final = 1_000
"""Distinct customers up to which a window is counted exactly; above, the standard error is below 4 %."""


def window_config(declared: Declarations, pane_ms: int, judged: tuple[str, ...] = ()) -> WindowConfig:
    """The rolling windows, those that baselines need, one for each experiment, and ``ever`` for stocks.

    Args:
        declared: What is published.
        pane_ms: Length of the finest panes.
        judged: Names of further windows, for all slices, that only rules look at.

    Raises:
        ValueError: A window that cannot be made of panes of ``pane_ms``.
    """
    earlier = shifts(declared.goals, declared.windows)
    further = [name for name in judged if name not in declared.windows]
    return WindowConfig(
        pane_ms,
        (
            *(window(name, pane_ms) for name in declared.windows),
            *(window(name, pane_ms, only) for name, only in earlier.items() if name not in further),
            *(window(name, pane_ms) for name in further),
        ),
        ever=stems_ever(declared),
        spans=tuple(_span(experiment) for experiment in declared.experiments),
        customers=EXACT_CUSTOMERS if "customers" in declared.metrics else 0,
    )


def stems_ever(declared: Declarations) -> tuple[str, ...]:
    """Stems whose sums since the beginning are needed, sorted."""
    return tuple(sorted({stem for name in declared.metrics for stem in METRICS[name].ever}))


def _span(experiment: Experiment) -> Span:
    stems = {stem for name in experiment.metrics for stem in METRICS[name].stems}
    return Span(
        experiment.name,
        experiment.starts_at_ms,
        experiment.ends_at_ms,
        tuple(sorted(stems)),
        experiment.where,
    )
