"""``cx`` itself: help, speed, exit codes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from stream.cli.root import _COMMANDS
from stream.cli.root import cx as root

if TYPE_CHECKING:
    from collections.abc import Callable


def test_help_begins_with_examples_and_lists_every_command() -> None:
    """Examples come right after the usage line; every listed command exists."""
    result = CliRunner().invoke(root, ["--help"])
    assert result.exit_code == 0
    assert result.output.split("\n")[2].strip() == "Examples:"
    for name in _COMMANDS:
        assert f"\n  {name} " in result.output


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_has_help_with_examples(name: str) -> None:
    """Each command can be imported and begins its help with examples."""
    result = CliRunner().invoke(root, [name, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"Examples:\n    cx {name}" in result.output


def test_help_is_quick() -> None:
    """The list of commands imports none of them: below 0.3 s (best of five)."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "stream.cli", "--help"], check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.3


def test_usage_errors_end_with_two(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Unknown commands and options are bad usage, said on stderr."""
    for arguments in (["no-such-command"], ["topics", "check", "--no-such-option"], ["send"]):
        done = cx(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Usage:" in done.stderr


def test_version(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The version is data: stdout."""
    done = cx("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("cx-pulse ")
