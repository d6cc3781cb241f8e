"""The worker's own HTTP endpoint: ``/metrics``, ``/health/live``, ``/health/ready``; GET and nothing else."""

from __future__ import annotations

import asyncio
import json
from time import monotonic, sleep
from typing import TYPE_CHECKING

from aiohttp import web

from stream.serving.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from stream.serving.health import Health
    from stream.serving.metrics import Telemetry

_NO_STORE = {"Cache-Control": "no-store"}
#: How long rendering goes on at a time, and rests, seconds.
_WORK_S = 0.002
_REST_S = 0.0005


class ListenError(OSError):
    """The address cannot be listened on; the message names the settings."""


class OpsServer:
    """Serves one worker's telemetry and health.

    ``port`` 0 asks for any free one; `port` says which after `start`. Rendering happens in a thread that rests
    often, and the answer is written piece by piece, so a large scrape does not hold up the stream.
    """

    def __init__(self, host: str, port: int, telemetry: Telemetry, health: Health) -> None:
        self._host = host
        self._wanted = port
        self._telemetry = telemetry
        self._health = health
        self._runner: web.AppRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address is taken or not this machine's.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_get("/metrics", self._metrics, allow_head=False)
        app.router.add_get("/health/live", self._live, allow_head=False)
        app.router.add_get("/health/ready", self._ready, allow_head=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._wanted).start()
        except OSError as error:
            await runner.cleanup()
            raise ListenError(
                f"CX_HTTP_HOST, CX_HTTP_PORT: cannot listen on {self._host}:{self._wanted}: "
                f"{(error.strerror or str(error)).lower()}"
            ) from error
        self._runner = runner
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; more than once is no error."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        self._telemetry.refresh()
        parts = await asyncio.to_thread(self._rendered)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, **_NO_STORE})
        response.content_length = sum(map(len, parts))
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    def _rendered(self) -> list[bytes]:
        """All pieces, by a thread that rests: one that goes on has the loop wait 5 ms at each of its calls.

        That is the interpreter's switch interval; reading from a socket is such a call, so is every select.
        """
        parts: list[bytes] = []
        until = monotonic() + _WORK_S
        for part in self._telemetry.parts():
            if part:
                parts.append(part)
            if monotonic() > until:
                sleep(_REST_S)
                until = monotonic() + _WORK_S
        return parts

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True}, headers=_NO_STORE)

    async def _ready(self, _request: web.Request) -> web.Response:
        readiness = self._health.readiness()
        return web.Response(
            text=json.dumps(readiness.as_json(), indent=1) + "\n",
            status=200 if readiness.ready else 503,
            content_type="application/json",
            headers=_NO_STORE,
        )
