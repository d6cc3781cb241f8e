"""Clients of the read model's Redis, for loops and for threads: TLS, time-outs, names of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from redis import exceptions

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from stream.settings import Settings

#: What a client raises while Redis is away or refuses.
AWAY: Final = (exceptions.RedisError, OSError, TimeoutError)
WRONG_URL: Final = (
    "CX_REDIS_URL: not a Redis URL; allowed are redis://[user:password@]host:port/db, rediss://… and unix://…"
)


def options(
    timeout: float, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> dict[str, Any]:
    """What clients are made with, besides the URL; certificates are always verified, host names included."""
    found: dict[str, Any] = {
        "protocol": 2,  # any Redis and any proxy; and its refusals read as what they are
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 0,
    }
    for name, path in (("ssl_ca_certs", ca), ("ssl_certfile", cert), ("ssl_keyfile", key or cert)):
        if path is not None:
            found[name] = str(path)
    return found


class Tls(TypedDict):
    """Arguments of readers and the writer."""

    ca: Path | None
    cert: Path | None
    key: Path | None


def tls(settings: Settings) -> Tls:
    """The TLS files of a deployment."""
    return {"ca": settings.redis_ca, "cert": settings.redis_cert, "key": settings.redis_key}


def kind(error: Exception) -> str:
    """A word for a counter."""
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, (exceptions.ConnectionError, OSError)):
        return "connection"
    return "refused"


def named(error: Exception) -> str:
    """A reason people can read; Redis' own texts hold neither passwords nor data, but may be long."""
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "no answer in time"
    text = str(error).strip().split("\n")[0][:200]
    return text or type(error).__name__


def address(redis: Redis) -> str:
    """Where Redis is, without user and password."""
    at = redis.connection_pool.connection_kwargs
    if path := at.get("path"):
        return f"redis at {path}"
    return f"redis at {at.get('host', 'localhost')}:{at.get('port', 6379)}/{at.get('db', 0)}"
