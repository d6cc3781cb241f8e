"""All pages: links lead somewhere, make targets exist, and nothing points to anybody's machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream.settings import Settings
from tests.docs.pages import PAGES, ROOT, anchors, prose

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
MADE = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
#: Words that promise and say nothing.
HYPE = (
    "blazing", "cutting-edge", "seamless", "revolutionary", "game-chang", "world-class", "next-generation",
    "supercharge", "unleash", "state-of-the-art", "best-in-class", "effortlessly", "lightning", "magic",
)  # fmt: skip
MACHINE = re.compile(r"(?<![\w.~}])/(?:home|root|Users|work|mnt|tmp)/")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """A link within the repository names a file that is there, and a heading that the file has."""
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@every_page
def test_make_targets_and_settings_exist(page: Path) -> None:
    """What a page tells people to make or to set can be made and set."""
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"\bmake ([a-z]+)\b(?=[`\n ]*(?:ARGS|`|\n))", text)) <= MADE
    settings = {f"CX_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bCX_[A-Z_]+[A-Z]\b", text)) <= settings


@every_page
def test_the_words_are_plain(page: Path) -> None:
    """No hype, no path of one machine, and no line that is wider than a screen except in tables."""
    text = page.read_text(encoding="utf-8")
    assert [word for word in HYPE if word in text.lower()] == []
    assert MACHINE.findall(text) == []
    for line in prose(page).splitlines():
        assert len(line) <= 120 or line.startswith("|"), line


def test_every_page_is_on_the_map() -> None:
    """The map of the documentation, or a map it names, leads to every page."""
    maps = [
        ROOT / "docs" / "index.md",
        *(ROOT / "docs" / each / "README.md" for each in ("decisions", "runbooks")),
    ]
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in maps
        for link in LINK.findall(prose(page))
    }
    assert set(PAGES) - linked == {ROOT / "docs" / "index.md"}


def test_decisions_have_one_shape() -> None:
    """Every decision is numbered without a gap and has context, decision, consequences and alternatives."""
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]}: "), page.name
        found = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert found == ["Context", "Decision", "Consequences", "Considered"], page.name
