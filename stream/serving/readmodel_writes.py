"""What waits to be written to the read model, and the commands that write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from stream import topics
from stream.serving.readmodel_scripts import (
    PUT_ALERTS,
    PUT_METRICS,
    PUT_PROFILES,
    PUT_SERIES,
    REDIS_ALERTS_VERSIONS,
    REDIS_CURRENCIES,
    REDIS_CUSTOMERS_VERSIONS,
    REDIS_METRICS_VERSIONS,
    REDIS_SERIES_INDEX,
)
from stream.serving.series import entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.client import Pipeline

#: Entries per script call: keeps Redis responsive to others.
CHUNK: Final = 200
#: The payload of a profile that is removed.
GONE: Final = b""

T = TypeVar("T")
Argument = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Held:
    """The newest ``cx.metrics`` object of a slice."""

    version: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Alert:
    """A ``cx.alerts`` object."""

    fingerprint: str
    version: int
    ended: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Profile:
    """A ``cx.customers`` object, or ``GONE``."""

    version: int
    payload: bytes
    value_at_risk: float | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A final ``cx.metrics`` object of which series are made, and the time of the one before it; -1: none."""

    slice_key: str
    before_ms: int
    as_of_ms: int
    payload: bytes


def put_metrics(pipeline: Pipeline, batch: Sequence[tuple[str, Held]]) -> None:
    """Values of slices."""
    for some in _chunks(batch):
        put: list[Argument] = []
        for key, held in some:
            put += (key, held.version, held.payload)
        pipeline.eval(PUT_METRICS, 2, topics.REDIS_METRICS, REDIS_METRICS_VERSIONS, *put)


def put_alerts(pipeline: Pipeline, alerts: Sequence[Alert], keep: int, keep_recent: int) -> None:
    """Alerts in the order in which they were told; so many fingerprints and so many events are kept."""
    keys = (topics.REDIS_ALERTS, REDIS_ALERTS_VERSIONS, topics.REDIS_RECENT, topics.REDIS_ENDED)
    for some in _chunks(alerts):
        put: list[Argument] = [keep, keep_recent]
        for alert in some:
            put += (alert.fingerprint, alert.version, int(alert.ended), alert.payload)
        pipeline.eval(PUT_ALERTS, len(keys), *keys, *put)


def put_profiles(pipeline: Pipeline, profiles: Sequence[tuple[str, Profile]], keep: int) -> None:
    """Profiles and their place in the order; so many are kept."""
    keys = (topics.REDIS_CUSTOMERS, REDIS_CUSTOMERS_VERSIONS, REDIS_CURRENCIES)
    for some in _chunks(profiles):
        put: list[Argument] = [keep, topics.REDIS_AT_RISK]
        for name, each in some:
            risk = "" if each.value_at_risk is None else each.value_at_risk
            put += (name, each.version, each.payload, risk, each.currency or "")
        pipeline.eval(PUT_PROFILES, len(keys), *keys, *put)


def put_samples(pipeline: Pipeline, samples: Sequence[Sample], keep: int) -> int:
    """History of slices; of so many. Returns how many of the samples were no ``cx.metrics`` objects."""
    wrong = 0
    for sample in samples:
        try:
            put = [
                part for entry in entries(sample.before_ms, sample.as_of_ms, sample.payload) for part in entry
            ]
        except msgspec.DecodeError:
            wrong += 1
            continue
        keys = (REDIS_SERIES_INDEX, f"{topics.REDIS_SERIES}:{sample.slice_key}")
        pipeline.eval(
            PUT_SERIES, 2, *keys, keep, topics.REDIS_SERIES, sample.slice_key, sample.as_of_ms, *put
        )
    return wrong


def _chunks(found: Sequence[T]) -> list[Sequence[T]]:
    return [found[at : at + CHUNK] for at in range(0, len(found), CHUNK)]
