"""The read model in Redis: the newest metrics of every slice, active alerts, recent alerts.

Redis is never in the stream's way: what is offered is held in memory, newest per key, and a task of its own
writes it about ten times a second. While Redis is away nothing is lost but history beyond the bounds below;
once it is back, or was emptied or restarted, everything held is written again.

Every write carries a version made of event time, and a script inside Redis refuses an older one, so several
workers and repeated messages cannot turn the clock back. Keys:

====================================  ======  =========================================================
`REDIS_METRICS`                       hash    slice key -> ``cx.metrics`` object
`REDIS_METRICS` ``:versions``         hash    slice key -> ``as_of_ms * 2 + final``
`REDIS_ALERTS`                        hash    fingerprint -> newest ``cx.alerts`` object while it fires
`REDIS_ALERTS` ``:versions``          zset    fingerprint -> ``as_of_ms * 8 + rank of the state``
`REDIS_RECENT`                        stream  every ``cx.alerts`` object, the newest thousand or so
`REDIS_WRITER` ``:`` writer           string  there as long as nobody emptied Redis
====================================  ======  =========================================================
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream import topics

if TYPE_CHECKING:
    from stream.serving.metrics import Telemetry

_logger = logging.getLogger(__name__)

REDIS_METRICS_VERSIONS: Final = f"{topics.REDIS_METRICS}:versions"
REDIS_ALERTS_VERSIONS: Final = f"{topics.REDIS_ALERTS}:versions"
REDIS_WRITER: Final = "cx:readmodel:writer"

_STATE_RANK = {"firing": 0, "amended": 1, "no_data": 2, "resolved": 3, "withdrawn": 4}
_ENDED = ("resolved", "withdrawn")
_KEEP_RECENT = 1_000  # entries of the stream
_KEEP_ALERTS = 10_000  # fingerprints remembered; a customer's alerts never resolve, so they need a bound
_CHUNK = 200  # entries per script call: keeps Redis responsive to others
_WRITER_SECONDS = 3_600

# KEYS: values, versions. ARGV: (field, version, payload)*
_PUT_METRICS = """
local written = 0
for i = 1, #ARGV, 3 do
  local known = tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '-1')
  if tonumber(ARGV[i + 1]) >= known then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    written = written + 1
  end
end
return written
"""

# KEYS: active, versions, recent.
# ARGV: fingerprints kept, stream length, (fingerprint, version, ended, payload)*
_PUT_ALERTS = """
local written = 0
for i = 3, #ARGV, 4 do
  local known = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '-1')
  if tonumber(ARGV[i + 1]) > known then
    redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
    if ARGV[i + 2] == '1' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3])
    end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 'alert', ARGV[i + 3])
    written = written + 1
  end
end
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if beyond > 0 then
  for _, fingerprint in ipairs(redis.call('ZRANGE', KEYS[2], 0, beyond - 1)) do
    redis.call('HDEL', KEYS[1], fingerprint)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, beyond - 1)
