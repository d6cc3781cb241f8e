"""Commands as people run them: processes of their own, with settings from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from stream.brokers.embedded import EmbeddedKafka
from stream.topics import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def cx(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``cx`` in an empty folder: ``cx("topics", "check", CX_BROKERS="…", stdin=…)``."""

    def run(
        *arguments: str, stdin: str | bytes | None = None, timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "stream.cli", *arguments],
            cwd=tmp_path,
            env={**clean, **env},
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture
def embedded_kafka() -> Iterator[EmbeddedKafka]:
    """An empty broker with the program's topics."""
    with EmbeddedKafka(layout("cx-pulse", 4)) as kafka:
        yield kafka


def consume(bootstrap: str, topic: str, expected: int) -> list[Any]:
    """The first ``expected`` messages of a topic; fails when they do not come."""
    from confluent_kafka import Consumer  # noqa: PLC0415

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    found: list[Any] = []
    try:
        while len(found) < expected:
            message = consumer.poll(20)
            assert message is not None, f"{len(found)} of {expected} messages came"
            assert message.error() is None, message.error()
            found.append(message)
        assert consumer.poll(0.3) is None
    finally:
        consumer.close()
    return found
