"""Moments and durations on the command line."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic_core import PydanticCustomError

from schemas.times import parse, to_ms
from stream.alerting.durations import in_words, parse_duration, roughly

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DURATION", "MOMENT", "columns", "in_words", "roughly", "you"]


class Moment(click.ParamType):
    """RFC 3339 with an offset; becomes epoch milliseconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what is none, saying what is."""
        if isinstance(value, int):
            return value
        try:
            return to_ms(parse(value))
        except PydanticCustomError:
            self.fail(f"{value!r} is no time; write it with an offset, as 2026-03-01T12:00:00Z", param, ctx)


class Duration(click.ParamType):
    """As in rules: ``30m``, ``2h``, ``1d``; becomes milliseconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what is none, saying what is."""
        if isinstance(value, int):
            return value
        found = parse_duration(value)
        if not found:
            self.fail(f"{value!r} is no duration; write it as 30m, 2h or 1d", param, ctx)
        return found


MOMENT: Final = Moment()
DURATION: Final = Duration()


def you() -> str:
    """Who runs the command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
