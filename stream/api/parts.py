"""What routes work with: one of each for a process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from schemas import DIMENSIONS
from stream.adapters import MappingError, load_adapters
from stream.api.guard import Allowed
from stream.api.keys import Keys, Role, is_loopback
from stream.api.live import Live
from stream.api.outbox import Outbox
from stream.api.problems import Failed
from stream.api.telemetry import ApiTelemetry
from stream.brokers.security import confluent_config
from stream.deployment import load_book, pipeline_config
from stream.privacy.pseudonyms import pseudonyms_of
from stream.serving.connect import tls
from stream.serving.reader import Reader
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from stream.adapters import Adapter
    from stream.settings import Settings


class Parts:
    """Settings, and what is made from them.

    Args:
        settings: of the deployment.
        tracing: whose context goes with what is published.

    Raises:
        RuleError, ValueError: rules or settings are wrong; the message names the setting.
    """

    def __init__(self, settings: Settings, tracing: Tracing = OFF) -> None:
        self.settings = settings
        keys = settings.api_keys.get_secret_value() if settings.api_keys is not None else ""
        self.keys = Keys(keys) if keys.strip() else None
        if self.keys is None and not is_loopback(settings.api_host):
            raise ValueError(
                f"CX_API_KEYS: is not set, and CX_API_HOST={settings.api_host} can be reached from elsewhere; "
                "set keys, or listen on 127.0.0.1"
            )
        self.telemetry = ApiTelemetry()
        self.book = load_book(settings)
        self.config = pipeline_config(settings, self.book)
        url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
        self._reader = Reader(url, **tls(settings)) if url else None
        self.pseudonyms = pseudonyms_of(settings)
        self.adapters = _adapters(settings)
        self.adapter_secrets = _adapter_secrets(settings)
        self.live = Live(settings, self.telemetry)
        self.outbox = Outbox(confluent_config(settings), self.telemetry, tracing=tracing)
        self.cache = Cache()
        self.streams = 0

    @property
    def reader(self) -> Reader:
        """The read model.

        Raises:
            Failed: there is none.
        """
        if self._reader is None:
            raise Failed(503, "readmodel", "there is no read model: CX_REDIS_URL is empty")
        return self._reader

    @property
    def has_reader(self) -> bool:
        """Whether there is a read model."""
        return self._reader is not None

    async def start(self) -> None:
        """Start what runs beside requests."""
        self.outbox.start()
        self.live.start()

    async def stop(self) -> None:
        """End it in good order."""
        await self.live.stop()
        await self.outbox.stop()
        if self._reader is not None:
            await self._reader.close()


def _adapters(settings: Settings) -> dict[str, Adapter]:
    try:
        return load_adapters(settings.adapters)
    except MappingError as error:
        raise ValueError(f"CX_ADAPTERS: {error}") from None


def _adapter_secrets(settings: Settings) -> dict[str, str]:
    """Sender -> secret."""
    if settings.adapter_secrets is None:
        return {}
    try:
        return msgspec.json.decode(settings.adapter_secrets.get_secret_value(), type=dict[str, str])
    except msgspec.DecodeError:
        raise ValueError('CX_ADAPTER_SECRETS: must be JSON, as {"typeform": "its secret"}') from None


class Cache:
    """Answers that are a moment old: many ask for the same, and one question to Redis answers them all."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._held: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, key: Hashable, seconds: float, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a question, asked again when it is older than some seconds; failures are not kept."""
        now = time.monotonic()
        held = self._held.get(key)
        if held is not None and held[0] > now:
            return await asyncio.shield(held[1])
        if len(self._held) >= self._most:
            self._held = {each: one for each, one in self._held.items() if one[0] > now}
            if len(self._held) >= self._most:
                return await ask()
        task: asyncio.Future[Any] = asyncio.ensure_future(ask())
        self._held[key] = (now + seconds, task)
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._held.get(key, (0, None))[1] is task:
                del self._held[key]
            raise


async def parts_of(request: Request) -> Parts:
    """The parts of the process."""
    parts: Parts = request.app.state.parts
    return parts


async def followed(request: Request) -> Parts:
    """The parts, once everything on the topics was read.

    Raises:
        Failed: it was not yet.
    """
    parts = await parts_of(request)
    if not parts.live.ready.is_set():
        _, why = parts.live.check()
        raise Failed(503, "kafka", f"the topics are not read yet: {why}", retry_after=1)
    return parts


