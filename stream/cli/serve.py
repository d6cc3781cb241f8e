"""``cx serve``: the HTTP API and the live page."""

from __future__ import annotations

import sys

import click

from stream.cli.config import load_settings
from stream.cli.problems import as_problem
from stream.cli.shape import Command


@click.command(
    cls=Command,
    examples="""
    cx serve
    CX_API_HOST=0.0.0.0 CX_API_KEYS="page:read+operate:$SECRET" cx serve
    CX_API_PORT=0 cx serve
    cx serve --openapi > openapi.json
    """,
)
@click.option("--openapi", is_flag=True, help="Print what the API is, as OpenAPI, and serve nothing.")
def serve(openapi: bool) -> None:
    """Serve the HTTP API, ingest over HTTP and the live page, until SIGTERM.

    On CX_API_HOST:CX_API_PORT, over Kafka and the read model in Redis. As many copies may run as wanted. Without
    CX_API_KEYS everybody on this machine may do everything, and nobody else gets in.
    """
    if openapi:
        from stream.api.app import described, routed  # noqa: PLC0415 - slow to import

        click.echo(described(routed()), nl=False)
        return
    settings = load_settings()
    from stream.cli.logs import setup_logging  # noqa: PLC0415 - what follows is slow to import

    setup_logging(settings.log_level)
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.api.serving import run_api  # noqa: PLC0415
    from stream.serving import ListenError  # noqa: PLC0415

    with as_problem(RuleError, ListenError):
        code = run_api(settings)
    sys.exit(code)
