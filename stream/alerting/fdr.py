"""False discoveries among the many slices of a rule, held down as they come: e-LOND.

Every slice of a rule with ``fdr`` is a hypothesis of its own each time its value crosses the line (an episode,
see :mod:`stream.alerting.detectors`). With levels a_t = fdr * g_t * (1 + alerts so far), where the g_t sum to 1,
alerting where e_t >= 1 / a_t keeps the expected share of false ones among all alerts at most ``fdr``, whatever
the dependence between the slices [Xu & Ramdas, "Online multiple testing with e-values", AISTATS 2024; for
p-values: Javanmard & Montanari 2015]. The proof needs no more than that the alerts in the end are at least as
many as when the level was set, plus one; so the level may rise, as it does here, while an episode lasts.

Slices are spread over partitions, each with a part of the level: of the union of the alerts the share of false
ones is at most the sum.
"""

from __future__ import annotations

from math import inf, log
from typing import Final

import msgspec

# Sum over t >= 1 of 1 / ((t + 1) log(t + 1)^2), rounded up: that of n >= 2 of 1 / (n log(n)^2).
_SUM: Final = 2.1098


class Ledger(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of one rule in one partition: how many episodes began, and how many alerted."""

    begun: int = 0
    alerted: int = 0

    def begin(self) -> Ledger:
        """One episode more; its number is ``begun`` afterwards. In the order of (instant, slice)."""
        return Ledger(self.begun + 1, self.alerted)

    def alert(self) -> Ledger:
        """One alert more."""
        return Ledger(self.begun, self.alerted + 1)


def weight(number: int) -> float:
    """g_t of the episode of that number, from 1 on."""
    along = log(number + 1)
    return 1 / (_SUM * (number + 1) * along * along)


def needed(fdr: float, partitions: int, ledger: Ledger, number: int) -> float:
    """What the evidence of an episode must come to.

    Args:
        fdr: The rule's, above 0 and below 1.
        partitions: Over which the rule's slices are spread.
        ledger: As of now.
        number: Of the episode.
    """
    level = fdr / partitions * weight(number) * (ledger.alerted + 1)
    return max(1.0, 1 / level) if level > 0 else inf
