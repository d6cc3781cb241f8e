"""``cx customers erase``: forget customers, while workers run or out of the logs as well."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from stream.cli.config import load_settings
from stream.cli.problems import Finding, Problem
from stream.cli.progress import progress
from stream.cli.shape import Command

if TYPE_CHECKING:
    from stream.alerting.model import RuleBook
    from stream.privacy.erasing import Erased, Left
    from stream.settings import Settings


@click.command(
    cls=Command,
    examples="""
    cx customers erase 4711
    cx customers erase 4711 --rewrite --wait
    cx customers erase - --yes < ids.txt
    cx customers erase --rewrite
    """,
)
@click.argument("customer_ids", metavar="[ID...]", nargs=-1)
@click.option(
    "--rewrite",
    is_flag=True,
    help="Take everyone who is erased, by now or before, out of the logs as well; workers and producers stopped.",
)
@click.option(
    "--wait", is_flag=True, help="With --rewrite: until the bytes are gone from the brokers' disks."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def erase(customer_ids: tuple[str, ...], rewrite: bool, wait: bool, yes: bool, as_json: bool) -> None:
    """Erase customers: tables, read model and outputs forget them, and a replay does not bring them back.

    '-' reads ids from standard input, one a line. Of a person with several ids all go. Running workers carry it
    out within seconds. Events stay in the logs for their retention, refused by every worker; --rewrite takes them
    out at once. What was cut short goes on when --rewrite is given again.

    Exit code 1: with --wait, bytes are left on the brokers' disks.
    """
    ids = _ids(customer_ids)
    if wait and not rewrite:
        raise Problem("--wait: only with --rewrite; without it bytes stay in the logs for their retention")
    if not ids and not rewrite:
        raise Problem("whom? Give an ID, - for standard input, or --rewrite for all who are erased already")
    settings = load_settings()
    if not yes:
        _confirm(len(ids), rewrite=rewrite)
    from stream.privacy.pseudonyms import all_names  # noqa: PLC0415 - slow to import

    found = _run(settings, all_names(settings, ids), rewrite=rewrite, wait=wait)
    if as_json:
        click.echo(json.dumps(_shown(found, len(ids))))
    else:
        _tell(found, len(ids), rewrite=rewrite)
    if wait and not found.proven:
        raise Finding(
            "the brokers have not removed all of it yet. Old files go by themselves; compacted topics once they "
            "are cleaned: run cx customers erase --rewrite --wait again when workers may stop"
        )


def _run(settings: Settings, ids: list[str], *, rewrite: bool, wait: bool) -> Erased:
    from stream.privacy import erasing  # noqa: PLC0415
    from stream.privacy.entries import Refused  # noqa: PLC0415
    from stream.privacy.fingerprints import KeyUnknown  # noqa: PLC0415

    try:
        books = _books(settings) if rewrite else []
        with progress("erasing") as step:
            if not rewrite:
                return erasing.erase(settings, ids, watch=step.show)
            return erasing.rewrite(settings, ids, books, wait=wait, say=_say, watch=step.show)
    except (Refused, KeyUnknown) as error:
        raise Problem(str(error)) from None


def _say(text: str) -> None:
    click.echo(f"cx: {text}", err=True)


def _ids(given: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    for one in given:
        lines = sys.stdin.read().splitlines() if one == "-" else [one]
        found.update((line, None) for line in lines if line)
    return list(found)


def _confirm(count: int, *, rewrite: bool) -> None:
    whom = f"{count} customer{'s' * (count != 1)}" if count else "everyone who was erased before"
    where = " and rewrite the logs" if rewrite else ""
    if not click.confirm(f"Erase {whom}{where}? It cannot be undone", err=True):
        raise Problem("nothing was done")


def _books(settings: Settings) -> list[RuleBook]:
    """Every version of the rules that can still be had: keys of decisions follow from their names."""
    from stream import topics  # noqa: PLC0415 - slow to import
    from stream.accounts.records import newest  # noqa: PLC0415
    from stream.accounts.versions import known_versions  # noqa: PLC0415
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.cli.asking import ask, read  # noqa: PLC0415
    from stream.deployment import load_book  # noqa: PLC0415

    try:
        kept = load_book(settings)
    except (RuleError, ValueError) as error:
        raise Problem(str(error)) from None
    values = newest(ask(settings, read(settings, topics.RULES))[topics.RULES])
    return [kept, *(each.book for each in known_versions(settings, values, kept) if each.book is not None)]


def _tell(found: Erased, count: int, *, rewrite: bool) -> None:
    if count:
        done = "" if found.carried_out else "; no worker is there: it is carried out when one starts"
        click.echo(f"{count} erased{done}")
    if found.read_model is not None:
        click.echo(f"{found.read_model} entries taken out of Redis")
    for topic, records in found.logs.items():
        click.echo(f"{records} records taken out of {topic}")
    if rewrite and found.proven:
        click.echo("nothing is left on the brokers' disks")
        return
    for left in found.left:
        click.echo(f"{left.topic}: {_until(left, rewritten=rewrite)}")


def _until(left: Left, *, rewritten: bool) -> str:
    from schemas.times import format_ms  # noqa: PLC0415

    if rewritten:
        return "bytes stay on disk until the brokers next remove files, minutes with their defaults"
    if left.until_ms is None:
        return "bytes stay until the broker cleans the topic; --rewrite --wait makes it"
    return f"bytes stay until {format_ms(left.until_ms // 1000 * 1000)} at the latest"


def _shown(found: Erased, count: int) -> dict[str, Any]:
    from schemas.times import format_ms  # noqa: PLC0415

    return {
        "erased": count,
        "carried_out": found.carried_out,
        "read_model": found.read_model,
        "records": found.logs,
        "bytes_until": {
            left.topic: None if left.until_ms is None else format_ms(left.until_ms) for left in found.left
        },
        "proven": found.proven,
    }
