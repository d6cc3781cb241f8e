"""Reads rules over a window of a metric: a line, its own past, a change, a budget, or silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.alerting.fit import (
    check_anytime,
    check_evidence,
    check_lengths,
    check_line,
    check_slice,
    judged,
    judged_window,
    length_of,
)
from stream.alerting.goals import ago_of
from stream.alerting.model import BurnLine, BurnSpec, ChangeSpec, Direction, Evidence, Kind, MetricRule
from stream.alerting.parts import COMMON_FIELDS, common, confidence_of, grouping_of, where_of
from stream.measures.lines import shifted
from stream.measures.metric import EVER
from stream.measures.moments import Comparable
from stream.measures.registry import METRICS, REPLY_METRICS

if TYPE_CHECKING:
    from stream.alerting.parts import Draft, Limits
    from stream.alerting.reading import Place

METRIC_FIELDS: Final = (
    "alert", "metric", "by", "where", "window", "below", "above", "drop", "rise", "change", "burn_rate", "no_data",
    "evidence", "confidence", "fdr", "min_n", "for", "resolve", "keep_firing", "renotify", "drivers",
    *COMMON_FIELDS,
)  # fmt: skip

PLACEHOLDERS: Final = frozenset(
    {"alert", "metric", "window", "value", "n", "currency", "low", "high", "interval", "threshold", "confidence",
     "evidence", "severity", "state", "slice", "as_of", "starts_at"}
)  # fmt: skip
CHANGE_PLACEHOLDERS: Final = frozenset({"baseline", "change"})

_COMPARING: Final = (Kind.DROP, Kind.RISE)
_SILENT: Final = "silence has no value; it is over with the next one"
# Fields that say nothing where the kind of rule says it already.
_IDLE: Final[dict[Kind, dict[str, str]]] = {
    Kind.CHANGE: {
        "window": "it looks at every reply; say with what to compare under change.from",
        "evidence": "it has its own, one_false_alarm_per",
        "for": "its evidence grows with every reply",
        "resolve": "it is over when the mean is back",
    },
    Kind.BURN_RATE: {
        "window": "its lines name theirs",
        "evidence": "its two windows are the evidence",
        "resolve": "it is over when no line is crossed",
    },
    Kind.NO_DATA: dict.fromkeys(
        ("window", "evidence", "confidence", "min_n", "for", "resolve", "drivers"), _SILENT
    ),
}
_WEEK_MS: Final = 7 * 86_400_000
_MOST_BURN_LINES: Final = 8
_BURN_LINE: Final = 3
_MOST_DRIVERS: Final = 4
_FEWEST_REPLIES: Final = 100


def metric_rule(draft: Draft, fields: dict[str, Place], limits: Limits) -> MetricRule:
    """One metric rule, checked."""
    place = draft.place
    kind = _kind(place, fields)
    for name, why in _IDLE.get(kind, {}).items():
        if name in fields:
            raise fields[name].error(f"a rule with {kind} takes none: {why}")
    for name in ("metric",) if kind in _IDLE else ("metric", "window"):
        if name not in fields:
            raise place.missing(name)
    metric = judged(fields["metric"], limits.metrics)
    where = where_of(fields["where"]) if "where" in fields else ()
    by = grouping_of(fields["by"]) if "by" in fields else ()
    for name, dimensions in (("by", by), ("where", (name for name, _ in where))):
        if name in fields:
            check_slice(fields[name], metric, dimensions)
    grouping = tuple(sorted({*by, *(name for name, _ in where)}))
    told = fields[kind]
    window = judged_window(fields["window"], limits, metric) if "window" in fields else ""
    threshold: float = 0.0
    baseline: str | None = None
    change: ChangeSpec | None = None
    burn: BurnSpec | None = None
    if kind in _COMPARING:
        threshold, baseline = _compared(told, metric, window, limits)
    elif kind is Kind.CHANGE:
        change = _change(told, metric, limits)
        window = change.reference
    elif kind is Kind.BURN_RATE:
        burn = _burn(told, metric, limits)
        window = burn.lines[0].long
    elif kind is Kind.NO_DATA:
        window = judged_window(told, limits, metric)
        if window == EVER:
            raise told.error(f"{metric} has one window, since the beginning: it is never without data")
    else:
        threshold = told.number()
        check_line(told, metric, threshold)
    evidence = _evidence(fields, metric, kind)
    placeholders = PLACEHOLDERS | set(grouping) | (CHANGE_PLACEHOLDERS if kind in _COMPARING else set())
    return MetricRule(
        metric=metric,
        grouping=grouping,
        where=where,
        window=window,
        kind=kind,
        threshold=threshold,
        baseline=baseline,
        evidence=evidence,
        confidence=confidence_of(fields["confidence"]) if "confidence" in fields else limits.confidence,
        min_n=fields["min_n"].integer(1, 1_000_000_000) if "min_n" in fields else 1,
        for_ms=fields["for"].duration() if "for" in fields else 0,
        resolve_at=_resolve(fields["resolve"], kind, threshold) if "resolve" in fields else None,
        change=change,
        burn=burn,
        no_data_ms=length_of(window) if kind is Kind.NO_DATA else 0,
        fdr=_fdr(fields["fdr"], evidence, by) if "fdr" in fields else None,
        keep_firing_ms=fields["keep_firing"].duration() if "keep_firing" in fields else 0,
        renotify_ms=fields["renotify"].duration() if "renotify" in fields else limits.renotify_ms,
        drivers=_drivers(fields["drivers"], metric, grouping) if "drivers" in fields else (),
        **common(draft, fields, placeholders, limits.language),
    )


def _kind(place: Place, fields: dict[str, Place]) -> Kind:
    given = [kind for kind in Kind if kind in fields]
    if not given:
        raise place.missing("below", f"missing; a rule has one of: {', '.join(Kind)}")
    if len(given) > 1:
        raise fields[given[1]].error(f"a rule has one of {', '.join(Kind)}; {given[0]} is given too")
    return given[0]


def _compared(place: Place, metric: str, window: str, limits: Limits) -> tuple[float, str]:
    """Points, and the name of the window to compare with."""
    fields = place.mapping(("points", "from"), what="points and from")
    for name in ("points", "from"):
        if name not in fields:
            raise place.missing(name)
    points = fields["points"].number()
    if points <= 0:
        raise fields["points"].error("must be above 0; drop and rise say the direction")
    if window == EVER:
        raise place.error(f"{metric} has one window only, and no earlier one; use below or above")
    earlier = fields["from"]
    if not earlier.is_scalar:
        before = shifted(window, ago_of(earlier, metric), metric)
        if before is None:
            raise earlier.error(f"{window} cannot be held against then: both must be whole hours, and apart")
        return points, before
    check_lengths(place, metric, "compare with {ago: 7d}, or use below or above")
    baseline = judged_window(earlier, limits, metric)
    if length_of(baseline) <= length_of(window):
        raise earlier.error(f"must be longer than the rule's own window, {window}")
    return points, baseline


def _change(place: Place, metric: str, limits: Limits) -> ChangeSpec:
    fields = place.mapping(("direction", "one_false_alarm_per", "from"), what="a change")
    if metric not in REPLY_METRICS:
        raise place.error(f"{metric} is not made of replies; one of: {', '.join(REPLY_METRICS)}")
    for name in ("direction", "one_false_alarm_per"):
        if name not in fields:
            raise place.missing(name)
    replies = fields["one_false_alarm_per"].number()
    if not _FEWEST_REPLIES <= replies <= 1e12:  # noqa: PLR2004 - more than anybody will ever have
        raise fields["one_false_alarm_per"].error(f"must be {_FEWEST_REPLIES} replies or more, not {replies}")
    if "from" in fields:
        reference = judged_window(fields["from"], limits, metric)
    else:
        reference = max(
            (name for name in limits.windows if length_of(name) <= _WEEK_MS),
            key=length_of,
            default=limits.windows[0],
        )
    return ChangeSpec(fields["direction"].choice(Direction, "direction"), float(replies), reference)


def _burn(place: Place, metric: str, limits: Limits) -> BurnSpec:
    known = METRICS[metric]
    if known.unit != "percent" or known.better != "higher" or not isinstance(known, Comparable):
        raise place.error(f"{metric} is no share of good answers; take one that is, such as csat")
    fields = place.mapping(("goal", "page", "ticket"), what="goal, and page, ticket or both")
    if "goal" not in fields:
        raise place.missing("goal", "missing; the percentage that is to be good")
    goal = fields["goal"].number()
    if not 0 < goal < 100:  # noqa: PLR2004 - per cent
        raise fields["goal"].error(f"must be above 0 and below 100, not {goal}: what is left is the budget")
    if not fields.keys() & {"page", "ticket"}:
        raise place.missing("page", "missing; lines such as [[1h, 5m, 14.4]] under page, ticket or both")
    lines = [
        _burn_line(item, metric, limits)
        for name in ("page", "ticket")
        if name in fields
        for item in fields[name].items("a list of lines such as [[1h, 5m, 14.4]]")
    ]
    if not 1 <= len(lines) <= _MOST_BURN_LINES:
        raise place.error(f"must have 1 to {_MOST_BURN_LINES} lines, has {len(lines)}")
    return BurnSpec(float(goal), tuple(lines))


def _burn_line(place: Place, metric: str, limits: Limits) -> BurnLine:
    what = "a long window, a short one and how fast, such as [1h, 5m, 14.4]"
    parts = place.items(what)
    if len(parts) != _BURN_LINE:
        raise place.error(f"must be {what}")
    long, short = (judged_window(part, limits, metric) for part in parts[:2])
    if length_of(short) >= length_of(long):
        raise parts[1].error(f"must be shorter than the first window, {long}")
    rate = parts[2].number()
    if rate <= 0:
        raise parts[2].error("must be above 0; 1 uses up the budget just in time")
    return BurnLine(long, short, float(rate))


def _evidence(fields: dict[str, Place], metric: str, kind: Kind) -> Evidence:
    if "evidence" not in fields:
        return Evidence.NONE
    place = fields["evidence"]
    evidence = place.choice(Evidence, "evidence")
    if evidence is Evidence.INTERVAL:
        check_evidence(place, metric)
    if evidence is Evidence.ANYTIME:
        if kind in _COMPARING:
            raise place.error(f"a rule with {kind} takes none or interval; for a bounded rate use change")
        check_anytime(place, metric)
    return evidence


def _fdr(place: Place, evidence: Evidence, by: tuple[str, ...]) -> float:
    value = place.number()
    if not 0 < value <= 0.5:  # noqa: PLR2004 - more false than true alerts is no control
        raise place.error(f"must be above 0 and at most 0.5, not {value}")
    if evidence is not Evidence.ANYTIME:
        raise place.error("needs `evidence: anytime`: only then it is known how sure an alert is")
    if not by:
        raise place.error("needs `by`: it is about the alerts of many members")
    return float(value)


def _drivers(place: Place, metric: str, grouping: tuple[str, ...]) -> tuple[str, ...]:
    names = grouping_of(place)
    if not isinstance(METRICS[metric], Comparable):
        raise place.error(
            f"{metric} is no mean of single observations, so no member has a part in its changes"
        )
    check_slice(place, metric, names)
    for name in names:
        if name == "topic":
            raise place.error("topic is no driver: a reply with several topics would count in each of them")
        if name in grouping:
            raise place.error(f"{name} is in the rule's own slices already; name another dimension")
    if not 1 <= len(names) <= _MOST_DRIVERS:
        raise place.error(f"must name 1 to {_MOST_DRIVERS} dimensions")
    return names


def _resolve(place: Place, kind: Kind, threshold: float) -> float:
    """The line behind which a firing alert is over; it may not lie on the firing side."""
    side = {Kind.BELOW: "above", Kind.ABOVE: "below"}.get(kind, "points")
    fields = place.mapping(("above", "below", "points"), what=f"a mapping with {side!r}")
    for name, found in fields.items():
        if name != side:
            raise found.error(f"a rule with {kind} resolves with {side!r}; did you mean {side!r}?")
    if side not in fields:
        raise place.missing(side)
    value = fields[side].number()
    if kind is Kind.BELOW and value < threshold:
        raise fields[side].error(
            f"must be {threshold} or more: it would be over while still below {threshold}"
        )
    if kind is Kind.ABOVE and value > threshold:
        raise fields[side].error(
            f"must be {threshold} or less: it would be over while still above {threshold}"
        )
    if kind in _COMPARING and not 0 <= value <= threshold:
        raise fields[side].error(f"must be between 0 and the rule's own {threshold} points")
    return value
