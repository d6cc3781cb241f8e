"""Reading the read model back, for whoever serves people. Keys and contents: ``docs/read-model.md``.

`Reader` is for event loops, `BlockingReader` for everybody else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis import Redis

from stream import topics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Json = dict[str, Any]


class ReadModelAway(Exception):  # noqa: N818 - a state of affairs, as elsewhere
    """Redis does not answer, or refuses; the message names it without user and password."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series, as it was final at ``at_ms`` (epoch milliseconds, event time)."""

    at_ms: int
    value: float | None
    n: int
    lower: float | None
    upper: float | None


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
        timeout: seconds an exchange may take.
        connections: at most so many at once; who comes later waits for one, at most the time-out.

    Raises:
        ValueError: the URL is none, or the certificates cannot be read.
    """

    def __init__(
        self, url: str, *, ca: Path | None = None, timeout: float = 2.0, connections: int = 32
    ) -> None:
        raise NotImplementedError

    async def slices(self) -> list[str]:
        """The keys of all slices there are, in no order; without their values."""
        raise NotImplementedError

    async def metrics(self, slice_keys: Iterable[str] | None = None) -> dict[str, Json]:
        """Slice key -> newest ``cx.metrics`` object; of those asked for that exist, or of all."""
        raise NotImplementedError

    async def series(
        self, slice_key: str, metric: str, window: str, from_ms: int | None = None, to_ms: int | None = None
    ) -> list[Point]:
        """Final values of a metric over time, oldest first, both ends included; gaps are left out."""
        raise NotImplementedError

    async def alerts_active(self) -> list[Json]:
        """Newest ``cx.alerts`` object of each alert that fires, the newest start first."""
        raise NotImplementedError

    async def alerts_recent(self, after: str | None = None, count: int = 100) -> RecentAlerts:
        """At most ``count`` alerts written after a position, oldest first; None: the last ``count``."""
        raise NotImplementedError

    async def alert(self, fingerprint: str) -> Json | None:
        """The newest ``cx.alerts`` object of an alert that fires or is among the recent ones."""
        raise NotImplementedError

    async def profile(self, customer_id: str) -> Json | None:
        """The newest ``cx.customers`` object of a customer."""
        raise NotImplementedError

    async def top(self, n: int, *, currency: str | None = None) -> list[Json]:
        """Profiles of the ``n`` customers with the most value at risk, most first.

        Args:
            n: at most so many.
            currency: only of those; None: amounts in several are ordered as if they were one.
        """
        raise NotImplementedError

    async def ping(self) -> None:
        """Answers when Redis does."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError


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
