"""The command line: ``cx``. Data goes to stdout, messages to stderr."""

from __future__ import annotations


def main() -> None:
    """Run ``cx``; never returns."""
    from stream.cli.root import cx  # noqa: PLC0415 - importing stream.cli must stay cheap

    cx(prog_name="cx")
