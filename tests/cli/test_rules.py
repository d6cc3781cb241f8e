"""``cx rules check``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

GOOD = """\
groups:
  - name: journey
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30}
      - {alert: Unhappy, on: reply, when: {metric: nps, score: {lte: 6}}}
"""


def test_a_right_file(cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Exit code 0 and what is in it."""
    (tmp_path / "rules.yml").write_text(GOOD)
    done = cx("rules", "check", "rules.yml")
    assert (done.returncode, done.stdout) == (0, "rules.yml: ok, 2 rules: NpsLow, Unhappy\n")
    found = json.loads(cx("rules", "check", "rules.yml", "--json").stdout)
    assert found["ok"] is True
    assert found["window_rules"] == ["NpsLow"]
    assert found["customer_rules"] == ["Unhappy"]
    assert "segment" in found["groupings"]


def test_a_wrong_file_is_a_finding_with_its_place(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """File, line, rule and field, exit code 1."""
    (tmp_path / "rules.yml").write_text(GOOD.replace("below: 30", "below: deep"))
    done = cx("rules", "check", "rules.yml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cx: rules.yml:4: rule 'NpsLow': below: ")
    error = json.loads(cx("rules", "check", "rules.yml", "--json").stdout)["error"]
    assert (error["file"], error["line"], error["rule"], error["field"]) == (
        "rules.yml",
        4,
        "NpsLow",
        "below",
    )


def test_rules_may_name_the_windows_that_are_kept(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """What is right depends on CX_WINDOWS, as in the worker."""
    (tmp_path / "rules.yml").write_text(GOOD)
    done = cx("rules", "check", "rules.yml", CX_WINDOWS="5m,2h")
    assert done.returncode == 1
    assert done.stderr == (
        "cx: rules.yml:4: rule 'NpsLow': window: no such window is kept (CX_WINDOWS); one of: 5m, 2h\n"
    )


def test_a_file_that_cannot_be_read(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Bad input: exit code 2, one line."""
    assert cx("rules", "check", "absent.yml").returncode == 2
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    done = cx("rules", "check", "binary.yml")
    assert (done.returncode, done.stderr) == (2, "cx: binary.yml: is not UTF-8 text\n")
