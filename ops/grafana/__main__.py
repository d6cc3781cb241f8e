"""Writes the dashboards: ``python -m ops.grafana`` after a change; the JSON is what Grafana reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ops.grafana.business import BUSINESS
from ops.grafana.pipeline import PIPELINE
from ops.grafana.shape import Variable, dashboard

FOLDER: Final = Path(__file__).parent / "dashboards"
JOB: Final = Variable("job", "Job", "label_values(cx_build_info, job)", "cx-pulse")


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    chosen = (
        JOB,
        Variable("metric", "Metric", 'label_values(cx_metric_value{job=~"$job"}, metric)', "nps"),
        Variable("window", "Window", 'label_values(cx_metric_value{job=~"$job", metric="$metric"}, window)', "1h"),
        Variable(
            "slice", "Slice", 'label_values(cx_metric_value{job=~"$job", metric="$metric"}, slice)', "all"
        ),
        Variable("by", "By", "", "segment", words=(
            "segment", "touchpoint", "channel", "product", "region", "stage", "variant", "pillar", "question",
            "survey", "topic",
        )),
    )  # fmt: skip
    return {
        "business.json": dashboard(
            "cx-business",
            "Customer experience",
            "What customers say, how sure it is, and what alerts come of it.",
            BUSINESS,
            chosen,
        ),
        "pipeline.json": dashboard(
            "cx-pipeline", "cx-pulse pipeline", "Whether workers keep up, and if not, where it is stuck.",
            PIPELINE, (JOB,),
        ),
    }  # fmt: skip


def text(board: dict[str, Any]) -> str:
    """As it stands in git."""
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, board in dashboards().items():
        (FOLDER / name).write_text(text(board), encoding="utf-8")
