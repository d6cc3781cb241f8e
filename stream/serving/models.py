"""Versions of models on ``/metrics``: which holds, what it was made from, and how good it has proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from schemas import ModelVersion

FIGURES: Final[dict[str, str]] = {
    "labels": "customers looked at of whom it is known whether they left",
    "left": "of them, those who left",
    "judged": "judgements behind the next six, older ones counting less",
    "auc": "chance that one who left was given a higher probability than one who stayed",
    "brier": "mean squared difference of probability and outcome",
    "calibration_error": "mean difference of probability and share that left, over ten groups",
    "prior_auc": "`auc` of the declared prior on the same customers",
    "prior_brier": "`brier` of the declared prior on the same customers",
    "baseline_auc": "`auc` of the plain baseline: who was silent longest leaves first",
    "drift": "how odd the newest cohort was; more than 1 is a drift",
}
"""Figures of the model ``churn``."""


class ModelGauges:
    """Of each model the version with the latest moment from which it holds, whichever came last.

    Every worker follows the same topic and so shows the same.

    Args:
        registry: of the worker.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._newest: dict[str, float] = {}
        self._figures = Gauge(
            "cx_model_figure",
            "Figures of the newest version of a model.",
            ("model", "figure"),
            registry=registry,
        )
        self._valid_from = Gauge(
            "cx_model_valid_from_seconds",
            "Event time from which the newest version of a model holds.",
            ("model",),
            registry=registry,
        )
        self._fitted = Gauge(
            "cx_model_fitted",
            "1 where the newest version was made from data, 0 where the one before or the declared one goes on.",
            ("model",),
            registry=registry,
        )
        self._n = Gauge(
            "cx_model_n", "Customers or labels behind the newest version.", ("model",), registry=registry
        )

    def take(self, version: ModelVersion) -> None:
        """A version has come."""
        name, since = version.name, version.valid_from.timestamp()
        if since < self._newest.get(name, since):
            return
        self._newest[name] = since
        self._valid_from.labels(name).set(since)
        self._fitted.labels(name).set(version.outcome == "fitted")
        self._n.labels(name).set(version.n)
        for figure, value in version.figures.items():
            self._figures.labels(name, figure).set(value)
