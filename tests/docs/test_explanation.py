"""The page on explanation is true: its examples give what it shows."""

from __future__ import annotations

import doctest
import shlex
from typing import TYPE_CHECKING

from click.testing import CliRunner

from stream.cli.root import cx
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BLOCKS = blocks(ROOT / "docs" / "explanation.md")


def test_the_account_is_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, given the objects, prints the table."""
    [objects, command, shown] = [block.text for block in BLOCKS if block.word == "explain"]
    (tmp_path / "metrics.ndjson").write_text(objects)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cx, shlex.split(command)[1:], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, shown)


def test_the_python_examples_are_what_python_says() -> None:
    """The examples in Python print what the page shows."""
    runner = doctest.DocTestRunner()
    found = [block.text for block in BLOCKS if block.language == "python"]
    assert len(found) == 2
    for text in found:
        runner.run(doctest.DocTestParser().get_doctest(text, {}, "explanation", "explanation.md", 0))
    assert runner.summarize().failed == 0
