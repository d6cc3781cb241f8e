"""``cx schemas export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def test_export_writes_documents_and_names_them(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Every written file is listed on stdout and holds JSON."""
    done = cx("schemas", "export", "out/deep")
    assert done.returncode == 0, done.stderr
    written = [tmp_path / line for line in done.stdout.splitlines()]
    assert sorted(written) == sorted((tmp_path / "out/deep").iterdir())
    assert {"reply.json", "asyncapi.json"} <= {path.name for path in written}
    for path in written:
        assert isinstance(json.loads(path.read_text()), dict)


def test_a_directory_that_cannot_be_made_is_one_line(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Exit code 2, no traceback."""
    (tmp_path / "out").write_text("a file")
    done = cx("schemas", "export", "out")
    assert done.returncode == 2
    assert done.stderr == "cx: out: File exists\n"
