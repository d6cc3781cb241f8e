"""The report as a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from stream.backtest import Incident, replay, report
from stream.backtest.html import page
from tests.compute.world import job, settings, simulated, written

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
groups:
  - name: g
    rules:
      - alert: Low
        metric: nps
        by: [segment]
        window: 1h
        below: 20
        annotations: {summary: "<script>alert(1)</script> {segment} & {value}"}
      - {alert: Never, metric: nps, window: 1h, below: -99.5, min_n: 1000}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 3}}, annotations: {summary: "{customer}"}}
"""


def test_the_page_fetches_nothing_and_names_no_customer(tmp_path: Path) -> None:
    """One file, well-formed, with a chart of each rule that told something; all text is escaped."""
    setup = settings(tmp_path, RULES, max_members=100)
    done = replay(job(setup, written(tmp_path / "a.ndjson", simulated(1, 3_000, 800))))
    given = [Incident.model_validate({"name": "a & b", "starts_at": done.since_ms, "metric": "nps"})]
    first = report(done, given, [], 0)
    found = page([first, report(done, [], [], 0)])
    text = found.removeprefix("<!doctype html>\n").replace('<meta charset="utf-8">', "")
    root = ET.fromstring(text)  # noqa: S314 - it is our own
    assert not re.search(r"(src|href|url\()", found)
    assert not list(root.iter("script"))
    assert "c-0" not in found, "a customer's id"
    assert [heading.text for heading in root.iter("h3")] == ["Low", "Never", "One"] * 2
    assert len(list(root.iter("svg"))) == 4
    bars = [bar for bar in root.iter("rect") if bar.get("class") in {"right", "wrong"}]
    assert len(bars) == sum(episode.alert == "Low" for episode in first.episodes)
    titles = [title.text or "" for title in root.iter("title")]
    assert any("<script>alert(1)</script> vip" in title for title in titles)
    assert "a & b" in titles


def test_a_page_without_events() -> None:
    """Says so."""
    from stream.alerting.rules import RuleBook  # noqa: PLC0415
    from stream.backtest import Replayed  # noqa: PLC0415

    assert "no events" in page([report(Replayed(RuleBook("r.yml"), []), [], [], 0)])
