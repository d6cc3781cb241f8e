"""``cx topics``: the topics on the broker, against what the program needs."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from stream.brokers import admin
from stream.brokers.acls import ROLES, Acl, acls
from stream.brokers.changes import Change, ChangeRefused, Do, apply, propose, seen
from stream.brokers.security import aiokafka_security, confluent_config
from stream.cli.asking import ask
from stream.cli.config import load_settings
from stream.cli.problems import Finding, Problem
from stream.cli.progress import progress
from stream.cli.shape import Group
from stream.topics import layout

if TYPE_CHECKING:
    from stream.settings import Settings


@click.group(
    cls=Group,
    examples="""
    cx topics create
    CX_PARTITIONS=12 CX_REPLICATION=3 cx topics create
    cx topics create --alter --plan
    cx topics check
    cx topics acls worker --principal User:cx-worker
    """,
)
def topics() -> None:
    """Create, check or alter the topics on the broker of CX_BROKERS, and say who must be allowed what."""


@topics.command(
    examples="""
    cx topics create
    CX_PARTITIONS=12 CX_REPLICATION=3 cx topics create
    cx topics create --plan            what it would do, as a diff
    cx topics create --alter           change those that differ as well, where nothing is lost by it
    """
)
@click.option("--alter", is_flag=True, help="Change existing topics too, where no record is lost by it.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def create(alter: bool, only_plan: bool, as_json: bool) -> None:
    """Create the topics that are missing; with --alter, change those that differ.

    Only what is safe is done: retention is never shortened, and partitions are added only while all topics that
    would grow are empty. What is left is told with the reason, and is exit code 1.
    """
    settings = load_settings()
    changes = _changes(settings)
    if not only_plan:
        _do(settings, changes, alter=alter)
    done = {Do.CREATE, Do.ALTER, Do.GROW} if alter else {Do.CREATE}
    left = [each for each in changes if each.do not in done]
    if as_json:
        made = [each for each in changes if each.do in done]
        said: dict[str, Any] = {"planned": only_plan, "changes": [each.as_json() for each in made]}
        said["created"] = [each.difference.topic for each in made if each.do is Do.CREATE and not only_plan]
        click.echo(json.dumps({**said, "left": [each.as_json() for each in left]}))
    elif only_plan:
        for each in changes:
            click.echo(str(each))
    else:
        for each in changes:
            if each.do in done:
                click.echo(f"created {each.difference.topic}" if each.do is Do.CREATE else str(each))
    _conclude(settings, changes, left, only_plan=only_plan)


def _conclude(settings: Settings, changes: list[Change], left: list[Change], *, only_plan: bool) -> None:
    created = sum(each.do is Do.CREATE for each in changes)
    altered = len(changes) - created - len(left)
    there = len(_layout(settings)[1]) - created
    words = "to create, {} to alter" if only_plan else "created, {} altered"
    click.echo(f"{created} {words.format(altered)}, {there} there before", err=True)
    if left:
        lines = [f"{len(left)} things about the topics are left as they are:"]
        lines += [f"  {each.difference}{f'; {each.why}' if each.why else ''}" for each in left]
        if any(each.do is not Do.LEAVE for each in left):
            lines.append("cx changes what it safely can with: cx topics create --alter")
        raise Finding("\n".join(lines))


def _do(settings: Settings, changes: list[Change], *, alter: bool) -> None:
    security = aiokafka_security(settings)
    ask(settings, admin.create(*_layout(settings), security=security, min_isr=settings.in_sync))
    if alter:
        try:
            with progress("changing topics", len(changes)) as step:
                apply(confluent_config(settings), changes, step.at)
        except ChangeRefused as error:
            raise Problem(f"the broker at CX_BROKERS={settings.brokers} refuses: {error}") from None
        ask(settings, seen(changes, lambda: _differences(settings)))


@topics.command(examples="cx topics check\ncx topics check --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(as_json: bool) -> None:
    """Compare the topics with what the program needs; exit code 1 when any differs.

    Each difference is told with what `cx topics create --alter` would do about it, or why it would not.
    """
    settings = load_settings()
    changes = _changes(settings)
    if as_json:
        click.echo(json.dumps({"ok": not changes, "differences": [each.as_json() for each in changes]}))
    if changes:
        lines = [f"{len(changes)} things about the topics are not as they must be:"]
        lines += [f"  {each.difference}{f'; {each.why}' if each.why else ''}" for each in changes]
        if any(each.do is Do.CREATE for each in changes):
            lines.append("create what is missing with: cx topics create")
        if any(each.do in {Do.ALTER, Do.GROW} for each in changes):
            lines.append("change what can safely be changed with: cx topics create --alter")
        raise Finding("\n".join(lines))
    if not as_json:
        click.echo(f"{len(_layout(settings)[1])} topics are as they must be")


@topics.command(
    name="acls",
    examples="""
    cx topics acls worker --principal User:cx-worker
    cx topics acls producer --principal User:shop --bootstrap kafka-1:9092 | sh
    cx topics acls operator --json
    """,
)
@click.argument("role", type=click.Choice(list(ROLES)))
@click.option("--principal", default="User:cx-pulse", show_default=True, help="Who is to be allowed.")
@click.option("--bootstrap", help="Address in the commands; default: CX_BROKERS.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array on stdout.")
def list_acls(role: str, principal: str, bootstrap: str | None, as_json: bool) -> None:
    """Print what a role must be allowed on the brokers, as commands of Kafka's own kafka-acls.sh.

    Nothing is asked of a broker, and nothing is changed.
    """
    settings = load_settings()
    wanted = acls(role, settings.app_id)
    if as_json:
        click.echo(json.dumps([each.as_json(principal) for each in wanted]))
        return
    for each in wanted:
        click.echo(_command(each, principal, bootstrap or settings.brokers))


def _command(each: Acl, principal: str, bootstrap: str) -> str:
    operations = " ".join(f"--operation {operation}" for operation in each.operations)
    return (
        f"kafka-acls.sh --bootstrap-server {bootstrap} --command-config admin.properties --add "
        f"--allow-principal {quote(principal)} {operations} --{each.kind} {quote(each.name)}"
    )


def _changes(settings: Settings) -> list[Change]:
    async def look() -> list[Change]:
        differences = await _differences(settings)
        names = {each.topic for each in differences if each.what is not admin.What.MISSING}
        extents = await admin.extents(settings.brokers, names, aiokafka_security(settings)) if names else {}
        return propose(differences, extents)

    return ask(settings, look())


async def _differences(settings: Settings) -> list[admin.Difference]:
    return await admin.plan(
        *_layout(settings), security=aiokafka_security(settings), min_isr=settings.in_sync
    )


def _layout(settings: Settings) -> tuple[str, Any, int]:
    return (
        settings.brokers,
        layout(settings.app_id, settings.partitions, settings.retention),
        settings.replication,
    )
