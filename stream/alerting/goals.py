"""Reads goals, with their baselines, and experiments."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

from schemas import to_ms
from schemas.times import parse as parse_time
from stream.alerting.durations import duration_text
from stream.alerting.fit import check_lengths, check_line, check_slice, compared, judged, window_of
from stream.alerting.parts import confidence_of, where_of
from stream.measures.declare import DAY_MS, HOUR_MS, WEEK_MS, BaselineSpec, Experiment, Goal
from stream.measures.lines import TOTALS
from stream.measures.metric import EVER
from stream.measures.registry import METRICS

if TYPE_CHECKING:
    from stream.alerting.parts import Limits
    from stream.alerting.reading import Place

_GOAL: Final = ("metric", "where", "goal", "baseline", "benchmark", "owner", "by")
_EXPERIMENT: Final = ("name", "metrics", "control", "where", "starts_at", "ends_at", "confidence")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WEEKS: Final = 12
# Panes are kept as long as a baseline looks back.
_LONGEST_MS: Final = 92 * DAY_MS


def goals_of(places: list[Place], limits: Limits) -> tuple[Goal, ...]:
    """All goals; one per metric and slice."""
    goals = []
    lines: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for place in places:
        goal = _goal(place, limits)
        at = (goal.metric, goal.where)
        if at in lines:
            raise place.error(
                f"{goal.metric} of this slice has a goal on line {lines[at]}; put both into one entry"
            )
        lines[at] = place.line
        goals.append(goal)
    return tuple(goals)


def _goal(place: Place, limits: Limits) -> Goal:
    fields = place.mapping(_GOAL, what="a goal")
    if "metric" not in fields:
        raise place.missing("metric")
    if not fields.keys() & {"goal", "baseline", "benchmark"}:
        raise place.missing("goal", "missing; a goal, a baseline or a benchmark")
    metric = judged(fields["metric"], limits.metrics)
    where = where_of(fields["where"]) if "where" in fields else ()
    if where:
        check_slice(fields["where"], metric, (name for name, _ in where))
    return Goal(
        metric=metric,
        where=where,
        goal=_line(fields["goal"], metric) if "goal" in fields else None,
        baseline=_baseline(fields["baseline"], metric, limits) if "baseline" in fields else None,
        benchmark=_line(fields["benchmark"], metric) if "benchmark" in fields else None,
        owner=fields["owner"].text() if "owner" in fields else None,
        by=_date(fields["by"]) if "by" in fields else None,
    )


def _line(place: Place, metric: str) -> float:
    line = place.number()
    check_line(place, metric, line)
    return line


def _baseline(place: Place, metric: str, limits: Limits) -> float | BaselineSpec:
    if place.is_scalar:
        return _line(place, metric)
    fields = place.mapping(("window", "ago", "weeks"), what="a number, {window: 7d} or {ago: 7d}")
    if METRICS[metric].windows == EVER:
        raise place.error(f"{metric} has one window only, and no earlier one; give the baseline as a number")
    if "window" in fields:
        for name in ("ago", "weeks"):
            if name in fields:
                raise fields[name].error("goes with the past, not with another window; drop one of them")
        check_lengths(fields["window"], metric, _way_out(metric))
        return BaselineSpec(window=window_of(fields["window"], limits.windows, metric))
    if "ago" not in fields:
        raise place.missing("ago", "missing; {window: 7d}, {ago: 7d} or {ago: 7d, weeks: 4}")
    return ago_of(place, metric)


def ago_of(place: Place, metric: str) -> BaselineSpec:
    """``{ago: 7d, weeks: 4}``: some time ago, and the weeks before, taken together."""
    fields = place.mapping(("ago", "weeks"), what="a longer window, or {ago: 7d}, or {ago: 7d, weeks: 4}")
    if "ago" not in fields:
        raise place.missing("ago")
    if METRICS[metric].ever:
        raise place.error(
            f"{metric} rests on how many customers there were then, which is not kept; give a number"
        )
    place = fields["ago"]
    ago_ms = place.duration(least=1)
    if ago_ms % HOUR_MS:
        raise place.error("must be whole hours")
    weeks = fields["weeks"].integer(1, _WEEKS) if "weeks" in fields else 1
    if weeks > 1 and metric in TOTALS:
        raise fields["weeks"].error(f"{metric} is a total, and {weeks} weeks add up to more; drop weeks")
    if ago_ms + (weeks - 1) * WEEK_MS > _LONGEST_MS:
        raise place.error(f"looks further back than {duration_text(_LONGEST_MS)}")
    return BaselineSpec(ago_ms=ago_ms, weeks=weeks)


def _way_out(metric: str) -> str:
    return "give a number" if METRICS[metric].ever else "compare with {ago: 7d}"


def experiments_of(places: list[Place], limits: Limits) -> tuple[Experiment, ...]:
    """All experiments; names are unique and no window's."""
    experiments = []
    lines: dict[str, int] = {}
    for place in places:
        experiment = _experiment(place, limits)
        if experiment.name in lines:
            raise place.error(f"an experiment of this name is already on line {lines[experiment.name]}")
        lines[experiment.name] = place.line
        experiments.append(experiment)
    return tuple(experiments)


def _experiment(place: Place, limits: Limits) -> Experiment:
    fields = place.mapping(_EXPERIMENT, what="an experiment")
    for name in ("name", "metrics", "control", "starts_at"):
        if name not in fields:
            raise place.missing(name)
    name = fields["name"].text(what="a name such as new_checkout")
    if not _NAME.fullmatch(name):
        raise fields["name"].error("must start with a letter and hold only letters, digits and _ . -")
    if name == EVER or name in limits.windows:
        raise fields["name"].error(f"{name} is the name of a window; call it otherwise")
    where = where_of(fields["where"]) if "where" in fields else ()
    if any(dimension == "variant" for dimension, _ in where):
        raise fields["where"].error("the variants are what is compared; leave `variant` out")
    metrics: list[str] = []
    for item in fields["metrics"].items("a list of metrics such as [csat]"):
        metric = compared(item, limits.metrics)
        if metric in metrics:
            raise item.error(f"{metric} is named twice")
        check_slice(item, metric, (dimension for dimension, _ in where))
        metrics.append(metric)
    if not metrics:
        raise fields["metrics"].error("is empty; name what is compared")
    starts_at_ms = time_of(fields["starts_at"])
    ends_at_ms = time_of(fields["ends_at"]) if "ends_at" in fields else None
    if ends_at_ms is not None and ends_at_ms <= starts_at_ms:
        raise fields["ends_at"].error("must be after starts_at")
    return Experiment(
        name=name,
        metrics=tuple(metrics),
        control=fields["control"].text(),
        where=where,
        starts_at_ms=starts_at_ms,
        ends_at_ms=ends_at_ms,
        confidence=confidence_of(fields["confidence"]) if "confidence" in fields else None,
    )


def time_of(place: Place) -> int:
    """A moment, in milliseconds."""
    text = place.text(what="a time such as 2026-03-01T00:00:00Z")
    try:
        return to_ms(parse_time(text))
    except PydanticCustomError as wrong:
        raise place.error(f"{wrong.message()}; a time reads like 2026-03-01T00:00:00Z") from None


def _date(place: Place) -> date:
    text = place.text(what="a date such as 2026-12-31")
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise place.error("must be a date such as 2026-12-31")
