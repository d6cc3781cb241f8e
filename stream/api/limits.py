"""How much one caller may ask for: token buckets, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST: Final = 10_000


class Buckets:
    """A bucket of tokens for every name: filled at a steady rate, each taking costs one.

    Args:
        rate: tokens a second.
        burst: tokens in a full bucket.
        most: names remembered; beyond it the longest unused is forgotten, that is: full again.
    """

    def __init__(self, rate: float, burst: float, most: int = _MOST) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> tokens, as of

    def take(self, name: str, now: float) -> float:
        """Take a token; 0 where there was one, else the seconds until there is."""
        tokens = self._tokens(name, now)
        if tokens < 1:
            self._held[name] = (tokens, now)
            return (1 - tokens) / self._rate
        self._held[name] = (tokens - 1, now)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return 0.0

    def wait(self, name: str, now: float) -> float:
        """As ``take``, but takes none."""
        tokens = self._tokens(name, now)
        if tokens < self._burst:
            self._held[name] = (tokens, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate

    def _tokens(self, name: str, now: float) -> float:
        held = self._held.pop(name, None)
        if held is None:
            return self._burst
        tokens, since = held
        return min(self._burst, tokens + max(0.0, now - since) * self._rate)
