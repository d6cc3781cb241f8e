"""The page on files is true: its example gives what it shows."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from click.testing import CliRunner

from stream.cli.root import cx
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_example_is_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, given the rules and the events, prints the table and the summary."""
    page = ROOT / "docs" / "compute.md"
    rules, events, command, shown = [block.text for block in blocks(page) if block.word == "compute"]
    (tmp_path / "rules.yml").write_text(rules)
    (tmp_path / "events.ndjson").write_text(events)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CX_")]:
        monkeypatch.delenv(name)
    setting, program, *arguments = shlex.split(command)
    assert program == "cx"
    monkeypatch.setenv(*setting.split("="))
    done = CliRunner().invoke(cx, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.rstrip() for line in (done.stdout + done.stderr).splitlines()] == shown.splitlines()
