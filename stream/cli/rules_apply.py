"""``cx rules apply`` and ``cx rules show``: rules that workers take over while they run."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from schemas import RulesVersion, format_ms
from stream import topics
from stream.accounts.records import newest
from stream.cli.asking import ask, read, write
from stream.cli.config import load_settings
from stream.cli.moments import MOMENT, in_words, you
from stream.cli.problems import Finding, Problem
from stream.cli.shape import Command

if TYPE_CHECKING:
    from stream.accounts.versions import Known
    from stream.alerting.model import RuleBook
    from stream.settings import Settings

#: From now to where rules hold from when nothing else is said: in time for every worker to have read them.
AHEAD_MS: Final = 30_000
_SAME: Final = frozenset({"line", "group"})


@click.command(
    cls=Command,
    examples="""
    cx rules apply rules.yml
    cx rules apply rules.yml --from 2026-03-01T00:00:00Z --comment 'fewer alerts at night'
    """,
)
@click.argument("file", metavar="RULES", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--from",
    "valid_from",
    type=MOMENT,
    help="Event time from which on they judge.  [default: half a minute from now]",
)
@click.option("--author", help="Who asks.  [default: you]")
@click.option("--comment", default="", help="Why.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def apply(file: Path, valid_from: int | None, author: str | None, comment: str, as_json: bool) -> None:
    """Let running workers judge by these rules, from a moment of event time on.

    The file goes to the topic cx.rules, which every worker follows. What is measured (slices, windows,
    metrics, journeys) is settled by the file of CX_RULES when workers start: rules that need more are
    refused, exit code 1. Applying another file for the same moment replaces the first.
    """
    settings = load_settings()
    text = text_of(file)
    now = int(time.time() * 1000)
    from_ms = next_pane(now + AHEAD_MS, settings.pane_ms) if valid_from is None else valid_from
    kept = _kept(settings)
    book = _checked(text, file, settings, kept, as_json=as_json)
    known = ask(settings, _known(settings, kept))
    before = [each.book for each in known if each.from_ms < from_ms and each.book is not None]
    changes = compared(before[-1] if before else kept, book)
    record = RulesVersion.model_validate(
        {
            "valid_from": from_ms,
            "rules": text,
            "name": str(file),
            "author": author or you(),
            "comment": comment,
        }
    )
    key = format_ms(from_ms)
    ask(settings, write(settings, topics.RULES, [(key.encode(), record.model_dump_json().encode())]))
    if as_json:
        click.echo(json.dumps({"ok": True, "valid_from": key, "rules": len(_rules(book)), **changes}))
    else:
        click.echo(f"{file}: {len(_rules(book))} rules hold from {key} on ({in_words(from_ms, now)})")
        for what, names in changes.items():
            if names:
                click.echo(f"  {what}: {', '.join(names)}")
    if from_ms < now:
        click.echo(
            "cx: that is past: what was judged stays as it was; a replay would judge it by these rules",
            err=True,
        )


@click.command(
    cls=Command,
    examples="""
    cx rules show
    cx rules show --text > rules.yml
    cx rules show --at 2026-03-01T00:00:00Z --json
    """,
)
@click.option("--at", "at_ms", type=MOMENT, help="In force at this moment of event time.  [default: now]")
@click.option("--text", "as_text", is_flag=True, help="The file in force, as it was applied.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(at_ms: int | None, as_text: bool, as_json: bool) -> None:
    """Show the versions of the rules, and which of them is in force.

    Before the first version, the file of CX_RULES is. A version that workers refuse is left out by them.
    """
    settings = load_settings()
    now = int(time.time() * 1000)
    at = now if at_ms is None else at_ms
    kept = _kept(settings)
    known = ask(settings, _known(settings, kept))
    valid = [each for each in known if each.book is not None and each.from_ms <= at]
    current = valid[-1] if valid else None
    if as_text:
        click.echo(_text(current, settings), nl=False)
        return
    start: dict[str, Any] = {"from": None, "name": str(settings.rules or ""), "rules": len(_rules(kept))}
    versions = [start, *(_shown(each) for each in known)]
    for version in versions:
        version["in_force"] = version["from"] == (None if current is None else format_ms(current.from_ms))
    if as_json:
        click.echo(json.dumps({"at": format_ms(at), "versions": versions}, ensure_ascii=False))
        return
    for version in versions:
        click.echo(_line(version))


def text_of(file: Path) -> str:
    """The text of a rules file.

    Raises:
        Problem: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise Problem(f"{file}: {why}") from None


def next_pane(at_ms: int, pane_ms: int) -> int:
    """The end of the pane that holds a moment: rules change between panes."""
    return -(-at_ms // pane_ms) * pane_ms


def compared(before: RuleBook, after: RuleBook) -> dict[str, list[str]]:
    """Names of the rules that are added, removed and changed, sorted."""
    old, new = _rules(before), _rules(after)
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(
            name for name in old.keys() & new.keys() if _content(old[name]) != _content(new[name])
        ),
    }


async def _known(settings: Settings, kept: RuleBook) -> list[Known]:
    from stream.accounts.versions import known_versions  # noqa: PLC0415 - slow to import

    found = await read(settings, topics.RULES)
    return known_versions(settings, newest(found[topics.RULES]), kept)


def _kept(settings: Settings) -> RuleBook:
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.deployment import load_book  # noqa: PLC0415

    try:
        return load_book(settings)
    except RuleError as error:
        raise Problem(f"CX_RULES, with which the workers start: {error}") from None
    except ValueError as error:  # it names the setting
        raise Problem(str(error)) from None


def _checked(text: str, file: Path, settings: Settings, kept: RuleBook, *, as_json: bool) -> RuleBook:
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.deployment import read_version  # noqa: PLC0415

    try:
        return read_version(text, str(file), settings, kept)
    except RuleError as error:
        if as_json:
            found = {name: getattr(error, name) for name in ("file", "line", "rule", "field", "problem")}
            click.echo(json.dumps({"ok": False, "error": found}))
        raise Finding(str(error)) from None


def _rules(book: RuleBook) -> dict[str, Any]:
    return {rule.alert: rule for rule in (*book.metric_rules, *book.customer_rules, *book.history_rules)}


def _content(rule: Any) -> tuple[Any, ...]:
    said = tuple(getattr(rule, each.name) for each in fields(rule) if each.name not in _SAME)
    return (type(rule), *said)


def _shown(version: Known) -> dict[str, Any]:
    shown: dict[str, Any] = {"from": format_ms(version.from_ms)}
    if version.record is not None and version.book is not None:
        record = version.record
        shown |= {"name": record.name, "rules": len(_rules(version.book))}
        shown |= {"author": record.author, "comment": record.comment}
    if version.problem:
        shown["refused"] = version.problem
    return shown


def _line(version: dict[str, Any]) -> str:
    mark = "*" if version["in_force"] else " "
    when = version["from"] or "from the start"
    if "refused" in version:
        return f"{mark} {when:<24}  REFUSED by workers: {version['refused']}"
    said = [f"{version['rules']} rules", version["name"] or "no CX_RULES"]
    said += [version[name] for name in ("author", "comment") if version.get(name)]
    return f"{mark} {when:<24}  {', '.join(said)}"


def _text(current: Known | None, settings: Settings) -> str:
    if current is not None and current.record is not None:
        return current.record.rules
    if settings.rules is None:
        raise Finding("no rules are in force: CX_RULES is not set, and cx.rules has no version")
    return text_of(settings.rules)
