"""How a command ends when something is wrong: one clear line on stderr and the right exit code."""

from __future__ import annotations

from typing import IO, Any

import click


class Problem(click.ClickException):
    """Bad usage, settings or input, or a part that cannot be reached: exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """The message as it is, on stderr; its lines explain themselves."""
        click.echo(f"cx: {self.format_message()}", file=file, err=file is None)


class Finding(Problem):
    """The command did its work and found something wrong: exit code 1."""

    exit_code = 1
