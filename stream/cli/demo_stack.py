"""What the demo runs on: an embedded broker, an embedded Redis, and the very worker and API of production."""

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
_PAGE_PORT: Final = 8080  # where the page is, unless something else is there

# Beside the addresses, all that differs from a deployment's defaults.
_SETTINGS: Final = {
    "CX_APP_ID": _APP,
    "CX_PARTITIONS": str(_PARTITIONS),
    "CX_IDLE_AFTER_MS": "1000",  # event time runs fast here, and so must the end of the input be noticed
    "CX_LOG_LEVEL": "WARNING",
}


class Stack:
    """Broker, Redis, worker and live page, from ``with`` to its end.

    Args:
        rules: text of the rules file.
        page: whether there is to be a live page.

    Attributes:
        bootstrap: the broker's address.
        redis_url: the read model's.
        ops_url: base of the worker's ``/metrics``.
        page_url: address of the live page; empty where there is none.
    """

    def __init__(self, rules: str, *, page: bool = False) -> None:
        self._rules = rules
        self._page = page
        self._opened = ExitStack()
        self._children: dict[str, Child] = {}
        self._folder = Path()
        self.page_url = ""
        self.bootstrap = ""
        self.redis_url = ""
        self.ops_url = ""

    def __enter__(self) -> Self:
        """Start everything and wait until it is ready.

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
        """Raise `Problem` with the end of its log when a process has died."""
        for name, child in self._children.items():
            if (code := child.poll()) is not None:
                raise Problem(f"cx {name} ended with exit code {code}:\n{self._tail(name)}")

    def _start(self, opened: ExitStack) -> None:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="cx-demo-"))
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        rules = folder / "rules.yml"
        rules.write_text(self._rules, encoding="utf-8")
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
        self._run(opened, "worker", settings)
        if self._page:
            page_port = _free_port(_PAGE_PORT)
            self.page_url = f"http://localhost:{page_port}"
            self._run(opened, "serve", {**settings, "CX_API_PORT": str(page_port)})
        self._wait("worker", self.ops_url)
        if self._page:
            self._wait("serve", self.page_url)

    def _run(self, opened: ExitStack, name: str, settings: dict[str, str]) -> None:
        # In a folder of its own and without the caller's CX_ variables: the demo is the same everywhere.
        command = ["/usr/bin/env"]
        command += [part for given in os.environ if given.startswith("CX_") for part in ("-u", given)]
        command += [f"{given}={value}" for given, value in settings.items()]
        command += [sys.executable, "-m", "stream.cli", name]
        child = self._children[name] = Child(command, cwd=self._folder, log=self._log(name))
        opened.callback(child.stop, _STOP_SECONDS)

    def _wait(self, name: str, base: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while reason := unready(base):
            self.watch()
            if time.monotonic() > deadline:
                raise Problem(
                    f"cx {name} is not ready after {_READY_SECONDS:.0f} s ({reason}):\n{self._tail(name)}"
                )
            time.sleep(0.1)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        try:
            text = self._log(name).read_text(errors="replace")
        except OSError:
            text = ""
        return "\n".join(text.splitlines()[-20:]) or "(it wrote nothing)"


def _free_port(wanted: int = 0) -> int:
    """A free port of this machine: the one wanted, or any."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return _free_port()
        return int(probe.getsockname()[1])
