"""Log lines: one an event, key=value, nothing of a customer."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.cli.logs import LineFormatter, setup_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs, with logging as it was afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    out = io.StringIO()
    setup_logging("INFO", out)
    yield out
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in ("aiokafka", "faust", "mode", "asyncio", "aiohttp", "kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_has_time_level_logger_message_and_fields(lines: io.StringIO) -> None:
    """The time is UTC with Z; fields follow the message; no colours off a terminal."""
    logging.getLogger("stream.app").warning("two words", extra={"fields": {"topic": "cx.replies", "n": 3}})
    when, rest = lines.getvalue().split(" ", 1)
    assert when.endswith("Z")
    assert rest == 'level=warning logger=stream.app msg="two words" topic=cx.replies n=3\n'


def test_an_exception_is_its_type_and_place_without_its_text(lines: io.StringIO) -> None:
    """A decoder's complaint may repeat a record, so only where it came from is told."""
    try:
        json.loads('{"comment": "I am Jane Doe" oops')
    except json.JSONDecodeError as error:
        try:
            raise KeyError("jane@example.org") from error
        except KeyError:
            logging.getLogger("stream.app").exception("failed")
    text = lines.getvalue()
    assert "Jane" not in text
    assert "jane@" not in text
    assert "error=KeyError at=test_logs.py:" in text
    assert "cause=JSONDecodeError" in text
    assert text.count("\n") == 1


def test_an_exception_inside_a_message_is_its_type_alone(lines: io.StringIO) -> None:
    """Libraries put exceptions into their messages; one of the network's keeps its text there too."""
    log = logging.getLogger("mode")
    log.error("Crashed reason=%r", KeyError("jane@example.org"))
    log.error("lost: %s after %d s", ConnectionRefusedError(111, "Connection refused"), 3)
    assert "jane@" not in lines.getvalue()
    assert 'msg="Crashed reason=KeyError"' in lines.getvalue()
    assert "lost: ConnectionRefusedError: [Errno 111] Connection refused after 3 s" in lines.getvalue()


async def test_a_forgotten_task_is_told_without_its_exception_s_text(lines: io.StringIO) -> None:
    """Asyncio writes the whole future into the message; only its first line stays."""

    async def fails() -> None:
        raise KeyError("jane@example.org")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    del task
    gc.collect()
    assert "jane@" not in lines.getvalue()
    assert "Task exception was never retrieved" in lines.getvalue()
    assert "error=KeyError" in lines.getvalue()


def test_at_level_debug_libraries_tell_all_but_what_is_in_records(lines: io.StringIO) -> None:
    """Aiokafka's DEBUG writes whole fetch responses; it stays at INFO."""
    setup_logging("DEBUG", lines)
    logging.getLogger("faust.app").debug("chatter")
    logging.getLogger("aiokafka.conn").debug("jane@example.org")
    logging.getLogger("aiokafka.conn").info("joined")
    assert "chatter" in lines.getvalue()
    assert "joined" in lines.getvalue()
    assert "jane@" not in lines.getvalue()


def test_what_the_network_says_is_kept(lines: io.StringIO) -> None:
    """An operator needs the reason of a lost connection."""
    try:
        raise ConnectionRefusedError(111, "Connection refused")
    except OSError:
        logging.getLogger("stream.app").exception("broker away")
    assert 'reason="[Errno 111] Connection refused"' in lines.getvalue()


def test_libraries_are_quiet_below_warning(lines: io.StringIO) -> None:
    """Faust and aiokafka tell of rebalances line by line; that is for DEBUG."""
    logging.getLogger("faust.app").info("chatter")
    logging.getLogger("aiokafka.consumer").warning("trouble")
    assert "chatter" not in lines.getvalue()
    assert "trouble" in lines.getvalue()


@given(st.text(), st.text())
def test_whatever_the_text_it_is_one_printable_line(message: str, value: str) -> None:
    """No message can forge another line or control a terminal."""
    record = logging.LogRecord("stream", logging.INFO, "", 0, "%s", (message,), None)
    record.fields = {"key": value}
    line = LineFormatter().format(record)
    assert line.isprintable()
