"""A running demo, scraped by a real Prometheus: every query of the dashboards and every alert finds its data."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from contextlib import ExitStack
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from ops.grafana.__main__ import FOLDER
from stream.cli.demo_feed import Feeder, simulated
from stream.cli.demo_stack import Stack
from stream.cli.sending import Sender
from tests.docs.pages import ROOT
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.queries import filled, queries
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
#: An hour of event time a second: the incidents of the simulated day come within the test.
SPEED = 3_600.0


@pytest.fixture(scope="module")
def demo(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Prometheus]]:
    """The demo's parts with customers in a hurry, and a Prometheus that scrapes once a second."""
    del promtool  # asked for so that a missing Prometheus is said
    rules = resources.files("stream.cli").joinpath("demo.yml").read_text(encoding="utf-8")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as opened:
        stack = opened.enter_context(Stack(rules))
        feeder = Feeder(Sender({"bootstrap.servers": stack.bootstrap}), simulated(1, None), SPEED)
        opened.callback(feeder.stop)
        feeder.processed = 10**9  # nobody watches this demo; the pace of event time is slow enough
        alerts = ROOT / "ops" / "prometheus" / "alerts.yml"
        target = stack.ops_url.removeprefix("http://")
        prometheus = opened.enter_context(Prometheus(folder, [target], rules=[alerts]))
        feeder.start()
        yield stack, prometheus


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_every_query_of_a_dashboard_has_data(
    demo: tuple[Stack, Prometheus], board: dict[str, object]
) -> None:
    """With the choices that the page opens with, no panel is empty."""
    stack, prometheus = demo
    asked = {query: filled(board, query, "10s") for query in queries(board)}
    empty = dict(asked)

    def none_left() -> bool:
        stack.watch()  # says why, when the worker has died
        for query in list(empty):
            if prometheus.query(empty[query]):
                del empty[query]
        return not empty

    try:
        until("data", none_left, 45)
    except AssertionError:
        raise AssertionError(f"no data for {sorted(empty)}") from None


def test_every_choice_of_a_dashboard_has_values(demo: tuple[Stack, Prometheus]) -> None:
    """The variables that are asked of Prometheus find the value that the page opens with."""
    _, prometheus = demo
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            inner, _, label = variable["definition"].removeprefix("label_values(")[:-1].rpartition(", ")
            query = f"count by ({label}) ({filled(board, inner, '10s')})"
            wanted = variable["current"]["value"]

            def choices(query: str = query, label: str = label) -> set[str]:
                return {each["metric"][label] for each in prometheus.query(query)}

            until(f"{wanted} among the choices", lambda: wanted in choices(), 45)  # noqa: B023 - called at once


def test_the_ops_alerts_are_healthy_and_quiet(demo: tuple[Stack, Prometheus]) -> None:
    """Prometheus evaluates every rule without an error, and a demo that is well trips none that wakes people."""
    _, prometheus = demo
    rules = until(
        "all evaluated", lambda: [r for r in [prometheus.rules()] if all(x["health"] == "ok" for x in r)]
    )
    firing = {rule["name"] for rule in rules[0] if rule["state"] == "firing"}
    critical = {rule["name"] for rule in rules[0] if rule["labels"]["severity"] == "critical"}
    assert critical
    assert not firing & critical


def test_promtool_finds_nothing_wrong_with_the_metrics(demo: tuple[Stack, Prometheus], promtool: str) -> None:
    """Names, types and help of all that a worker exports are as Prometheus would have them."""
    stack, _ = demo
    with urllib.request.urlopen(f"{stack.ops_url}/metrics", timeout=10) as answer:  # noqa: S310 - our own
        text = answer.read()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
