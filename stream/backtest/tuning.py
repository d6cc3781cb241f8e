"""Other settings of rules, tried on history: which give few enough false alarms, and what that costs. Pure.

Every rule over a window is taken many times, with another threshold, ``min_n`` or window each; all of these are
judged in one replay, without hygiene, which would hide some from others. What a setting would have done is then
held against incidents. Without any incidents every alert counts as false: the history is taken for a quiet one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product
from math import exp, sqrt
from operator import le
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.alerting.hygiene import Hygiene
from stream.alerting.model import Kind
from stream.backtest.score import WEEK_MS
from stream.measures import METRICS
from stream.measures.plans import EVER, window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from stream.alerting.model import MetricRule
    from stream.alerting.rules import RuleBook
    from stream.backtest.score import Score

TUNED: Final = (Kind.BELOW, Kind.ABOVE, Kind.DROP, Kind.RISE)
"""Kinds that have a threshold. The others state their rate of false alarms themselves, or none is known."""

#: Steps of a threshold, in the unit of the metric; of other units, factors.
_STEPS: Final = {
    "points": (-20.0, -10.0, -5.0, -2.0, 0.0, 2.0, 5.0, 10.0, 20.0),
    "percent": (-20.0, -10.0, -5.0, -2.0, 0.0, 2.0, 5.0, 10.0, 20.0),
    "scale": (-1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0),
}
_LEAST: Final = {"points": -100.0, "percent": 0.0}
_MOST: Final = {"points": 100.0, "percent": 100.0}
_FACTORS: Final = (0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
_MIN_N: Final = (1, 10, 30, 100)
_MANY: Final = 300  # from here on a normal distribution is near enough
_MARK: Final = "\x1f"  # no rule's name holds it


class Setting(NamedTuple):
    """What is tried of a rule."""

    threshold: float
    min_n: int
    window: str


class Tried(NamedTuple):
    """What a setting would have done.

    Attributes:
        false_per_week: false alarms a week.
        at_most: as many a week are compatible with that: the upper end of a one-sided 95 % interval (Poisson).
    """

    setting: Setting
    score: Score
    false_per_week: float
    at_most: float


class Tuned(NamedTuple):
    """What was tried of a rule.

    Attributes:
        now: as the rule is.
        proposed: what is best of those that are quiet enough; None: none is.
        trade_off: settings that no other beats in false alarms, recall and delay alike, the quietest first.
    """

    rule: MetricRule
    now: Tried
    proposed: Tried | None
    trade_off: list[Tried]


def trials(book: RuleBook, only: Collection[str] = ()) -> tuple[RuleBook, dict[str, tuple[str, Setting]]]:
    """A book of every setting to be tried.

    Args:
        book: the rules.
        only: names of rules; (): all that have a threshold.

    Returns:
        The book; and for each name of a rule in it, the rule it was made of and its setting.
    """
    made: list[MetricRule] = []
    meant: dict[str, tuple[str, Setting]] = {}
    for rule in book.metric_rules:
        if rule.kind not in TUNED or (only and rule.alert not in only):
            continue
        for number, setting in enumerate(settings(rule, book)):
            name = f"{rule.alert}{_MARK}{number}"
            meant[name] = (rule.alert, setting)
            made.append(_with(rule, setting, name))
    return (
        replace(
            book,
            metric_rules=tuple(made),
            customer_rules=(),
            history_rules=(),
            hygiene=Hygiene(),
            _by_slice={},
            _shared={},
        ),
        meant,
    )


def settings(rule: MetricRule, book: RuleBook) -> list[Setting]:
    """The settings that are tried of a rule, its own first."""
    least = sorted({rule.min_n, *(n for n in _MIN_N if n != 1 or rule.min_n == 1)})
    near = least.index(rule.min_n)
    found = product(_thresholds(rule), least[max(near - 1, 0) : near + 2], _windows(rule, book))
    own = Setting(rule.threshold, rule.min_n, rule.window)
    return list(dict.fromkeys([own, *(Setting(*one) for one in found)]))


def tune(
    book: RuleBook,
    meant: dict[str, tuple[str, Setting]],
    scores: Iterable[Score],
    span_ms: tuple[int, int],
    wanted: float,
    *,
    judged: bool,
) -> list[Tuned]:
    """Propose a setting of each rule that was tried.

    Args:
        book: the rules as they are.
        meant: as ``trials`` gave it.
        scores: of the rules of its book.
        span_ms: beginning and end of the history.
        wanted: at most so many false alarms a week.
        judged: whether there were incidents; without, every alert is a false one.
    """
    weeks = max((span_ms[1] - span_ms[0]) / WEEK_MS, 1e-9)
    tried: dict[str, list[Tried]] = defaultdict(list)
    for score in scores:
        if score.rule in meant:
            name, setting = meant[score.rule]
            false = score.wrong if judged else score.alerts
            tried[name].append(Tried(setting, score, false / weeks, _upper(false) / weeks))
    return [
        Tuned(rule, tried[rule.alert][0], _best(tried[rule.alert], wanted), _trade_off(tried[rule.alert]))
        for rule in book.metric_rules
        if rule.alert in tried
    ]


def _with(rule: MetricRule, setting: Setting, name: str) -> MetricRule:
    moved = setting.threshold - rule.threshold
    resolve = rule.resolve_at
    if resolve is not None:  # the distance that keeps it from flapping stays
        resolve = resolve * setting.threshold / rule.threshold if _relative(rule) else resolve + moved
    return replace(
        rule,
        alert=name,
        threshold=setting.threshold,
        min_n=setting.min_n,
        window=setting.window,
        resolve_at=resolve,
        limit=None,
        renotify_ms=0,
        drivers=(),
    )


def _relative(rule: MetricRule) -> bool:
    return rule.kind in {Kind.DROP, Kind.RISE} and rule.threshold != 0


def _thresholds(rule: MetricRule) -> list[float]:
    now = rule.threshold
    unit = METRICS[rule.metric].unit
    if _relative(rule) or unit not in _STEPS:
        found = [now * factor for factor in _FACTORS]
    else:
        low, high = _LEAST.get(unit, float("-inf")), _MOST.get(unit, float("inf"))
        found = [now + step for step in _STEPS[unit] if low < now + step < high]
    return list(dict.fromkeys(round(each, 6) for each in [now, *found]))


def _windows(rule: MetricRule, book: RuleBook) -> list[str]:
    """The rule's window and those next to it; with a shifted baseline, which belongs to the window, no other."""
    names = [*book.declared.windows]
    if (
        rule.window == EVER
        or rule.window not in names
        or (rule.baseline is not None and "@" in rule.baseline)
    ):
        return [rule.window]
    at = names.index(rule.window)
    near = names[max(at - 1, 0) : at + 2]
    if rule.baseline is None:
        return near
    longest = window(rule.baseline, 1).length_ms
    return [name for name in near if window(name, 1).length_ms < longest]


