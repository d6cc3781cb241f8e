"""What goes wrong, as RFC 9457 says it: ``application/problem+json``, with nothing of the request's content."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stream.serving.reader import ReadModelAway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"
#: Where kinds of problems are described; every kind is a heading there.
ABOUT: Final = "https://github.com/cx-pulse/cx-pulse/blob/main/docs/api.md"
_MOST: Final = 20  # errors that are told one by one

TITLES: Final = {
    "unauthorized": "A key is needed",
    "forbidden": "The key may not do this",
    "not-found": "There is no such thing",
    "bad-request": "The request cannot be read",
    "not-fitting": "The request does not fit",
    "method": "There is no such method here",
    "too-large": "The request is too large",
    "media-type": "The content type or encoding is not taken",
    "too-slow": "The request came too slowly",
    "rate": "Too many requests",
    "busy": "Too much is going on",
    "readmodel": "The read model does not answer",
    "kafka": "Kafka does not answer",
    "events-refused": "No event was accepted",
    "conflict": "It is not as the request supposes",
    "fault": "Something is wrong here",
}
"""Kind -> title. Kinds are a contract: added to, never renamed."""

_OF_STATUS: Final = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    408: "too-slow",
    409: "conflict",
    413: "too-large",
    415: "media-type",
    422: "not-fitting",
    429: "rate",
    503: "busy",
}


class Failed(Exception):  # noqa: N818 - reads as what happened
    """Ends a request with a problem.

    Args:
        status: of HTTP.
        kind: one of ``TITLES``.
        detail: what is wrong and what to do; nothing personal.
        errors: of single items, each with ``reason`` and ``detail``, and ``index`` or ``field``.
        retry_after: seconds after which it may be tried again.
        more: further members.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.more = more or {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after + 0.5)))

    def response(self) -> Response:
        """As it goes out."""
        body: dict[str, Any] = {
            "type": f"{ABOUT}#{self.kind}",
            "title": TITLES[self.kind],
            "status": self.status,
        }
        if self.detail is not None:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = list(self.errors)
        body |= self.more
        return Response(msgspec.json.encode(body), self.status, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every failure of an app go out as a problem."""

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, Failed)  # noqa: S101 - registered for nothing else
        return error.response()

    async def away(_: Request, error: Exception) -> Response:
        return Failed(503, "readmodel", str(error), retry_after=2).response()

    async def unfit(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return unfitting(error.errors()).response()

    async def plain(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        status = error.status_code
        kind = _OF_STATUS.get(
            status, "fault" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad-request"
        )
        return Failed(status, kind, headers=error.headers).response()

    app.add_exception_handler(Failed, failed)
    app.add_exception_handler(ReadModelAway, away)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, plain)


def unfitting(errors: Sequence[Any]) -> Failed:
    """What pydantic says of a request, without what was given."""
    if any(each["type"] == "json_invalid" for each in errors):
        return Failed(400, "bad-request", "the body is no JSON")
    told = [
        {
            "field": ".".join(str(part) for part in each["loc"]),
            "reason": each["type"],
            "detail": _detail(each),
        }
        for each in errors[:_MOST]
    ]
    return Failed(
        422, "not-fitting", f"{len(errors)} thing{'s' if len(errors) > 1 else ''} to put right", errors=told
    )


def _detail(error: Mapping[str, Any]) -> str:
    # The messages of pydantic tell the rule; only those of own validators could hold more, and do not.
    return str(error["msg"]).removeprefix("Value error, ")
