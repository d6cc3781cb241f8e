"""``cx rules``: is a rules file right, and what does it ask for."""

from __future__ import annotations

import json
from pathlib import Path

import click

from stream.alerting.rules import RuleBook, RuleError, load_rules
from stream.cli.config import load_settings
from stream.cli.problems import Finding, Problem
from stream.cli.rules_apply import apply, show
from stream.cli.shape import Group
from stream.customers import SIGNALS


@click.group(cls=Group, examples="cx rules check rules.yml")
def rules() -> None:
    """Check rules files."""


rules.add_command(apply)
rules.add_command(show)


@rules.command(examples="cx rules check rules.yml\ncx rules check rules.yml --json")
@click.argument("file", metavar="RULES", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(file: Path, as_json: bool) -> None:
    """Say whether the worker would accept this rules file; the first thing wrong ends with exit code 1.

    The windows that rules may name are those of CX_WINDOWS.
    """
    windows = load_settings().window_names
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise Problem(f"{file}: {why}") from None
    try:
        book = load_rules(text, str(file), windows=windows, signals=SIGNALS)
    except RuleError as error:
        if as_json:
            found = {name: getattr(error, name) for name in ("file", "line", "rule", "field", "problem")}
            click.echo(json.dumps({"ok": False, "error": found}))
        raise Finding(str(error)) from None
    if as_json:
        click.echo(json.dumps({"ok": True, "file": str(file), **_content(book)}))
    else:
        content = _content(book)
        names = content["window_rules"] + content["customer_rules"]
        click.echo(f"{file}: ok, {len(names)} rules: {', '.join(names) or 'none'}")


def _content(book: RuleBook) -> dict[str, list[str]]:
    return {
        "window_rules": [rule.alert for rule in book.metric_rules],
        "customer_rules": [rule.alert for rule in book.customer_rules],
        "groupings": [",".join(grouping) for grouping in book.groupings],
    }
