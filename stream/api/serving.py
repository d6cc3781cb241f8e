"""The server under the app: uvicorn, with what slow and strange clients need."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stream.api.app import create_app
from stream.api.problems import Failed
from stream.serving import ListenError
from stream.tracing import OFF, Tracing, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.api.parts import Parts
    from stream.settings import Settings

logger = logging.getLogger(__name__)

HEAD_SECONDS: Final = 10.0
"""The head of a request must be whole within this."""
IDLE_SECONDS: Final = 15
"""A connection without a request is closed after this."""
_GRACE_SECONDS: Final = 15
_HEAD_BYTES: Final = 64 * 1024
_CONNECTIONS: Final = 2_000
_BACKLOG: Final = 1_024


class PatientProtocol(H11Protocol):
    """HTTP/1.1, but not for ever: a head that comes byte by byte ends the connection."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The clock starts with the connection."""
        super().connection_made(transport)
        self.access_log = False  # paths hold ids of customers, however logging is set up
        self._expect()

    def data_received(self, data: bytes) -> None:
        """It stops with a whole head, and starts again with the first byte of the next."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._done()
        elif self._late is None:
            self._expect()

    def on_response_complete(self) -> None:
        """Uvicorn's own clock runs between requests."""
        super().on_response_complete()
        self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        """No clock survives its connection."""
        self._done()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """What is no HTTP, or has a head too large, is told so as everything else is."""
        answer = Failed(400, "bad-request", "this is no HTTP/1.1, or its head is too large").response()
        head = [*answer.raw_headers, (b"connection", b"close")]
        event = h11.Response(status_code=400, headers=head, reason=b"Bad Request")
        for each in (event, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(each) or b"")
        self.transport.close()

    def _expect(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _done(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Ends event streams first: they would wait for ever."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal ends the server in good order, and is not raised again after it: the exit code is 0."""
        loop = asyncio.get_running_loop()
        wanted = (
            (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        )
        for name in wanted:
            loop.add_signal_handler(name, self._stop)
        try:
            yield
        finally:
            for name in wanted:
                loop.remove_signal_handler(name)

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._parts.live.close_streams()
        await super().shutdown(sockets)


def server_of(settings: Settings, tracing: Tracing = OFF) -> uvicorn.Server:
    """The server of a deployment, not yet listening.

    Raises:
        RuleError, ValueError: rules or settings are wrong; the message names the setting.
    """
    app = create_app(settings, tracing)
    config = uvicorn.Config(
        tracing.served(app),
        http=PatientProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
    )
    return _Server(config, app.state.parts)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ListenError: the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host.strip("[]"), port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise ListenError(
            f"CX_API_HOST, CX_API_PORT: cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}"
        ) from error
    found.setblocking(False)
    return found


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises:
        RuleError, ListenError, ValueError: nothing was started.
    """
    tracing = start("cx-serve")
    try:
        return _run(settings, tracing)
    finally:
        tracing.stop()


def _run(settings: Settings, tracing: Tracing) -> int:
    server = server_of(settings, tracing)
    listening = listen(settings.api_host, settings.api_port)
    port = listening.getsockname()[1]
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    logger.info("serving the API and the live page on http://%s:%d", host, port)
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        listening.close()
    return 0 if server.started else 1
