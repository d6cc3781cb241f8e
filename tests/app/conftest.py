"""An embedded broker with the program's topics, and what a process logs."""

from __future__ import annotations

import logging
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from stream import app as wiring
from stream import topics
from stream.brokers.embedded import EmbeddedKafka

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    """An empty broker with the program's topics."""
    with EmbeddedKafka(topics.layout("cx-pulse", 4)) as kafka:
        yield kafka


@pytest.fixture(autouse=True)
def _quick_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "SESSION_TIMEOUT_S", 6.0)
    monkeypatch.setattr(wiring, "HEARTBEAT_S", 0.3)


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """What the process logs, as ``cx worker`` would."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in ("aiokafka", "faust", "mode", "asyncio", "aiohttp", "kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)
