"""``cx deadletters``: what was refused and why, and sending it again once the cause is gone."""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any, Final

import click

from schemas import Reason, format_ms
from stream import topics
from stream.cli.asking import ask
from stream.cli.config import load_settings
from stream.cli.letters import Letter, Letters, Place, counted, find, gather, own_headers, redrive
from stream.cli.moments import MOMENT, columns
from stream.cli.problems import Finding, Problem
from stream.cli.shape import Group

_REASONS: Final = click.Choice([str(each) for each in Reason])
_PLACE: Final = re.compile(rf"({'|'.join(map(re.escape, topics.INPUTS))})/([0-9]{{1,9}})/([0-9]{{1,18}})")
_INPUTS: Final = click.Choice(topics.INPUTS)


class _PlaceType(click.ParamType):
    """``TOPIC/PARTITION/OFFSET``."""

    name = "TOPIC/PARTITION/OFFSET"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """Refuse what is none, saying what is."""
        if isinstance(value, Place):
            return value
        found = _PLACE.fullmatch(value)
        if found is None:
            self.fail(
                f"{value!r} is no place; write it as cx deadletters list does: cx.replies/2/1417", param, ctx
            )
        return Place(found[1], int(found[2]), int(found[3]))


@click.group(
    cls=Group,
    examples="""
    cx deadletters list
    cx deadletters show cx.replies/2/1417
    cx deadletters redrive --reason scale_conflict --dry-run
    """,
)
def deadletters() -> None:
    """Look at the records that were refused, and send them again once the cause is gone."""


@deadletters.command(
    "list",
    examples="""
    cx deadletters list
    cx deadletters list --reason too_late --reason too_early --since 2026-03-01T12:00:00Z
    cx deadletters list --topic cx.replies --limit 100 --json
    """,
)
@click.option("--reason", "reasons", multiple=True, type=_REASONS, help="With this reason; repeatable.")
@click.option("--topic", "names", multiple=True, type=_INPUTS, help="From this topic; repeatable.")
@click.option("--since", "since_ms", type=MOMENT, help="Refused at this time or later.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(0), help="At most so many, one by one."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def list_(
    reasons: tuple[str, ...], names: tuple[str, ...], since_ms: int | None, limit: int, as_json: bool
) -> None:
    """Count the dead letters and list the newest.

    Counted by reason and topic; of the newest where they stood, when they were refused, and why. Open are
    those that were not sent again yet. Their content is personal data and is not shown.
    """
    settings = load_settings()
    letters = ask(settings, gather(settings, since_ms))
    chosen = letters.chosen(reasons, names, since_ms)
    is_open = {(reason, topic): n for reason, topic, n in counted(_open(letters, chosen))}
    counts = [
        {"reason": reason, "topic": topic, "letters": n, "open": is_open.get((reason, topic), 0)}
        for reason, topic, n in counted(chosen)
    ]
    newest = sorted(chosen, key=lambda each: (each.at_ms, each.place), reverse=True)[:limit]
    if as_json:
        said = {
            "letters": len(chosen),
            "open": sum(is_open.values()),
            "counts": counts,
            "newest": [_shown(each, letters) for each in newest],
        }
        click.echo(json.dumps(said, ensure_ascii=False))
    elif counts:
        head = ["letters", "open", "reason", "topic"]
        for line in columns([head, *([str(row[name]) for name in head] for row in counts)]):
            click.echo(line)
        if newest:
            click.echo()
        for line in columns([_row(each, letters) for each in newest]):
            click.echo(line)
    else:
        click.echo("no dead letters", err=True)
    if len(chosen) > len(newest) and limit and not as_json:
        click.echo(f"and {len(chosen) - len(newest)} more: --limit {len(chosen)}", err=True)
    _warn_of_strange(letters)


@deadletters.command(
    examples="""
    cx deadletters show cx.replies/2/1417
    cx deadletters show cx.replies/2/1417 --raw > refused.json
    cx deadletters show cx.replies/2/1417 --raw --json
    """
)
@click.argument("place", metavar=_PlaceType.name, type=_PlaceType())
@click.option(
    "--raw", is_flag=True, help="Its content, byte for byte, and nothing else. It is personal data."
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object; with --raw key, value and headers as well."
)
def show(place: Place, raw: bool, as_json: bool) -> None:
    """Show one dead letter, by where its record stood. Exit code 1: there is none.

    With --raw a terminal is shown what it cannot print as escapes; a file or a pipe gets the bytes.
    """
    settings = load_settings()
    letters, record = ask(settings, find(settings, place))
    if record is None:
        raise Finding(f"{place}: no dead letter is from there; cx deadletters list shows those there are")
    letter = letters.held[place]
    if as_json:
        said = _shown(letter, letters)
        if raw:
            headers = [[name, _text(value)] for name, value in own_headers(record.headers)]
            said |= {"key": _text(record.key), "value": _text(record.value), "headers": headers}
        click.echo(json.dumps(said, ensure_ascii=False))
    elif raw:
        value: bytes = record.value or b""
        if sys.stdout.isatty():
            click.echo(_printable(value.decode(errors="backslashreplace")))
        else:
            click.echo(value, nl=False)
    else:
        rows = [
            ("from", str(place)),
            ("refused", format_ms(letter.at_ms)),
            ("reason", letter.reason),
            ("detail", _printable(letter.detail)),
            ("bytes", f"{letter.size} (--raw shows them; they are personal data)"),
            ("redriven", _history(letter, letters) or "never"),
        ]
        for heading, text in rows:
            click.echo(f"{heading:<8}  {text}")


