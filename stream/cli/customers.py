"""``cx customers``: who they are, who is worth keeping, and all that is held of one."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stream.cli.asking import ask, read
from stream.cli.config import load_settings
from stream.cli.erase import erase
from stream.cli.files import look_for, on_disk, size, summary, tell_refused
from stream.cli.moments import MOMENT, Duration
from stream.cli.problems import Finding, Problem, as_problem
from stream.cli.progress import progress
from stream.cli.shape import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.customers import Customer, CustomerConfig
    from stream.customers.ranking import Ranked
    from stream.settings import Settings

_LONGEST_MS: Final = 520 * 7 * 24 * 3600 * 1000
_TOP: Final = 20


class _Horizon(Duration):
    """A duration of at most ten years."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found: int = super().convert(value, param, ctx)
        if found > _LONGEST_MS:
            self.fail(f"{value!r} is too far ahead; at most 520w", param, ctx)
        return found


_horizon = click.option(
    "--horizon",
    "horizon_ms",
    default="39w",
    show_default=True,
    type=_Horizon(),
    help="How far ahead purchases are expected.",
)
_currency = click.option(
    "--currency", help="Only money in this one counts.  [default: each customer's only one]"
)
_live_moment = click.option(
    "--as-of", "as_of_ms", type=MOMENT, help="The moment looked from.  [default: the present]"
)


@click.group(
    cls=Group,
    examples="""
    cx customers top
    cx customers show 4711
    cx customers rank events.ndjson --top 10
    """,
)
def customers() -> None:
    """Customers: who is worth keeping, what is known of one, and all that is held of one.

    top, show and export read the customers table of the workers (CX_BROKERS, CX_APP_ID); rank reads files.
    """


customers.add_command(erase)


