"""How often a customer is heard of: the rate of events, and the own rhythm."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from .state import DAY_MS, CustomerConfig

if TYPE_CHECKING:
    from .state import Customer

_DEFAULTS: Final = CustomerConfig()


def activity_rate(c: Customer, now_ms: int, config: CustomerConfig = _DEFAULTS) -> float:
    """Exponentially decayed rate of events, per day, of a customer with events.

    The weighted mean of events per bucket, from the first bucket known (the customer's first, or as far as
    buckets are kept) to the present one, a bucket of age a weighing 2^(-a / half-life).
    """
    bucket_ms = config.bucket_ms
    decay: float = 0.5 ** (bucket_ms / config.half_life_ms)
    last = c.last_ms // bucket_ms
    since = now_ms // bucket_ms - last
    weighted = 0.0
    for n in reversed(c.counts):
        weighted = weighted * decay + n
    known = since + 1 + min(last - c.first_ms // bucket_ms, config.buckets - 1)
    weights = (1.0 - decay**known) / (1.0 - decay)
    rate: float = weighted * decay**since / weights * (DAY_MS / bucket_ms)
    return rate


def own_gap_ms(c: Customer, config: CustomerConfig = _DEFAULTS, *, but_newest: bool = False) -> float | None:
    """Mean time between a customer's active buckets, or None with fewer than ``min_gaps`` gaps.

    Within the buckets kept, a gap weighs 2^(-its age / half-life); a customer too rare for those is given
    the plain mean since the first event.

    Args:
        c: the customer.
        config: as in ``fold``.
        but_newest: leave out the gap that the newest bucket ended, so that it can be compared with the rest.
    """
    bucket_ms = config.bucket_ms
    active = [age for age, n in enumerate(c.counts) if n]
    if but_newest:
        active = active[1:]
    gaps = len(active) - 1
    if gaps >= config.min_gaps:
        half_life = config.half_life_ms / bucket_ms
        total = weights = 0.0
        for newer, older in pairwise(active):
            weight: float = 0.5 ** (newer / half_life)
            total += weight * (older - newer)
            weights += weight
        return total / weights * bucket_ms
    gaps = c.active_buckets - 1
    newest_ms: int | None = c.last_ms
    if but_newest:
        gaps -= 1
        newest_ms = c.prev_ms
    if gaps < config.min_gaps or newest_ms is None:
        return None
    return (newest_ms // bucket_ms - c.first_ms // bucket_ms) / gaps * bucket_ms
