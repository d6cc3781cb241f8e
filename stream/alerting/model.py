"""What a rules file says, typed. All values are frozen; times and durations are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.alerting.hygiene import Hygiene, Limit
from stream.measures.declare import Declarations
from stream.measures.plans import EVER, window

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
    """What a metric rule holds its metric against: a line, its own past, a budget, or silence."""

    BELOW = "below"
    ABOVE = "above"
    DROP = "drop"
    RISE = "rise"
    CHANGE = "change"
    BURN_RATE = "burn_rate"
    NO_DATA = "no_data"


class Evidence(StrEnum):
    """What must cross the line: the value, its whole interval, or a test that may be looked at all the time."""

    NONE = "none"
    INTERVAL = "interval"
    ANYTIME = "anytime"


class Direction(StrEnum):
    """Which way a change goes."""

    DOWN = "down"
    UP = "up"


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
class ChangeSpec:
    """A change of a metric's mean, told with at most one false alarm in so many replies on average.

    Attributes:
        one_false_alarm_per: Replies.
        reference: Window whose lower (for ``down``) or upper end of the interval is the mean before.
    """

    direction: Direction
    one_false_alarm_per: float
    reference: str


@dataclass(frozen=True, slots=True)
class BurnLine:
    """The budget burns ``rate`` times as fast as it may, over a long and a short window alike."""

    long: str
    short: str
    rate: float


@dataclass(frozen=True, slots=True)
class BurnSpec:
    """An error budget: of all answers ``goal`` percent are to be good. Any line is enough."""

    goal: float
    lines: tuple[BurnLine, ...]


Texts = tuple[tuple[str, "Template"], ...]
"""Annotations: name and text. Of a text in a further language the name ends in ``_`` and its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has."""

    alert: str
    group: str
    cooldown_ms: int
    severity: Severity
    labels: tuple[tuple[str, str], ...]
    annotations: Texts
    action: ActionSpec | None
    line: int
    #: Name and address, with the values of placeholders percent-encoded.
    links: Texts = ()
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRule(Rule):
    """A rule over one window of one metric, judged for every slice of its grouping.

    ``grouping`` is ``by`` and the dimensions of ``where`` together, sorted. ``threshold`` is the line
    of below/above, or the points of drop/rise, whose earlier value comes from the window ``baseline``
    (rolling, or shifted as ``1h@7d,14d``). ``resolve_at`` None: it resolves where it no longer crosses.
    The value is handed to the evaluation with its interval at this rule's ``confidence``.

    Of the other kinds ``threshold`` is 0 and ``change``, ``burn`` or ``no_data_ms`` says more; ``window`` is
    then the reference of the change, the long window of the first burn line, or one as long as the silence.
    ``fdr``: the share of false alerts among those over all slices is at most this (``anytime`` only).
    ``keep_firing_ms``: it goes on that long after the end was first seen. ``renotify_ms`` 0: told once.
    ``drivers``: dimensions over whose members a change is decomposed.
    """

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
    change: ChangeSpec | None = None
    burn: BurnSpec | None = None
    no_data_ms: int = 0
    fdr: float | None = None
    keep_firing_ms: int = 0
    renotify_ms: int = 0
    drivers: tuple[str, ...] = ()

    @property
    def windows(self) -> tuple[str, ...]:
        """Names of all windows it looks at, its own first, each once."""
        names = [self.window]
        if self.baseline is not None:
            names.append(self.baseline)
        if self.change is not None:
            names.append(self.change.reference)
        for line in self.burn.lines if self.burn is not None else ():
            names += (line.long, line.short)
        return tuple(dict.fromkeys(names))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRule(Rule):
    """A rule over one reply or touchpoint and what is known of its customer; all tests must hold."""

    on: On
    tests: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sort of record: all tests must hold. Only fields of the record, none of its customer."""

    on: On
    tests: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRule(Rule):
    """One customer's records one after the other, and then another that does not come.

    ``steps`` in the order of event time, all within ``within_ms`` of the first. With ``unless`` the alert
    comes when ``within_ms`` is over without it (and never, if it came after the last step in time); without,
    at the last step. ``same_ref``: all of them have the same ``ref``. ``expect`` is a sequence of one step.
    With ``due_at`` the time is over at the first step's own ``due_at``, where it has one.
    """

    steps: tuple[Pattern, ...]
    unless: Pattern | None
    same_ref: bool
    within_ms: int
    due_at: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRule(Rule):
    """So many of one customer's records of a sort within some time."""

    of: Pattern
    at_least: int
    within_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRule(Rule):
    """Thresholds on a customer's signals: fires when they begin to hold, resolves when they no longer do.

    ``tests`` name signals as ``customer.NAME``. ``every_ms``: how often a silent customer is looked at.
    """

    tests: tuple[Check, ...]
    every_ms: int


HistoryRule = SequenceRule | CountRule | SignalRule
"""Rules over what one customer does over time."""


@dataclass(frozen=True, slots=True)
class RuleBook:
    """One rules file. Rules are in the order of the file; alert names are unique."""

    filename: str
    slices: tuple[tuple[str, ...], ...] = ()
    metric_rules: tuple[MetricRule, ...] = ()
    customer_rules: tuple[CustomerRule, ...] = ()
    history_rules: tuple[HistoryRule, ...] = ()
    hygiene: Hygiene = field(default_factory=Hygiene)
    declared: Declarations = field(default_factory=Declarations)
    #: Of annotations that are in one language: what numbers in them look like.
    language: str = "en"
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
        for rule in self.metric_rules:
            wanted.add(rule.grouping)
            wanted.update(tuple(sorted((*rule.grouping, driver))) for driver in rule.drivers)
        wanted.update(tuple(sorted(name for name, _ in goal.where)) for goal in self.declared.goals)
        wanted.update(experiment.grouping for experiment in self.declared.experiments)
        return tuple(sorted(wanted - {()}))

    @property
    def windows(self) -> tuple[str, ...]:
        """Windows that rules look at and that are not published: to be kept for judging, in plans' syntax.

        Rolling ones, the shortest first, then shifted ones. A goal may ask for the same shifted ones.
        """
        names = {name for rule in self.metric_rules for name in rule.windows}
        names -= {EVER, *self.declared.windows}
        return tuple(sorted(names, key=lambda name: ("@" in name, window(name, 1).length_ms, name)))

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
