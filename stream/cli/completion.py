"""``cx completion``: what a shell needs to complete commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from stream.cli.shape import Command


@click.command(
    cls=Command,
    examples="""
    cx completion bash > ~/.local/share/bash-completion/completions/cx
    cx completion zsh > "${fpath[1]}/_cx"
    cx completion fish > ~/.config/fish/completions/cx.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell; where it belongs the examples say."""
    from stream.cli.root import cx  # noqa: PLC0415 - it imports this

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the choice above
    click.echo(kind(cx, {}, "cx", "_CX_COMPLETE").source())
