"""What workers and ``cx serve`` export: every series with its labels, buckets and sums of histograms too."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from stream.api.telemetry import ApiTelemetry
from stream.app import Worker
from stream.serving.business import SliceValues
from stream.settings import Settings

#: How the names of a family's series end.
_SERIES = {"counter": "_total", "histogram": ("_bucket", "_sum", "_count")}


class _Gap:
    gap = 1.0


class _Value:
    value = 1.0
    n = 2
    interval = (0.0, 2.0)
    goal = baseline = benchmark = _Gap()


@cache
def exported() -> dict[str, set[str]]:
    """Name -> labels."""
    options: dict[str, Any] = {"_env_file": None}
    telemetry = Worker(Settings(**options)).telemetry
    found: dict[str, set[str]] = {}
    collectors = {
        **telemetry.registry._collector_to_names,
        **ApiTelemetry().registry._collector_to_names,
    }
    for collector, names in collectors.items():
        labels = set(getattr(collector, "_labelnames", ()))
        kind = getattr(collector, "_type", "gauge")
        for name in names:
            if name.endswith(_SERIES.get(kind, "")) and not name.endswith("_created"):
                found[name] = labels | {"le"} if name.endswith("_bucket") else labels
    values: SliceValues = {"nps": {"1h": _Value()}}
    telemetry.values(0, "{}", values)
    for line in telemetry.render().decode().splitlines():
        if not line.startswith("#"):
            name, _, labels_text = line.partition("{")
            found.setdefault(name.split(" ")[0], set(re.findall(r"(\w+)=", labels_text)))
    return found
