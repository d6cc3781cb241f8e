"""DDSketch: quantiles of a stream with a bounded relative error [Masson, Rim, Lee 2019, PVLDB 12:12].

A value falls into the bucket ``ceil(log_gamma(value))`` with gamma = 1.01/0.99; whatever is in a bucket is
within 1 % of its estimate. A bucket is a plain count, so sketches add up and subtract exactly, and a quantile
depends on nothing but the counts. Buckets lie in blocks, one a part key, to have fewer keys: a block is the
vector [observations in it, count of each of its ``BLOCK`` buckets].
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from math import ceil, floor, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ACCURACY: Final = 0.01
"""Relative error: an estimate is within this share of the value it stands for."""

BLOCK: Final = 16
"""Buckets a block."""

_DIGITS: Final = 3  # of a block's name: 8,000 years in milliseconds lie in block 104
_GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA: Final = log(_GAMMA)


def bucket(value: int) -> int:
    """Number of the bucket of a whole number from 0: the first is of 0, the second of 1, and so on.

    Raises:
        ValueError: The value is negative.
    """
    return ceil(log(value) / _LOG_GAMMA) + 1 if value else 0


@lru_cache(maxsize=4096)
def estimate(number: int) -> float:
    """The value a bucket stands for: within ``ACCURACY`` of all that is in it, and exact for 0."""
    return 2 * _GAMMA ** (number - 1) / (_GAMMA + 1) if number else 0.0


@lru_cache(maxsize=4096)
def block(number: int) -> tuple[str, tuple[int, ...]]:
    """(name, vector) of the block of one observation in a bucket; names sort as the values do."""
    which, place = divmod(number, BLOCK)
    return f"{which:0{_DIGITS}}", (1, *[int(i == place) for i in range(BLOCK)])


def quantiles(
    blocks: Mapping[str, Sequence[int]], keys: Sequence[str], shares: Sequence[float]
) -> list[float]:
    """Estimates of lower quantiles: for a share q the value of rank floor(q * (n - 1)) from 0, of n.

    Args:
        blocks: Vectors of blocks by key; other keys do no harm. No count is below 0.
        keys: Those of the blocks, each ending with the block's name, in ascending order.
        shares: Each within 0..1.

    Returns:
        One for each share; none if there is nothing in the blocks.
    """
    ends = [*accumulate([blocks[key][0] for key in keys])]
    if not ends or ends[-1] <= 0:
        return []
    found = []
    for share in shares:
        rank = floor(share * (ends[-1] - 1))
        i = bisect_right(ends, rank)
        in_block, *counts = blocks[keys[i]]
        place = bisect_right([*accumulate(counts)], rank - ends[i] + in_block)
        found.append(estimate(int(keys[i][-_DIGITS:]) * BLOCK + place))
    return found