@customers.command(
    examples="""
    cx customers rank events.ndjson
    cx customers rank day-*.ndjson.gz --as-of 2026-03-01T00:00:00Z --json > ranked.ndjson
    cx customers rank events.ndjson --fit --horizon 26w
    cx simulate --events 20000 | cx customers rank - --top 10
    """
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--as-of", "as_of_ms", type=MOMENT, help="Later events are left out.  [default: the newest event's time]"
)
@_horizon
@_currency
@click.option("--top", type=click.IntRange(1), help=f"At most so many.  [default: {_TOP}; with --json all]")
@click.option("--fit", is_flag=True, help="By models fitted to these customers, not by the declared ones.")
@click.option(
    "--rules", type=click.Path(path_type=Path, dir_okay=False), help="Rules file.  [default: CX_RULES]"
)
@click.option(
    "--now",
    "now_ms",
    type=MOMENT,
    help="Events CX_MAX_AHEAD_MS beyond are too_early.  [default: the present]",
)
@click.option("--json", "as_json", is_flag=True, help="One object a customer, one a line, on stdout.")
def rank(
    files: tuple[Path, ...],
    as_of_ms: int | None,
    horizon_ms: int,
    currency: str | None,
    top: int | None,
    fit: bool,
    rules: Path | None,
    now_ms: int | None,
    as_json: bool,
) -> None:
    """Rank the customers of NDJSON files, plain or gzip, by value at risk; '-' is standard input.

    Files are read as by cx compute, duplicates and bad records treated as workers treat them; however they are
    sorted, no record is too late.
    """
    settings = load_settings(**({} if rules is None else {"rules": rules}))
    found, at_ms = read_customers(files, settings, now_ms, as_of_ms)
    from stream.customers.ranking import rank as order  # noqa: PLC0415 - only when all else is well

    config = _config(settings, horizon_ms, currency)
    if fit:
        config = _fitted(config, found.values(), at_ms)
    with progress("ranking"):
        ranking = order(found.items(), at_ms, config)
    _tell(ranking, at_ms, top, as_json=as_json)


def read_customers(
    files: tuple[Path, ...], settings: Settings, now_ms: int | None, as_of_ms: int | None
) -> tuple[dict[str, Customer], int]:
    """The customers of event files, and the moment they are looked at; what was not taken is told on stderr.

    Args:
        files: NDJSON, plain or gzip; ``-`` is standard input.
        settings: What decides the outcome.
        now_ms: Events further ahead of it are too early; None: the present.
        as_of_ms: Later events are left out; None: the time of the newest.

    Raises:
        Problem: a file or a setting is wrong.
    """
    look_for(files)
    from stream.alerting.rules import RuleError  # noqa: PLC0415 - only when all else is well
    from stream.compute import Job, Unreadable  # noqa: PLC0415
    from stream.compute.folding import fold_files  # noqa: PLC0415

    now = round(time.time() * 1000) if now_ms is None else now_ms
    with on_disk(files) as paths:
        with as_problem(RuleError, Unreadable), progress("reading", size(paths)) as step:
            base, refused = fold_files(Job(paths, settings, now), as_of_ms, step.at)
        tell_refused(refused, dict(zip(paths, files, strict=True)))
    click.echo(summary(base.verdicts, base.reasons), err=True)
    if base.left_out:
        click.echo(f"cx: {base.left_out} later than --as-of, left out", err=True)
    found = dict(base.customers())
    return found, max((c.last_ms for c in found.values()), default=0) if as_of_ms is None else as_of_ms


def _fitted(config: CustomerConfig, found: Iterable[Customer], at_ms: int) -> CustomerConfig:
    """The configuration with models fitted to customers; what comes of it is told on stderr."""
    from stream.cli.models import in_one_line  # noqa: PLC0415 - only with --fit
    from stream.customers.models import config_with  # noqa: PLC0415
    from stream.pipeline.fits import fit_customers  # noqa: PLC0415

    with progress("fitting"):
        versions = fit_customers(list(found), at_ms, config.currency)
    for version in versions:
        click.echo(f"cx: {in_one_line(version)}", err=True)
        config = config_with(config, version.name, version.parameters)
    return config


@customers.command(
    examples="cx customers top\ncx customers top -n 100 --currency EUR\ncx customers top --json"
)
@click.option("-n", "--n", "top", default=_TOP, show_default=True, type=click.IntRange(1), help="So many.")
@_live_moment
@_horizon
@_currency
@click.option("--json", "as_json", is_flag=True, help="One object a customer, one a line, on stdout.")
def top(top: int, as_of_ms: int | None, horizon_ms: int, currency: str | None, as_json: bool) -> None:
    """List the customers of the workers with the largest value at risk, as they are now."""
    from stream.customers.ranking import rank as order  # noqa: PLC0415 - slow to import

    settings = load_settings()
    table = _Table()
    table.read(settings)
    at_ms = _present(as_of_ms)
    config = _in_force(settings, at_ms, horizon_ms, currency)
    with progress("ranking"):
        ranking = order(
            ((key.decode(), _customer(value)) for key, value in table.held.items()), at_ms, config
        )
    _tell(ranking, at_ms, top, as_json=as_json)


@customers.command(examples="cx customers show 4711\ncx customers show 4711 --json")
@click.argument("customer_id", metavar="ID")
@_live_moment
@_horizon
@click.option("--json", "as_json", is_flag=True, help="One object on stdout.")
def show(customer_id: str, as_of_ms: int | None, horizon_ms: int, as_json: bool) -> None:
    """Show what is known of a customer: signals, scores, tickets, spend, value, churn with its reasons.

    Exit code 1: nothing is.
    """
    settings = load_settings()
    customer = _one(settings, customer_id)
    ids = customer.known.ids
    known = {
        **_profile(settings, customer_id, customer, _present(as_of_ms), horizon_ms),
        "aliases": [] if ids is None else sorted(ids.aliases),
    }
    if as_json:
        click.echo(json.dumps(known, ensure_ascii=False))
        return
    from stream.cli.customer_words import lines  # noqa: PLC0415 - not for --json

    click.echo(customer_id)
    for heading, text in lines(known):
        click.echo(f"  {heading:<10}  {text}")


@customers.command(examples="cx customers export 4711 --json > 4711.json")
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="On one line, as other commands; else indented.")
def export(customer_id: str, as_json: bool) -> None:
    """Export all that the customers table holds of a person, as JSON: the profile, and the state as stored.

    Exit code 1: it holds nothing.
    """
    from stream.alerting.watch import read_watch  # noqa: PLC0415 - slow to import
    from stream.customers.profile import everything, plain  # noqa: PLC0415

    settings = load_settings()
    customer = _one(settings, customer_id)
    known = _profile(settings, customer_id, customer, _present(None), None)
    watch: Any = customer.watch
    found = {
        "customer_id": customer_id,
        "profile": known,
        "held": {**everything(customer), "watch": plain(read_watch(watch))},
    }
    click.echo(json.dumps(found, ensure_ascii=False, indent=None if as_json else 2))