_parameters: dict[tuple[str, str], frozenset[str]] = {}


def _parameters_of(route: APIRoute, method: str) -> frozenset[str]:
    known = _parameters.get((route.path, method))
    if known is None:
        found, left = set(), [route.dependant]
        while left:
            dependant = left.pop()
            found |= {each.alias for each in dependant.query_params}
            left += dependant.dependencies
        known = _parameters[route.path, method] = frozenset(found)
    return known


async def known_query(request: Request) -> None:
    """A slip of the pen must not pass for no condition at all.

    Raises:
        Failed: the query has a parameter that the route does not know.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not request.scope["query_string"]:
        return
    known = _parameters_of(route, request.method)
    if any(name not in known for name in request.query_params):
        detail = f"parameters are {', '.join(sorted(known))}" if known else "there are no parameters"
        error = {"field": "query", "reason": "unknown", "detail": detail}
        raise Failed(422, "not-fitting", "a parameter of the query is not known", errors=[error])


# Dependencies are coroutines: FastAPI hands plain functions to a thread, which costs more than what they do.
Served = Annotated[Parts, Depends(parts_of)]
Followed = Annotated[Parts, Depends(followed)]
READ = [Depends(Allowed(Role.READ))]
PRIVACY = [Depends(Allowed(Role.PRIVACY))]
INGEST = [Depends(Allowed(Role.INGEST))]


@dataclass(frozen=True, slots=True)
class Where:
    """The slices that a request is about.

    Attributes:
        members: dimension -> value, of those given.
        by: dimensions of the grouping, sorted; () is the whole; None: any grouping.
    """

    members: dict[str, str]
    by: tuple[str, ...] | None

    def holds(self, slice_: dict[str, str]) -> bool:
        """Whether a slice is among them."""
        if self.by is not None and tuple(sorted(slice_)) != self.by:
            return False
        return all(slice_.get(name) == value for name, value in self.members.items())

    @property
    def key(self) -> Hashable:
        """Equal for equal questions."""
        return self.by, tuple(sorted(self.members.items()))


async def where_of(
    by: Annotated[
        str | None,
        Query(
            max_length=200,
            description="grouping: dimensions, comma-separated, or `whole`; without it, every grouping that "
            "has the dimensions given",
        ),
    ] = None,
    segment: Annotated[str | None, Query(max_length=128)] = None,
    stage: Annotated[str | None, Query(max_length=128)] = None,
    touchpoint: Annotated[str | None, Query(max_length=128)] = None,
    channel: Annotated[str | None, Query(max_length=128)] = None,
    product: Annotated[str | None, Query(max_length=128)] = None,
    variant: Annotated[str | None, Query(max_length=128)] = None,
    region: Annotated[str | None, Query(max_length=128)] = None,
    pillar: Annotated[str | None, Query(max_length=128)] = None,
    question: Annotated[str | None, Query(max_length=128)] = None,
    survey: Annotated[str | None, Query(max_length=128)] = None,
    topic: Annotated[str | None, Query(max_length=128)] = None,
) -> Where:
    """The slices that a query is about."""
    given = (
        segment, stage, touchpoint, channel, product, variant, region, pillar, question, survey, topic
    )  # fmt: skip
    members = {name: value for name, value in zip(DIMENSIONS, given, strict=True) if value is not None}
    return Where(members, None if by is None else _grouping(by))


Slices = Annotated[Where, Depends(where_of)]


def _grouping(by: str) -> tuple[str, ...]:
    if by == "whole":
        return ()
    names = by.split(",")
    if unknown := [name for name in names if name not in DIMENSIONS]:
        error = {
            "field": "query.by",
            "reason": "unknown",
            "detail": f"dimensions are {', '.join(DIMENSIONS)}",
        }
        raise Failed(422, "not-fitting", f"{len(unknown)} dimensions are not known", errors=[error])
    return tuple(sorted(set(names)))


def json_response(content: Any, status: int = 200) -> Response:
    """Anything as JSON: structs, dataclasses and plain values; without a look at the declared shape."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI."""
    return {
        status: {
            "description": "A problem",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
