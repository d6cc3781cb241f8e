"""How commands present themselves: help begins with examples."""

from __future__ import annotations

from typing import Any

import click


class _Examples:
    """Adds the examples after the usage line; for use with click's classes."""

    examples: str = ""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text("Examples:")
                with formatter.indentation():
                    for line in self.examples.strip().splitlines():
                        formatter.write(f"{'':{formatter.current_indent}}{line.strip()}\n")
        super().format_help_text(ctx, formatter)  # type: ignore[misc]


class Command(_Examples, click.Command):
    """A command with ``examples``: shell lines, one a line."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples


class Group(_Examples, click.Group):
    """A group with ``examples``."""

    command_class = Command

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
