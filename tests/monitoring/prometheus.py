"""A real Prometheus over workers of a test: what it has scraped, asked for as Grafana would."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from stream.brokers.child import Child, Startable
from stream.brokers.kafka import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONFIG = """
global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}
rule_files: {rules}
scrape_configs:
  - job_name: cx-pulse
    static_configs: [{{targets: {targets}}}]
"""


class Prometheus(Startable):
    """Started in a folder of its own; keeps what it scrapes there.

    Args:
        folder: empty, and nobody else's.
        targets: host:port of the workers.
        rules: files with alert rules.
        every: how often it scrapes and evaluates.
    """

    def __init__(
        self, folder: Path, targets: Sequence[str], *, rules: Sequence[Path] = (), every: str = "1s"
    ) -> None:
        self._folder = folder
        self._config = CONFIG.format(
            every=every,
            targets=json.dumps(list(targets)),
            rules=json.dumps([str(path.resolve()) for path in rules]),
        )
        self._child: Child | None = None
        self._base = ""

    def start(self) -> Self:
        """Start, and return when it answers."""
        program = shutil.which("prometheus")
        assert program is not None
        config = self._folder / "prometheus.yml"
        config.write_text(self._config, encoding="utf-8")
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        log = self._folder / "prometheus.log"
        self._child = Child(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            cwd=self._folder,
            log=log,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{self._base}/-/ready", timeout=2):  # noqa: S310 - our own
                    return self
            except OSError:
                assert self._child.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.stop(5)
            self._child = None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Evaluate a query now: series with ``metric`` and ``value``.

        Raises:
            AssertionError: Prometheus refuses it.
        """
        found: list[dict[str, Any]] = self._ask("query", {"query": expr})["result"]
        return found

    def range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Evaluate it over a time: series with ``metric`` and ``values``."""
        asked = {"query": expr, "start": start, "end": end, "step": step}
        found: list[dict[str, Any]] = self._ask("query_range", asked)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All alert rules with their health and state."""
        return [rule for group in self._ask("rules", {})["groups"] for rule in group["rules"]]

    def _ask(self, what: str, asked: Mapping[str, object]) -> Any:
        url = f"{self._base}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{asked}: {error.read().decode()}") from None
