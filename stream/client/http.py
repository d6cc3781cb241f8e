"""The clients: the same in ordinary and in async code."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from stream.client.events import AGAIN, EventsRefused, SendFailed, Taken, pause_s, read_answer, requests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.client.events import Event, RefusedEvent, Request

_PATH: Final = "/v1/events"
_TIMEOUT_S: Final = 30.0


class _Sending:
    """What has become of the events of one call of ``send``; says what to do after each answer."""

    def __init__(self, events: Event | Iterable[Event], patience_s: float) -> None:
        self.requests = requests(events, datetime.now(UTC))
        self._patience_s = patience_s
        self._dice = random.Random()  # noqa: S311 - jitter, no secret
        self._until = time.monotonic() + patience_s
        self._attempt = 0
        self.accepted = 0
        self.errors: list[RefusedEvent] = []

    def answered(self, request: Request, answer: httpx.Response) -> float | None:
        """None: the request is done. Else the seconds after which to send it again.

        Raises:
            SendFailed: there is no sense in trying again, or no time left.
        """
        found = read_answer(request, answer.status_code, answer.content)
        if isinstance(found, Taken):
            self.accepted += found.accepted
            self.errors += found.errors
            self._attempt = 0
            self._until = time.monotonic() + self._patience_s
            return None
        if answer.status_code not in AGAIN:
            raise SendFailed(found, answer.status_code, request.first)
        return self._again(request, found, answer.status_code, answer.headers.get("retry-after"))

    def cut(self, request: Request, error: httpx.TransportError) -> float:
        """As ``answered``, where there was no answer."""
        return self._again(request, f"no answer ({type(error).__name__})", None, None)

    def result(self) -> int:
        """How many were taken.

        Raises:
            EventsRefused: some were not.
        """
        if self.errors:
            raise EventsRefused(self.accepted, self.errors)
        return self.accepted

    def _again(self, request: Request, why: str, status: int | None, retry_after: str | None) -> float:
        pause = pause_s(self._attempt, retry_after, self._dice)
        self._attempt += 1
        if time.monotonic() + pause > self._until:
            raise SendFailed(f"{why}; given up after {self._patience_s:g} s", status, request.first)
        return pause


def _arguments(url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "User-Agent": "cx-pulse-client"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": url, "headers": headers, "timeout": timeout_s, "follow_redirects": False}


class Client:
    """Sends events; to be closed, or used with ``with``.

    Args:
        url: of ``cx serve``, as ``https://cx.example.com``.
        key: an API key with the role ``ingest``.
        patience_s: how long a request is tried again while the other side is away or busy, seconds.
        timeout_s: of a single try.
    """

    def __init__(
        self, url: str, key: str | None = None, *, patience_s: float = 60.0, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._http = httpx.Client(**_arguments(url, key, timeout_s))
        self._patience_s = patience_s

    def send(self, events: Event | Iterable[Event]) -> int:
        """Send one event or many; returns how many, once Kafka has acknowledged all of them.

        Raises:
            EventsRefused: some do not fit the contract; the others are there.
            SendFailed: not all got there; those from its ``sent`` on may be sent again.
        """
        sending = _Sending(events, self._patience_s)
        for request in sending.requests:
            while (pause := self._try(sending, request)) is not None:
                time.sleep(pause)
        return sending.result()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, sending: _Sending, request: Request) -> float | None:
        try:
            return sending.answered(request, self._http.post(_PATH, content=request.body))
        except httpx.TransportError as error:
            return sending.cut(request, error)


class AsyncClient:
    """As ``Client``, for async code: ``async with AsyncClient(url) as cx: await cx.send(…)``."""

    def __init__(
        self, url: str, key: str | None = None, *, patience_s: float = 60.0, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._http = httpx.AsyncClient(**_arguments(url, key, timeout_s))
        self._patience_s = patience_s

    async def send(self, events: Event | Iterable[Event]) -> int:
        """As ``Client.send``."""
        sending = _Sending(events, self._patience_s)
        for request in sending.requests:
            while (pause := await self._try(sending, request)) is not None:
                await asyncio.sleep(pause)
        return sending.result()

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _try(self, sending: _Sending, request: Request) -> float | None:
        try:
            return sending.answered(request, await self._http.post(_PATH, content=request.body))
        except httpx.TransportError as error:
            return sending.cut(request, error)
