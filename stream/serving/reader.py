"""Reading the read model back: for the live view and whoever serves people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis import Redis

from stream import topics

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class RecentAlerts:
    """Alerts in the order they were written, and where to go on reading."""

    alerts: list[dict[str, Any]]
    position: str


class Reader:
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
