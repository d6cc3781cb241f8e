"""``cx schemas``: the wire contracts as JSON Schema and AsyncAPI."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.export import export as write_all
from stream.cli.problems import Problem
from stream.cli.shape import Group


@click.group(cls=Group, examples="cx schemas export schemas.out")
def schemas() -> None:
    """Export the wire contracts: what producers send and subscribers get."""


@schemas.command(examples="cx schemas export schemas.out")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def export(directory: Path) -> None:
    """Write JSON Schemas (and AsyncAPI) into DIR, which is made if it is missing."""
    try:
        written = write_all(directory)
    except OSError as error:
        raise Problem(f"{error.filename or directory}: {error.strerror}") from None
    for path in written:
        click.echo(path)
