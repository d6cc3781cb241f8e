"""A real Alertmanager for the tests that ask for one."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from stream.brokers.child import Child
from tests.conftest import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = """
route: {receiver: hook, group_by: [alertname], group_wait: 500ms, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "%s", send_resolved: true}]}]
"""


@dataclass
class Alertmanager:
    """One that runs; ``tells`` is where it sends its notifications."""

    url: str

    def alerts(self) -> dict[str, dict[str, Any]]:
        """What fires there, by the label fingerprint."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310 - our own
            return {each["labels"]["fingerprint"]: each for each in json.load(answer)}


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Callable[[str], Alertmanager]]:
    """Function that starts a real Alertmanager which notifies an address."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        without(
            "Alertmanager", "not installed (Debian: prometheus-alertmanager). Tests with it were LEFT OUT"
        )
    children: list[Child] = []

    def start(tells: str) -> Alertmanager:
        config = tmp_path / "alertmanager.yml"
        config.write_text(CONFIG % tells)
        port = free_port()
        children.append(
            Child(
                [
                    str(program),
                    f"--config.file={config}",
                    f"--storage.path={tmp_path / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                ],
                cwd=tmp_path,
                log=tmp_path / "alertmanager.log",
            )
        )
        found = Alertmanager(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 20
        while True:
            try:
                found.alerts()
            except OSError:
                assert time.monotonic() < deadline, (tmp_path / "alertmanager.log").read_text()
                time.sleep(0.05)
            else:
                return found

    yield start
    for child in children:
        child.kill()
