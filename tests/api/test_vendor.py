"""The page's libraries: the pinned ones or none."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stream.api.vendor import INTO, PINNED, VendorError, install, main


def archive_of(files: dict[str, bytes]) -> bytes:
    """A package as npm packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


ARCHIVE = archive_of({"package/a.js": b"export default 1", "package/LICENSE": b"free"})


def pin(path: Path, archive: bytes = ARCHIVE, **changed: Any) -> Path:
    """A file of pins with one library in it."""
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    library = {
        "name": "a",
        "version": "1.0.0",
        "url": "https://registry.npmjs.org/a/-/a-1.0.0.tgz",
        "integrity": f"sha512-{digest}",
        "files": {"package/a.js": "a.js"},
    }
    pinned = path / "vendor.json"
    pinned.write_text(json.dumps([library | changed]))
    return pinned


def test_a_library_is_fetched_once_and_again_when_its_pin_changes(tmp_path: Path) -> None:
    """What is there and pinned as before is left alone."""
    into = tmp_path / "vendor"
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return ARCHIVE

    assert install(pin(tmp_path), into, fetch) == ["a"]
    assert (into / "a.js").read_bytes() == b"export default 1"
    assert install(pin(tmp_path), into, fetch) == []
    assert install(pin(tmp_path, version="1.0.1"), into, fetch) == ["a"]
    assert len(asked) == 2


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """Nothing of it is written."""
    into = tmp_path / "vendor"
    with pytest.raises(VendorError, match=r"a 1\.0\.0: the archive is not the one"):
        install(pin(tmp_path), into, lambda _: archive_of({"package/a.js": b"evil"}))
    assert not (into / "a.js").exists()


def test_a_registry_that_is_away_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, one line on stderr."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert main([str(pin(tmp_path)), str(tmp_path / "vendor")]) == 1
    assert "npm_config_registry" in capsys.readouterr().err


def test_what_the_page_imports_is_there() -> None:
    """``make setup`` has put the pinned files beside the page."""
    for library in json.loads(PINNED.read_text()):
        for name in library["files"].values():
            assert (INTO / name).stat().st_size > 100, name
