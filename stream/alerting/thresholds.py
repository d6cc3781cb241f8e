"""Which of many rules on a slice have anything to decide: a thousand lines for the price of a search.

Rules on the same metric, window and confidence share its value. Of those with a line the lines are kept sorted, so
those that the value lies beyond are found by bisection; the others have nothing to say but ``ok``.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from stream.alerting.conditions import moved
from stream.alerting.inquiries import goes_on
from stream.alerting.model import Kind
from stream.measures import value_of
from stream.measures.metric import EVER, NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stream.alerting.conditions import MetricLike, Values
    from stream.alerting.model import MetricRule
    from stream.measures import MetricValue, Stats


_HAIR: Final = 1e-6


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
        plain: It is decided by values alone, as they are now.
    """

    rule: MetricRule
    by: str
    plain: bool


def entry_of(rule: MetricRule, least: int) -> Entry:
    """``least``: replies below which nothing of the slice is shown."""
    judged_by = (
        rule.metric, rule.window, rule.kind, rule.threshold, rule.baseline, rule.evidence, rule.confidence,
        rule.change, rule.burn, rule.fdr,
    )  # fmt: skip
    by = hashlib.sha256(repr(judged_by).encode()).hexdigest()[:8]
    plain = rule.kind is not Kind.NO_DATA and not goes_on(rule)
    return Entry(replace(rule, min_n=least) if rule.min_n < least else rule, by, plain)


class _Line:
    """Rules of one kind on the same values, by their thresholds.

    Args:
        rules: (threshold, position, rule).
        windows: of the value, and of the other one that counts: the earlier one, or the short one of a burn rate.
    """

    def __init__(
        self, rules: Sequence[tuple[float, int, MetricRule]], windows: tuple[str, str | None]
    ) -> None:
        ordered = sorted(rules, key=itemgetter(0, 1))
        self._rule: Final = ordered[0][2]
        self.metric: Final = self._rule.metric
        self.confidence: Final = self._rule.confidence
        self.positions: Final = [position for _, position, _ in ordered]
        self._kind: Final = self._rule.kind
        self._window, self._other = windows
        self._thresholds: Final = [threshold for threshold, *_ in ordered]

    def beyond(self, reader: Reader) -> list[int] | None:
        """Positions of the rules whose line the value lies beyond; None: there is no value."""
        current = reader(self._window)
        if current is None:
            return None
        if self._kind is Kind.BELOW:
            return self.positions[bisect_right(self._thresholds, current.value) :]
        if self._kind is Kind.ABOVE:
            return self.positions[: bisect_left(self._thresholds, current.value)]
        other = None if self._other is None else reader(self._other)
        if self._kind is Kind.BURN_RATE:
            if other is None:
                return []
            return self.positions[bisect_right(self._thresholds, max(current.value, other.value)) :]
        if other is None:
            return None
        return self.positions[: bisect_right(self._thresholds, moved(self._rule, current, other))]


class Index:
    """The rules of slices that have the same ones.

    Args:
        entries: in the order of the file.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries: Final = tuple(entries)
        self.positions: Final = {entry.rule.alert: at for at, entry in enumerate(entries)}
        self._always: Final[list[int]] = []
        self._parts: Final[dict[int, int]] = {}  # position -> lines, of rules with several
        self._silences: Final[dict[tuple[str, str, float], list[int]]] = {}
        lines: dict[tuple[Kind, str, float, str, str | None], list[tuple[float, int, MetricRule]]] = {}
        values: tuple[Kind, str, float, str, str | None]
        for at, (rule, *_) in enumerate(entries):
            kind, metric, confidence = rule.kind, rule.metric, rule.confidence
            if kind is Kind.NO_DATA:
                self._silences.setdefault((metric, rule.window, confidence), []).append(at)
            elif rule.burn is not None:
                self._parts[at] = len(rule.burn.lines)
                for line in rule.burn.lines:
                    # It burns too fast where both values are below this; a hair more, for rounding.
                    least = 100.0 - line.rate * (100.0 - rule.burn.goal) + _HAIR
                    values = (kind, metric, confidence, line.long, line.short)
                    lines.setdefault(values, []).append((least, at, rule))
            elif kind is Kind.CHANGE:
                self._always.append(at)
            else:
                values = (kind, metric, confidence, rule.window, rule.baseline)
                lines.setdefault(values, []).append((rule.threshold, at, rule))
        self._lines: Final = [_Line(rules, values[3:]) for values, rules in lines.items()]

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
        parts = self._parts
        missing = Counter(empty).items() if empty else ()
        without = sum(place not in due and count == parts.get(place, 1) for place, count in missing)
        return sorted(due), without
