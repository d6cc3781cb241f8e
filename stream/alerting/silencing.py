"""Silences: from one moment of event time to another, alerts that match are not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.alerting.matching import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.alerting.hygiene import Silence


class Silencer:
    """The silences of the file and those from outside. Their matchers have been checked."""

    def __init__(self, silences: Iterable[Silence]) -> None:
        # The one that ends last is found first: it says when to look again.
        self._silences = sorted(silences, key=lambda each: (-each.ends_at_ms, each.id))

    def by(self, labels: Mapping[str, str], at_ms: int) -> Silence | None:
        """The silence that keeps such an alert back at a moment; of several the one that ends last."""
        for silence in self._silences:
            if silence.ends_at_ms <= at_ms:
                return None
            if silence.starts_at_ms <= at_ms and matches(silence.matchers, labels):
                return silence
        return None
