"""When a metric rule crosses its line on a slice, and when what crossed is over, from the values alone.

What counts as a crossing, in order:

1. a value must be there (else ``no_data``), on at least ``min_n`` observations (else
   ``not_enough_replies``); with drop and rise the same holds for the earlier window, with ``burn_rate`` for
   the long window of a line (of the short one a single observation will do: it is there to end the alert);
2. the value must be beyond the line (else ``ok``): strictly for below, above and burn rates; for drop and
   rise the change must reach the points;
3. with ``evidence: interval`` so must the whole confidence interval (else ``interval_straddles``; where
   there is none, ``not_enough_replies`` for a single observation, else ``no_interval``). The interval of
   a change is that of a difference of two independent estimates, recovered from both intervals [Newcombe
   1998, method 10; Zou & Donner 2008, "MOVER"]. The earlier window may include the current one; the two are
   then positively correlated, and the interval is wider than it had to be.

A burn rate is the share of answers that are not good, over the share that may be [Beyer et al., "The Site
Reliability Workbook", 2018, ch. 5]; a line is crossed where both its windows burn faster than it says. A rule
with ``no_data`` crosses where its window, as long as the silence, holds no observation.

Tests that go on over time (``anytime``, ``change``) have a say of their own: :mod:`stream.alerting.life`.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from stream.alerting.model import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.model import BurnLine, MetricRule


class MetricLike(Protocol):
    """A value with its evidence: the interval is None where there are too few observations, or none is known."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def currency(self) -> str | None: ...  # noqa: D102


Values: TypeAlias = "Callable[[str], MetricLike | None]"
"""Window name -> the value of a rule's metric, at the rule's confidence; None: no observation."""


class Reason(StrEnum):
    """Why a rule was decided as it was; counted by whoever calls."""

    OK = "ok"
    NO_DATA = "no_data"
    NOT_ENOUGH_REPLIES = "not_enough_replies"
    INTERVAL_STRADDLES = "interval_straddles"
    NO_INTERVAL = "no_interval"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    STILL_PENDING = "still_pending"
    IN_COOLDOWN = "in_cooldown"
    FIRST_CROSSING = "first_crossing"
    STILL_FIRING = "still_firing"
    KEPT_FIRING = "kept_firing"
    DATA_AGAIN = "data_again"
    RESOLVED = "resolved"
    LATE_DATA = "late_data"
    RULE_REMOVED = "rule_removed"


class Burn(NamedTuple):
    """How many times faster than it may the budget is used up, over both windows of a line."""

    line: BurnLine
    long: float
    short: float


class Reading(NamedTuple):
    """What a claim shows: the value and, where there is one, the earlier one and the change from it."""

    window: str
    current: MetricLike | None
    earlier: MetricLike | None = None
    change: float | None = None
    change_interval: tuple[float, float] | None = None
    burn: Burn | None = None


def crossing(rule: MetricRule, values: Values) -> Reason | None:
    """None where the line is crossed, else why it is not. With ``anytime``: where the value crosses it."""
    if rule.kind is Kind.BURN_RATE:
        return _burning(rule, values)
    current = values(rule.window)
    if current is None or current.n == 0:
        return None if rule.kind is Kind.NO_DATA else Reason.NO_DATA
    if rule.kind is Kind.NO_DATA:
        return Reason.OK
    if rule.baseline is not None:
        return _change_crossing(rule, current, values(rule.baseline))
    return _line_crossing(rule, current)


def _line_crossing(rule: MetricRule, current: MetricLike) -> Reason | None:
    if current.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    line = rule.threshold
    below = rule.kind is Kind.BELOW
    if not (current.value < line if below else current.value > line):
        return Reason.OK
    if rule.evidence is not Evidence.INTERVAL:
        return None
    interval = current.interval
    if interval is None:
        return _without_interval(current.n)
    beyond = interval[1] < line if below else interval[0] > line
    return None if beyond else Reason.INTERVAL_STRADDLES


def _change_crossing(rule: MetricRule, current: MetricLike, earlier: MetricLike | None) -> Reason | None:
    if earlier is None or earlier.n == 0:
        return Reason.NO_DATA
    if current.n < rule.min_n or earlier.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    if moved(rule, current, earlier) < rule.threshold:
        return Reason.OK
    if rule.evidence is not Evidence.INTERVAL:
        return None
    interval = difference(current, earlier)
    if interval is None:
        return _without_interval(min(current.n, earlier.n))
    least = -interval[1] if rule.kind is Kind.DROP else interval[0]
    return None if least >= rule.threshold else Reason.INTERVAL_STRADDLES


