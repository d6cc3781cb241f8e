"""Logs: one line an event on stderr, ``key=value``, nothing of a customer in them.

An exception becomes its type and where it came from. Its text is kept only when it comes from the network
or a broker: the text of a decoder's or a dictionary's exception may repeat what was in a record.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from types import TracebackType

# Exceptions from these packages speak of connections and protocols, never of a record's content.
_SPEAKING: Final = ("aiokafka.", "kafka.", "redis.", "confluent_kafka.", "stream.", "agents.", "ssl.")
_QUIET: Final = ("aiokafka", "faust", "mode", "asyncio", "aiohttp", "kafka")
_DUMPS: Final = "aiokafka"
_FRAMES: Final = 4
_LONGEST: Final = 2_000


def setup_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log record of the process to ``stream`` (stderr), one line each.

    Libraries speak from WARNING on, or with everything at level DEBUG; but aiokafka from INFO on even then:
    its DEBUG writes out whole requests and responses, with the records in them. Colours only on a terminal.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter(colours=out.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(level if level == "DEBUG" else max(logging.WARNING, root.level))
    logging.getLogger(_DUMPS).setLevel(max(logging.INFO, logging.getLogger(_DUMPS).level))
    logging.captureWarnings(capture=True)


class LineFormatter(logging.Formatter):
    """``2026-01-02T03:04:05.678Z level=info logger=stream.app msg="…" error=… at=…``.

    What is passed as ``extra={"fields": {...}}`` is added as ``key=value``.
    """

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        parts = [
            when.replace("+00:00", "Z"),
            f"level={record.levelname.lower()}",
            f"logger={record.name}",
            f"msg={_value(_message(record))}",
        ]
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            parts += [f"{key}={_value(str(value))}" for key, value in fields.items()]
        if record.exc_info and record.exc_info[1] is not None:
            parts += _error(record.exc_info[1])
        line = " ".join(parts)
        if self._colours and record.levelno >= logging.WARNING:
            colour = "31" if record.levelno >= logging.ERROR else "33"
            return f"\x1b[{colour}m{line}\x1b[0m"
        return line


def _value(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    if text and not any(character in ' "=\\' or not character.isprintable() for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in escaped) + '"'


class _Told:
    """Stands in a message for an exception: its type, and its text where that may be told."""

    def __init__(self, error: BaseException) -> None:
        self._text = type(error).__name__ + (f": {error}" if _speaks(error) else "")

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def _message(record: logging.LogRecord) -> str:
    args = record.args
    if isinstance(args, tuple) and any(isinstance(arg, BaseException) for arg in args):
        return str(record.msg) % tuple(_Told(arg) if isinstance(arg, BaseException) else arg for arg in args)
    text = record.getMessage()
    if record.name == "asyncio" and record.exc_info:
        return text.split("\n", 1)[0]  # what follows shows objects as they are, exceptions with their text
    return text


def _speaks(error: BaseException) -> bool:
    return isinstance(error, OSError) or type(error).__module__.startswith(_SPEAKING)


def _error(error: BaseException) -> list[str]:
    parts = [f"error={type(error).__name__}"]
    if _speaks(error):
        parts.append(f"reason={_value(str(error))}")
    where = _where(error.__traceback__)
    if where:
        parts.append(f"at={where}")
    cause = error.__cause__
    if cause is not None:
        parts.append(f"cause={type(cause).__name__}")
    return parts


def _where(trace: TracebackType | None) -> str:
    """The innermost frames, outermost first: ``app.py:12<core.py:3``."""
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    return "<".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
