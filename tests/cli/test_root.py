"""``cx`` itself: help, speed, exit codes."""

from __future__ import annotations

import resource
import subprocess
import sys
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


def cpu_s(*arguments: str) -> float:
    """What a Python process takes of a processor (best of five)."""
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


def test_help_is_quick() -> None:
    """The list of commands imports none of them: it takes twice as long as Click alone, and never four times."""
    assert cpu_s("-m", "stream.cli", "--help") < 4 * cpu_s("-c", "import click")


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
