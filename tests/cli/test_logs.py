"""Log lines: one an event, key=value, nothing of a customer."""

from __future__ import annotations

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
