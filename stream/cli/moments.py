"""Moments and durations on the command line."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic_core import PydanticCustomError

from schemas.times import parse, to_ms
from stream.alerting.durations import duration_text, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000


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


def in_words(at_ms: int, now_ms: int) -> str:
    """``in 2h``, ``3d ago``; a minute more or less does not matter beyond an hour, an hour beyond a day."""
    distance = abs(at_ms - now_ms)
    text = roughly(distance)
    return f"in {text}" if at_ms > now_ms else f"{text} ago"


def roughly(ms: int) -> str:
    """A length of time, to two figures that matter: ``45s``, ``2h5m``, ``3d4h``."""
    unit = 1000 if ms < 60 * _MINUTE_MS else _MINUTE_MS if ms < _DAY_MS else 60 * _MINUTE_MS
    return duration_text(ms // unit * unit)


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
