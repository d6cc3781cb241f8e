"""Checks of the read model, and of the worker on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stream.doctor.findings import Level

if TYPE_CHECKING:
    from stream.doctor.facts import Facts

Found = tuple[Level, str, str]

_OLDEST: Final = (6, 2)
_FULL: Final = 0.9
_CLOCKS_MS: Final = 2_000


def redis_away(facts: Facts) -> Iterator[Found]:
    """The streams go on without it; pages and the API have nothing to show."""
    if facts.redis_problem is not None:
        yield (
            Level.ERROR,
            facts.redis_problem,
            "CX_REDIS_URL, CX_REDIS_CA; empty for no read model; docs/read-model.md",
        )


def redis_old(facts: Facts) -> Iterator[Found]:
    """A Redis that lacks what is used."""
    if facts.redis is not None and _version(facts.redis.version) < _OLDEST:
        yield (
            Level.WARNING,
            f"Redis {facts.redis.version} is older than what this is tested with",
            "Redis 6.2 or newer",
        )


def redis_evicts(facts: Facts) -> Iterator[Found]:
    """Redis throws away what the read model holds, a value here and there."""
    redis = facts.redis
    if redis is not None and redis.evicted:
        yield (
            Level.WARNING,
            f"Redis has thrown {redis.evicted} keys away for lack of memory (maxmemory-policy {redis.policy})",
            "more maxmemory, or fewer CX_REDIS_PROFILES and CX_REDIS_SERIES",
        )


def redis_full(facts: Facts) -> Iterator[Found]:
    """Redis soon refuses writes, or begins to throw away."""
    redis = facts.redis
    if redis is not None and redis.most_bytes and redis.used_bytes > redis.most_bytes * _FULL:
        yield (
            Level.WARNING,
            f"Redis uses {redis.used_bytes} of {redis.most_bytes} bytes",
            "more maxmemory, or fewer CX_REDIS_PROFILES and CX_REDIS_SERIES",
        )


def read_model_empty(facts: Facts) -> Iterator[Found]:
    """Values are published, and the read model has none: another Redis, or another database of it."""
    if facts.redis is not None and not facts.redis.slices and facts.metrics_records:
        yield (
            Level.WARNING,
            f"cx.metrics has {facts.metrics_records} records, and the read model no slice",
            "workers must have the same CX_REDIS_URL, its database number included",
        )


def clocks_apart(facts: Facts) -> Iterator[Found]:
    """This machine's clock and Redis' differ; one of them may be a worker's."""
    if facts.redis is not None and abs(facts.now_ms - facts.redis.clock_ms) > _CLOCKS_MS:
        seconds = (facts.now_ms - facts.redis.clock_ms) / 1000
        yield (
            Level.WARNING,
            f"the clocks of this machine and Redis are {seconds:.0f} s apart",
            "NTP (chrony) on both",
        )


def worker_not_ready(facts: Facts) -> Iterator[Found]:
    """The worker on this machine says what it lacks."""
    if facts.worker_problem is not None:
        yield (
            Level.ERROR,
            f"the worker here is not ready: {facts.worker_problem}",
            "docs/runbooks, by the name of the check",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


CHECKS: Final = (
    redis_away,
    redis_old,
    redis_evicts,
    redis_full,
    read_model_empty,
    clocks_apart,
    worker_not_ready,
)
