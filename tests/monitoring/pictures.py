"""Pictures of the dashboards for docs/dashboards.md, of what a real Prometheus has scraped from a worker.

``python -m tests.monitoring.pictures`` takes three minutes and writes docs/pictures/*.svg.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

from ops.grafana.__main__ import FOLDER
from stream.brokers.embedded import EmbeddedRedis
from stream.brokers.kafka import KafkaServer
from stream.cli.demo_feed import Feeder, simulated
from stream.cli.sending import Sender
from stream.simulate import DEFAULT_START_MS
from tests.docs.pages import ROOT
from tests.e2e.harness import Deployment
from tests.monitoring import drawing
from tests.monitoring.drawing import FONT, Box, Line
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.queries import filled
from tests.waiting import until

PICTURES = ROOT / "docs" / "pictures"
SPEED = 180.0  # as `cx demo`: the six hours with all incidents in two minutes
SECONDS = 150.0
WIDTH, GAP = 1160.0, 10.0
#: What of each board is drawn: titles of panels, row by row.
SHOWN = {
    "business": (
        ("NPS", "CSAT", "CES", "Replies behind NPS", "Alerts that fire", "Slices not shown"),
        ("Value and confidence interval", "Gap to goal, baseline and benchmark"),
        ("Values", "Lowest values of any slice"),
        ("Firing now", "Published"),
    ),
    "pipeline": (
        ("Records by their end", "Left out, or in the wrong place"),
        ("Lag by partition", "Processor"),
        ("Records in a batch", "Seconds of a batch"),
        ("Keys in tables", "Written to Redis"),
    ),
}


def legend(pattern: str, labels: dict[str, str]) -> str:
    """A line's name, as Grafana makes it."""
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def draw(
    board: dict[str, Any], rows: tuple[tuple[str, ...], ...], prometheus: Prometheus, began: float
) -> str:
    """The panels of a board as one SVG."""
    by_title = {panel["title"]: panel for panel in board["panels"] if panel["type"] != "row"}
    now = time.time()

    def clock(at: float) -> str:
        minutes = int(DEFAULT_START_MS / 60_000 + (at - began) * SPEED / 60)
        return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"

    out, y = [], GAP
    for row in rows:
        width = (WIDTH - GAP * (len(row) + 1)) / len(row)
        height = 96.0 if len(row) > 3 else 250.0
        for column, title in enumerate(row):
            panel = by_title[title]
            box = Box(GAP + column * (width + GAP), y, width, height)
            found = [
                Line(
                    legend(target["legendFormat"], series["metric"]),
                    [(float(at), float(v)) for at, v in series["values"] if v not in {"NaN", "+Inf"}],
                )
                for target in panel["targets"]
                for series in prometheus.range(filled(board, target["expr"], "20s"), began + 15, now, 1)
            ]
            if panel["type"] == "bargauge":
                recent = [each for each in found if each.points and each.points[-1][0] > now - 3]
                out += drawing.bars(box, panel, recent)
            elif panel["type"] == "stat":
                out += drawing.figure(box, panel, found)
            else:
                out += drawing.lines(box, panel, found, (began + 15, now), clock)
        y += height + GAP
    body = "\n".join(out)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {y:.0f}" {FONT}>\n'
        f'<rect width="100%" height="100%" fill="#f6f8fa"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Run a worker on a real Kafka, feed and scrape it, draw."""
    rules = resources.files("stream.cli").joinpath("demo.yml").read_text(encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        kafka = opened.enter_context(KafkaServer())
        redis = opened.enter_context(EmbeddedRedis())
        deployment = Deployment(
            kafka.bootstrap, folder, rules, CX_REDIS_URL=redis.url, CX_IDLE_AFTER_MS="1000"
        )
        worker = opened.enter_context(deployment.create().worker()).wait_ready()
        found = re.search(r"on http://(127\.0\.0\.1:\d+)", worker.log)
        assert found is not None
        prometheus = opened.enter_context(Prometheus(folder, [found[1]]))
        until("a scrape", lambda: prometheus.query("up == 1"))
        feeder = Feeder(Sender({"bootstrap.servers": kafka.bootstrap}), simulated(1, None), SPEED)
        feeder.processed = 10**9  # nobody watches; it is slow enough
        opened.callback(feeder.stop)
        began = time.time()
        feeder.start()
        while (left := began + SECONDS - time.time()) > 0:
            worker.alive()
            sys.stderr.write(f"\r{left:4.0f} s left ")
            time.sleep(1)
        for name, rows in SHOWN.items():
            board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
            (PICTURES / f"{name}.svg").write_text(draw(board, rows, prometheus, began), encoding="utf-8")


if __name__ == "__main__":
    main()
