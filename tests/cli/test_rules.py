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


def test_windows_that_are_not_published_are_kept_for_rules(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """What is published is CX_WINDOWS, as in the worker; what windows are made of is CX_PANE_MS."""
    (tmp_path / "rules.yml").write_text(GOOD)
    found = json.loads(cx("rules", "check", "rules.yml", "--json", CX_WINDOWS="5m,2h").stdout)
    assert found["windows"] == ["1h"]
    (tmp_path / "rules.yml").write_text(GOOD.replace("1h", "70s"))
    done = cx("rules", "check", "rules.yml", CX_PANE_MS="60000")
    assert (done.returncode, "made of steps of 1m" in done.stderr) == (1, True)


def test_warnings_are_told_and_are_findings_only_where_asked_for(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A warning names its place as an error does, on stderr; --strict ends with exit code 1."""
    (tmp_path / "rules.yml").write_text(GOOD.replace("below: 30", "below: -100"))
    done = cx("rules", "check", "rules.yml")
    assert (done.returncode, done.stdout) == (0, "rules.yml: ok, 2 rules: NpsLow, Unhappy, 1 warning\n")
    warning = "rules.yml:4: warning: rule 'NpsLow': below: never fires: nps is never below -100\n"
    assert done.stderr == warning
    [found] = json.loads(cx("rules", "check", "rules.yml", "--json").stdout)["warnings"]
    assert (found["line"], found["rule"], found["field"]) == (4, "NpsLow", "below")
    done = cx("rules", "check", "rules.yml", "--strict")
    assert (done.returncode, done.stderr) == (1, warning + "cx: rules.yml: 1 warning, and --strict\n")


def test_what_running_workers_do_not_keep_is_warned_of(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Slices are settled when workers start: a file that needs others could not be applied to them."""
    (tmp_path / "rules.yml").write_text(GOOD)
    (tmp_path / "next.yml").write_text(GOOD.replace("by: [segment]", "by: [region]"))
    done = cx("rules", "check", "next.yml", CX_RULES="rules.yml")
    assert done.returncode == 0
    assert done.stderr == (
        "next.yml:1: warning: rule 'NpsLow' (line 4): slices by region are not kept"
        " by workers that started with rules.yml\n"
    )
    assert cx("rules", "check", "rules.yml", CX_RULES="rules.yml").stderr == ""


def test_a_file_of_ten_megabytes_is_refused(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """It is refused by its size, in a line that says what to do."""
    (tmp_path / "rules.yml").write_text("# nothing\n" * 1_000_000)
    done = cx("rules", "check", "rules.yml")
    assert (done.returncode, done.stderr) == (
        1,
        "cx: rules.yml:1: is larger than 1 MiB; split it, or drop what it generates\n",
    )


def test_a_file_that_cannot_be_read(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Bad input: exit code 2, one line."""
    assert cx("rules", "check", "absent.yml").returncode == 2
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    done = cx("rules", "check", "binary.yml")
    assert (done.returncode, done.stderr) == (2, "cx: binary.yml: is not UTF-8 text\n")
