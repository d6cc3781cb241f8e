"""The documentation as a site: every page has its place, every link its end, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

BUILD = ROOT / "docs" / "site" / "build.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    into = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, str(BUILD), str(into)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return into


def test_every_page_is_on_the_site(site: Path) -> None:
    """Built without a warning; so no link leads nowhere and no page is left out."""
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    for name in ("readme", "changelog", "contributing", "reference/cli", "reference/settings"):
        assert (site / f"{name}.html").is_file()


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    """No script, style, font or picture has an address of another host."""
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//[^"]*"'
    )
    for page in site.rglob("*.html"):
        found = [link for link in loaded.findall(page.read_text()) if 'rel="canonical"' not in link]
        assert not found, page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(), style


def test_the_references_are_made_from_the_code(site: Path) -> None:
    """Every command and every setting of this very version."""
    assert "cx rules apply" in (site / "reference" / "cli.html").read_text()
    assert "CX_MAX_INFLIGHT_RECORDS" in (site / "reference" / "settings.html").read_text()


def test_a_page_without_a_place_is_an_error(tmp_path: Path) -> None:
    """Who adds a page says where it stands."""
    script = (
        "import sys; sys.path.insert(0, 'docs/site'); import build; from pathlib import Path; "
        "build.SECTIONS = {}; build.prepare(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "SECTIONS has no place for " in done.stderr
    assert "architecture" in done.stderr