end
return written
"""


@dataclass(frozen=True, slots=True)
class _Held:
    version: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Alert:
    fingerprint: str
    version: int
    ended: bool
    payload: bytes


class ReadModel:
    """Writes what it is offered to Redis, in the background.

    ``offer_*`` belong to the event loop's thread, return at once and never raise.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, which is never logged.
        telemetry: told about writes and errors.
        interval: seconds between two writes.
        timeout: seconds an exchange with Redis may take before it counts as away.
        max_slices: slices held at most; beyond that the longest unchanged is let go.

    Raises:
        ValueError: the URL is none; the message names the setting and holds nothing of the URL.
    """

    def __init__(
        self,
        url: str,
        telemetry: Telemetry,
        *,
        interval: float = 0.1,
        timeout: float = 2.0,
        max_slices: int = 20_000,
    ) -> None:
        try:
            # Own retries only: redis-py's would hide a restart, after which everything is written again.
            self._redis: Redis = Redis.from_url(
                url,
                protocol=2,  # any Redis and any proxy; and its refusals read as what they are
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
            )
        except ValueError:
            raise ValueError(
                "CX_REDIS_URL: not a Redis URL; allowed are redis://[user:password@]host:port/db, "
                "rediss://… and unix://…"
            ) from None
        self.address = _address(self._redis)
        self._telemetry = telemetry
        self._interval = interval
        self._timeout = timeout
        self._max_slices = max_slices
        self._writer = f"{REDIS_WRITER}:{uuid.uuid4().hex}"
        self._metrics: dict[str, _Held] = {}  # newest last
        self._dirty: dict[str, None] = {}  # a set that keeps its order
        self._active: dict[str, _Alert] = {}
        self._recent: deque[_Alert] = deque(maxlen=_KEEP_RECENT)
        self._versions: dict[str, int] = {}  # fingerprint -> newest, the longest unchanged first
        self._pending: dict[tuple[int, str], _Alert] = {}
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = "not connected yet"
        self._run_id: str | None = None
        self._checked = 0.0
        telemetry.readmodel_up(up=False)

    # -- what the stream offers ------------------------------------------------------------------------

    def offer_metrics(self, slice_key: str, as_of_ms: int, final: bool, payload: bytes) -> None:
        """The newest ``cx.metrics`` value of a slice; one older than what is held is ignored."""
        version = as_of_ms * 2 + bool(final)
        held = self._metrics.pop(slice_key, None)
        if held is not None and held.version > version:
            self._metrics[slice_key] = held
            return
        if held is None and len(self._metrics) >= self._max_slices:
            oldest = next(iter(self._metrics))
            del self._metrics[oldest]
            if oldest in self._dirty:
                del self._dirty[oldest]
                self._telemetry.readmodel_error("overflow")
        self._metrics[slice_key] = _Held(version, payload)
        self._dirty[slice_key] = None

    def offer_alert(self, fingerprint: str, state: str, as_of_ms: int, payload: bytes) -> None:
        """A ``cx.alerts`` object as published; an unknown state counts as firing, a repeat as nothing."""
        version = as_of_ms * 8 + _STATE_RANK.get(state, 0)
        known = self._versions.pop(fingerprint, -1)
        self._versions[fingerprint] = max(known, version)
        if version <= known:
            return
        alert = _Alert(fingerprint, version, state in _ENDED, payload)
        if len(self._versions) > _KEEP_ALERTS:
            oldest = next(iter(self._versions))
            del self._versions[oldest]
            self._active.pop(oldest, None)
        self._active.pop(fingerprint, None)
        if not alert.ended:
            self._active[fingerprint] = alert
        self._recent.append(alert)
        if len(self._pending) >= _KEEP_ALERTS:
            del self._pending[next(iter(self._pending))]
            self._telemetry.readmodel_error("overflow")
        self._pending[version, fingerprint] = alert

    def ready_check(self) -> tuple[bool, str]:
        """For `Health`: whether Redis answered last time, else why not and since when it is tried."""
        if self._trouble is None:
            return True, f"{self.address} answers"
        return False, f"{self.address}: {self._trouble}"

    @property
    def waiting(self) -> int:
        """Entries offered and not yet in Redis."""
        return len(self._dirty) + len(self._pending)

    # -- the task --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start writing; Redis need not be there."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="cx-readmodel")

    async def stop(self) -> None:
        """Write what is left, if Redis answers, and close; never longer than about the time-out."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._trouble is None:
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._write()
                        await self._redis.delete(self._writer)
                except (exceptions.RedisError, OSError, TimeoutError) as error:
                    _logger.warning("read model: the last writes did not reach Redis: %s", _named(error))
        await self._redis.aclose()

    async def _run(self) -> None:
        pause = self._interval
        while True:
            try:
                await self._check()
                await self._write()
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                self._went(error)
                pause = min(max(pause, 0.1) * 2, 5.0)
            except Exception as error:  # the stream must go on whatever happens here
                _logger.exception("read model: unexpected")
                self._went(error)
                pause = 5.0
            else:
                self._answered()
                pause = self._interval
            await asyncio.sleep(pause)

    async def _check(self) -> None:
        """About once a second: is this the Redis that has what was written?"""
        now = time.monotonic()
        if self._trouble is None and now - self._checked < 1.0:
            return
        info = await self._redis.info("server")
        run_id = str(info.get("run_id", ""))
        marked = await self._redis.set(self._writer, run_id, ex=_WRITER_SECONDS, get=True)
        if self._trouble is not None or run_id != self._run_id or marked is None:
            self._write_all_again()
        self._run_id = run_id
        self._checked = now

    def _write_all_again(self) -> None:
        self._dirty = dict.fromkeys(self._metrics)
        held = (*self._active.values(), *self._recent, *self._pending.values())
        by_version = {(alert.version, alert.fingerprint): alert for alert in held}
        self._pending = {key: by_version[key] for key in sorted(by_version)}

    async def _write(self) -> None:
        """Send everything waiting, in pipelines; what is replaced meanwhile stays waiting."""
        while self._dirty or self._pending:
            keys = list(islice(self._dirty, _CHUNK * 5))
            batch = [(key, self._metrics[key]) for key in keys]
            alerts = list(islice(self._pending.values(), _CHUNK * 5))
            pipeline = self._redis.pipeline(transaction=False)
            for start in range(0, len(batch), _CHUNK):
                put: list[str | bytes | int] = []
                for key, held in batch[start : start + _CHUNK]:
                    put += (key, held.version, held.payload)
                pipeline.eval(_PUT_METRICS, 2, topics.REDIS_METRICS, REDIS_METRICS_VERSIONS, *put)
            for start in range(0, len(alerts), _CHUNK):
                put = [_KEEP_ALERTS, _KEEP_RECENT]
                for alert in alerts[start : start + _CHUNK]:
                    put += (alert.fingerprint, alert.version, int(alert.ended), alert.payload)
                pipeline.eval(
                    _PUT_ALERTS, 3, topics.REDIS_ALERTS, REDIS_ALERTS_VERSIONS, topics.REDIS_RECENT, *put
                )
            # Not raised by redis-py, which would put the command with its values into the message.
            for result in await pipeline.execute(raise_on_error=False):
                if isinstance(result, Exception):
                    raise result
            for key, held in batch:
                if self._metrics.get(key) in (held, None):
                    self._dirty.pop(key, None)
            for alert in alerts:
                self._pending.pop((alert.version, alert.fingerprint), None)
            self._telemetry.readmodel_written("metrics", len(batch))
            self._telemetry.readmodel_written("alerts", len(alerts))

    def _answered(self) -> None:
        if self._trouble is not None:
            _logger.info("read model: %s answers, everything held is written", self.address)
            self._trouble = None
            self._telemetry.readmodel_up(up=True)

    def _went(self, error: Exception) -> None:
        reason = _named(error)
        if self._trouble is None or self._trouble == "not connected yet":
            _logger.warning(
                "read model: %s is away (%s); the streams go on, writing is tried again",
                self.address,
                reason,
            )
        self._trouble = reason
        self._telemetry.readmodel_up(up=False)
        self._telemetry.readmodel_error(_kind(error))


def _kind(error: Exception) -> str:
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, (exceptions.ConnectionError, OSError)):
        return "connection"
    return "refused"


def _named(error: Exception) -> str:
    """A reason people can read; Redis' own texts hold neither passwords nor data, but may be long."""
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "no answer in time"
    text = str(error).strip().split("\n")[0][:200]
    return text or type(error).__name__


def _address(redis: Redis) -> str:
    """Where Redis is, without user and password."""
    at = redis.connection_pool.connection_kwargs
    if path := at.get("path"):
        return f"redis at {path}"
    return f"redis at {at.get('host', 'localhost')}:{at.get('port', 6379)}/{at.get('db', 0)}"
