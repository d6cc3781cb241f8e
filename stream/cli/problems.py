"""How a command ends when something is wrong: one clear line on stderr and the right exit code."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


class Problem(click.ClickException):
    """Bad usage, settings or input, or a part that cannot be reached: exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """The message as it is, on stderr; its lines explain themselves."""
        click.echo(f"cx: {self.format_message()}", file=file, err=file is None)


class Finding(Problem):
    """The command did its work and found something wrong: exit code 1."""

    exit_code = 1


@contextmanager
def as_problem(*expected: type[Exception]) -> Iterator[None]:
    """What is expected to go wrong, and settings that only prove wrong when used, end the command in one line.

    Raises:
        Problem: with the text of the error.
    """
    try:
        yield
    except expected as error:
        raise Problem(str(error)) from None
    except ValueError as error:
        if str(error).startswith("CX_"):
            raise Problem(str(error)) from None
        raise
