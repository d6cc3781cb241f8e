"""Inhibition: while one alert fires, others that follow from it are not told.

As in Alertmanager: a source counts while it fires, told or not, and the ``equal`` labels agree, where absent and
empty are the same. An alert that is both source and target of one inhibition is not kept back by others that are
both, itself included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.alerting.matching import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.alerting.hygiene import Inhibition


class _Sources:
    """The sources that fire and agree in the ``equal`` labels; ``pure`` ones are not targets as well."""

    __slots__ = ("both", "pure")

    def __init__(self) -> None:
        self.pure: set[str] = set()
        self.both: set[str] = set()


class Inhibitor:
    """The alerts that fire, as sources."""

    def __init__(self, inhibitions: Iterable[Inhibition]) -> None:
        self._inhibitions = tuple(inhibitions)
        self._firing: list[dict[tuple[str, ...], _Sources]] = [{} for _ in self._inhibitions]
        self._labels: dict[str, Mapping[str, str]] = {}

    def __len__(self) -> int:
        """How many alerts fire."""
        return len(self._labels)

    def labels(self, fingerprint: str) -> Mapping[str, str]:
        """Of an alert that fires."""
        return self._labels[fingerprint]

    def add(self, fingerprint: str, labels: Mapping[str, str]) -> bool:
        """The alert fires, with these labels; says whether labels it had before are gone."""
        if self._labels.get(fingerprint) == labels:
            return False
        removed = self.remove(fingerprint)
        self._labels[fingerprint] = labels
        for inhibition, firing in zip(self._inhibitions, self._firing, strict=True):
            if matches(inhibition.source, labels):
                sources = firing.setdefault(_equal(inhibition, labels), _Sources())
                (sources.both if matches(inhibition.target, labels) else sources.pure).add(fingerprint)
        return removed

    def remove(self, fingerprint: str) -> bool:
        """The alert fires no more; says whether it was a source."""
        labels = self._labels.pop(fingerprint, None)
        removed = False
        for inhibition, firing in zip(self._inhibitions, self._firing, strict=True):
            if labels is None or not matches(inhibition.source, labels):
                continue
            removed = True
            equal = _equal(inhibition, labels)
            sources = firing[equal]
            sources.pure.discard(fingerprint)
            sources.both.discard(fingerprint)
            if not sources.pure and not sources.both:
                del firing[equal]
        return removed

    def by(self, labels: Mapping[str, str]) -> str | None:
        """The fingerprint of an alert that keeps one with these labels back; of several the least."""
        for inhibition, firing in zip(self._inhibitions, self._firing, strict=True):
            sources = firing.get(_equal(inhibition, labels))
            if sources is None or not matches(inhibition.target, labels):
                continue
            found = sources.pure
            if not matches(inhibition.source, labels):
                found = found | sources.both
            if found:
                return min(found)
        return None


def _equal(inhibition: Inhibition, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(label, "") for label in inhibition.equal)
