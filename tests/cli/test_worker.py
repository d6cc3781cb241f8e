"""``cx worker``: what stops its start, what it waits for, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_rules import GOOD
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka


@pytest.fixture
def free_port() -> int:
    """A port nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def worker(folder: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process, killed at the end if it still runs; its stderr is in a file ``log``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream.cli", "worker"],
            cwd=folder,
            env={**clean, **env},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def ready(port: int) -> tuple[int, dict[str, Any]]:
    """Status and body of ``/health/ready``; (0, {}) while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except OSError:
        return 0, {}


def test_a_wrong_rules_file_stops_the_start(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """One line with file, line, rule and field, exit code 2; so does a file that is not there."""
    (tmp_path / "rules.yml").write_text(GOOD.replace("below: 30", "below: deep"))
    env = {"CX_BROKERS": embedded_kafka.bootstrap, "CX_HTTP_PORT": "0"}
    done = cx("worker", **env, CX_RULES="rules.yml")
    assert done.returncode == 2
    assert done.stderr.startswith("cx: rules.yml:4: rule 'NpsLow': below: ")
    assert len(done.stderr.splitlines()) == 1
    done = cx("worker", **env, CX_RULES="absent.yml")
    assert done.returncode == 2
    assert done.stderr.startswith("cx: CX_RULES: absent.yml ")


def test_wrong_topics_stop_the_start(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """What is wrong about the topics is listed, exit code 2, no traceback."""
    done = cx("worker", CX_BROKERS=embedded_kafka.bootstrap, CX_HTTP_PORT="0", CX_PARTITIONS="3")
    assert done.returncode == 2
    assert "cx.replies: partitions is 4, must be 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_and_a_wrong_redis_url_stop_the_start(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """Each names its setting; the URL, which may hold a password, is not repeated."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cx("worker", CX_BROKERS=embedded_kafka.bootstrap, CX_HTTP_PORT=str(port))
    assert done.returncode == 2
    assert "CX_HTTP_PORT: cannot listen on 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr
    done = cx("worker", CX_BROKERS=embedded_kafka.bootstrap, CX_REDIS_URL="http://u:geheim@h")
    assert done.returncode == 2
    assert done.stderr.startswith("cx: CX_REDIS_URL:")
    assert "geheim" not in done.stderr


def test_broker_away_is_waited_for(tmp_path: Path, free_port: int) -> None:
    """Clear lines instead of a traceback, not ready meanwhile, and SIGTERM ends it with 0."""
    env = {"CX_BROKERS": "127.0.0.1:1", "CX_REDIS_URL": "", "CX_HTTP_PORT": str(free_port)}
    with worker(tmp_path, **env) as process:
        until("two attempts", lambda: (tmp_path / "log").read_text().count("trying again") >= 2)
        assert ready(free_port)[0] == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    log = (tmp_path / "log").read_text()
    assert "CX_BROKERS 127.0.0.1:1: not reachable" in log
    assert "Traceback" not in log
    assert all(line[:2] == "20" and " level=" in line for line in log.splitlines())


def test_redis_away_is_a_reason_and_the_streams_go_on(
    embedded_kafka: EmbeddedKafka, tmp_path: Path, free_port: int
) -> None:
    """Partitions are assigned and work goes on, while readiness names Redis; SIGTERM ends it with 0."""
    env = {
        "CX_BROKERS": embedded_kafka.bootstrap,
        "CX_REDIS_URL": "redis://127.0.0.1:1/0",
        "CX_HTTP_PORT": str(free_port),
    }
    with worker(tmp_path, **env) as process:
        until(
            "partitions are assigned",
            lambda: ready(free_port)[1].get("checks", {}).get("partitions", {}).get("ok") is True,
        )
        status, body = ready(free_port)
        assert status == 503
        assert body["checks"]["redis"]["ok"] is False
        assert "127.0.0.1:1" in body["checks"]["redis"]["reason"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    log = (tmp_path / "log").read_text()
    assert log.count("is away") == 1
    assert "Traceback" not in log
