"""Warnings about a rules file that is right: what it says can never come about, or does nothing.

Only what can be shown is said: an interval that even the worst replies would not give, a silence that is over,
a matcher that no rule's labels fit. Whether a rule is a good one, only history can tell (``cx rules test``).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas import SCALES
from stream.alerting.durations import duration_text
from stream.alerting.fit import length_of, range_of
from stream.alerting.lint_hygiene import hygiene_remarks
from stream.alerting.lint_records import record_remarks, scale_of
from stream.alerting.model import Evidence, Kind
from stream.alerting.nodes import shown
from stream.comments.taxonomy import BUILT_IN
from stream.measures.rates import share
from stream.measures.registry import METRICS, REPLY_METRICS, observation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.model import MetricRule, RuleBook
    from stream.measures.metric import MetricValue, Scale

_MANY: Final = 1_000_000
"""Replies of one opinion: where they give no interval beyond the line, none ever will."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning, worded and placed as a RuleError. ``rule`` is None where no rule is meant."""

    file: str
    line: int
    rule: str | None
    field: str
    problem: str

    def __str__(self) -> str:
        who = f"rule {shown(self.rule)}: " if self.rule is not None else ""
        what = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: warning: {who}{what}{self.problem}"


def remarks(book: RuleBook, now_ms: int) -> tuple[Remark, ...]:
    """All warnings about a rules file, in the order of its lines; ``now_ms`` tells what is over."""
    found = [
        Remark(book.filename, line, alert, field, problem)
        for line, alert, field, problem in (
            *((rule.line, rule.alert, *said) for rule in book.metric_rules for said in _of_rule(rule, book)),
            *record_remarks(book),
            *hygiene_remarks(book, now_ms),
        )
    ]
    return tuple(sorted(found, key=lambda remark: (remark.line, remark.field)))


def _of_rule(rule: MetricRule, book: RuleBook) -> Iterator[tuple[str, str]]:
    """Field and problem."""
    least = book.declared.min_slice_n
    if rule.grouping and 1 < rule.min_n < least:
        yield (
            "min_n",
            f"does nothing: slices on fewer than {least} are hidden (privacy), and no rule sees them",
        )
    if rule.for_ms > length_of(rule.window) > 0:
        yield (
            "for",
            (
                f"{duration_text(rule.for_ms)} is longer than the window, {rule.window}: of what crossed the"
                " line first, nothing is in it any more when it fires"
            ),
        )
    if rule.fdr is not None and set(rule.grouping) == {name for name, _ in rule.where}:
        yield "fdr", "does nothing: `where` leaves one slice, and it is about many"
    topics = {*book.declared.topics.words, *(topic for words in BUILT_IN.values() for topic in words)}
    for name, value in rule.where:
        if name == "topic" and value not in topics:
            yield "where.topic", f"never fires: no topic {value!r} is known or declared under topics.words"
    if rule.kind in (Kind.BELOW, Kind.ABOVE):
        yield from _of_line(rule, book)
    if rule.kind in (Kind.DROP, Kind.RISE):
        yield from _of_change(rule)
    if rule.burn is not None:
        yield from _of_burn(rule)


def _of_line(rule: MetricRule, book: RuleBook) -> Iterator[tuple[str, str]]:
    below = rule.kind is Kind.BELOW
    low, high = range_of(rule.metric) if rule.metric != "ces" else scale_of("ces", book)
    side, best = (low, high) if below else (high, low)
    if side is not None and (rule.threshold <= side if below else rule.threshold >= side):
        yield rule.kind, f"never fires: {rule.metric} is never {rule.kind} {side:g}"
        return
    if rule.resolve_at is not None and best is not None:
        never = rule.resolve_at >= best if below else rule.resolve_at <= best
        if never:
            yield "resolve", f"is never over: {rule.metric} is never {'above' if below else 'below'} {best:g}"
    if rule.evidence is not Evidence.INTERVAL:
        return
    if not _beyond(rule, _MANY):
        yield (
            "evidence",
            (
                f"never fires: however many replies there are, the interval of {rule.metric} never lies"
                f" {rule.kind} {rule.threshold:g}"
            ),
        )
    elif rule.min_n > 1 and not _beyond(rule, rule.min_n):
        needed = bisect_left(range(_MANY), True, lo=rule.min_n, key=lambda n: _beyond(rule, n))
        yield (
            "min_n",
            (
                f"{rule.min_n} are never evidence enough: even if all were {'lowest' if below else 'highest'},"
                f" their interval would not lie {rule.kind} {rule.threshold:g}; it takes {needed} of these, and"
                " more of mixed ones"
            ),
        )


def _beyond(rule: MetricRule, n: int) -> bool:
    """Whether the interval of ``n`` replies that are as far beyond the line as can be lies beyond it."""
    value = _extreme(rule.metric, n, rule.confidence, lowest=rule.kind is Kind.BELOW)
    if value is None:
        return True  # not known of this metric: nothing is said
    if value.interval is None:
        return False
    low, high = value.interval
    return high < rule.threshold if rule.kind is Kind.BELOW else low > rule.threshold


def _extreme(metric: str, n: int, confidence: float, *, lowest: bool) -> MetricValue | None:
    """The value of ``n`` observations that are all the lowest, or all the highest."""
    if metric == "ces":
        return None  # on its question's own scale
    if metric in REPLY_METRICS:
        low, high = SCALES[metric]
        scale: Scale = (low, high)
        seen = observation(metric, low if lowest else high, scale, True)
        if seen is None:
            return None
        key, vector = seen
        return METRICS[metric].value({key: [n * part for part in vector]}, confidence)
    if METRICS[metric].unit == "percent" and not METRICS[metric].ever:
        return share(0 if lowest else n, n, confidence, {})
    return None


def _of_change(rule: MetricRule) -> Iterator[tuple[str, str]]:
    low, high = range_of(rule.metric)
    if low is not None and high is not None and rule.threshold > high - low:
        yield rule.kind, f"never fires: {rule.metric} is between {low:g} and {high:g}"
    earlier_ms = length_of(rule.baseline or "")
    if 0 < earlier_ms < 2 * length_of(rule.window):
        part = 100 * length_of(rule.window) / earlier_ms
        yield (
            rule.kind,
            (
                f"{rule.window} is {part:.0f} % of {rule.baseline}: most of a change is in both; compare with"
                " a longer window, or with {ago: 7d}"
            ),
        )


def _of_burn(rule: MetricRule) -> Iterator[tuple[str, str]]:
    if rule.burn is None:
        return
    fastest = 100 / (100 - rule.burn.goal)
    slow = [line for line in rule.burn.lines if line.rate <= fastest]
    for line in rule.burn.lines:
        if line.rate > fastest:
            never = "this line is never crossed" if slow else "never fires"
            yield (
                "burn_rate",
                (
                    f"{never}: with a goal of {rule.burn.goal:g} % the budget burns at most {fastest:g} times as"
                    f" fast as it may; [{line.long}, {line.short}, {line.rate:g}] asks for more"
                ),
            )
