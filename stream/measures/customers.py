"""How many different customers were there.

The part ``customers`` is no sum but a set, and a window's set is too large to hand round: the value is made
of its summary, [n, exact, relative error], which :mod:`stream.measures.distinct` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.intervals import z_quantile
from stream.measures.metric import NOTHING, MetricValue

if TYPE_CHECKING:
    from stream.measures.stats import Stats

_UNITS: Final = 10_000


class Customers:
    """Distinct customers. Part ``customers``: [n, 1 if exact else 0, relative standard error in 1e-4]."""

    name: Final = "customers"
    family: Final = "customers"
    unit: Final = "count"
    better: Final = None
    stems: Final = ("customers",)
    ever: Final = ()
    windows: Final = "rolling"

    def value(self, stats: Stats, confidence: float, ever: Stats = NOTHING) -> MetricValue | None:
        """Their number; the interval is that number itself where it is exact.

        Where it is estimated: n * (1 +- z * relative error), the normal approximation of the estimator's own
        error, cut at 0. Part ``relative_error``: of the estimate, as a fraction; 0 where it is exact.
        """
        vec = stats.get("customers")
        if vec is None or vec[0] <= 0:
            return None
        n, exact, units = vec
        error = 0.0 if exact else units / _UNITS
        half = z_quantile(confidence) * error
        return MetricValue(
            value=float(n),
            n=n,
            interval=(max(0.0, n * (1 - half)), n * (1 + half)),
            confidence=confidence,
            parts={"relative_error": error},
        )
