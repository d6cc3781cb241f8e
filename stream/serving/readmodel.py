"""The read model in Redis: metrics, their history, alerts, profiles and the order by value at risk.

Redis is never in the stream's way: what is offered is held in memory, newest per key, and a task of its own
writes it about ten times a second. Every write carries a version made of event time, and a script inside Redis
refuses an older one, so several workers and repeated messages cannot turn the clock back.

While Redis is away nothing is lost but what goes beyond the bounds below. Once it is back, or was emptied or
replaced, everything held is written again at once; and each partition of this worker is filled from its topics
and tables (``filler``), for a worker holds no more than it has seen itself. Keys: ``docs/read-model.md``.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream import topics
from stream.serving.connect import AWAY, WRONG_URL, address, kind, named, options, tls
from stream.serving.readmodel_fill import Filler
from stream.serving.readmodel_scripts import REDIS_WRITER
from stream.serving.readmodel_writes import (
    CHUNK,
    GONE,
    Alert,
    Held,
    Profile,
    Sample,
    put_alerts,
    put_metrics,
    put_profiles,
    put_samples,
)
from stream.serving.series import Sampler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from stream.serving.metrics import Telemetry
    from stream.settings import Settings

_logger = logging.getLogger(__name__)

_STATE_RANK = {"firing": 0, "amended": 1, "no_data": 2, "resolved": 3, "withdrawn": 4}
_PER_MOMENT, _AGAIN = 16, 8
_ENDED = ("resolved", "withdrawn")
_KEEP_RECENT = 1_000  # entries of the stream
_KEEP_ALERTS = 10_000  # fingerprints remembered; a customer's alerts never resolve, so they need a bound
_KEEP_PROFILES = 50_000  # profiles waiting
_KEEP_SAMPLES = 10_000  # slices' samples waiting
_WRITER_SECONDS = 3_600


class ReadModel:
    """Writes what it is offered to Redis, in the background.

    ``offer_*`` belong to the event loop's thread, return at once and never raise.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, which is never logged.
        telemetry: told about writes and errors.
        interval: seconds between two writes.
        timeout: seconds an exchange with Redis may take before it counts as away.
        max_slices: slices held at most; beyond that the longest unchanged is let go.
        max_profiles: profiles in Redis at most; beyond that the longest unchanged go.
        max_series: slices with a history in Redis at most; likewise.
        ca, cert, key: PEM files for ``rediss://``: authorities that are trusted, and what this client shows.

    Attributes:
        filler: sees to it that Redis has all of this worker's partitions.

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
        max_profiles: int = 200_000,
        max_series: int = 200,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        try:
            # Own retries only: redis-py's would hide a restart, after which everything is written again.
            self._redis: Redis = Redis.from_url(
                url, retry=Retry(NoBackoff(), 0), **options(timeout, ca, cert, key)
            )
        except ValueError:
            raise ValueError(WRONG_URL) from None
        self.address = address(self._redis)
        self.filler = Filler(self.address)
        self._telemetry = telemetry
        self._interval = interval
        self._timeout = timeout
        self._max_slices = max_slices
        self._writer = f"{REDIS_WRITER}:{uuid.uuid4().hex}"
        self._metrics: dict[str, Held] = {}  # newest last
        self._dirty: dict[str, None] = {}  # a set that keeps its order
        self._active: dict[str, Alert] = {}
        self._recent: deque[Alert] = deque(maxlen=_KEEP_RECENT)
        self._versions: dict[str, int] = {}  # fingerprint -> newest, the longest unchanged first
        self._pending: dict[tuple[int, str], Alert] = {}
        self._max_profiles = max_profiles
        self._profiles: dict[str, Profile] = {}  # waiting; the longest waiting first
        self._max_series = max_series
        self._sampler = Sampler(max_series)
        self._samples: deque[Sample] = deque(maxlen=_KEEP_SAMPLES)
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = "not connected yet"
        self._run_id: str | None = None
        self._checked = 0.0
        telemetry.readmodel_up(up=False)

    # -- what the stream offers ------------------------------------------------------------------------

    def offer_metrics(self, slice_key: str, as_of_ms: int, final: bool, payload: bytes) -> None:
        """The newest ``cx.metrics`` value of a slice; one older than what is held is ignored."""
        version = as_of_ms * 2 + bool(final)
        if final and self._sampler.due(slice_key, as_of_ms):
            self.offer_sample(slice_key, self._sampler.took(slice_key, as_of_ms), as_of_ms, payload)
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
        self._metrics[slice_key] = Held(version, payload)
        self._dirty[slice_key] = None

    def offer_sample(self, slice_key: str, before_ms: int, as_of_ms: int, payload: bytes) -> None:
        """A final ``cx.metrics`` value for the series alone, and the time of the one before it (-1: none)."""
        self._samples.append(Sample(slice_key, before_ms, as_of_ms, payload))

    def offer_profile(
        self,
        customer_id: str,
        as_of_ms: int,
        payload: bytes | None,
        value_at_risk: float | None = None,
        currency: str | None = None,
    ) -> None:
        """The newest ``cx.customers`` value of a customer; without a payload they are removed."""
        if not self._max_profiles:
            return
        self._profiles.pop(customer_id, None)
        if len(self._profiles) >= _KEEP_PROFILES:
            del self._profiles[next(iter(self._profiles))]
            self.filler.unsure()
            self._telemetry.readmodel_error("overflow")
        self._profiles[customer_id] = Profile(
            as_of_ms, GONE if payload is None else payload, value_at_risk, currency
        )

    def offer_alert(
        self, fingerprint: str, state: str, as_of_ms: int, payload: bytes, version: int | None = None
    ) -> None:
        """A ``cx.alerts`` object as published; an unknown state counts as firing, a repeat as nothing.

        ``version`` is given by who goes through all events anew: ``version_after`` the one before.
        """
        known = self._versions.pop(fingerprint, -1)
        if version is None:
            version = version_after(known, as_of_ms, state)
        self._versions[fingerprint] = max(known, version)
        if version <= known:
            return
        alert = Alert(fingerprint, version, state in _ENDED, payload)
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

    def forget(self, about: Callable[[bytes], bool]) -> int:
        """Let go of alerts that must not be written any more, by their payload; says how many."""
        gone = {alert.fingerprint for alert in (*self._active.values(), *self._recent, *self._pending.values())
                if about(alert.payload)}  # fmt: skip
        for fingerprint in gone:
            self._active.pop(fingerprint, None)
            self._versions.pop(fingerprint, None)
        self._pending = {at: alert for at, alert in self._pending.items() if alert.fingerprint not in gone}
        self._recent = deque((a for a in self._recent if a.fingerprint not in gone), maxlen=_KEEP_RECENT)
        return len(gone)

    def ready_check(self) -> tuple[bool, str]:
        """For `Health`: whether Redis answered last time, else why not and since when it is tried."""
        if self._trouble is None:
            return True, f"{self.address} answers"
        return False, f"{self.address}: {self._trouble}"

    @property
    def waiting(self) -> int:
        """Entries offered and not yet in Redis."""
        return len(self._dirty) + len(self._pending) + len(self._profiles) + len(self._samples)

    @property
    def room(self) -> bool:
        """Whether much can be offered without anything being let go; whoever has much should wait for it."""
        return len(self._profiles) * 2 < _KEEP_PROFILES and len(self._samples) * 2 < _KEEP_SAMPLES

    async def customer_ids(self) -> AsyncIterator[str]:
        """Everybody whose profile is in Redis; in no order, some perhaps twice.

        Raises:
            redis.RedisError, OSError, TimeoutError: Redis is away.
        """
        async for each, _ in self._redis.hscan_iter(topics.REDIS_CUSTOMERS, count=CHUNK):
            yield each.decode()

    # -- the task --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start writing; Redis need not be there."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="cx-readmodel")

    async def stop(self) -> None:
        """Write what is left, if Redis answers, and close; never longer than about the time-out."""
        task, self._task = self._task, None
        await self.filler.stop()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._trouble is None:
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._write()
                        await self._redis.delete(self._writer)
                except AWAY as error:
                    _logger.warning("read model: the last writes did not reach Redis: %s", named(error))
        await self._redis.aclose()

    async def _run(self) -> None:
        pause = self._interval
        while True:
            try:
                await self._check()
                await self._write()
            except AWAY as error:
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
        if marked is None or run_id != self._run_id:
            self.filler.lost()
        if self._trouble is not None or run_id != self._run_id or marked is None:
            self._write_all_again()
        self._run_id = run_id
        self._checked = now
        await self.filler.look(self._redis, run_id)

    def _write_all_again(self) -> None:
        self._dirty = dict.fromkeys(self._metrics)
        held = (*self._active.values(), *self._recent, *self._pending.values())
        by_version = {(alert.version, alert.fingerprint): alert for alert in held}
        self._pending = {key: by_version[key] for key in sorted(by_version)}

    async def _write(self) -> None:
        """Send everything waiting, in pipelines; what is replaced meanwhile stays waiting."""
        while self.waiting:
            batch = [(key, self._metrics[key]) for key in islice(self._dirty, CHUNK * 5)]
            alerts = list(islice(self._pending.values(), CHUNK * 5))
            profiles = list(islice(self._profiles.items(), CHUNK * 5))
            samples = list(islice(self._samples, CHUNK))
            pipeline = self._redis.pipeline(transaction=False)
            put_metrics(pipeline, batch)
            put_alerts(pipeline, alerts, _KEEP_ALERTS, _KEEP_RECENT)
            put_profiles(pipeline, profiles, self._max_profiles)
            if wrong := put_samples(pipeline, samples, self._max_series):
                self._telemetry.readmodel_error("refused", wrong)
            # Not raised by redis-py, which would put the command with its values into the message.
            for result in await pipeline.execute(raise_on_error=False):
                if isinstance(result, Exception):
                    raise result
            self._wrote(batch, alerts, profiles, samples)
        self.filler.drained.set()

    def _wrote(
        self,
        batch: list[tuple[str, Held]],
        alerts: list[Alert],
        profiles: list[tuple[str, Profile]],
        samples: list[Sample],
    ) -> None:
        """These no longer wait, but for what was replaced meanwhile."""
        for key, held in batch:
            if self._metrics.get(key) in (held, None):
                self._dirty.pop(key, None)
        for alert in alerts:
            self._pending.pop((alert.version, alert.fingerprint), None)
        for name, profile in profiles:
            if self._profiles.get(name) is profile:
                del self._profiles[name]
        for sample in samples:
            if self._samples and self._samples[0] is sample:
                self._samples.popleft()
        counted = {
            "metrics": len(batch),
            "alerts": len(alerts),
            "profiles": len(profiles),
            "samples": len(samples),
        }
        for word, n in counted.items():
            self._telemetry.readmodel_written(word, n)

    def _answered(self) -> None:
        if self._trouble is not None:
            _logger.info("read model: %s answers, everything held is written", self.address)
            self._trouble = None
            self._telemetry.readmodel_up(up=True)

    def _went(self, error: Exception) -> None:
        reason = named(error)
        if self._trouble is None or self._trouble == "not connected yet":
            _logger.warning(
                "read model: %s is away (%s); the streams go on, writing is tried again",
                self.address,
                reason,
            )
        self._trouble = reason
        self._telemetry.readmodel_up(up=False)
        self._telemetry.readmodel_error(kind(error))


def version_after(known: int, as_of_ms: int, state: str) -> int:
    """Version of an alert's event, given that of the one before: event time, and the state it may only come after.

    One that ends may fire again at the same moment, when late data takes it back and puts another in its place.
    """
    version = as_of_ms * _PER_MOMENT + _STATE_RANK.get(state, 0)
    if known // _PER_MOMENT != as_of_ms:
        return version
    again = known % _PER_MOMENT >= _AGAIN
    ended = known % _AGAIN >= _STATE_RANK["resolved"]
    return version + _AGAIN if again or (ended and state == "firing") else version


def read_model(settings: Settings, telemetry: Telemetry) -> ReadModel | None:
    """The read model of a worker; None where the deployment has none.

    Raises:
        ValueError: as ``ReadModel``.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    if not url:
        return None
    return ReadModel(
        url,
        telemetry,
        max_profiles=settings.redis_profiles,
        max_series=settings.redis_series,
        **tls(settings),
    )
