"""``cx models``: which versions of the models there are, which holds when, and what a fit to files gives."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from schemas import ModelVersion, format_ms, to_ms
from stream import topics
from stream.accounts.records import newest
from stream.cli.asking import ask, read
from stream.cli.config import load_settings
from stream.cli.moments import MOMENT, columns, in_words
from stream.cli.problems import Finding
from stream.cli.progress import progress
from stream.cli.shape import Group

if TYPE_CHECKING:
    from stream.customers import CustomerConfig
    from stream.customers.models import Models
    from stream.settings import Settings

_NAMES: Final = ("bgnbd", "gamma_gamma", "churn")
_FEW: Final = 8  # parameters that fit on a line


@click.group(
    cls=Group,
    examples="""
    cx models list
    cx models show bgnbd
    cx models fit events.ndjson --as-of 2026-03-01T00:00:00Z
    """,
)
def models() -> None:
    """Models of customers: what they will buy (bgnbd), what that is worth (gamma_gamma), who cancels (churn).

    Workers fit them every CX_MODELS_EVERY of event time. A version holds from its moment on, at every replay.
    """


@models.command("list", examples="cx models list\ncx models list --json")
@click.option("--at", "at_ms", type=MOMENT, help="In force at this moment of event time.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def list_(at_ms: int | None, as_json: bool) -> None:
    """List the versions that workers know, oldest first; '*' is in force. Before them the declared ones hold."""
    now = round(time.time() * 1000)
    _, versions = known_models(load_settings())
    holding = _holding(versions, now if at_ms is None else at_ms)
    if as_json:
        for each in versions:
            click.echo(json.dumps({**_plain(each), "in_force": each in holding.values()}))
        return
    if not versions:
        click.echo("no version yet: the declared parameters hold", err=True)
    for line in columns([_row(each, now, holds=each in holding.values()) for each in versions]):
        click.echo(line)


@models.command(examples="cx models show bgnbd\ncx models show churn --at 2026-03-01T00:00:00Z --json")
@click.argument("name", type=click.Choice(_NAMES))
@click.option("--at", "at_ms", type=MOMENT, help="In force at this moment of event time.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(name: str, at_ms: int | None, as_json: bool) -> None:
    """Show the version in force: its parameters, what it was made of, how good it is.

    Exit code 1: there is none, the declared parameters hold.
    """
    now = round(time.time() * 1000)
    _, versions = known_models(load_settings())
    version = _holding(versions, now if at_ms is None else at_ms).get(name)
    if version is None:
        raise Finding(f"no version of {name} is in force then: the declared parameters hold")
    if as_json:
        click.echo(json.dumps(_plain(version)))
        return
    click.echo(name)
    for heading, text in _lines(version, now):
        click.echo(f"  {heading:<12}  {text}")


@models.command(
    examples="""
    cx models fit events.ndjson
    cx models fit day-*.ndjson.gz --as-of 2026-03-01T00:00:00Z --currency EUR --json
    """
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--as-of", "as_of_ms", type=MOMENT, help="Later events are left out.  [default: the newest event's time]"
)
@click.option("--currency", help="Only amounts in this one.  [default: that of most customers]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model, one a line, on stdout.")
def fit(files: tuple[Path, ...], as_of_ms: int | None, currency: str | None, as_json: bool) -> None:
    """Fit bgnbd and gamma_gamma to the customers of NDJSON files, as workers would; nothing is changed.

    Exit code 1: too few customers have bought for one of them.
    """
    settings = load_settings()
    from stream.cli.customers import read_customers  # noqa: PLC0415 - imports this module's functions
    from stream.pipeline.fits import fit_customers  # noqa: PLC0415

    found, at_ms = read_customers(files, settings, None, as_of_ms)
    with progress("fitting"):
        made = fit_customers(found.values(), at_ms, currency)
    for version in made:
        click.echo(json.dumps(_plain(version)) if as_json else in_one_line(version))
    if any(version.outcome == "kept" for version in made):
        raise Finding("not everything could be fitted: the declared parameters would go on")


def known_models(
    settings: Settings, config: CustomerConfig | None = None
) -> tuple[Models, list[ModelVersion]]:
    """What is on ``cx.models``: what holds when, and the versions, oldest first; what workers refuse is left out.

    Raises:
        Problem: the broker does not answer, or has no such topic.
    """
    from stream.customers.models import Models  # noqa: PLC0415 - slow to import
    from stream.deployment import pipeline_config, silent_book  # noqa: PLC0415
    from stream.feeds import Refused, decode_model  # noqa: PLC0415

    if config is None:
        config = pipeline_config(settings, silent_book(settings)).customers
    held = Models(config)
    found = []
    for key, value in newest(ask(settings, read(settings, topics.MODELS))[topics.MODELS]).items():
        try:
            version = decode_model(key, value)
            held.take(version.name, to_ms(version.valid_from), to_ms(version.as_of), version.parameters)
        except (Refused, ValueError) as refused:
            click.echo(f"cx: {topics.MODELS}: a record is refused by workers: {refused}", err=True)
        else:
            found.append(version)
    return held, sorted(found, key=lambda each: (each.valid_from, each.name))


def in_one_line(version: ModelVersion) -> str:
    """A fit in words."""
    if version.outcome == "kept":
        return f"{version.name}: not fitted: {version.reason}"
    return f"{version.name}: {_parameters(version)}; from {_made_of(version)}"


def _holding(versions: list[ModelVersion], at_ms: int) -> dict[str, ModelVersion]:
    return {each.name: each for each in versions if to_ms(each.valid_from) <= at_ms}


def _plain(version: ModelVersion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(version.model_dump_json())
    return found


def _row(version: ModelVersion, now: int, *, holds: bool) -> list[str]:
    from_ms = to_ms(version.valid_from)
    what = _parameters(version) if version.outcome == "fitted" else f"as before: {version.reason}"
    return ["*" if holds else "", version.name, format_ms(from_ms), in_words(from_ms, now), what]


def _lines(version: ModelVersion, now: int) -> list[tuple[str, str]]:
    from_ms = to_ms(version.valid_from)
    lines = [
        ("holds from", f"{format_ms(from_ms)} ({in_words(from_ms, now)})"),
        ("as of", format_ms(to_ms(version.as_of))),
    ]
    if version.outcome == "kept":
        lines.append(("kept", f"{version.reason}: parameters as before"))
    else:
        lines.append(("from", _made_of(version)))
    if version.log_likelihood is not None:
        lines.append(("likelihood", f"{version.log_likelihood:.1f} (logarithm)"))
    if version.currency is not None:
        lines.append(("currency", version.currency or "(none named)"))
    shown = version.parameters.items()
    lines += [(name, f"{value:.6g}") for name, value in shown] or [("parameters", "the declared ones")]
    return lines + [(name, f"{value:.4g}") for name, value in version.figures.items()]


def _made_of(version: ModelVersion) -> str:
    stands = f", a sample of about {version.of:,.0f}" if version.of > version.n else ""
    return f"{version.n:,} {'examples' if version.name == 'churn' else 'customers'}{stands}"


def _parameters(version: ModelVersion) -> str:
    if not version.parameters:
        return "the declared parameters"
    if len(version.parameters) > _FEW:
        return f"{len(version.parameters)} parameters"
    return ", ".join(f"{name} {value:.4g}" for name, value in version.parameters.items())
