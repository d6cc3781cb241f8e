"""The evidence of a claim in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def in_words(figures: Mapping[str, Any], language: str = "en") -> str:
    """What a claim rests on, as one sentence, from its ``figures``; plain text.

    Reads the keys of the claim: metric, window, value, n, interval, below/above/drop/rise/change/burn_rate/
    no_data, evidence, confidence, change_interval, and of evidence that may be watched ``e_value`` and
    ``e_needed`` (and of ``change``, ``from``: the mean before). Languages: en, it; any other reads en.
    """
    raise NotImplementedError
