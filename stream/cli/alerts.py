"""``cx alerts``: what fires, and why something did or did not."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

import click

from stream import topics
from stream.accounts.records import newest
from stream.cli.asking import ask, read
from stream.cli.config import load_settings
from stream.cli.moments import columns
from stream.cli.problems import Finding
from stream.cli.progress import progress
from stream.cli.shape import Group

if TYPE_CHECKING:
    from stream.accounts.account import Account
    from stream.alerting.hygiene import Silence
    from stream.alerting.model import Rule, RuleBook
    from stream.settings import Settings

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")
_MOST: Final = 20  # alerts of a rule that are told one by one


@click.group(
    cls=Group,
    examples="""
    cx alerts list
    cx alerts explain NpsLowForVip
    cx alerts explain 0f1e2d3c4b5a6978 --json
    """,
)
def alerts() -> None:
    """What fires, and why something did or did not: from cx.alerts and cx.decisions of CX_BROKERS."""


@alerts.command(
    "list", examples="cx alerts list\ncx alerts list --all --rule CsatFell\ncx alerts list --json"
)
@click.option("--rule", "rules", multiple=True, help="Of this rule only; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Those that are over, and single customers' as well.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="The newest event of each as JSON, one a line.")
def list_(rules: tuple[str, ...], everything: bool, as_json: bool, limit: int) -> None:
    """List the alerts that fire, the most severe first. Those about single customers only with --all."""
    from stream.accounts.account import accounts  # noqa: PLC0415
    from stream.accounts.words import headline  # noqa: PLC0415 - slow to import

    now = int(time.time() * 1000)
    held = ask(load_settings(), read(load_settings(), topics.ALERTS))
    with progress("putting alerts together"):
        found = accounts(held)
    singles = sum(each.of_customer and each.firing for each in found)
    chosen = [
        each
        for each in found
        if (not rules or each.alert in rules) and (everything or (each.firing and not each.of_customer))
    ]
    for each in chosen[:limit] if as_json else ():
        click.echo(json.dumps(each.events[-1], ensure_ascii=False))
    if as_json:
        return
    for line in columns(
        [
            [each.severity, each.alert, each.subject, each.fingerprint, headline(each, now)]
            for each in chosen[:limit]
        ]
    ):
        click.echo(line)
    if not chosen:
        click.echo("nothing fires" if not everything else "no alert was told", err=True)
    if len(chosen) > limit:
        click.echo(f"and {len(chosen) - limit} more: --limit {len(chosen)}", err=True)
    if singles and not everything:
        click.echo(f"and {singles} about single customers: --all", err=True)


@alerts.command(
    examples="""
    cx alerts explain NpsLowForVip
    cx alerts explain 0f1e2d3c4b5a6978
    cx alerts explain CsatFell --all --json
    """
)
@click.argument("what", metavar="FINGERPRINT|RULE")
@click.option("--all", "everything", is_flag=True, help=f"Every alert of the rule, not {_MOST} of them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def explain(what: str, everything: bool, as_json: bool) -> None:
    """Say why an alert fired, or why it did not: what happened, why, since when, and what it takes.

    Of a rule every alert it could have is told that something was decided about; what fires comes first.
    Set CX_RULES as for the workers, and it says what the rule asks for as well. Exit code 1: nothing is known.
    """
    from stream.accounts.account import accounts, in_force  # noqa: PLC0415 - slow to import

    settings = load_settings()
    now = int(time.time() * 1000)
    is_mark = _FINGERPRINT.fullmatch(what) is not None
    found = ask(settings, read(settings, *_TOPICS, wanted=_wanted(what, is_mark=is_mark)))
    with progress("putting alerts together"):
        mine = [each for each in accounts(found) if what == (each.fingerprint if is_mark else each.alert)]
    kept, versions, note = _rules(settings, newest(found[topics.RULES]))
    at_ms = max((each.as_of_ms for each in mine), default=now)
    name = mine[0].alert if mine else what
    rule = _rule_of(in_force(versions, kept, at_ms), name)
    silences = _silences(newest(found[topics.SILENCES]))
    if note and not as_json:
        click.echo(f"cx: {note}", err=True)
    if as_json:
        click.echo(json.dumps(_object(what, mine, rule, silences, now), ensure_ascii=False))
    else:
        _say(what, mine, rule, silences, now, None if everything else _MOST)
    if not mine and rule is None:
        kind = "alert has this fingerprint" if is_mark else "rule and no alert has this name"
        raise Finding(f"{what}: no {kind}, among what the topics still hold")


_TOPICS: Final = (topics.ALERTS, topics.DECISIONS, topics.ACTIONS, topics.RULES, topics.SILENCES)


def _wanted(what: str, *, is_mark: bool) -> Any:
    """Most records are about something else: leave them before they are read."""
    needle = what.encode()

    def wanted(topic: str, key: bytes, value: bytes | None) -> bool:
        if topic in topics.FEEDS or topic == topics.ACTIONS:
            return True
        # A decision that was deleted has to be seen as deleted.
        return value is None or (key.partition(b"|")[0] == needle if is_mark else needle in value)

    return wanted


def _say(
    what: str,
    mine: list[Account],
    rule: Rule | None,
    silences: list[Silence],
    now: int,
    most: int | None,
) -> None:
    from stream.accounts.words import history, lines, rule_in_words  # noqa: PLC0415

    if not mine and rule is not None:
        click.echo(f"{what}: nothing was decided about it yet.")
        click.echo("  No slice or customer has come near: of what was never but quiet nothing is kept.")
        _indent(rule_in_words(rule))
        return
    for number, each in enumerate(mine[:most]):
        if number:
            click.echo()
        severity = f"  {each.severity}" if each.severity else ""
        click.echo(f"{each.alert}  {each.subject or 'everyone'}  {each.fingerprint}{severity}")
        _indent(lines(each, rule, each.silenced_by(silences, max(now, each.as_of_ms)), now))
        for row in columns(history(each)):
            click.echo(f"    {row}")
    if most is not None and len(mine) > most:
        rest: dict[str, int] = {}
        for each in mine[most:]:
            reason = next((d["reason"] for d in each.decisions.values()), (each.last or {}).get("state", ""))
            rest[reason] = rest.get(reason, 0) + 1
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(rest.items()))
        click.echo(f"\nand {len(mine) - most} more ({counted}): --all")


def _indent(said: list[tuple[str, str]]) -> None:
    for heading, text in said:
        click.echo(f"  {heading:<10}  {text}")


def _object(
    what: str, mine: list[Account], rule: Rule | None, silences: list[Silence], now: int
) -> dict[str, Any]:
    from stream.accounts.words import lines, rule_in_words  # noqa: PLC0415

    return {
        "what": what,
        "rule": None
        if rule is None
        else {"alert": rule.alert, "line": rule.line, **dict(rule_in_words(rule))},
        "alerts": [
            {
                "fingerprint": each.fingerprint,
                "alert": each.alert,
                "labels": each.labels,
                "subject": each.subject,
                "firing": each.firing,
                "held_back": each.held_back,
                "words": [list(pair) for pair in lines(each, rule, each.silenced_by(silences, now), now)],
                "events": each.events,
                "decisions": list(each.decisions.values()),
                "actions": each.actions,
            }
            for each in mine
        ],
    }


def _rules(
    settings: Settings, values: dict[bytes, bytes]
) -> tuple[RuleBook, list[tuple[int, RuleBook]], str]:
    """The file's rules, the versions of the topic, and what of them cannot be read: at night half is enough."""
    from stream.accounts.versions import known_versions  # noqa: PLC0415
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.deployment import load_book, silent_book  # noqa: PLC0415

    note = ""
    try:
        kept = load_book(settings)
    except (RuleError, ValueError) as error:
        kept, note = silent_book(settings), f"{error}; the rules file is left out"
    known = known_versions(settings, values, kept)
    return kept, [(each.from_ms, each.book) for each in known if each.book is not None], note


def _rule_of(book: RuleBook, name: str) -> Rule | None:
    for rule in (*book.metric_rules, *book.customer_rules, *book.history_rules):
        if rule.alert == name:
            return rule
    return None


def _silences(values: dict[bytes, bytes]) -> list[Silence]:
    from stream.cli.silences import silences_in  # noqa: PLC0415
    from stream.feeds import silence_of  # noqa: PLC0415

    return [silence_of(each) for each in silences_in(values)]
