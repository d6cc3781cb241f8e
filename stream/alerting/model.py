"""What a rules file says, typed. All values are frozen; times and durations are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.measures.declare import Declarations

if TYPE_CHECKING:
    from stream.alerting.templates import Template

STAGES: Final = ("entice", "enter", "engage", "exit", "extend")
REPLY_METRICS: Final = ("nps", "csat", "ces", "loyalty", "engagement")

# A rules_for() cache beyond this many slices starts again: memory stays bounded whatever the slices are.
_CACHED_SLICES: Final = 200_000


class Severity(StrEnum):
    """How urgent an alert is; CloudEvents' ``severitytext``."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Kind(StrEnum):
    """What a metric rule compares its window with: a line, or its own past."""

    BELOW = "below"
    ABOVE = "above"
    DROP = "drop"
    RISE = "rise"


class Evidence(StrEnum):
    """What must cross the line: the value itself, or the whole confidence interval."""

    NONE = "none"
    INTERVAL = "interval"


class On(StrEnum):
    """The kind of record a customer rule looks at."""

    REPLY = "reply"
    TOUCHPOINT = "touchpoint"


class Op(StrEnum):
    """The comparisons of ``when``."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What to do about an alert, by whom, and how soon after it started (None: no deadline)."""

    type: str
    owner: str | None
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class MetricRule:
    """A rule over one window of one metric, judged for every slice of its grouping.

    ``grouping`` is ``by`` and the dimensions of ``where`` together, sorted. ``threshold`` is the line
    of below/above, or the points of drop/rise, whose earlier value comes from the window ``baseline``.
    ``resolve_at`` None: it resolves where it no longer crosses. The value is handed to the evaluation
    with its interval at this rule's ``confidence``.
    """

    alert: str
    group: str
    metric: str
    grouping: tuple[str, ...]
    where: tuple[tuple[str, str], ...]
    window: str
    kind: Kind
    threshold: float
    baseline: str | None
    evidence: Evidence
    confidence: float
    min_n: int
    for_ms: int
    resolve_at: float | None
    cooldown_ms: int
    severity: Severity
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, Template], ...]
    action: ActionSpec | None
    line: int

    def covers(self, slice_: dict[str, str]) -> bool:
        """Whether this rule judges the slice: the same dimensions, and ``where`` holds."""
        return len(slice_) == len(self.grouping) and (
            all(dimension in slice_ for dimension in self.grouping)
            and all(slice_[dimension] == value for dimension, value in self.where)
        )


Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of ``when``: ``field op operand`` (a tuple for ``in``)."""

    field: str
    op: Op
    operand: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class CustomerRule:
    """A rule over one reply or touchpoint and what is known of its customer; all tests must hold."""

    alert: str
    group: str
    on: On
    tests: tuple[Check, ...]
    cooldown_ms: int
    severity: Severity
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, Template], ...]
    action: ActionSpec | None
    line: int


@dataclass(frozen=True, slots=True)
class RuleBook:
    """One rules file. Rules are in the order of the file; alert names are unique."""

    filename: str
    slices: tuple[tuple[str, ...], ...] = ()
    metric_rules: tuple[MetricRule, ...] = ()
    customer_rules: tuple[CustomerRule, ...] = ()
    declared: Declarations = field(default_factory=Declarations)
    _by_slice: dict[str, tuple[MetricRule, ...]] = field(default_factory=dict, repr=False, compare=False)
    _shared: dict[tuple[str, ...], tuple[MetricRule, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def groupings(self) -> tuple[tuple[str, ...], ...]:
        """Every grouping to be kept: ``slices`` and what rules, goals and experiments need, each once.

        The whole, ``()``, is always kept and is left out here.
        """
        wanted = {tuple(sorted(grouping)) for grouping in self.slices}
        wanted.update(rule.grouping for rule in self.metric_rules)
        wanted.update(tuple(sorted(name for name, _ in goal.where)) for goal in self.declared.goals)
        wanted.update(experiment.grouping for experiment in self.declared.experiments)
        return tuple(sorted(wanted - {()}))

    def rules_for(self, slice_key: str) -> tuple[MetricRule, ...]:
        """The metric rules that judge a slice, given its key (canonical JSON, ``{}`` for the whole)."""
        found = self._by_slice.get(slice_key)
        if found is None:
            slice_ = slice_of(slice_key)
            found = tuple(rule for rule in self.metric_rules if rule.covers(slice_))
            # Slices of one grouping mostly share their rules: keep one tuple, not one per slice.
            found = self._shared.setdefault(tuple(rule.alert for rule in found), found)
            if len(self._by_slice) >= _CACHED_SLICES:
                self._by_slice.clear()
            self._by_slice[slice_key] = found
        return found


_SLICE: Final = msgspec.json.Decoder(dict[str, str])


def slice_of(slice_key: str) -> dict[str, str]:
    """The slice behind a slice key: ``{"segment":"vip"}`` -> its dict."""
    return _SLICE.decode(slice_key)


def plain(value: Any) -> Any:
    """Tuples as lists, for JSON: what a claim shows of a test's operand."""
    return list(value) if isinstance(value, tuple) else value
