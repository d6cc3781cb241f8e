"""``cx silences``: for some time, alerts that match are not told."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from schemas import Silence, format_ms, to_ms
from stream import topics
from stream.accounts.records import newest
from stream.accounts.silences import ended, state_of
from stream.cli.asking import ask, read, write
from stream.cli.config import load_settings
from stream.cli.moments import DURATION, MOMENT, columns, in_words, you
from stream.cli.problems import Finding, Problem
from stream.cli.shape import Group

if TYPE_CHECKING:
    from stream.settings import Settings


@click.group(
    cls=Group,
    examples="""
    cx silences add segment=vip --for 2h --comment 'tills are replaced in shop 4'
    cx silences list
    cx silences expire 5c1f0a9be2d4
    """,
)
def silences() -> None:
    """Keep alerts back for some time: those whose labels match are not told.

    An alert that still fires when its silence ends is told then. Silences of the rules file are not listed
    here: they are in the file.
    """


@silences.command(
    examples="""
    cx silences add segment=vip --for 2h --comment 'tills are replaced in shop 4'
    cx silences add alertname=CsatFell 'channel=~chat|web' --for 1d --comment 'new chat tool'
    cx silences add severity=info --starts 2026-12-24T12:00:00Z --for 3d --comment 'closed'
    """
)
@click.argument("matchers", metavar="MATCHER...", nargs=-1, required=True)
@click.option("--for", "length_ms", type=DURATION, help="How long, from its start.")
@click.option("--starts", "starts_ms", type=MOMENT, help="Event time of its start.  [default: now]")
@click.option("--ends", "ends_ms", type=MOMENT, help="Event time of its end, instead of --for.")
@click.option("--comment", required=True, help="Why: for whoever wonders at night.")
@click.option("--author", help="Who asks.  [default: you]")
@click.option("--json", "as_json", is_flag=True, help="The silence as one JSON object on stdout.")
def add(
    matchers: tuple[str, ...],
    length_ms: int | None,
    starts_ms: int | None,
    ends_ms: int | None,
    comment: str,
    author: str | None,
    as_json: bool,
) -> None:
    """Keep back alerts of which every MATCHER holds: label=value, or with != =~ !~ in place of =.

    Labels are those of the alert, with alertname and severity. As in Alertmanager, =~ and !~ take a regular
    expression that has to match the whole value, and a label that is absent is an empty text.
    """
    if (length_ms is None) == (ends_ms is None):
        raise click.UsageError("say how long: either --for DURATION or --ends TIME")
    if not comment.strip():
        raise click.UsageError("--comment is empty; say why, for whoever wonders at night")
    now = int(time.time() * 1000)
    starts = now // 1000 * 1000 if starts_ms is None else starts_ms
    ends = ends_ms if ends_ms is not None else starts + (length_ms or 0)
    silence = _silence(matchers, starts, ends, author or you(), comment)
    if ends <= now:
        click.echo("cx: that is over already: only a replay of that time will keep anything back", err=True)
    _put(load_settings(), silence)
    if as_json:
        click.echo(silence.model_dump_json())
    else:
        click.echo(
            f"{silence.id}: {', '.join(silence.matchers)} from {format_ms(starts)} to {format_ms(ends)}"
            f" ({in_words(ends, now)})"
        )


@silences.command("list", examples="cx silences list\ncx silences list --all --json")
@click.option("--all", "everything", is_flag=True, help="Those that are over as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def list_(everything: bool, as_json: bool) -> None:
    """List the silences that are in force or to come, the one that ends first at the top."""
    now = int(time.time() * 1000)
    found = [each for each in known_silences(load_settings()) if everything or to_ms(each.ends_at) > now]
    if as_json:
        for each in found:
            shown: dict[str, Any] = json.loads(each.model_dump_json())
            click.echo(json.dumps({**shown, "state": state_of(each, now)}, ensure_ascii=False))
        return
    if not found:
        click.echo("no silence is in force or to come" if not everything else "there is no silence", err=True)
    for line in columns([_row(each, now) for each in found]):
        click.echo(line)


@silences.command(examples="cx silences expire 5c1f0a9be2d4")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The silences as JSON objects, one a line.")
def expire(ids: tuple[str, ...], as_json: bool) -> None:
    """End silences now; what still fires is told."""
    settings = load_settings()
    now = int(time.time() * 1000)
    known = {each.id: each for each in known_silences(settings)}
    if unknown := [name for name in ids if name not in known]:
        raise Problem(f"no silence has the id {unknown[0]}; cx silences list --all shows them")
    over = [name for name in ids if state_of(known[name], now) == "expired"]
    for name in ids:
        silence = known[name]
        if name not in over:
            silence = ended(silence, now)
            _put(settings, silence)
        if as_json:
            click.echo(silence.model_dump_json())
        else:
            click.echo(f"{name}: {'was over already' if name in over else 'is over'}")
    if over:
        raise Finding(f"{len(over)} of {len(ids)} were over already")


def known_silences(settings: Settings) -> list[Silence]:
    """What is on ``cx.silences``, the one that ends first at the top; what workers refuse is left out."""
    return silences_in(newest(ask(settings, read(settings, topics.SILENCES))[topics.SILENCES]))


def silences_in(values: dict[bytes, bytes]) -> list[Silence]:
    """Those among the values of ``cx.silences`` that workers take."""
    from stream.feeds import Refused, decode_silence  # noqa: PLC0415 - slow to import

    found = []
    for key, value in values.items():
        try:
            decode_silence(key, value)
        except Refused as refused:
            click.echo(f"cx: {topics.SILENCES}: a record is refused by workers: {refused}", err=True)
        else:
            found.append(Silence.model_validate_json(value))
    return sorted(found, key=lambda each: (each.ends_at, each.id))


def _silence(matchers: tuple[str, ...], starts: int, ends: int, author: str, comment: str) -> Silence:
    from stream.accounts.silences import new_silence  # noqa: PLC0415 - slow to import

    try:
        return new_silence(matchers, starts, ends, author, comment)
    except ValueError as error:
        raise Problem(str(error)) from None


def _put(settings: Settings, silence: Silence) -> None:
    record = (silence.id.encode(), silence.model_dump_json().encode())
    ask(settings, write(settings, topics.SILENCES, [record]))


def _row(silence: Silence, now: int) -> list[str]:
    ends, starts = to_ms(silence.ends_at), to_ms(silence.starts_at)
    state = state_of(silence, now)
    when = f"starts {in_words(starts, now)}" if state == "pending" else f"ends {in_words(ends, now)}"
    if state == "expired":
        when = f"ended {in_words(ends, now)}"
    return [silence.id, state, when, ", ".join(silence.matchers), f"{silence.author}: {silence.comment}"]
