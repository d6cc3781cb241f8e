"""The documentation as a site: ``make docs``. Warnings are errors, and nothing is fetched from elsewhere.

Pages are written for reading on the forge. Here they are copied beside the files of the root and the references
made from the code; links are bent to where things are on the site, or to the forge.
"""

from __future__ import annotations

import argparse
import fnmatch
import posixpath
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from stream.cli.root import cx
from stream.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
FORGE: Final = "https://github.com/cx-pulse/cx-pulse/blob/main"
#: Page of the site -> file of the root.
ROOTED: Final = {
    "readme.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}

#: The sections of the site and their pages; a page that is in none is an error.
SECTIONS: Final[dict[str, list[str]]] = {
    "Begin": ["readme"],
    "Rules and alerts": ["rules", "evidence", "why", "backtest", "delivery"],
    "Customers": ["customers", "signals", "churn", "identity", "privacy"],
    "Metrics": ["metrics/README", "metrics/*", "compute", "explanation"],
    "Run it": [
        *("operations", "production", "doctor", "dashboards", "tracing", "read-model", "scale"),
        *("runbooks/README", "runbooks/*"),
    ],
    "Connect": ["api", "ingest", "adapters", "client", "page"],
    "Reference": ["reference/cli", "reference/settings"],
    "How it is made": [
        "architecture",
        "engine",
        "decisions/README",
        "decisions/*",
        "contributing",
        "changelog",
    ],
}

_LINK: Final = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE: Final = re.compile(r"^(```\w+) \w+$", re.MULTILINE)  # the second word is for the tests

CONF: Final[dict[str, Any]] = {
    "project": "cx-pulse",
    "html_title": "cx-pulse",
    "extensions": ["myst_parser"],
    "html_theme": "furo",
    "html_favicon": "icon.svg",
    "html_logo": "icon.svg",
    "html_show_sphinx": False,
    "html_copy_source": False,
    "myst_heading_anchors": 4,
    "myst_enable_extensions": ["strikethrough"],
    "exclude_patterns": [],
    "nitpicky": True,
    "html_theme_options": {
        "source_repository": "https://github.com/cx-pulse/cx-pulse/",
        "source_branch": "main",
    },
}


def prepare(into: Path) -> None:
    """Write the pages of the site.

    Raises:
        ValueError: a page of docs/ is in no section.
    """
    shutil.copytree(
        ROOT / "docs", into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("site", "__pycache__")
    )
    shutil.copy(ROOT / "docs" / "site" / "icon.svg", into / "icon.svg")
    for page, name in ROOTED.items():
        shutil.copy(ROOT / name, into / page)
    pages = {path.relative_to(into).as_posix() for path in into.rglob("*.md")}
    for page in sorted(pages):
        path = into / page
        path.write_text(_bent(path.read_text(encoding="utf-8"), page, into), encoding="utf-8")
    (into / "reference").mkdir(exist_ok=True)
    (into / "reference" / "cli.md").write_text(cli_reference(), encoding="utf-8")
    (into / "reference" / "settings.md").write_text(settings_reference(), encoding="utf-8")
    index = into / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + _contents(into), encoding="utf-8")


def build(into: Path, source: Path) -> int:
    """Build the site; returns the exit code of Sphinx, 1 with any warning."""
    prepare(source)
    with docutils_namespace():
        app = Sphinx(
            str(source),
            None,
            str(into),
            str(source / ".doctrees"),
            "html",
            CONF,
            status=None,
            warningiserror=True,
        )
        app.build(force_all=True)
        return app.statuscode


def _bent(text: str, page: str, into: Path) -> str:
    """A page with every link leading to where it leads here, or to the forge."""
    origin = ROOTED.get(page, f"docs/{page}")
    here = {name: there for there, name in ROOTED.items()}

    def bend(link: re.Match[str]) -> str:
        target, _, anchor = link[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        there = here.get(path, path.removeprefix("docs/"))
        if (into / there).is_file() and (path in here or path.startswith("docs/")):
            found = posixpath.relpath(there, posixpath.dirname(page) or ".")
        elif (ROOT / path).exists():
            found = f"{FORGE}/{path}"
        else:
            found = target  # Sphinx says that there is no such page
        return f"{link[1]}{found}{'#' if anchor else ''}{anchor}{link[3]}"

    return _LINK.sub(bend, _FENCE.sub(r"\1", text).replace("```ndjson", "```text"))


def _contents(into: Path) -> str:
    """The hidden table of contents: what stands at the side of every page."""
    left = {path.relative_to(into).as_posix().removesuffix(".md") for path in into.rglob("*.md")} - {"index"}
    parts = []
    for title, wanted in SECTIONS.items():
        names = []
        for pattern in wanted:
            found = sorted(fnmatch.filter(left, pattern))
            names += found
            left -= set(found)
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(names) + "\n```\n")
    if left:
        raise ValueError(f"docs/site/build.py: SECTIONS has no place for {', '.join(sorted(left))}")
    return "".join(parts)


def cli_reference() -> str:
    """Every command with its help, as the terminal shows it."""
    parts = ["# Command line\n\nMade from the code: what `--help` says.\n"]
    parts += [f"\n## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in _commands(cx, "cx", None)]
    return "".join(parts)


def _commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, max_content_width=100)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _commands(found, f"{name} {child}", context)


def settings_reference() -> str:
    """Every setting with its type, default and description."""
    head = "# Settings\n\nMade from the code: environment variables, or lines of a file `.env`.\n\n"
    rows = ["| setting | type | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (f"`CX_{name.upper()}`", _type(name), _default(field.default), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return head + "\n".join(rows) + "\n"


def _type(name: str) -> str:
    schema: dict[str, Any] = Settings.model_json_schema()["properties"][name]
    found = [
        " or ".join(f"`{value}`" for value in kind["enum"]) if "enum" in kind else str(kind.get("type", ""))
        for kind in schema.get("anyOf", [schema])
        if kind.get("type") != "null"
    ]
    return ", ".join(found)


def _default(value: object) -> str:
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return "" if shown is None or shown == "" else f"`{shown}`"


def main(arguments: Sequence[str]) -> int:
    """``python docs/site/build.py [DIR]``."""
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("into", nargs="?", type=Path, default=ROOT / "site", help="where to (site/)")
    into: Path = parser.parse_args(arguments).into
    with tempfile.TemporaryDirectory() as source:
        code = build(into, Path(source))
    if code == 0:
        sys.stderr.write(f"{into / 'index.html'}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
