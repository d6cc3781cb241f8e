"""``cx doctor`` itself: what it prints, how it ends, and that every check has been tried."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli.root import cx
from stream.doctor import CHECKS
from tests.docs.pages import ROOT, code, rows

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and a broker that is not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CX_BROKERS", "localhost:9")
    monkeypatch.setenv("CX_REDIS_URL", "")


def test_a_finding_is_told_with_its_cure_and_exit_code_1() -> None:
    """Findings are data; how many there are is a message."""
    done = CliRunner().invoke(cx, ["doctor"])
    assert done.exit_code == 1
    assert re.search(r"^error +broker-away: .*\n +-> ", done.stdout, re.MULTILINE)
    assert f"of {len(CHECKS)} checks found something" in done.stderr


def test_json_has_every_finding() -> None:
    """One object, whatever is wrong."""
    done = CliRunner().invoke(cx, ["doctor", "--json"])
    told = json.loads(done.stdout)
    assert told["checks"] == len(CHECKS)
    assert "broker-away" in {each["check"] for each in told["findings"]}


def test_settings_that_are_refused_are_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor does not die of what it is there to find."""
    monkeypatch.setenv("CX_PARTITIONS", "many")
    done = CliRunner().invoke(cx, ["doctor"])
    assert "settings-wrong: CX_PARTITIONS" in done.stdout
    assert done.exit_code == 1


def test_every_check_says_what_it_is_for() -> None:
    """``--list`` looks at nothing and ends well."""
    done = CliRunner().invoke(cx, ["doctor", "--list"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(CHECKS) >= 20


def test_every_check_was_tried_by_making_the_mistake() -> None:
    """A check without a test would be a promise."""
    text = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    tried = set(re.findall(r'"([a-z]+(?:-[a-z0-9]+)+)"', text))
    assert set(CHECKS) <= tried


def test_the_page_lists_every_check() -> None:
    """docs/doctor.md and the code have the same checks."""
    page = (ROOT / "docs" / "doctor.md").read_text()
    assert {code(row[0])[0] for row in rows(page)} == set(CHECKS)
