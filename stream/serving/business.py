"""The business values on ``/metrics``: value, n, interval and gaps of every metric, window and slice.

prometheus_client needs 20 us a sample; at thousands of slices, a scrape would stall the stream. So each
slice's lines are rendered once and kept until its values change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol, TypeAlias

_FAMILIES = (
    ("cx_metric_value", "Final value in the metric's own unit: points, percent, seconds, money, a count."),
    ("cx_metric_replies", "Observations the value rests on: replies, events, customers."),
    ("cx_metric_interval_lower", "Lower bound of the value's confidence interval."),
    ("cx_metric_interval_upper", "Upper bound of the value's confidence interval."),
    ("cx_metric_gap", "Value less its goal, baseline or benchmark."),
)
_Lines: TypeAlias = tuple[str, ...]  # one text for each family
_WHOLE = "all"


class Line(Protocol):
    """What is read of a line that a value is held against."""

    @property
    def gap(self) -> float:
        """The value less the line."""


class Value(Protocol):
    """What is read of a metric's value: the figure, what is behind it, the interval, and its lines."""

    @property
    def value(self) -> float | None:
        """The figure itself, in the metric's own unit; None where there is no single right one."""

    @property
    def n(self) -> int:
        """Observations behind it."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper bound, or None where there is none."""

    @property
    def goal(self) -> Line | None:
        """What it should be."""

    @property
    def baseline(self) -> Line | None:
        """What it was."""

    @property
    def benchmark(self) -> Line | None:
        """What it is elsewhere."""


SliceValues: TypeAlias = Mapping[str, Mapping[str, Value]]  # metric -> window -> value


def slice_label(slice_key: str) -> str:
    """A slice key as a label people can read: ``all`` or ``segment=vip,stage=engage``.

    Two slices never share a label: ``%``, ``,`` and ``=`` inside a member are percent-encoded.
    """
    members: dict[str, object] = json.loads(slice_key)
    if not members:
        return _WHOLE
    return ",".join(f"{dim}={_encoded(str(member))}" for dim, member in sorted(members.items()))


def _encoded(member: str) -> str:
    return member.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class _Slot:
    """One slice's newest values and, once asked for, their lines per family. Never changed, only replaced."""

    __slots__ = ("label", "lines", "values")

    def __init__(self, label: str, values: SliceValues) -> None:
        self.label = label
        self.values = values
        self.lines: _Lines | None = None

    def rendered(self) -> _Lines:
        if self.lines is None:
            self.lines = _rendered(self.label, self.values)
        return self.lines


def _rendered(label: str, values: SliceValues) -> _Lines:
    """A slice's lines; 12 digits: all that is behind a value, at a third of the time of all that a float has."""
    value_of: list[str] = []
    n_of: list[str] = []
    lower: list[str] = []
    upper: list[str] = []
    gaps: list[str] = []
    tail = f'",slice="{label}"'
    for metric, windows in values.items():
        head = f'{{metric="{metric}",window="'
        for window, value in windows.items():
            names = f"{head}{window}{tail}"
            if value.value is not None:
                value_of.append("cx_metric_value%s} %.12g\n" % (names, value.value))  # noqa: UP031 - the fastest
            n_of.append(f"cx_metric_replies{names}}} {value.n}\n")
            if value.interval is not None:
                low, high = value.interval
                lower.append("cx_metric_interval_lower%s} %.12g\n" % (names, low))  # noqa: UP031
                upper.append("cx_metric_interval_upper%s} %.12g\n" % (names, high))  # noqa: UP031
            for name, line in (
                ("goal", value.goal),
                ("baseline", value.baseline),
                ("benchmark", value.benchmark),
            ):
                if line is not None:
                    gaps.append(f'cx_metric_gap{names},line="{name}"}} {line.gap:.12g}\n')
    return "".join(value_of), "".join(n_of), "".join(lower), "".join(upper), "".join(gaps)


class BusinessMetrics:
    """Values of at most ``max_slices`` slices, the whole always among them; others are only counted."""

    def __init__(self, max_slices: int) -> None:
        if max_slices < 1:
            raise ValueError(f"max_slices: {max_slices} is not at least 1")
        self._max = max_slices
        self._slots: dict[str, _Slot] = {}
        self._owners: dict[str, int] = {}
        self._omitted: dict[str, int] = {}

    def put(self, owner: int, slice_key: str, values: SliceValues) -> None:
        """Replace a slice's values; empty values remove it."""
        slot = self._slots.get(slice_key)
        if not values:
            self._slots.pop(slice_key, None)
            self._owners.pop(slice_key, None)
            self._omitted.pop(slice_key, None)
            return
        if slot is None and slice_key != "{}" and len(self._slots) >= self._max:
            if len(self._omitted) < self._max * 10:  # enough to see that the cap bites, and bounded
                self._omitted[slice_key] = owner
            return
        self._omitted.pop(slice_key, None)
        label = slot.label if slot is not None else _escaped(slice_label(slice_key))
        self._slots[slice_key] = _Slot(label, values)
        self._owners[slice_key] = owner

    def drop(self, owner: int) -> None:
        """Forget every slice of one owning partition."""
        for owners in (self._owners, self._omitted):
            for slice_key in [key for key, its in owners.items() if its == owner]:
                del owners[slice_key]
                self._slots.pop(slice_key, None)

    def text(self) -> bytes:
        """All families in the Prometheus text format."""
        chunks = [slot.rendered() for slot in list(self._slots.values())]
        parts: list[str] = []
        for index, (name, about) in enumerate(_FAMILIES):
            parts.append(f"# HELP {name} {about}\n# TYPE {name} gauge\n")
            parts.extend(chunk[index] for chunk in chunks)
        parts.append(
            "# HELP cx_metric_slices_omitted Slices beyond the cap on exported ones.\n"
            f"# TYPE cx_metric_slices_omitted gauge\ncx_metric_slices_omitted {len(self._omitted)}\n"
        )
        return "".join(parts).encode()
