"""``cx topics``: the topics on the broker, against what the program needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from stream.brokers import admin
from stream.brokers.security import aiokafka_security
from stream.cli.asking import ask
from stream.cli.config import load_settings
from stream.cli.problems import Finding
from stream.cli.shape import Group
from stream.topics import layout

if TYPE_CHECKING:
    from stream.settings import Settings


@click.group(
    cls=Group,
    examples="""
    cx topics create
    CX_PARTITIONS=12 CX_REPLICATION=3 cx topics create
    cx topics check
    """,
)
def topics() -> None:
    """Create or check the topics on the broker of CX_BROKERS."""


@topics.command(examples="cx topics create\nCX_PARTITIONS=12 CX_REPLICATION=3 cx topics create")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def create(as_json: bool) -> None:
    """Create the topics that are missing; those that exist are never changed."""
    settings = load_settings()
    created = ask(settings, admin.create(*_layout(settings), security=aiokafka_security(settings)))
    if as_json:
        click.echo(json.dumps({"created": created}))
    else:
        for name in created:
            click.echo(f"created {name}")
        click.echo(
            f"{len(created)} created, {len(_layout(settings)[1]) - len(created)} there before", err=True
        )
    _report(settings, as_json=False, quiet=True)


@topics.command(examples="cx topics check\ncx topics check --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(as_json: bool) -> None:
    """Compare the topics with what the program needs; exit code 1 when any differs."""
    _report(load_settings(), as_json=as_json, quiet=False)


def _report(settings: Settings, *, as_json: bool, quiet: bool) -> None:
    differences = ask(settings, admin.plan(*_layout(settings), security=aiokafka_security(settings)))
    if as_json:
        found = [
            {"topic": each.topic, "what": str(each.what), "want": each.want, "found": each.found}
            for each in differences
        ]
        click.echo(json.dumps({"ok": not differences, "differences": found}))
    if differences:
        lines = [f"{len(differences)} things about the topics are not as they must be:"]
        lines += [f"  {each}" for each in differences]
        if any(each.what is admin.What.MISSING for each in differences):
            lines.append("create what is missing with: cx topics create")
        raise Finding("\n".join(lines))
    if not as_json and not quiet:
        click.echo(f"{len(_layout(settings)[1])} topics are as they must be")


def _layout(settings: Settings) -> tuple[str, Any, int]:
    return settings.brokers, layout(settings.app_id, settings.partitions), settings.replication