@deadletters.command(
    "redrive",
    examples="""
    cx deadletters redrive --dry-run
    cx deadletters redrive --reason scale_conflict
    cx deadletters redrive --reason too_early --topic cx.replies --yes --json
    """,
)
@click.option("--reason", "reasons", multiple=True, type=_REASONS, help="With this reason; repeatable.")
@click.option("--topic", "names", multiple=True, type=_INPUTS, help="From this topic; repeatable.")
@click.option(
    "--at-most",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Leave what was redriven so often and refused each time.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The counts as one JSON object on stdout.")
def redrive_(
    reasons: tuple[str, ...], names: tuple[str, ...], at_most: int, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Send dead letters again.

    To the topic they came from, with key, content and headers as they came. Each is sent once: a note beside
    it on cx.deadletters says that it was. Refused again, it is a new letter, whose header cx-redriven says how
    often. What was sent twice all the same counts once, by its event id.
    """
    settings = load_settings()
    letters = ask(settings, gather(settings))
    waiting = _open(letters, letters.chosen(reasons, names))
    wanted = [each for each in waiting if each.redriven < at_most]
    left = len(waiting) - len(wanted)
    counts = [{"reason": reason, "topic": topic, "letters": n} for reason, topic, n in counted(wanted)]
    if not as_json and counts:
        head = ["letters", "reason", "topic"]
        for line in columns([head, *([str(row[name]) for name in head] for row in counts)]):
            click.echo(line)
    if left:
        click.echo(
            f"cx: {left} left: redriven {at_most} times or more, and refused each time (--at-most)", err=True
        )
    _warn_of_strange(letters)
    sent = 0
    failed = ""
    if wanted and not dry_run:
        if not yes:
            _confirm(len(wanted))
        sent, refused = ask(settings, redrive(settings, wanted))
        failed = "; ".join(f"{reason} ({count})" for reason, count in refused.most_common(3))
    if as_json:
        click.echo(json.dumps({"sent": sent, "found": len(wanted), "left": left, "counts": counts}))
    elif not wanted:
        click.echo("nothing to send again", err=True)
    else:
        click.echo(f"{len(wanted)} would be sent again" if dry_run else f"{sent} sent again")
    if not dry_run and sent < len(wanted):
        raise Problem(f"{len(wanted) - sent} were not sent: {failed or 'they are no longer on the topic'}")


def _confirm(count: int) -> None:
    click.echo(f"send {count} again? [y/N] ", nl=False, err=True)  # click.confirm writes a blank to stdout
    answer = sys.stdin.readline()
    if not answer:
        raise Problem("nothing was sent: nobody answered; --yes does not ask")
    if answer.strip().lower() not in {"y", "yes"}:
        raise Finding("nothing was sent")


def _open(letters: Letters, chosen: list[Letter]) -> list[Letter]:
    return [each for each in chosen if each.place not in letters.done]


def _shown(letter: Letter, letters: Letters) -> dict[str, Any]:
    return {
        **letter.place._asdict(),
        "reason": letter.reason,
        "detail": letter.detail,
        "at": format_ms(letter.at_ms),
        "bytes": letter.size,
        "redriven": letter.redriven + (letter.place in letters.done),
        "open": letter.place not in letters.done,
    }


def _row(letter: Letter, letters: Letters) -> list[str]:
    detail = _printable(letter.detail)
    return [
        format_ms(letter.at_ms),
        str(letter.place),
        letter.reason,
        detail,
        _history(letter, letters),
    ]


def _history(letter: Letter, letters: Letters) -> str:
    before = f"refused again after {letter.redriven}" if letter.redriven else ""
    return ", ".join(each for each in (before, "sent again" if letter.place in letters.done else "") if each)


def _warn_of_strange(letters: Letters) -> None:
    if letters.strange:
        click.echo(
            f"cx: {letters.strange} records of {topics.DEADLETTERS} are no dead letters that this version knows:"
            " they are left alone",
            err=True,
        )


def _text(value: bytes | None) -> str | dict[str, str] | None:
    """As text, or what is none in base64."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _printable(text: str) -> str:
    """What is not for a terminal as escapes: anybody may have written it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
