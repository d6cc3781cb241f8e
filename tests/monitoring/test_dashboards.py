"""The dashboards as they stand in git: made by the script, about series that exist, sound in themselves."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from ops.grafana.__main__ import FOLDER, dashboards, text
from tests.docs.pages import ROOT
from tests.monitoring.exported import exported
from tests.monitoring.promql import complaints
from tests.monitoring.queries import queries

BOARDS: dict[str, Any] = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


def test_they_are_what_the_script_makes() -> None:
    """Whoever changes a panel runs `python -m ops.grafana`."""
    assert {name: text(board) for name, board in dashboards().items()} == {
        name: (FOLDER / name).read_text(encoding="utf-8") for name in BOARDS
    }


@each_board
def test_queries_name_only_what_workers_export(board: dict[str, Any]) -> None:
    """No series and no label, in panels and variables, that a worker does not have."""
    known = exported()
    found = {query: complaints(query, known) for query in queries(board)}
    assert len(found) > 15
    assert {query: wrong for query, wrong in found.items() if wrong} == {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            inner, _, label = variable["definition"].removeprefix("label_values(")[:-1].rpartition(", ")
            assert not complaints(f"sum by ({label}) ({inner})", known), variable["name"]


def test_a_wrong_query_is_noticed() -> None:
    """The check sees a series that is not there, a label that it has not, and one that is grouped by."""
    known = exported()
    assert complaints("sum(rate(cx_record_total[5m]))", known) == ["no series cx_record_total"]
    assert complaints('cx_partition_lag{tpoic=~"a|b", topic="c"}', known) == [
        "cx_partition_lag has no label tpoic"
    ]
    assert complaints("sum by (verdict) (cx_partition_lag)", known) == ["nothing in it has a label verdict"]
    assert complaints("sum by (topic, instance) (rate(cx_batch_seconds_bucket[1m]))", known) == []


@each_board
def test_a_board_is_sound(board: dict[str, Any]) -> None:
    """One data source by its pinned uid, ids of its own, no panel over another, only variables that are there."""
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    source = yaml.safe_load((ROOT / "ops/grafana/provisioning/datasources/prometheus.yml").read_text())
    uids = {each["uid"] for each in source["datasources"]}
    assert set(re.findall(r'"datasource": {\s*"type": "prometheus",\s*"uid": "([^"]+)"', text(board))) == uids
    for query in queries(board):
        used = set(re.findall(r"\$(\w+)", query)) - {"__rate_interval"}
        assert used <= variables, query
        assert 'job=~"$job"' in query, query
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_uids_and_titles_are_each_boards_own() -> None:
    """Two boards do not overwrite each other."""
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == 2
    assert len({board["title"] for board in BOARDS.values()}) == 2


def test_provisioning_is_where_grafana_looks() -> None:
    """The folder of the provider is the one that docker-compose.yml mounts the dashboards to."""
    provider = yaml.safe_load((ROOT / "ops/grafana/provisioning/dashboards/cx-pulse.yml").read_text())
    assert provider["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"
