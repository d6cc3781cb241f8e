"""``cx send``: NDJSON files or standard input to Kafka."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from stream import topics
from stream.brokers.security import confluent_config
from stream.cli.config import load_settings
from stream.cli.files import look_for, size
from stream.cli.problems import Finding, Problem
from stream.cli.progress import progress
from stream.cli.sending import Sender
from stream.cli.shape import Command
from stream.privacy.pseudonyms import pseudonyms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.cli.progress import Step

_LONGEST_LINE: Final = 16 * 1024 * 1024
_REPORTED: Final = 20  # refused lines that are named one by one


@click.command(
    cls=Command,
    examples="""
    cx send events.ndjson
    cx send --replies replies-*.ndjson
    cx simulate --events 1000 | cx send -
    """,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--touchpoints", "kind", flag_value=topics.TOUCHPOINTS, help="All to cx.touchpoints.")
@click.option("--replies", "kind", flag_value=topics.REPLIES, help="All to cx.replies.")
@click.option("--json", "as_json", is_flag=True, help="The counts as one JSON object on stdout.")
def send(files: tuple[Path, ...], kind: str | None, as_json: bool) -> None:
    """Send NDJSON events, one JSON object a line, to the brokers of CX_BROKERS; '-' is standard input.

    Replies (with `metric`) go to cx.replies, all others to cx.touchpoints, unless told otherwise. Values
    are sent as they are, keyed by `customer_id`. Lines that are no JSON object are refused with their
    number, the rest is sent; the exit code is then 1.
    """
    look_for(files)
    settings = load_settings()
    from_input = any(str(file) == "-" for file in files)
    refused = 0
    with progress(
        f"waiting for Kafka at {settings.brokers}", hidden=from_input and sys.stdin.isatty()
    ) as step:
        sender = Sender(confluent_config(settings), kind, pseudonyms_of(settings))
        step.show("sending", total=None if from_input else size(files))
        for file in files:
            for number, line in _lines(file, step):
                why: str | None = "longer than 16 MiB" if len(line) > _LONGEST_LINE else sender.send(line)
                if why is not None:
                    refused += 1
                    if refused <= _REPORTED:
                        click.echo(f"cx: {file}:{number}: {why}, not sent", err=True)
        sender.flush()
    _report(sender, refused, as_json=as_json)


def _report(sender: Sender, refused: int, *, as_json: bool) -> None:
    failed = sender.failed.total()
    if as_json:
        counts = {"sent": dict(sorted(sender.delivered.items())), "refused": refused, "failed": failed}
        click.echo(json.dumps(counts))
    else:
        for topic, count in sorted(sender.delivered.items()):
            click.echo(f"{count} sent to {topic}")
    if refused > _REPORTED:
        click.echo(f"cx: {refused - _REPORTED} more lines not sent", err=True)
    if failed:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in sender.failed.most_common(3))
        raise Problem(f"{failed} records were not taken by the broker: {reasons}")
    if refused:
        raise Finding(f"{refused} lines were not sent")


def _lines(file: Path, step: Step) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank."""
    with contextlib.ExitStack() as opened:
        try:
            source: IO[bytes] = (
                sys.stdin.buffer if str(file) == "-" else opened.enter_context(file.open("rb"))
            )
        except OSError as error:
            raise Problem(f"{file}: {error.strerror}") from None
        number = 0
        while line := source.readline(_LONGEST_LINE + 2):
            number += 1
            length = len(line)
            while not line.endswith(b"\n") and length > _LONGEST_LINE:
                rest = source.readline(_LONGEST_LINE)  # of a line too long to keep
                if not rest or rest.endswith(b"\n"):
                    break
            step.add(length if step.total else 1)
            content = line.rstrip(b"\r\n")
            if content.strip():
                yield number, content
