"""DDSketch: quantiles of a stream with a bounded relative error [Masson, Rim, Lee 2019, PVLDB 12:12].

A value falls into the bucket ``ceil(log_gamma(value))`` with gamma = 1.01/0.99; whatever is in a bucket is
within 1 % of its estimate. A bucket is a plain count, so sketches add up and subtract exactly, and a quantile
depends on nothing but the counts. Buckets lie in blocks of ``BLOCK`` counts, one block a part key: fewer keys.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCURACY: Final = 0.01
"""Relative error: an estimate is within this share of the value it stands for."""

BLOCK: Final = 16
"""Buckets a block."""

_GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA: Final = log(_GAMMA)


def bucket(value: int) -> int:
    """Number of the bucket of a whole number from 0: the first is of 0, the second of 1, and so on.

    Raises:
        ValueError: The value is negative.
    """
    return ceil(log(value) / _LOG_GAMMA) + 1 if value else 0


def estimate(number: int) -> float:
    """The value a bucket stands for: within ``ACCURACY`` of all that is in it, and exact for 0."""
    return 2 * _GAMMA ** (number - 1) / (_GAMMA + 1) if number else 0.0


@lru_cache(maxsize=4096)
def block(number: int) -> tuple[int, tuple[int, ...]]:
    """(block, its counts) of one observation in a bucket."""
    which, place = divmod(number, BLOCK)
    return which, tuple([int(i == place) for i in range(BLOCK)])


def quantiles(blocks: Sequence[tuple[int, Sequence[int]]], shares: Sequence[float]) -> list[float]:
    """Estimates of lower quantiles: for a share q the value of rank floor(q * (n - 1)) from 0, of n.

    Args:
        blocks: (block, its counts) in ascending order; at least one count is not 0, and none is below.
        shares: Each within 0..1, ascending.
    """
    n = sum([sum(counts) for _, counts in blocks])
    found: list[float] = []
    below = 0
    for which, counts in blocks:
        in_block = sum(counts)
        while len(found) < len(shares) and (rank := floor(shares[len(found)] * (n - 1))) < below + in_block:
            up_to = below
            for place, count in enumerate(counts):
                up_to += count
                if rank < up_to:
                    found.append(estimate(which * BLOCK + place))
                    break
        below += in_block
    return found