class _Table:
    """The customers table, as its changelog says: of each customer the state that has seen the most.

    Takes records in as they are read, so that no more is held than the table itself.
    """

    def __init__(self, only: bytes | None = None) -> None:
        self.held: dict[bytes, bytes] = {}
        self._only = only

    def read(self, settings: Settings, partitions: Callable[[int], Any] = range) -> None:
        """Ask the broker."""
        from stream import topics  # noqa: PLC0415

        changelog = topics.changelog(settings.app_id, topics.CUSTOMERS_TABLE)
        ask(settings, read(settings, changelog, wanted=self._take, only=partitions))

    def _take(self, _topic: str, key: bytes, value: bytes | None) -> bool:
        import msgspec  # noqa: PLC0415

        from stream.customers import stamp_of  # noqa: PLC0415

        if self._only is not None and key != self._only:
            return False
        if value is None:
            self.held.pop(key, None)
            return False
        present = self.held.get(key)
        try:
            # A worker that lost the partition may have written after its successor: as in recovery.
            if present is None or stamp_of(value) >= stamp_of(present):
                self.held[key] = value
        except msgspec.DecodeError:
            raise _unreadable() from None
        return False


def _one(settings: Settings, customer_id: str) -> Customer:
    """The state of a customer, from the one partition where it can be."""
    from stream.customers.ids import merged_into  # noqa: PLC0415
    from stream.intake import partition_of  # noqa: PLC0415
    from stream.privacy.pseudonyms import name_of  # noqa: PLC0415

    key = name_of(settings, customer_id).encode(errors="surrogateescape")
    table = _Table(key)
    table.read(settings, lambda partitions: (partition_of(key, partitions),))
    customer = _customer(table.held[key]) if key in table.held else None
    to = None if customer is None else merged_into(customer)
    if to is not None:
        raise Finding(f"this id was merged into {to}: cx customers show {shlex.quote(to)}")
    if customer is None or not customer.events:
        raise Finding("nothing is known of this customer; ids are as in the events, case and all")
    return customer


def _customer(value: bytes) -> Customer:
    import msgspec  # noqa: PLC0415

    from stream.customers import decode  # noqa: PLC0415

    try:
        return decode(value)
    except msgspec.DecodeError:
        raise _unreadable() from None


def _unreadable() -> Problem:
    return Problem(
        "a state in the customers table makes no sense to this version: is that of the workers newer?"
    )


def _profile(
    settings: Settings, customer_id: str, customer: Customer, at_ms: int, horizon_ms: int | None
) -> dict[str, Any]:
    from stream.alerting.watch import read_watch  # noqa: PLC0415 - slow to import
    from stream.customers.profile import profile  # noqa: PLC0415
    from stream.pipeline.profiles import about  # noqa: PLC0415

    config = _in_force(settings, max(at_ms, customer.last_ms), horizon_ms, None)
    known = profile(customer_id, customer, at_ms, config)
    watch: Any = customer.watch
    return {**known, **about(customer.fired, read_watch(watch))}


def _config(settings: Settings, horizon_ms: int | None, currency: str | None) -> CustomerConfig:
    from stream.customers.ranking import within  # noqa: PLC0415 - slow to import
    from stream.deployment import pipeline_config, silent_book  # noqa: PLC0415

    config = pipeline_config(settings, silent_book(settings)).customers
    return config if horizon_ms is None else within(config, horizon_ms, currency)


def _in_force(settings: Settings, at_ms: int, horizon_ms: int | None, currency: str | None) -> CustomerConfig:
    """With the versions of models that hold at a moment, as workers look at it."""
    from stream.cli.models import known_models  # noqa: PLC0415 - reads a topic

    models, _ = known_models(settings, _config(settings, horizon_ms, currency))
    return models.at(at_ms)


def _present(as_of_ms: int | None) -> int:
    return round(time.time() * 1000) if as_of_ms is None else as_of_ms


def _tell(ranking: list[Ranked], at_ms: int, top: int | None, *, as_json: bool) -> None:
    """The ranking on stdout; what to be careful with on stderr."""
    from stream.customers.ranking import shown  # noqa: PLC0415

    chosen = ranking[: top if top is not None or as_json else _TOP]
    if as_json:
        for each in chosen:
            click.echo(json.dumps(shown(each), ensure_ascii=False))
    elif chosen:
        from stream.cli.customer_words import table  # noqa: PLC0415

        table(chosen, at_ms)
    left = len(ranking) - len(chosen)
    if left and not as_json:
        click.echo(f"cx: and {left} more", err=True)
    if not ranking:
        click.echo("cx: no customers", err=True)
    mixed = sum(each.spend is None and each.purchases > 0 for each in ranking)
    if mixed:
        click.echo(
            f"cx: {mixed} have no value: their money is in several currencies or in none asked for", err=True
        )
    currencies = sorted({each.currency or "(none)" for each in ranking if each.currency is not None})
    if len(currencies) > 1:
        click.echo(f"cx: {', '.join(currencies)} are ordered as if they were one: see --currency", err=True)
