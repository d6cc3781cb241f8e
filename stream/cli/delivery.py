"""``cx delivery``: is a delivery file right, does it reach anybody, and what is still owed to whom."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stream.cli.asking import ask
from stream.cli.config import load_settings
from stream.cli.moments import columns, in_words
from stream.cli.problems import Finding, Problem
from stream.cli.progress import progress
from stream.cli.shape import Group

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.cli.progress import Step
    from stream.delivery.model import DeliveryPlan, Route
    from stream.delivery.records import Outcome

FILE: Final = click.Path(path_type=Path, dir_okay=False)
_PLACE: Final = ("file", "line", "receiver", "field", "problem")


@click.group(
    cls=Group,
    examples="""
    cx delivery check delivery.yml
    cx delivery route delivery.yml severity=critical segment=vip
    cx delivery test delivery.yml care
    cx delivery list
    """,
)
def delivery() -> None:
    """Who is sent which alerts: check the delivery file, try receivers, see what is owed and what was parked."""


@delivery.command(examples="cx delivery check delivery.yml\ncx delivery check delivery.yml --strict --json")
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--strict", is_flag=True, help="Warnings end with exit code 1, too.")
def check(file: Path, as_json: bool, strict: bool) -> None:
    """Say whether the worker would accept this delivery file; the first thing wrong ends with exit code 1.

    Warnings, on stderr, are of what is right and yet may surprise: a webhook without a signature, a receiver
    that no route names, a secret that is not there. The worker does not start without its secrets; the machine
    on which a file is checked need not have them.
    """
    from stream.delivery.reading import DeliveryError  # noqa: PLC0415

    try:
        plan = _read(file)
    except DeliveryError as error:
        if as_json:
            said = {name: getattr(error, "rule" if name == "receiver" else name) for name in _PLACE}
            click.echo(json.dumps({"ok": False, "error": said}))
        raise Finding(str(error)) from None
    warnings = _warnings(plan)
    if as_json:
        told = [dict(zip(("file", "line", "receiver", "problem"), each, strict=True)) for each in warnings]
        receivers = {name: [target.key for target in targets] for name, targets in plan.receivers.items()}
        click.echo(json.dumps({"ok": True, "file": str(file), "receivers": receivers, "warnings": told}))
    else:
        for name, line, receiver, problem in warnings:
            click.echo(f"{name}:{line}: receiver {receiver!r}: {problem}", err=True)
        aside = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
        count = len(plan.receivers)
        names = ", ".join(plan.receivers)
        click.echo(f"{file}: ok, {count} receiver{'s' if count > 1 else ''}: {names}{aside}")
    if strict and warnings:
        raise Finding(f"{file}: {len(warnings)} warning{'s' if len(warnings) > 1 else ''}, and --strict")


@delivery.command(
    examples="""
    cx delivery route delivery.yml
    cx delivery route delivery.yml severity=critical segment=vip
    """
)
@click.argument("file", type=FILE)
@click.argument("labels", nargs=-1, metavar="[LABEL=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def route(file: Path, labels: tuple[str, ...], as_json: bool) -> None:
    """Say who would be sent an alert with these labels; without labels, show the tree of routes."""
    from stream.delivery.routes import receivers_of  # noqa: PLC0415

    plan = _plan(file)
    if not labels:
        lines = list(_tree(plan.route, 0))
        click.echo(json.dumps({"routes": lines}) if as_json else "\n".join(lines))
        return
    given = dict(_label(each) for each in labels)
    found = receivers_of(plan.route, given)
    targets = [target.key for name in found for target in plan.receivers[name]]
    if as_json:
        click.echo(json.dumps({"labels": given, "receivers": found, "targets": targets}))
        return
    for name in found:
        own = ", ".join(str(target.kind) for target in plan.receivers[name]) or "nowhere"
        click.echo(f"{name}: {own}")


@delivery.command(
    examples="""
    cx delivery test delivery.yml care
    cx delivery test delivery.yml --all --json
    """
)
@click.argument("file", type=FILE)
@click.argument("receivers", nargs=-1, metavar="[RECEIVER]...")
@click.option("--all", "everyone", is_flag=True, help="Every receiver.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a target, one a line.")
def test(file: Path, receivers: tuple[str, ...], everyone: bool, as_json: bool) -> None:
    """Send a test alert to receivers and say what came back. Exit code 1: not all have taken it.

    The alert is called CxPulseTest, fires and says that it is a test. It goes out once: nothing is tried again,
    and nothing of it is in any topic. An Alertmanager takes it for over after resolve_timeout.
    """
    plan = _plan(file)
    unknown = [name for name in receivers if name not in plan.receivers]
    if unknown:
        from stream.alerting.reading import suggest  # noqa: PLC0415

        raise Problem(f"{file}: no receiver {unknown[0]!r}{suggest(unknown[0], plan.receivers)}")
    if not receivers and not everyone:
        raise Problem(f"name a receiver, or --all; there are: {', '.join(plan.receivers)}")
    wanted = list(plan.receivers) if everyone else list(dict.fromkeys(receivers))
    import asyncio  # noqa: PLC0415

    failed = 0
    with progress("sending", sum(len(plan.receivers[name]) for name in wanted)) as step:
        tried = asyncio.run(_tried(plan, wanted, step))
    for key, outcome in tried:
        failed += outcome.kind != "delivered"
        if as_json:
            said = {"target": key, "outcome": outcome.kind, "why": outcome.why, "detail": outcome.detail}
            click.echo(json.dumps(said))
        else:
            detail = f": {outcome.detail}" if outcome.detail and outcome.kind != "delivered" else ""
            click.echo(f"{key:<30}  {outcome.kind} ({outcome.why}){detail}{_hint(outcome)}")
    if failed:
        raise Finding(f"{failed} did not take the alert")


@delivery.command(
    "list",
    examples="""
    cx delivery list
    cx delivery list --parked --target care/webhook
    cx delivery list --json
    """,
)
@click.option("--target", "wanted", multiple=True, help="Of this target only, as care/webhook; repeatable.")
@click.option("--parked", is_flag=True, help="Only what is parked.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def list_(wanted: tuple[str, ...], parked: bool, limit: int, as_json: bool) -> None:
    """Say what is owed to each target, what was parked and why, and which targets are in trouble.

    Parked is what a target refused five times, what could not be delivered for give_up_after, and what is owed
    to a target that is gone or no longer in the file. It is kept for 28 days. The content of alerts is not shown.
    """
    from stream.cli.deliveries import known  # noqa: PLC0415

    settings = load_settings()
    found = ask(settings, known(settings))
    now_ms = found.now_ms
    counts = [row for row in found.counts() if not wanted or row["target"] in wanted]
    rows = [
        each
        for each in found.rows
        if (not wanted or each["target"] in wanted) and (not parked or each["state"] == "parked")
    ]
    newest = sorted(rows, key=lambda each: each["since_ms"], reverse=True)[:limit]
    if as_json:
        click.echo(json.dumps({"targets": counts, "alerts": newest}))
        return
    head = ["target", "owed", "parked", "trouble"]
    if counts:
        for line in columns([head, *([str(row[name]) for name in head] for row in counts)]):
            click.echo(line)
    if newest:
        click.echo()
    for line in columns(
        [
            [each["state"], each["target"], each["id"], f"{each['tries']} tries", each["why"],
             in_words(each["since_ms"], now_ms)]
            for each in newest
        ]
    ):  # fmt: skip
        click.echo(line)
    if len(rows) > len(newest) and limit:
        click.echo(f"and {len(rows) - len(newest)} more: --limit {len(rows)}", err=True)
    if not counts:
        click.echo("nothing is owed, and nothing is parked", err=True)


@delivery.command(
    examples="""
    cx delivery redrive --dry-run
    cx delivery redrive --target care/webhook
    cx delivery redrive --id 0f1e2d3c4b5a6978:1768203600000 --yes --json
    """
)
@click.option("--target", "target", help="To this target only, as care/webhook.")
@click.option("--id", "ids", multiple=True, help="The alert event with this id; repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent again, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The counts as one JSON object on stdout.")
def redrive(target: str | None, ids: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Let workers send again what is parked, and try targets that are gone or in trouble at once.

    Asks the workers by cx.redrives: they send with the ids that the alerts had. It is noted, not awaited.
    """
    from stream.cli.deliveries import ask_workers, known  # noqa: PLC0415

    settings = load_settings()
    found = ask(settings, known(settings))
    rows = [
        each
        for each in found.rows
        if each["state"] == "parked" and target in (None, each["target"]) and (not ids or each["id"] in ids)
    ]
    troubled = [key for key in found.trouble if target in (None, key)]
    if not as_json:
        tried = f", and {', '.join(troubled)} would be tried at once" if troubled else ""
        click.echo(
            f"{len(rows)} parked alerts{tried}" if rows or troubled else "nothing to send again", err=True
        )
    asked = bool((rows or troubled) and not dry_run)
    if asked:
        if not yes:
            _confirm(len(rows))
        ask(settings, ask_workers(settings, target, ids))
    if as_json:
        click.echo(json.dumps({"found": len(rows), "troubled": troubled, "asked": asked}))
    elif asked:
        click.echo(f"{len(rows)} asked for; cx delivery list shows what becomes of them")


