"""What the demo runs on: an embedded broker, an embedded Redis and the very worker of production."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from stream.brokers.child import Child
from stream.brokers.embedded import EmbeddedFailed, EmbeddedKafka, EmbeddedRedis
from stream.cli.problems import Problem
from stream.cli.scrape import unready
from stream.topics import layout

if TYPE_CHECKING:
    from types import TracebackType

_APP: Final = "cx-demo"
_PARTITIONS: Final = 4
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0

# Beside the addresses, all that differs from a deployment's defaults.
_SETTINGS: Final = {
    "CX_APP_ID": _APP,
    "CX_PARTITIONS": str(_PARTITIONS),
    "CX_IDLE_AFTER_MS": "1000",  # event time runs fast here, and so must the end of the input be noticed
    "CX_LOG_LEVEL": "WARNING",
}


class Stack:
    """Broker, Redis and worker, from ``with`` to its end.

    Args:
        rules: text of the rules file.

    Attributes:
        bootstrap: the broker's address.
        redis_url: the read model's.
        ops_url: base of the worker's ``/metrics``.
    """

    def __init__(self, rules: str) -> None:
        self._rules = rules
        self._opened = ExitStack()
        self._worker: Child | None = None
        self._log: Path | None = None
        self.bootstrap = ""
        self.redis_url = ""
        self.ops_url = ""

    def __enter__(self) -> Self:
        """Start everything and wait until the worker is ready.

        Raises:
            Problem: a part did not come up.
        """
        try:
            with ExitStack() as opened:
                self._start(opened)
                self._opened = opened.pop_all()
        except EmbeddedFailed as error:
            raise Problem(str(error)) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self._opened.close()

    def watch(self) -> None:
        """Raise `Problem` with the end of its log when the worker has died."""
        if self._worker is not None and (code := self._worker.poll()) is not None:
            raise Problem(f"the worker ended with exit code {code}:\n{self._tail()}")

    def _start(self, opened: ExitStack) -> None:
        folder = Path(tempfile.mkdtemp(prefix="cx-demo-"))
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        rules = folder / "rules.yml"
        rules.write_text(self._rules, encoding="utf-8")
        self._log = folder / "worker.log"
        self.bootstrap = opened.enter_context(EmbeddedKafka(layout(_APP, _PARTITIONS))).bootstrap
        self.redis_url = opened.enter_context(EmbeddedRedis()).url
        port = _free_port()
        self.ops_url = f"http://127.0.0.1:{port}"
        settings = {
            **_SETTINGS,
            "CX_BROKERS": self.bootstrap,
            "CX_REDIS_URL": self.redis_url,
            "CX_RULES": str(rules),
            "CX_HTTP_PORT": str(port),
        }
        # In a folder of its own and without the caller's CX_ variables: the demo is the same everywhere.
        command = ["/usr/bin/env"]
        command += [part for name in os.environ if name.startswith("CX_") for part in ("-u", name)]
        command += [f"{name}={value}" for name, value in settings.items()]
        command += [sys.executable, "-m", "stream.cli", "worker"]
        worker = self._worker = Child(command, cwd=folder, log=self._log)
        opened.callback(worker.stop, _STOP_SECONDS)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while reason := unready(self.ops_url):
            self.watch()
            if time.monotonic() > deadline:
                raise Problem(
                    f"the worker is not ready after {_READY_SECONDS:.0f} s ({reason}):\n{self._tail()}"
                )
            time.sleep(0.1)

    def _tail(self) -> str:
        try:
            text = self._log.read_text(errors="replace") if self._log else ""
        except OSError:
            text = ""
        return "\n".join(text.splitlines()[-20:]) or "(it wrote nothing)"


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
