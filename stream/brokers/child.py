"""A server process of ours that never outlives us."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType


class Startable(ABC):
    """Something to start and to close, and so a context manager; closed too when it does not come up."""

    @abstractmethod
    def start(self) -> Self:
        """Start, and return when it can be used."""

    @abstractmethod
    def close(self) -> None:
        """End; more than once, or without a start, is no error."""

    def __enter__(self) -> Self:
        """Start."""
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class Child:
    """A running server, its output appended to a file, killed when this process ends in whatever way.

    Args:
        command: program and arguments.
        cwd: its working folder.
        log: file its standard output and error are appended to.
        env: its environment; None: ours.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end it in good order
            )
        # The guard reads a pipe that only this process holds open: however this process ends, the read
        # returns and the server is killed. (Linux's PDEATHSIG would follow the starting THREAD instead.)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", f"read _; kill -9 {self._process.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, None while it runs."""
        return self._process.poll()

    def wait(self, within: float) -> int:
        """Exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within so many seconds.
        """
        return self._process.wait(within)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, within: float) -> None:
        """Ask it to end (SIGTERM) and wait; after `within` seconds it is killed."""
        if self.poll() is None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(within)
        self.kill()

    def kill(self) -> None:
        """End it as ``kill -9`` does. Without effect on one that has ended."""
        self._process.kill()
        self._process.wait()
        self._guard.kill()
        self._guard.communicate()