def _confirm(count: int) -> None:
    click.echo(f"send {count} again? [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        raise Problem("nothing was asked for: nobody answered; --yes does not ask")
    if answer.strip().lower() not in {"y", "yes"}:
        raise Finding("nothing was asked for")


def _read(file: Path) -> DeliveryPlan:
    from stream.delivery.loading import text_of  # noqa: PLC0415
    from stream.delivery.reading import read_delivery  # noqa: PLC0415

    try:
        text = text_of(file)
    except ValueError as error:
        if str(error).startswith("CX_DELIVERY: "):
            raise Problem(str(error).removeprefix("CX_DELIVERY: ")) from None
        raise
    return read_delivery(text, str(file))


def _plan(file: Path) -> DeliveryPlan:
    from stream.delivery.reading import DeliveryError  # noqa: PLC0415

    try:
        return _read(file)
    except DeliveryError as error:
        raise Finding(str(error)) from None


def _warnings(plan: DeliveryPlan) -> list[tuple[str, int, str, str]]:
    from stream.delivery.model import Kind  # noqa: PLC0415
    from stream.delivery.secrets import missing  # noqa: PLC0415

    found = []
    used = set(_used(plan.route))
    for name, targets in plan.receivers.items():
        if name not in used and targets:
            found.append((plan.filename, targets[0].line, name, "no route names it: it gets nothing"))
    for target in plan.targets.values():
        if target.kind is Kind.WEBHOOK and target.secrets is None:
            problem = (
                f"{target.key}: nothing is signed: its owner cannot tell whose alerts these are; secret_env"
            )
            found.append((plan.filename, target.line, target.receiver, problem))
        plain = (
            target.url is not None and target.url.kind == "text" and target.url.value.startswith("http://")
        )
        if plain and target.kind is Kind.WEBHOOK:
            problem = f"{target.key}: http: alerts travel in the clear"
            found.append((plan.filename, target.line, target.receiver, problem))
    found += [
        (plan.filename, target.line, target.receiver, f"{target.key}: {problem}; the worker would not start")
        for target, problem in missing(plan)
    ]
    return sorted(found, key=lambda each: each[1])


def _used(route: Route) -> Iterable[str]:
    yield route.receiver
    for child in route.routes:
        yield from _used(child)


def _tree(route: Route, depth: int) -> Iterable[str]:
    from stream.alerting.matching import show_matcher  # noqa: PLC0415

    said = ", ".join(show_matcher(matcher) for matcher in route.matchers) or "every alert"
    goes_on = "  (and on to the next)" if route.continues else ""
    yield f"{'  ' * depth}{said}  ->  {route.receiver}{goes_on}"
    for child in route.routes:
        yield from _tree(child, depth + 1)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Problem(f"{text!r} is no label; write it as segment=vip")
    return name, value


async def _tried(plan: DeliveryPlan, wanted: list[str], step: Step) -> list[tuple[str, Outcome]]:
    import time  # noqa: PLC0415

    from stream.delivery.line import Parcel  # noqa: PLC0415
    from stream.delivery.sample import sample  # noqa: PLC0415
    from stream.delivery.sender import Sender  # noqa: PLC0415

    now_ms = time.time_ns() // 1_000_000
    sender = Sender(plan)
    await sender.start()
    try:
        found: list[tuple[str, Outcome]] = []
        for target in (target for name in wanted for target in plan.receivers[name]):
            step.show(f"sending to {target.key}", len(found), step.total)
            outcome = await sender.send(Parcel(target, (0,), (sample(now_ms),), now_ms))
            found.append((target.key, outcome))
        return found
    finally:
        await sender.stop()


def _hint(outcome: Outcome) -> str:
    return f"; {_HINTS[outcome.why]}" if outcome.why in _HINTS else ""


_HINTS: Final[dict[str, Any]] = {
    "address_refused": "a private address: name its network under allow_private",
    "dns": "the host's name is not known",
    "connection": "nobody answers there",
    "timeout": "no answer in time (timeout)",
    "tls": "the certificate is not trusted, or there is no TLS: tls_config.ca_file says whose it may be",
    "http_301": "it is at another address now; redirects are not followed",
    "http_302": "it is at another address now; redirects are not followed",
    "http_307": "it is at another address now; redirects are not followed",
    "http_308": "it is at another address now; redirects are not followed",
    "smtp_auth": "user or password are wrong",
    "smtp_no_tls": "the server has no STARTTLS: use port 465, or require_tls: false",
}
