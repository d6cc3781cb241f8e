"""The API as a server of its own, spoken to as its users do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from pydantic import SecretStr

from stream.api.serving import listen, server_of
from stream.brokers.child import Child
from stream.brokers.embedded import EmbeddedKafka
from stream.settings import Settings
from stream.topics import layout
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

READ, OPERATE, PRIVACY, INGEST = "r" * 20, "o" * 20, "p" * 20, "i" * 20
KEYS = f"page:read:{READ},ops:read+operate:{OPERATE},dpo:privacy:{PRIVACY},shop:ingest:{INGEST}"


def bearer(secret: str) -> dict[str, str]:
    """The header that a key goes in."""
    return {"Authorization": f"Bearer {secret}"}


class Server:
    """``cx serve`` in a thread; ``client`` speaks to it, with the key of its headers."""

    def __init__(self, settings: Settings, tracing: Tracing = OFF) -> None:
        self.server = server_of(settings, tracing)
        self._socket = listen("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self.server._serve([self._socket]))

    def __enter__(self) -> Self:
        self._thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=20)
        deadline = time.monotonic() + 30
        while not self.server.started:
            assert time.monotonic() < deadline, "the server did not start"
            assert self._thread.is_alive(), "the server ended"
            time.sleep(0.01)
        return self

    def ready(self, within: float = 60) -> Self:
        """Wait until the topics are read."""
        deadline = time.monotonic() + within
        while not (answer := self.client.get("/health/ready")).json()["checks"]["kafka"]["ok"]:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.should_exit = True
        self.client.close()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not end"
        self._socket.close()


class ServeProcess:
    """``cx serve`` as a process of its own; its log goes to a file."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.log_path = folder / f"serve-{uuid.uuid4().hex[:6]}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
        command = [sys.executable, "-m", "stream.cli", "serve"]
        given = {"CX_REDIS_URL": "", "CX_API_PORT": "0", **env}
        self.process = Child(command, cwd=folder, log=self.log_path, env={**clean, **given})
        self.url = ""

    def wait_ready(self, within: float = 60) -> Self:
        """Wait until it has read the topics."""
        deadline = time.monotonic() + within
        while True:
            log = self.log_path.read_text(errors="replace")
            found = re.search(r"on (http://127\.0\.0\.1:\d+)", log)
            with contextlib.suppress(httpx.TransportError):
                if found is not None and httpx.get(f"{found[1]}/health/ready").status_code == 200:
                    self.url = found[1]
                    return self
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()


def settings_of(bootstrap: str, **given: Any) -> Settings:
    """Settings of a test; no read model and no keys unless they are given."""
    if "api_keys" in given:
        given["api_keys"] = SecretStr(given["api_keys"])
    return Settings(_env_file=None, **{"brokers": bootstrap, "redis_url": None, "api_port": 0, **given})


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """Address of an embedded broker with the program's topics, for the tests of a module."""
    with EmbeddedKafka(layout("cx-pulse", 4)) as kafka:
        yield kafka.bootstrap


@pytest.fixture(scope="module")
def server(broker: str) -> Iterator[Server]:
    """A server with keys."""
    with Server(settings_of(broker, api_keys=KEYS)) as running:
        yield running.ready()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Function that starts a server: ``serve(bootstrap, api_rate=5)``; it ends with the test."""
    running: list[Server] = []

    def start(bootstrap: str, **given: Any) -> Server:
        running.append(Server(settings_of(bootstrap, **given)).__enter__())
        return running[-1]

    yield start
    for each in running:
        each.__exit__(None, None, None)
