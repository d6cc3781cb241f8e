"""``cx serve`` as people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from stream.api.serving import listen
from stream.serving import ListenError
from tests.api.conftest import READ, ServeProcess, bearer

if TYPE_CHECKING:
    from pathlib import Path


def cx(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``cx`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_serves_until_it_is_told_to_stop(broker: str, tmp_path: Path) -> None:
    """It says where it is, keeps secrets to itself, and SIGTERM ends it in good order, open streams and all."""
    keys = f"page:read:{READ}"
    with ServeProcess(tmp_path, CX_BROKERS=broker, CX_API_KEYS=keys) as serving:
        serving.wait_ready()
        with httpx.stream("GET", f"{serving.url}/v1/stream", headers=bearer(READ), timeout=10) as stream:
            assert stream.status_code == 200
            serving.process.terminate()
            assert serving.process.wait(20) == 0
            assert "event: ready" in stream.read().decode()
        log = serving.log_path.read_text()
    assert READ not in log
    assert all(line.startswith("20") and " level=" in line for line in log.splitlines()), log


def test_what_is_wrong_stops_the_start(tmp_path: Path) -> None:
    """One line names the setting, what was given and what to do, and holds no secret; the exit code is 2."""
    done = cx(tmp_path, "serve", CX_REDIS_URL="", CX_API_KEYS=f"page:write:{READ}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip() == (
        "cx: CX_API_KEYS: page: 'write' is no role; allowed are read, operate, privacy, ingest"
    )


def test_an_address_that_cannot_be_had_is_named() -> None:
    """The message has the settings and the address."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"CX_API_PORT: cannot listen on 127\.0\.0\.1:{port}: "):
            listen("127.0.0.1", port)


def test_the_description_needs_no_settings(tmp_path: Path) -> None:
    """`cx serve --openapi` prints the API without a broker."""
    done = cx(tmp_path, "serve", "--openapi", CX_BROKERS="nowhere:1")
    assert done.returncode == 0, done.stderr
    assert "/v1/events" in json.loads(done.stdout)["paths"]
