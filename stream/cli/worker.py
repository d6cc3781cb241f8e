"""``cx worker``: the process that does the work."""

from __future__ import annotations

import sys

import click

from stream.cli.config import load_settings
from stream.cli.problems import as_problem
from stream.cli.shape import Command


@click.command(
    cls=Command,
    examples="""
    cx worker
    CX_BROKERS=kafka:9092 CX_RULES=rules.yml cx worker
    """,
)
def worker() -> None:
    """Run a worker: consume the input topics, keep the tables, publish metrics and alerts.

    Settings come from CX_* variables (see .env.example). /metrics, /health/live and /health/ready are on
    CX_HTTP_HOST:CX_HTTP_PORT. SIGTERM ends it in good order; run it under something that starts it again.
    """
    settings = load_settings()
    from stream.cli.logs import setup_logging  # noqa: PLC0415 - what follows is slow to import

    setup_logging(settings.log_level)
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.app import run_worker  # noqa: PLC0415
    from stream.brokers.admin import LayoutWrong  # noqa: PLC0415
    from stream.serving import ListenError  # noqa: PLC0415

    with as_problem(RuleError, LayoutWrong, ListenError):
        code = run_worker(settings)
    sys.exit(code)
