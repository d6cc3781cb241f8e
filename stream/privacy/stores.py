"""Redis without people who were erased: whatever the read model keeps of them, by key, member and content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.privacy.entries import Refused
from stream.privacy.finding import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.settings import Settings

_OURS: Final = "cx:*"
_AT_ONCE: Final = 500
_TIMEOUT_S: Final = 10.0


def purge(settings: Settings, erased: Callable[[str], bool]) -> int | None:
    """Take everything about erased customers out of the read model; says how much, None: there is no Redis.

    Args:
        settings: of the deployment.
        erased: whether a customer is.

    Raises:
        Refused: Redis does not answer.
    """
    url = "" if settings.redis_url is None else settings.redis_url.get_secret_value()
    if not url:
        return None
    client = Redis.from_url(
        url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    try:
        return _Purge(client, erased).run()
    except (exceptions.RedisError, OSError) as error:
        raise Refused(
            f"CX_REDIS_URL: Redis does not answer ({type(error).__name__}). The read model may still hold "
            "erased customers: run it again once Redis is back, or empty Redis; workers fill it anew"
        ) from None
    finally:
        client.close()


class _Purge:
    def __init__(self, client: Redis, erased: Callable[[str], bool]) -> None:
        self._redis: Any = client
        self._erased = erased

    def run(self) -> int:
        count = 0
        for key in list(self._redis.scan_iter(_OURS, count=_AT_ONCE)):
            if self._named(key):
                count += int(self._redis.delete(key))
                continue
            kind = cast("bytes", self._redis.type(key)).decode()
            if kind == "hash":
                count += self._drop("hdel", key, self._hash(key))
            elif kind == "zset":
                count += self._drop(
                    "zrem", key, (name for name, _ in self._redis.zscan_iter(key) if self._is(name))
                )
            elif kind == "set":
                count += self._drop(
                    "srem", key, (name for name in self._redis.sscan_iter(key) if self._is(name))
                )
            elif kind == "stream":
                count += self._stream(key)
        return count

    def _hash(self, key: bytes) -> Iterator[bytes]:
        for field, value in self._redis.hscan_iter(key, count=_AT_ONCE):
            if self._is(field) or self._about(value):
                yield field

    def _drop(self, command: str, key: bytes, found: Iterator[bytes]) -> int:
        names = list(found)
        drop = getattr(self._redis, command)
        return sum(int(drop(key, *names[at : at + _AT_ONCE])) for at in range(0, len(names), _AT_ONCE))

    def _stream(self, key: bytes) -> int:
        """Write a stream anew: what is deleted of one stays in its memory until its neighbours go as well."""
        entries = self._redis.xrange(key)
        kept = [
            (place, fields)
            for place, fields in entries
            if not any(self._about(value) for value in fields.values())
        ]
        if len(kept) == len(entries):
            return 0
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(key)
            for place, fields in kept:
                pipeline.xadd(key, fields, id=place)
            pipeline.execute()
        return len(entries) - len(kept)

    def _named(self, key: bytes) -> bool:
        """Whether a part of a key after a colon is someone's id, which may hold colons itself."""
        parts = key.split(b":")
        return any(self._is(b":".join(parts[at:])) for at in range(1, len(parts)))

    def _is(self, name: bytes) -> bool:
        try:
            return self._erased(name.decode())
        except UnicodeDecodeError:
            return False

    def _about(self, value: bytes) -> bool:
        customer = subject_of(value) if b'"customer:' in value else None
        return customer is not None and self._erased(customer)
