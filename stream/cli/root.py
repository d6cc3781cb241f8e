"""``cx`` itself: its commands, imported only when asked for, and what becomes of an interruption."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any, Final, cast

import click

from stream.cli.shape import Group

# name -> (where it is, one line for the list); the list must not import them all
_COMMANDS: Final = {
    "demo": ("stream.cli.demo:demo", "See it work: broker, Redis, worker, simulator and a live view."),
    "worker": ("stream.cli.worker:worker", "Run a worker until it is told to stop."),
    "serve": ("stream.cli.serve:serve", "Serve the HTTP API, ingest over HTTP and the live page."),
    "simulate": ("stream.cli.simulate:simulate", "Write the events of a plausible customer base."),
    "send": ("stream.cli.send:send", "Send NDJSON events to Kafka."),
    "compute": ("stream.cli.compute:compute", "Compute the metrics of files, without Kafka."),
    "explain": ("stream.cli.explain:explain", "Say what a change of a metric is made of."),
    "rules": ("stream.cli.rules:rules", "Check rules files; put rules in place while workers run."),
    "silences": ("stream.cli.silences:silences", "Keep alerts back for some time."),
    "alerts": ("stream.cli.alerts:alerts", "What fires, and why something did or did not."),
    "delivery": ("stream.cli.delivery:delivery", "Who is sent which alerts, and what is still owed to whom."),
    "customers": ("stream.cli.customers:customers", "Who is worth keeping, and what is known of one."),
    "models": ("stream.cli.models:models", "What was fitted and learned of customers, and when it holds."),
    "deadletters": ("stream.cli.deadletters:deadletters", "Look at refused records; send them again."),
    "topics": ("stream.cli.topics:topics", "Create or check the topics on the broker."),
    "doctor": ("stream.cli.doctor:doctor", "What is wrong with this deployment, and what to do."),
    "completion": ("stream.cli.completion:completion", "Print a shell's completion script."),
    "schemas": ("stream.cli.schemas:schemas", "Export the wire contracts."),
}


class _Root(Group):
    """A group that imports a command when it is used and knows its short help without."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # people end `cx simulate --rate 5` this way: nothing to remark on
            sys.exit(130)


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"cx-pulse {metadata.version('cx-pulse')}")
        ctx.exit()


@click.group(
    cls=_Root,
    examples="""
    cx demo                                 everything on this machine, live in the terminal
    cx demo --events 20000 --seed 1 --json  the same, ending by itself with a summary
    cx rules check rules.yml                is this rules file right?
    cx topics create && cx worker           against the Kafka of CX_BROKERS
    cx simulate --events 1000 | cx send -   a thousand events to Kafka
    """,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Version."
)
def cx() -> None:
    """Real-time customer experience on Kafka: events in, NPS, CSAT, CES and alerts out.

    Settings are CX_* environment variables or lines of a file .env.

    Exit codes: 0 ok, 1 a finding, 2 bad usage, settings or input.
    """
