"""How good probabilities of leaving have been: progressive validation, from sums that are added up as labels come.

What is judged is what was said at the look, by the version in force then; the label came a horizon later. So
nothing is judged that has seen its own label [Dawid, "Present position and potential developments: the
prequential approach", 1984].
"""

from __future__ import annotations

from math import log
from typing import Final

import msgspec

#: A judgement counts half as much after this long.
HALF_LIFE_MS: Final = 90 * 24 * 3600 * 1000
#: Groups of equal size by which the calibration error is measured.
GROUPS: Final = 10

_PER_UNIT: Final = 20  # bins of log-odds: two probabilities in one bin differ by 1.25 % of themselves or less
_OUTERMOST: Final = 200
_LEAST: Final = 1e-6
_TINY: Final = 1e-9


class Bin(msgspec.Struct, array_like=True, gc=False):
    """Judgements of about the same probability."""

    stayed: float = 0.0
    left: float = 0.0
    #: Sum of the probabilities.
    said: float = 0.0


class Validation(msgspec.Struct, array_like=True, gc=False):
    """What has come of probabilities: at most 401 bins of 30 bytes, usually some 80."""

    bins: dict[int, Bin] = {}
    squares: float = 0.0
    at_ms: int = 0

    def begin(self, at_ms: int) -> None:
        """Let what is known fade, up to a moment."""
        kept = 0.5 ** (max(0, at_ms - self.at_ms) / HALF_LIFE_MS) if self.at_ms else 0.0
        self.at_ms = at_ms
        self.squares *= kept
        for held in self.bins.values():
            held.stayed *= kept
            held.left *= kept
            held.said *= kept
        self.bins = {name: held for name, held in self.bins.items() if held.stayed + held.left > _TINY}

    def take(self, said: float, *, left: bool) -> None:
        """One judgement: the probability that was said, and what came."""
        held = self.bins.get(name := _bin(said))
        if held is None:
            held = self.bins[name] = Bin()
        if left:
            held.left += 1.0
        else:
            held.stayed += 1.0
        held.said += said
        self.squares += (left - said) ** 2

    @property
    def n(self) -> float:
        """Judgements, older ones counting less."""
        return sum(held.stayed + held.left for held in self.bins.values())

    @property
    def left(self) -> float:
        """Of them, those who left."""
        return sum(held.left for held in self.bins.values())

    @property
    def auc(self) -> float | None:
        """The chance that one who left was given more than one who stayed, a tie counting half.

        Exact but for pairs within a bin, which count as ties.
        """
        stayed = total = 0.0
        for _, held in sorted(self.bins.items()):
            total += held.left * (stayed + held.stayed / 2)
            stayed += held.stayed
        left = self.left
        return total / (left * stayed) if left and stayed else None

    @property
    def brier(self) -> float | None:
        """Mean squared difference of what was said and what came [Brier 1950]."""
        n = self.n
        return self.squares / n if n else None

    @property
    def calibration_error(self) -> float | None:
        """How far, on average, what was said lies from the share that left, over ten groups of about equal size.

        By chance alone it is about 0.8 √(p(1-p)·10/n): n must be some thousands to say anything.
        """
        n = self.n
        if not n:
            return None
        off = size = gap = 0.0
        for _, held in sorted(self.bins.items()):
            size += held.stayed + held.left
            gap += held.said - held.left
            if size >= n / GROUPS:
                off += abs(gap)
                size = gap = 0.0
        return (off + abs(gap)) / n


def _bin(said: float) -> int:
    p = min(1.0 - _LEAST, max(_LEAST, said))
    return max(-_OUTERMOST, min(_OUTERMOST, round(_PER_UNIT * log(p / (1.0 - p)))))
