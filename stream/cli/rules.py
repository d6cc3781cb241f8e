"""``cx rules``: is a rules file right, and what does it ask for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stream.alerting.kept import not_kept
from stream.alerting.lint import Remark, remarks
from stream.alerting.nodes import MAX_BYTES, TOO_LARGE
from stream.alerting.rules import RuleBook, RuleError
from stream.cli.config import load_settings
from stream.cli.problems import Finding
from stream.cli.rules_apply import apply, show, text_of
from stream.cli.rules_test import test
from stream.cli.rules_tune import tune
from stream.cli.shape import Group
from stream.deployment import load_book, read_rules, silent_book

if TYPE_CHECKING:
    from stream.settings import Settings


@click.group(cls=Group, examples="cx rules check rules.yml")
def rules() -> None:
    """Check rules files."""


rules.add_command(apply)
rules.add_command(show)
rules.add_command(test)
rules.add_command(tune)


@rules.command(
    examples="cx rules check rules.yml\ncx rules check rules.yml --json\ncx rules check rules.yml --strict"
)
@click.argument("file", metavar="RULES", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--strict", is_flag=True, help="Warnings end with exit code 1, too.")
def check(file: Path, as_json: bool, strict: bool) -> None:
    """Say whether the worker would accept this rules file; the first thing wrong ends with exit code 1.

    Warnings are of what is right and yet does nothing: a rule that can never fire, an interval that min_n makes
    hopeless, a silence that is over; and of slices and windows that workers which started with CX_RULES do not
    keep. They are on stderr. Which windows are published is what CX_WINDOWS says.
    """
    settings = load_settings()
    try:
        if file.is_file() and file.stat().st_size > MAX_BYTES:
            raise RuleError(str(file), 1, None, "", TOO_LARGE)  # without reading it
        book = read_rules(text_of(file), str(file), settings)
    except RuleError as error:
        if as_json:
            found = {name: getattr(error, name) for name in _PLACE}
            click.echo(json.dumps({"ok": False, "error": found}))
        raise Finding(str(error)) from None
    warnings = [*_not_kept(book, file, settings), *remarks(book, int(time.time() * 1000))]
    if as_json:
        said = [{name: getattr(warning, name) for name in _PLACE} for warning in warnings]
        click.echo(json.dumps({"ok": True, "file": str(file), **_content(book), "warnings": said}))
    else:
        for warning in warnings:
            click.echo(str(warning), err=True)
        content = _content(book)
        names = content["window_rules"] + content["customer_rules"]
        aside = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
        click.echo(f"{file}: ok, {len(names)} rules: {', '.join(names) or 'none'}{aside}")
    if strict and warnings:
        raise Finding(f"{file}: {len(warnings)} warning{'s' if len(warnings) > 1 else ''}, and --strict")


def _not_kept(book: RuleBook, file: Path, settings: Settings) -> list[Remark]:
    """What rules need that workers with the file of CX_RULES do not keep; nothing where this is that file."""
    kept = settings.rules
    if kept is None or not kept.is_file() or kept.samefile(file):
        return []
    try:
        found = not_kept(book, load_book(settings), silent_book(settings))
    except ValueError:
        return []  # another file is wrong; it is not the one that is looked at
    return [Remark(str(file), 1, None, "", f"{each} by workers that started with {kept}") for each in found]


_PLACE: Final = ("file", "line", "rule", "field", "problem")


def _content(book: RuleBook) -> dict[str, list[str]]:
    of_customers = sorted((*book.customer_rules, *book.history_rules), key=lambda rule: rule.line)
    return {
        "window_rules": [rule.alert for rule in book.metric_rules],
        "customer_rules": [rule.alert for rule in of_customers],
        "groupings": [",".join(grouping) for grouping in book.groupings],
        "windows": list(book.windows),
    }
