"""The pages of the metrics are true: every metric has its section, every example gives what is shown."""

from __future__ import annotations

import doctest
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas import Reason
from stream.cli.root import cx
from stream.customers import contribute, histories, journeys
from stream.measures import METRICS
from tests.docs.pages import ROOT, blocks, code, rows, section

FOLDER = ROOT / "docs" / "metrics"
PAGES = sorted(FOLDER.glob("*.md"))
#: What every section says, beside its example.
SAID = ("Formula", "Source", "Fed by", "Unit", "Windows", "Bad input")

#: Later than the events of the examples.
NOW = "2026-01-13T00:00:00Z"
#: Why an event does not fit what came before it.
UNPAIRED = {
    value
    for module in (contribute, histories, journeys)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}

every_metric = pytest.mark.parametrize("name", METRICS)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def page_of(name: str) -> Path:
    """The page that has to explain a metric."""
    family = METRICS[name].family
    return ROOT / "docs" / "explanation.md" if family == "explanation" else FOLDER / f"{family}.md"


@every_metric
def test_every_metric_has_a_section(name: str) -> None:
    """It says what it is, what it is made of, what it is not good for, and shows an example."""
    text = section(page_of(name), name)
    assert [each for each in SAID if f"**{each}.**" not in text] == []
    assert "**Not good for.**" in text
    assert "```" in text or "The example is that of [" in text


def test_the_table_has_every_metric() -> None:
    """With its page, its unit and which way is good as the registry has them."""
    listed = {code(row[0])[0]: row[1:4] for row in rows((FOLDER / "README.md").read_text())[: len(METRICS)]}
    assert set(listed) == set(METRICS)
    for name, (page, unit, better) in listed.items():
        metric = METRICS[name]
        assert f"[{metric.family}](" in page, name
        assert page.endswith(f"{page_of(name).name}#{name})"), name
        assert (unit, better) == (metric.unit, metric.better or ""), name


@every_page
def test_the_python_examples_are_what_python_says(page: Path) -> None:
    """The examples of a page, run in their order, print what it shows."""
    runner, names = doctest.DocTestRunner(), {}
    for block in blocks(page):
        if block.language == "python":
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), 0)
            runner.run(test, clear_globs=False)
            names = test.globs
    assert runner.summarize().failed == 0


EXAMPLES = [
    pytest.param(events.text, shown.text, id=events.word)
    for page in PAGES
    for events, shown in zip(blocks(page), blocks(page)[1:], strict=False)
    if events.language == "ndjson"
]


@pytest.mark.parametrize(("events", "shown"), EXAMPLES)
def test_the_events_give_the_values(
    events: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `cx compute` makes of the events is what stands below them, for the whole."""
    monkeypatch.chdir(tmp_path)  # no .env
    for name in [name for name in os.environ if name.startswith("CX_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "events.ndjson"
    path.write_text(events)
    rules = tmp_path / "rules.yml"
    rules.write_text("metrics: all")
    arguments = ["compute", str(path), "--rules", str(rules), "--json", "--now", NOW]
    done = CliRunner().invoke(cx, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [whole] = [found for found in map(json.loads, done.stdout.splitlines()) if found["slice"] == {}]
    assert part_of(json.loads(shown), whole["metrics"])


def part_of(part: Any, whole: Any) -> bool:
    """Whether a shortened JSON value is in a whole one."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and part_of(each, whole[name]) for name, each in part.items()
        )
    return bool(whole == part)


@every_page
def test_reasons_exist(page: Path) -> None:
    """A reason named as the outcome of bad input is one that is given."""
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", bad_input(page.read_text())))
    fields = {
        "customer_id",
        "event_id",
        "referred_by",
        "acquisition_spend",
        "corrected_from",
        "cx_unpaired_total",
    }
    assert named - fields - set(METRICS) <= set(Reason) | UNPAIRED


def bad_input(text: str) -> str:
    """What a page says of bad input."""
    return "\n".join(
        re.findall(r"(?ms)^- \*\*Bad input\.\*\*.*?(?=^\n|^- |\Z)|^## Bad input\n.*?(?=^## |\Z)", text)
    )
