"""docs/operations.md says what the code says: settings, topics, metrics, health checks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stream.alerting.rules import load_rules
from stream.app import Worker
from stream.serving import Telemetry
from stream.serving.business import SliceValues
from stream.settings import Settings
from tests.docs.pages import code, rows, section
from tests.docs.tables import PAGE, render

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
EXPORTED = re.compile(r"^# TYPE (cx_\w+) (\w+)$", re.MULTILINE)


def test_the_tables_are_those_of_the_code() -> None:
    """Settings and topics are on the page as they are in the code: `python -m tests.docs.tables` writes them."""
    assert render(PAGE_TEXT) == PAGE_TEXT


def of_a_worker() -> Telemetry:
    """The telemetry of a worker as it is wired; some families come with what they are about."""
    options: dict[str, Any] = {"_env_file": None}
    return Worker(Settings(**options)).telemetry


def labelled() -> dict[str, set[str]]:
    """The labels of every family that is exported."""
    telemetry = of_a_worker()
    found = {
        name: set(collector._labelnames)
        for collector, names in telemetry.registry._collector_to_names.items()
        for name in names
        if hasattr(collector, "_labelnames")
    }
    values: SliceValues = {"nps": {"1h": Value()}}
    telemetry.values(0, "{}", values)
    for line in telemetry.render().decode().splitlines():
        name, _, labels = line.partition("{")
        found.setdefault(name, set(re.findall(r"(\w+)=", labels)))
    return found


class Gap:
    """A line that a value is held against."""

    gap = 1.0


class Value:
    """A value of a slice."""

    value = 1.0
    n = 2
    interval = (0.0, 2.0)
    goal = baseline = benchmark = Gap()


def test_every_metric_is_on_the_page_and_no_other() -> None:
    """What /metrics exports and what the page lists are the same, with kind and labels."""
    listed = {code(row[0])[0]: row[1:3] for row in rows(section(PAGE, "Metrics"))}
    exported = dict(EXPORTED.findall(of_a_worker().render().decode()))
    assert {name: kind for name, (kind, _) in listed.items()} == exported
    labels = labelled()
    for name, (_, shown) in listed.items():
        assert {each for each in shown.split(", ") if each} == labels.get(name, set()), name


def test_every_health_check_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of readiness are those that the page explains."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CX_{name.upper()}", raising=False)
    options: dict[str, Any] = {"_env_file": None}
    checks = Worker(Settings(**options)).health.readiness().checks
    tables = rows(section(PAGE, "Health"))
    assert {code(row[0])[0] for row in tables if not code(row[0])[0].startswith("/")} == set(checks)


def test_the_reasons_that_explain_a_silent_rule_exist() -> None:
    """The page sends people to reasons that rules can end with."""
    from stream.alerting.conditions import Reason  # noqa: PLC0415 - beside its only use

    [silent] = [row for row in rows(section(PAGE, "What to do when")) if row[0] == "a rule does not fire"]
    assert set(code(silent[2])) - {"cx_alert_decisions_total", "cx alerts explain"} <= set(Reason)
    assert load_rules("groups: []", "rules.yml").metric_rules == ()
