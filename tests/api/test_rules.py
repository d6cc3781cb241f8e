"""Rules over HTTP: checked, tried on history, shown; and silences."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from schemas import RulesVersion
from stream import topics
from stream.api.shapes import Backtest, RulesChecked
from tests.api.conftest import OPERATE, READ, Server, bearer
from tests.api.test_guard import problem
from tests.api.test_stream import Publisher
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
groups:
  - name: one
    rules:
      - {alert: Unhappy, on: reply, when: {metric: nps, score: {lte: 6}}}
      - {alert: NpsLow, metric: nps, window: 1h, below: 0, min_n: 3, resolve: {above: 10}}
"""


def ask(server: Server, path: str, secret: str = READ, **body: Any) -> Any:
    """Post a JSON body."""
    return server.client.post(path, json=body, headers=bearer(secret), timeout=60)


def test_a_rules_file_is_checked(server: Server) -> None:
    """What is right is listed; the first thing wrong is named with line, rule and field."""
    found = ask(server, "/v1/rules/check", rules=RULES).json()
    RulesChecked.model_validate(found)
    assert (found["ok"], found["window_rules"], found["customer_rules"]) == (True, ["NpsLow"], ["Unhappy"])
    wrong = ask(
        server, "/v1/rules/check", rules=RULES.replace("metric: nps, window", "metric: npz, window")
    ).json()
    assert wrong["ok"] is False
    assert (wrong["error"]["rule"], wrong["error"]["line"], wrong["error"]["field"]) == (
        "NpsLow",
        6,
        "metric",
    )


def test_a_backtest_is_what_the_command_says(server: Server, tmp_path: Path) -> None:
    """The alerts are those of `cx rules test`, byte for byte, and refused lines are named."""
    events = tmp_path / "events.ndjson"
    made = [sys.executable, "-m", "stream.cli", "simulate", "--events", "1500", "--seed", "4"]
    subprocess.run([*made, "--out", str(events)], check=True, capture_output=True, cwd=tmp_path)
    events.write_text(events.read_text() + "{}\n")
    (tmp_path / "rules.yml").write_text(RULES)
    tested = [
        sys.executable,
        "-m",
        "stream.cli",
        "rules",
        "test",
        "rules.yml",
        "--events",
        str(events),
        "--json",
    ]
    done = subprocess.run(tested, check=True, capture_output=True, cwd=tmp_path)
    answer = ask(server, "/v1/rules/backtest", rules=RULES, events=events.read_text())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    Backtest.model_validate_json(answer.content, strict=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert found["alerts_in_all"] == len(told) > 5
    assert found["alerts"] == told[:1_000]
    assert [(each["index"], each["reason"]) for each in found["refused"]] == [(1500, "missing_field")]


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ({"rules": "groups: 7"}, "body.rules", "rules.yml"),
        ({"outcomes": "nonsense"}, "body.outcomes", "line 1"),
        ({"grace": "soon"}, "body.grace", "10m"),
    ],
)
def test_what_a_backtest_cannot_use_is_named(
    server: Server, more: dict[str, str], field: str, says: str
) -> None:
    """Wrong rules, outcomes and durations are refused with the field and the way out."""
    answer = ask(server, "/v1/rules/backtest", **{"rules": RULES, "events": "", **more})
    error = problem(answer, 422, "not-fitting")["errors"][0]
    assert error["field"] == field
    assert says in error["detail"], error


def test_a_backtest_that_takes_too_long_is_ended(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is killed, the request is told, and the next one may run."""
    monkeypatch.setattr("stream.api.backtests.LONGEST_S", 0.01)
    problem(ask(server, "/v1/rules/backtest", rules=RULES, events=""), 422, "not-fitting")
    monkeypatch.undo()
    assert ask(server, "/v1/rules/backtest", rules=RULES, events="").status_code == 200


def test_versions_of_the_topic_are_shown(server: Server, broker: str) -> None:
    """The rules of cx.rules that hold now are those that are listed, in words."""
    publish = Publisher(broker)
    record = RulesVersion.model_validate(
        {
            "valid_from": "2026-01-01T00:00:00Z",
            "rules": RULES,
            "name": "new.yml",
            "author": "me",
            "comment": "",
        }
    )
    publish.put(topics.RULES, b"2026-01-01T00:00:00Z", record.model_dump_json().encode())
    publish.put(topics.RULES, b"2026-01-02T00:00:00Z", b"{}")
    publish.flush()

    def shown() -> Any:
        found = server.client.get("/v1/rules", headers=bearer(READ)).json()
        return len(found["versions"]) == 3 and found

    found = until("the versions", shown, 10)
    assert [(each["name"], each["in_force"]) for each in found["versions"]] == [
        ("", False),
        ("new.yml", True),
        ("", False),
    ]
    assert found["versions"][2]["refused"]
    assert [each["alert"] for each in found["rules"]] == ["Unhappy", "NpsLow"]
    assert all(each["fires_when"] for each in found["rules"])
    before = server.client.get(
        "/v1/rules", params={"at": "2025-06-01T00:00:00Z"}, headers=bearer(READ)
    ).json()
    assert before["rules"] == []


def test_silences_are_made_listed_and_ended(server: Server) -> None:
    """What is asked for is on cx.silences, is listed while it holds, and can be ended once."""
    answer = ask(
        server, "/v1/silences", OPERATE, **{"matchers": ["segment=vip"], "for": "2h", "comment": "tills"}
    )
    made = answer.json()
    assert (answer.status_code, made["state"], made["author"], made["matchers"]) == (
        201, "active", "ops", ['segment="vip"'],
    )  # fmt: skip

    def listed(**query: Any) -> list[str]:
        answer = server.client.get("/v1/silences", params=query, headers=bearer(READ))
        return [each["id"] for each in answer.json()["silences"]]

    until("the silence", lambda: made["id"] in listed(), 10)
    time.sleep(max(0.0, 1 - time.time() % 1))  # ends are whole seconds: an end must not be the beginning
    path = f"/v1/silences/{made['id']}/expire"
    assert ask(server, path, OPERATE).json()["state"] == "expired"
    until("its end", lambda: made["id"] not in listed(), 10)
    assert made["id"] in listed(all=True)
    problem(ask(server, path, OPERATE), 409, "conflict")
    problem(ask(server, "/v1/silences/nobody/expire", OPERATE), 404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"matchers": [], "for": "2h", "comment": "c"},
        {"matchers": ["segment=vip"], "comment": "c"},
        {"matchers": ["segment=vip"], "for": "2h", "ends_at": "2026-01-01T00:00:00Z", "comment": "c"},
        {"matchers": ["segment=vip"], "for": "soon", "comment": "c"},
        {"matchers": ["nonsense"], "for": "2h", "comment": "c"},
        {"matchers": ['segment=~".*"'], "for": "2h", "comment": "c"},
        {"matchers": ["segment=vip"], "for": "2h", "comment": ""},
        {"matchers": ["segment=vip"], "for": "2h", "comment": "c", "commment": "c"},
    ],
)
def test_silences_that_cannot_be_meant_are_refused(server: Server, body: dict[str, Any]) -> None:
    """Each is told the field; nothing is written."""
    found = problem(ask(server, "/v1/silences", OPERATE, **body), 422, "not-fitting")
    assert found["errors"][0]["field"].startswith("body")
