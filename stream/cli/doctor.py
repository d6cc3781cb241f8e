"""``cx doctor``: what is wrong with a deployment, and what to do."""

from __future__ import annotations

import json
import logging
import os

import click

from stream.cli.config import load_settings
from stream.cli.problems import Finding as Found
from stream.cli.problems import Problem
from stream.cli.progress import progress
from stream.cli.shape import Command


@click.command(
    cls=Command,
    examples="""
    cx doctor
    cx doctor --json | jq '.findings[].what'
    cx doctor --list
    """,
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--list", "list_checks", is_flag=True, help="List every check, and look at nothing.")
def doctor(as_json: bool, list_checks: bool) -> None:
    """Look at settings, Kafka, topics, records, Redis and the worker here: what is wrong, and what to do.

    Nothing is changed, and no record, id or secret is shown. Exit code 1 where there is an error or a warning;
    notes are only worth knowing.
    """
    from stream.doctor import CHECKS, PARTS, Level, examine, look  # noqa: PLC0415 - slow to import

    if list_checks:
        for name, check in CHECKS.items():
            click.echo(f"{name}  {(check.__doc__ or '').strip().splitlines()[0]}")
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say, a check says better
    problem, settings = None, None
    try:
        settings = load_settings(False)
    except Problem as error:
        problem = error.message
    with progress("looking at settings", len(PARTS)) as step:

        def say(number: int) -> None:
            step.show(f"looking at {PARTS[number]}", number, len(PARTS))

        found = examine(look(settings, problem, os.environ, say))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "checks": len(CHECKS),
                    "findings": [
                        {"check": each.check, "level": each.level, "what": each.what, "cure": each.cure}
                        for each in found
                    ],
                }
            )
        )
    else:
        for each in found:
            click.echo(f"{each.level:<8}{each.check}: {each.what}\n        -> {each.cure}")
    grave = sum(each.level is not Level.NOTE for each in found)
    if grave:
        raise Found(
            f"{grave} of {len(CHECKS)} checks found something"
            if grave > 1
            else f"one of {len(CHECKS)} checks found something"
        )
    click.echo(f"{len(CHECKS)} checks, nothing wrong", err=True)