def _best(tried: Sequence[Tried], wanted: float) -> Tried | None:
    """Of those quiet enough: the most found, the soonest, the quietest, and the nearest to the rule as it is.

    Where nothing is known of incidents, the one that is told most.
    """
    own = tried[0].setting
    quiet = [one for one in tried if one.false_per_week <= wanted]
    known = any(one.score.recall is not None for one in tried)

    def worth(one: Tried) -> tuple[float, ...]:
        far = sum(a != b for a, b in zip(one.setting, own, strict=True))
        distance = abs(one.setting.threshold - own.threshold)
        if not known:
            return (-one.false_per_week, far, distance)
        return (*_cost(one)[1:], one.false_per_week, far, distance)

    return min(quiet, key=worth, default=None)


def _cost(one: Tried) -> tuple[float, float, float]:
    """False alarms, incidents missed, delay: the less the better."""
    recall, delay = one.score.recall, one.score.delay_ms
    return one.false_per_week, -(recall or 0.0), float("inf") if delay is None else delay


def _trade_off(tried: Sequence[Tried]) -> list[Tried]:
    """Those that none is better than in every respect; of equal ones the first. Without incidents one a rate."""
    kept: dict[tuple[float, float, float], Tried] = {}
    for one in tried:
        kept.setdefault(_cost(one), one)
    known = any(one.score.recall is not None for one in tried)
    return [
        kept[cost]
        for cost in sorted(kept)
        if not known or not any(other != cost and all(map(le, other, cost)) for other in kept)
    ]


def _upper(count: int) -> float:
    """The mean of a Poisson count of which so few come with a probability of 5 %."""
    if count > _MANY:
        return count + 1.645 * sqrt(count)
    low, high = float(count), 3.0 * count + 10.0
    for _ in range(60):
        middle = (low + high) / 2
        term = total = exp(-middle)
        for k in range(1, count + 1):
            term *= middle / k
            total += term
        low, high = (middle, high) if total > 0.05 else (low, middle)  # noqa: PLR2004 - 1 less the confidence
    return high
