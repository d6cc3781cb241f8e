"""``cx demo`` to its end, as a newcomer or a script runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.timeout(200)
def test_demo_accounts_for_every_event(tmp_path: Path) -> None:
    """20,000 events in: each is applied, a duplicate, late or a dead letter; some rule fires and resolves."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
    done = subprocess.run(
        [sys.executable, "-m", "stream.cli", "demo", "--events", "20000", "--seed", "1", "--json"],
        cwd=tmp_path,
        env=clean,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)  # one object and nothing else
    accounted = said["applied"] + said["duplicates"] + said["deadletters"] + said["late"]
    assert accounted == said["events_in"] == 20_000
    assert said["applied"] > 18_000
    assert said["seconds"] > 0
    assert {"nps", "csat", "ces"} <= said["metrics"].keys()
    assert any(rule["fired"] and rule["resolved"] for rule in said["alerts"].values()), said["alerts"]
    assert "Traceback" not in done.stderr