def _without_interval(n: int) -> Reason:
    """Why evidence that is asked for is not there."""
    return Reason.NO_INTERVAL if n > 1 else Reason.NOT_ENOUGH_REPLIES


#: Of the lines of a burn rate that is not crossed, the reason of the one that came closest is given.
_CLOSENESS = (Reason.OK, Reason.NOT_ENOUGH_REPLIES, Reason.NO_DATA)


def _burning(rule: MetricRule, values: Values) -> Reason | None:
    reasons = []
    for line in rule.burn.lines if rule.burn is not None else ():
        found = _burn_of(rule, line, values)
        if isinstance(found, Burn) and min(found.long, found.short) > line.rate:
            return None
        reasons.append(found if isinstance(found, Reason) else Reason.OK)
    return min(reasons, key=_CLOSENESS.index, default=Reason.NO_DATA)


def _burn_of(rule: MetricRule, line: BurnLine, values: Values) -> Burn | Reason:
    long, short = values(line.long), values(line.short)
    if long is None or long.n == 0 or rule.burn is None:
        return Reason.NO_DATA
    if long.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    if short is None or short.n == 0:
        return Reason.OK  # of late nobody had anything to say, bad or good
    may = 100.0 - rule.burn.goal
    return Burn(line, (100.0 - long.value) / may, (100.0 - short.value) / may)


def _burn_shown(rule: MetricRule, values: Values) -> Burn | None:
    """The line that burns most above its rate."""
    lines = rule.burn.lines if rule.burn is not None else ()
    found = [burn for line in lines if isinstance(burn := _burn_of(rule, line, values), Burn)]
    return max(found, key=lambda burn: min(burn.long, burn.short) / burn.line.rate, default=None)


def holding(rule: MetricRule, values: Values) -> Reason | None:
    """None where a firing alert is over, else why it goes on. Silence is not recovery."""
    if rule.kind in (Kind.BURN_RATE, Kind.NO_DATA):
        verdict = crossing(rule, values)
        return Reason.STILL_FIRING if verdict is None else None if verdict is Reason.OK else verdict
    current = values(rule.window)
    earlier = None if rule.baseline is None else values(rule.baseline)
    if (
        current is None
        or current.n == 0
        or (rule.baseline is not None and (earlier is None or earlier.n == 0))
    ):
        return Reason.NO_DATA
    if current.n < rule.min_n or (earlier is not None and earlier.n < rule.min_n):
        return Reason.NOT_ENOUGH_REPLIES
    end, value = rule.resolve_at, current.value
    if earlier is not None:
        over = moved(rule, current, earlier) < (rule.threshold if end is None else end)
    elif rule.kind is Kind.BELOW:
        over = value >= rule.threshold if end is None else value > end
    else:
        over = value <= rule.threshold if end is None else value < end
    return None if over else Reason.STILL_FIRING


def look(rule: MetricRule, values: Values, window: str | None = None) -> Reading:
    """What a claim shows of the windows; ``window``: that of the value, if it is not the rule's own."""
    if rule.kind is Kind.BURN_RATE:
        burn = _burn_shown(rule, values)
        name = rule.window if burn is None else burn.line.long
        return Reading(name, values(name), burn=burn)
    name = rule.window if window is None else window
    current = values(name)
    before = rule.baseline if rule.change is None else rule.change.reference
    earlier = None if before is None or before == name else values(before)
    if earlier is None or current is None:
        return Reading(name, current)
    return Reading(name, current, earlier, current.value - earlier.value, difference(current, earlier))


def moved(rule: MetricRule, current: MetricLike, earlier: MetricLike) -> float:
    """How far the value has gone in the rule's direction."""
    return earlier.value - current.value if rule.kind is Kind.DROP else current.value - earlier.value


def difference(current: MetricLike, earlier: MetricLike) -> tuple[float, float] | None:
    """Interval of current - earlier, from the two intervals at the same confidence (MOVER)."""
    if current.interval is None or earlier.interval is None:
        return None
    change = current.value - earlier.value
    down, up = _arms(current.value, current.interval)
    earlier_down, earlier_up = _arms(earlier.value, earlier.interval)
    return (change - math.hypot(down, earlier_up), change + math.hypot(up, earlier_down))


def _arms(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    # An adjusted interval (NPS on a handful of replies) may leave its own value outside.
    return max(value - interval[0], 0.0), max(interval[1] - value, 0.0)
