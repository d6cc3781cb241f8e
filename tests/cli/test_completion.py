"""Completion: the scripts are what shells take, and complete what there is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli.root import cx

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """It asks the program itself, so that it never grows old."""
    done = CliRunner().invoke(cx, ["completion", shell])
    assert done.exit_code == 0
    assert f"_CX_COMPLETE={shell}_complete" in done.output


def test_bash_completes_commands_options_and_choices() -> None:
    """In a real bash: subcommands of a group, and the values of an argument."""
    bash = shutil.which("bash")
    assert bash is not None
    script = CliRunner().invoke(cx, ["completion", "bash"]).output

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        words_of = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}"
        ask = f'{script}\n{words_of}; _cx_completion cx; echo "${{COMPREPLY[@]}}"'
        path = f"{BIN}:/usr/bin:/bin"
        done = subprocess.run(
            [bash, "-c", ask], capture_output=True, text=True, check=True, env={"PATH": path}
        )
        return set(done.stdout.split())

    assert {"check", "test", "apply"} <= completed("cx", "rules", "")
    assert completed("cx", "completion", "z") == {"zsh"}
    assert "--json" in completed("cx", "doctor", "--")
