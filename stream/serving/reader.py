"""Reading the read model back, for whoever serves people. Keys and contents: ``docs/read-model.md``.

`Reader` is for event loops, `BlockingReader` for everybody else.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Any, cast

import msgspec
from redis import Redis
from redis import asyncio as redis_asyncio

from stream import topics
from stream.serving.connect import AWAY, WRONG_URL, address, named, options
from stream.serving.readmodel_scripts import REDIS_CURRENCIES
from stream.serving.series import Point, field_of, points

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

__all__ = ["BlockingReader", "Point", "ReadModelAway", "Reader", "RecentAlerts"]

Json = dict[str, Any]

_loads = msgspec.json.decode


class ReadModelAway(Exception):  # noqa: N818 - a state of affairs, as elsewhere
    """Redis does not answer, or refuses; the message names it without user and password."""


@dataclass(frozen=True, slots=True)
class RecentAlerts:
    """Alerts in the order they were written, and where to go on reading."""

    alerts: list[Json]
    position: str


class Reader:
    """Reads for an event loop; one for a process, all its connections shared.

    Every method raises `ReadModelAway` when Redis is away, and answers with what is there otherwise: nothing
    is an empty list, dictionary or None.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, which is never shown.
        ca: certificates that ``rediss://`` servers are checked by (``CX_REDIS_CA``); None: the system's.
        cert, key: PEM files of what this client shows (``CX_REDIS_CERT``, ``CX_REDIS_KEY``); None: nothing.
        timeout: seconds an exchange may take.
        connections: at most so many at once; who comes later waits for one, at most the time-out.

    Raises:
        ValueError: the URL is none, or the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        timeout: float = 2.0,
        connections: int = 32,
    ) -> None:
        try:
            self._redis = redis_asyncio.Redis.from_url(
                url, max_connections=connections, **options(timeout, ca, cert, key)
            )
        except ValueError:
            raise ValueError(WRONG_URL) from None
        self._turn = asyncio.Semaphore(connections)
        self._timeout = timeout
        self._name = address(self._redis)

    async def slices(self) -> list[str]:
        """The keys of all slices there are, in no order; without their values."""
        async with self._asking() as redis:
            return [key.decode() for key in await redis.hkeys(topics.REDIS_METRICS)]

    async def metrics(self, slice_keys: Iterable[str] | None = None) -> dict[str, Json]:
        """Slice key -> newest ``cx.metrics`` object; of those asked for that exist, or of all."""
        return {key: _loads(value) for key, value in (await self.metrics_raw(slice_keys)).items()}

    async def metrics_raw(self, slice_keys: Iterable[str] | None = None) -> dict[str, bytes]:
        """As ``metrics``, each object as the JSON that was published."""
        async with self._asking() as redis:
            if slice_keys is None:
                held = await redis.hgetall(topics.REDIS_METRICS)
                return {key.decode(): value for key, value in held.items()}
            keys = list(slice_keys)
            values = await redis.hmget(topics.REDIS_METRICS, keys) if keys else []
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def series(
        self, slice_key: str, metric: str, window: str, from_ms: int | None = None, to_ms: int | None = None
    ) -> list[Point]:
        """Final values of a metric over time, oldest first, both ends included; gaps are left out."""
        async with self._asking() as redis:
            ring = await redis.hget(f"{topics.REDIS_SERIES}:{slice_key}", field_of(metric, window))
        return points(ring or b"", from_ms, to_ms)

    async def alerts_active(self) -> list[Json]:
        """Newest ``cx.alerts`` object of each alert that fires, the newest start first."""
        async with self._asking() as redis:
            found = [_loads(value) for value in await redis.hvals(topics.REDIS_ALERTS)]
        return sorted(found, key=lambda each: (_started(each), each.get("id", "")), reverse=True)

    async def alerts_recent(self, after: str | None = None, count: int = 100) -> RecentAlerts:
        """At most ``count`` alerts written after a position, oldest first; None: the last ``count``.

        A position that is none, such as one of before Redis was lost, is that of the oldest alert kept.
        """
        async with self._asking() as redis:
            if after is None:
                entries = (await redis.xrevrange(topics.REDIS_RECENT, count=count))[::-1]
            else:
                start = f"({after}" if _is_position(after) else "-"
                entries = await redis.xrange(topics.REDIS_RECENT, min=start, count=count)
        position = entries[-1][0].decode() if entries else after or "0-0"
        return RecentAlerts([_loads(fields[b"alert"]) for _, fields in entries], position)

    async def alert(self, fingerprint: str) -> Json | None:
        """The newest ``cx.alerts`` object of an alert that fires, or was over lately."""
        async with self._asking() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hget(topics.REDIS_ALERTS, fingerprint)
            pipeline.hget(topics.REDIS_ENDED, fingerprint)
            active, ended = await pipeline.execute()
        value = active or ended
        return None if value is None else _loads(value)

    async def profile(self, customer_id: str) -> Json | None:
        """The newest ``cx.customers`` object of a customer."""
        async with self._asking() as redis:
            value = await redis.hget(topics.REDIS_CUSTOMERS, customer_id)
        return None if value is None else _loads(value)

    async def top(self, n: int, *, currency: str | None = None) -> list[Json]:
        """Profiles of the ``n`` customers with the most value at risk, most first; ties by id, the lowest last.

        Args:
            n: at most so many.
            currency: only of those; None: amounts in several are ordered as if they were one.
        """
        if n < 1:
            return []
        async with self._asking() as redis:
            known = await redis.smembers(REDIS_CURRENCIES) if currency is None else [currency.encode()]
            pipeline = redis.pipeline(transaction=False)
            for code in known:
                pipeline.zrevrange(f"{topics.REDIS_AT_RISK}:{code.decode()}", 0, n - 1, withscores=True)
            orders = await pipeline.execute() if known else []
            ids = [
                name for _, name in nlargest(n, ((risk, name) for order in orders for name, risk in order))
            ]
            values = await redis.hmget(topics.REDIS_CUSTOMERS, ids) if ids else []
        return [_loads(value) for value in values if value is not None]

    async def ping(self) -> None:
        """Answers when Redis does."""
        async with self._asking() as redis:
            await redis.ping()

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        """A turn at Redis; any type, for that of redis-py's answers depends on how it was made.

        Raises:
            ReadModelAway: it does not answer.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._turn.acquire()
            try:
                yield self._redis
            finally:
                self._turn.release()
        except AWAY as error:
            raise ReadModelAway(f"{self._name}: {named(error)}") from None


def _started(alert: Json) -> str:
    data = alert.get("data")
    return str(data.get("starts_at", "")) if isinstance(data, dict) else ""


def _is_position(text: str) -> bool:
    first, _, second = text.partition("-")
    return text.isascii() and len(text) < 50 and first.isdecimal() and (not second or second.isdecimal())  # noqa: PLR2004


class BlockingReader:
    """A blocking reader. Every method raises ``redis.RedisError`` when Redis is away."""

    def __init__(self, url: str, *, timeout: float = 2.0) -> None:
        self._redis: Redis = Redis.from_url(
            url, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout
        )

    def metrics(self, slice_keys: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Slice key -> newest ``cx.metrics`` object; of all slices, or of those asked for that exist."""
        if slice_keys is None:
            found = cast("dict[bytes, bytes]", self._redis.hgetall(topics.REDIS_METRICS))
            return {key.decode(): json.loads(value) for key, value in found.items()}
        keys = list(slice_keys)
        if not keys:
            return {}
        values = cast("list[bytes | None]", self._redis.hmget(topics.REDIS_METRICS, keys))
        return {key: json.loads(value) for key, value in zip(keys, values, strict=True) if value is not None}

    def active_alerts(self) -> dict[str, dict[str, Any]]:
        """Fingerprint -> ``cx.alerts`` object of every alert that fires."""
        found = cast("dict[bytes, bytes]", self._redis.hgetall(topics.REDIS_ALERTS))
        return {key.decode(): json.loads(value) for key, value in found.items()}

    def recent_alerts(self, after: str = "-", count: int = 1_000) -> RecentAlerts:
        """At most ``count`` alerts after a position (``-``: from the oldest kept)."""
        start = after if after == "-" else f"({after}"
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            self._redis.xrange(topics.REDIS_RECENT, min=start, count=count),
        )
        position = entries[-1][0].decode() if entries else after
        return RecentAlerts([json.loads(fields[b"alert"]) for _, fields in entries], position)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
