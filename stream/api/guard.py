"""What every request passes before it reaches a route: who asks, how often, how large, how slowly.

Plain ASGI, as nothing that buffers answers may stand between an event stream and its reader.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders

from stream.api.bodies import Body, Gone, Room
from stream.api.keys import EVERYBODY, Caller, Role
from stream.api.limits import Buckets
from stream.api.problems import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stream.api.keys import Keys
    from stream.api.telemetry import ApiTelemetry

logger = logging.getLogger(__name__)

#: Nothing but what is served here, no inline script or style, no frame around it.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_OWN_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_GUARDED: Final = ("/v1/", "/metrics", "/openapi.json")
#: Other products' webhooks: their signatures say who they are, and Authorization holds theirs.
SIGNED: Final = "/v1/adapters/"
#: Wrong keys of one address: so many a second, and at once.
_GUESSES: Final = (1.0, 10.0)
_CALLER: Final = "cx.caller"
_DIGITS: Final = 18
_HEAD_BYTES: Final = 32 * 1024


class Guard:
    """Middleware around everything.

    Args:
        app: what it guards.
        keys: who may do what; None: everybody may do everything, from this machine only.
        rate: requests a second of one caller.
        most_bytes: of a body, by path.
        telemetry: told about every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys | None,
        rate: int,
        most_bytes: Callable[[str], int],
        telemetry: ApiTelemetry,
    ) -> None:
        self._app = app
        self._keys = keys
        self._requests = Buckets(rate, rate * 2)
        self._guesses = Buckets(*_GUESSES)
        self._most_bytes = most_bytes
        self._telemetry = telemetry
        self._room = Room()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever happens, it is answered or its connection ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, scope["path"])
            await send(message)

        try:
            await self._serve(scope, receive, answer)
        except Gone:
            status = status or 499
        except Failed as failed:
            if status == 0:
                await failed.response()(scope, receive, answer)
        except Exception:
            logger.exception("a request failed")  # the log keeps type and place of it, and no text
            if status:
                raise  # the answer has begun: the connection must end, or half of it passes for the whole
            await Failed(500, "fault", "the log says where").response()(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other").replace(":id}", "}")
            self._telemetry.request(route, scope["method"], status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEAD_BYTES:
            raise Failed(431, "too-large", f"the head of a request has at most {_HEAD_BYTES} bytes")
        headers = Headers(scope=scope)
        caller = self._caller(scope, headers)
        scope[_CALLER] = caller
        name = _address(scope) if caller is None or caller.name is None else f"key {caller.name}"
        if wait := self._requests.take(name, time.monotonic()):
            raise Failed(429, "rate", "this caller asks more often than CX_API_RATE allows", retry_after=wait)
        if scope["method"] in _SAFE:
            await self._app(scope, receive, send)
            return
        if caller is None and scope["path"].startswith(_GUARDED) and not scope["path"].startswith(SIGNED):
            raise _no_key()  # before its body is read
        body = Body(
            self._room,
            self._most_bytes(scope["path"]),
            headers.get("content-encoding", "").strip().lower(),
            _length(headers),
        )
        try:
            content = await body.read(receive)
            await self._app(scope, _whole(content, receive), send)
        finally:
            body.close()

    def _caller(self, scope: Scope, headers: Headers) -> Caller | None:
        if self._keys is None:
            _only_own(scope, headers)
            return EVERYBODY
        if scope["path"].startswith(SIGNED):
            return None
        given = headers.getlist("authorization")
        if not given:
            return None
        scheme, _, secret = given[0].partition(" ")
        found = None
        if len(given) == 1 and scheme.lower() == "bearer":
            address, now = _address(scope), time.monotonic()
            if wait := self._guesses.wait(address, now):
                raise Failed(429, "rate", "too many wrong keys", retry_after=wait)
            found = self._keys.caller(secret.strip())
            if found is None:
                self._guesses.take(address, now)
        if found is None:
            raise _no_key("the key is not known")
        return found


bearer = HTTPBearer(auto_error=False, scheme_name="key", description="`Authorization: Bearer SECRET`")


class Allowed:
    """Dependency of a route: the caller has one of some roles."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    async def __call__(self, request: Request, _: Annotated[Any, Depends(bearer)]) -> Caller:
        """The caller.

        Raises:
            Failed: nobody known, or without the role.
        """
        caller: Caller | None = request.scope.get(_CALLER)
        if caller is None:
            raise _no_key()
        if not caller.roles & self.roles:
            wanted = " or ".join(sorted(self.roles))
            raise Failed(403, "forbidden", f"this takes a key with the role {wanted}")
        return caller


def _no_key(detail: str = "send Authorization: Bearer and a key of CX_API_KEYS") -> Failed:
    return Failed(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="cx-pulse"'})


def _only_own(scope: Scope, headers: Headers) -> None:
    """Without keys no page from elsewhere may use its reader's browser: DNS rebinding, forged posts."""
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.strip("[]") not in _OWN_HOSTS:
        raise Failed(403, "forbidden", "without CX_API_KEYS only localhost is served, by that name")
    origin = headers.get("origin")
    if scope["method"] not in _SAFE and origin is not None and origin.partition("://")[2] != host:
        raise Failed(403, "forbidden", "without CX_API_KEYS pages from elsewhere may not write")


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return "nobody" if client is None else str(client[0])


def _length(headers: Headers) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _whole(content: bytes, receive: Receive) -> Receive:
    """A body that was read before, and then what the connection says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return again


def _add_headers(message: Message, path: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    data = path.startswith(("/v1/", "/health/", *_GUARDED))
    headers.setdefault("Content-Security-Policy", _DATA_POLICY if data else PAGE_POLICY)
    headers.setdefault("Cache-Control", "no-store" if data else "no-cache")
