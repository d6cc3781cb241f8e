"""Which of many rules on a slice have anything to decide: a thousand lines for the price of a search.

Rules on the same metric, window and confidence share its value. Of those with a line the lines are kept sorted, so
those that the value lies beyond are found by bisection; the others have nothing to say but ``ok``.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from stream.alerting.conditions import moved
from stream.alerting.model import Kind
from stream.measures import value_of
from stream.measures.metric import EVER, NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stream.alerting.conditions import MetricLike, Values
    from stream.alerting.model import MetricRule
    from stream.measures import MetricValue, Stats


class Reader:
    """A metric of a slice at an instant by window, each computed once; ``Values`` of a rule.

    None where there is no observation, or no one right figure.
    """

    __slots__ = ("_confidence", "_found", "_metric", "_sums")

    def __init__(self, sums: Mapping[str, Stats], metric: str, confidence: float) -> None:
        self._sums = sums
        self._metric = metric
        self._confidence = confidence
        self._found: dict[str, MetricValue | None] = {}

    def __call__(self, window: str) -> MetricLike | None:
        """The value."""
        found = self.heard(window)
        return None if found is None or found.value is None else cast("MetricLike", found)

    def heard(self, window: str) -> MetricValue | None:
        """Whatever there is, also where it is no one figure."""
        try:
            return self._found[window]
        except KeyError:
            sums = self._sums
            stats, ever = sums.get(window, NOTHING), sums.get(EVER, NOTHING)
            found = value_of(self._metric, stats, self._confidence, ever, window)
            self._found[window] = found
            return found


def values_of(rule: MetricRule, reader: Reader) -> Values:
    """What a rule looks at: the figures, or, of silence, whether there is anything."""
    return cast("Values", reader.heard) if rule.kind is Kind.NO_DATA else reader


class Look:
    """A slice at an instant."""

    __slots__ = ("_readers", "sums")

    def __init__(self, sums: Mapping[str, Stats]) -> None:
        self.sums = sums
        self._readers: dict[tuple[str, float], Reader] = {}

    def reader(self, metric: str, confidence: float) -> Reader:
        """A metric's values."""
        reader = self._readers.get((metric, confidence))
        if reader is None:
            reader = self._readers[metric, confidence] = Reader(self.sums, metric, confidence)
        return reader


class Entry(NamedTuple):
    """A rule as it is judged: on at least as many replies as are shown of a slice.

    Attributes:
        rule: The rule.
        by: Short hash of what it is judged by: what was known of another is of no use to it.
    """

    rule: MetricRule
    by: str


def entry_of(rule: MetricRule, least: int) -> Entry:
    """``least``: replies below which nothing of the slice is shown."""
    judged_by = (
        rule.metric, rule.window, rule.kind, rule.threshold, rule.baseline, rule.evidence, rule.confidence,
        rule.change, rule.burn, rule.fdr,
    )  # fmt: skip
    by = hashlib.sha256(repr(judged_by).encode()).hexdigest()[:8]
    return Entry(replace(rule, min_n=least) if rule.min_n < least else rule, by)


class _Line:
    """Rules of one kind on the same values, by their thresholds."""

    def __init__(self, rules: Sequence[tuple[int, MetricRule]]) -> None:
        ordered = sorted(rules, key=lambda each: each[1].threshold)
        first = ordered[0][1]
        self.metric: Final = first.metric
        self.confidence: Final = first.confidence
        self.positions: Final = [position for position, _ in ordered]
        self._kind: Final = first.kind
        self._window: Final = first.window
        self._baseline: Final = first.baseline
        self._rule: Final = first
        self._thresholds: Final = [rule.threshold for _, rule in ordered]

    def beyond(self, reader: Reader) -> list[int] | None:
        """Positions of the rules whose line the value lies beyond; None: there is no value."""
        current = reader(self._window)
        if current is None:
            return None
        if self._kind is Kind.BELOW:
            return self.positions[bisect_right(self._thresholds, current.value) :]
        if self._kind is Kind.ABOVE:
            return self.positions[: bisect_left(self._thresholds, current.value)]
        earlier = None if self._baseline is None else reader(self._baseline)
        if earlier is None:
            return None
        return self.positions[: bisect_right(self._thresholds, moved(self._rule, current, earlier))]


class Index:
    """The rules of slices that have the same ones.

    Args:
        entries: in the order of the file.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries: Final = tuple(entries)
        self.positions: Final = {entry.rule.alert: at for at, entry in enumerate(entries)}
        self._always: Final[list[int]] = []
        self._silences: Final[dict[tuple[str, str, float], list[int]]] = {}
        lines: dict[tuple[object, ...], list[tuple[int, MetricRule]]] = {}
        for at, (rule, _) in enumerate(entries):
            if rule.kind is Kind.NO_DATA:
                key = (rule.metric, rule.window, rule.confidence)
                self._silences.setdefault(key, []).append(at)
            elif rule.kind in (Kind.CHANGE, Kind.BURN_RATE):
                self._always.append(at)
            else:
                values = (rule.kind, rule.metric, rule.window, rule.baseline, rule.confidence)
                lines.setdefault(values, []).append((at, rule))
        self._lines: Final = [_Line(rules) for rules in lines.values()]

    def due(self, look: Look, hot: Collection[str], known: Collection[str]) -> tuple[list[int], int]:
        """Positions of the rules that have to be decided, in order, and how many others have no data.

        Args:
            look: the slice.
            hot: alerts that have to be decided anyhow.
            known: alerts that have a state.
        """
        positions = self.positions
        due = {positions[alert] for alert in hot if alert in positions} if hot else set()
        due.update(self._always)
        empty: list[int] = []
        for line in self._lines:
            found = line.beyond(look.reader(line.metric, line.confidence))
            if found is None:
                empty += line.positions
            elif found:
                due.update(found)
        for (metric, window, confidence), places in self._silences.items():
            heard = look.reader(metric, confidence).heard(window) is not None
            for place in places:
                # One that has never heard of the slice is told once there is something, the others of silence.
                if (self.entries[place].rule.alert in known) is not heard:
                    due.add(place)
        without = len(empty) if not due else sum(place not in due for place in empty)
        return sorted(due), without
