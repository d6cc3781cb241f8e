"""The ops alerts: accepted and tested by promtool, about series that exist, each with a runbook."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import click
import pytest
import yaml

from stream.cli.root import cx
from tests.docs.pages import ROOT
from tests.monitoring.exported import exported
from tests.monitoring.promql import complaints

FOLDER = ROOT / "ops" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
BASE = "https://github.com/cx-pulse/cx-pulse/blob/main/docs/runbooks/"
SECTIONS = ("What it means", "What it does", "Find the cause", "Cure")
PARTS: dict[str, Any] = {
    name: yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) for name in ("alerts.yml", "tests.yml")
}
ALERTS = [rule for group in PARTS["alerts.yml"]["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in ALERTS]


@pytest.mark.parametrize(
    "asked", ["check rules alerts.yml", "check config prometheus.yml", "test rules tests.yml"]
)
def test_promtool_accepts_them(promtool: str, asked: str) -> None:
    """Rules and configuration are valid, and the alerts fire when they should and not when they should not."""
    done = subprocess.run([promtool, *asked.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_is_complete_and_about_what_workers_export(rule: dict[str, Any]) -> None:
    """CamelCase with one prefix, a known severity, texts, a runbook; no series or label that is not there."""
    assert re.fullmatch(r"CxPulse([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{BASE}{rule['alert']}.md"
    assert not complaints(rule["expr"], exported())
    written = " ".join(rule["annotations"].values())
    wanted = set(re.findall(r"\$labels\.(\w+)", written))
    labels = set().union(*exported().values()) | {"job", "instance"}
    assert wanted <= labels


def test_every_alert_is_tested_both_ways() -> None:
    """Each fires in one of promtool's tests and stays quiet in one."""
    looks = [look for case in PARTS["tests.yml"]["tests"] for look in case["alert_rule_test"]]
    assert {look["alertname"] for look in looks if look["exp_alerts"]} == set(NAMES)
    assert {look["alertname"] for look in looks if not look["exp_alerts"]} == set(NAMES)


def test_every_alert_has_a_runbook_and_no_other_is_there() -> None:
    """One page an alert, with what it means, what it does, where to look and what to do, and in the list."""
    pages = {path.stem: path for path in RUNBOOKS.glob("CxPulse*.md")}
    assert set(pages) == set(NAMES)
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(CxPulse\w+)\]", index, re.MULTILINE) == NAMES
    for rule in ALERTS:
        text = pages[rule["alert"]].read_text(encoding="utf-8")
        assert text.startswith(f"# {rule['alert']}\n")
        assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS, rule["alert"]
        assert f"**{rule['labels']['severity']}**" in text, rule["alert"]


def test_runbooks_name_only_what_exists() -> None:
    """Metrics and commands in runbooks are the program's own."""
    series = set(exported())
    families = series | {re.sub(r"_(bucket|sum|count)$", "", name) for name in series}
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\bcx_\w+", text)) <= families, path.name
        commands = re.findall(r"\bcx ([a-z]+)\b", " ".join(re.findall(r"`([^`]+)`", text)))
        assert set(commands) <= set(cx.list_commands(click.Context(cx))), path.name
