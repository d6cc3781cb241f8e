"""Rules files: text in, a typed RuleBook out, or one RuleError that says where and what to do.

Pure: the caller reads the file. The syntax is in ``docs/rules.md``.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

from stream.alerting.metric_rules import METRIC_FIELDS, metric_rule
from stream.alerting.model import METRICS, WINDOWS, CustomerRule, Goal, MetricRule, RuleBook
from stream.alerting.nodes import NodesError, parse
from stream.alerting.parts import METRICS_LATER, NOT_YET, Limits, grouping_of, where_of
from stream.alerting.reading import Place, RuleError
from stream.alerting.when_rules import CUSTOMER_FIELDS, customer_rule

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["RuleBook", "RuleError", "load_rules"]

_TOP: Final = ("slices", "goals", "groups", "inhibit", "silences", "contact", "hold_out")
_KINDS_LATER: Final = ("change", "burn_rate", "no_data", "expect", "count", "customer", "sequence")
_GOAL: Final = ("metric", "where", "goal", "baseline", "benchmark", "owner", "by")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]{0,127}", re.ASCII)


def load_rules(
    text: str,
    filename: str,
    *,
    windows: Sequence[str] = WINDOWS,
    signals: Collection[str] | None = None,
    confidence: float = 0.95,
) -> RuleBook:
    """Parse and check a rules file.

    Args:
        text: the file's content.
        filename: how errors name it.
        windows: the windows that are kept, shortest first.
        signals: names that ``customer.<name>`` may use in ``when``; None: any.
        confidence: of rules that give none.

    Raises:
        RuleError: the first thing wrong, with file, line, rule and field.
    """
    limits = Limits(tuple(windows), None if signals is None else frozenset(signals), confidence)
    try:
        node = parse(text)
    except NodesError as wrong:
        raise RuleError(filename, wrong.line, None, "", wrong.problem) from None
    if node is None:
        raise RuleError(filename, 1, None, "", "is empty; it needs at least `groups: []`")
    root = Place(filename, None, "", node, node.line)
    fields = root.mapping(_TOP, what="a mapping with `groups`")
    for name in ("inhibit", "silences", "contact", "hold_out"):
        if name in fields and not fields[name].is_empty:
            place = fields[name]
            raise RuleError(filename, place.at, None, name, NOT_YET)
    slices = tuple(grouping_of(place) for place in _items(fields, "slices"))
    goals = tuple(_goal(place) for place in _items(fields, "goals"))
    metric_rules: list[MetricRule] = []
    customer_rules: list[CustomerRule] = []
    for rule in _rules(_items(fields, "groups"), limits):
        if isinstance(rule, MetricRule):
            metric_rules.append(rule)
        else:
            customer_rules.append(rule)
    return RuleBook(filename, slices, goals, tuple(metric_rules), tuple(customer_rules))


def _items(fields: dict[str, Place], name: str) -> list[Place]:
    place = fields.get(name)
    return [] if place is None or (place.is_scalar and place.is_empty) else place.items()


def _rules(groups: list[Place], limits: Limits) -> list[MetricRule | CustomerRule]:
    found: list[MetricRule | CustomerRule] = []
    lines: dict[str, int] = {}
    seen: dict[str, int] = {}
    for place in groups:
        fields = place.mapping(("name", "rules"), what="a group with `name` and `rules`")
        if "name" not in fields:
            raise place.missing("name", "missing; every group has a name")
        group = fields["name"].text()
        if group in seen:
            raise fields["name"].error(f"a group of this name is already on line {seen[group]}")
        seen[group] = fields["name"].line
        for index, item in enumerate(_items(fields, "rules"), start=1):
            rule = _rule(item, group, index, limits)
            if rule.alert in lines:
                problem = f"an alert of this name is already on line {lines[rule.alert]}; names are unique"
                raise RuleError(item.file, rule.line, rule.alert, "alert", problem)
            lines[rule.alert] = rule.line
            found.append(rule)
    return found


def _rule(item: Place, group: str, index: int, limits: Limits) -> MetricRule | CustomerRule:
    unnamed = item.named(f"#{index} of group {group}")
    name = unnamed.member("alert")
    if name is None:
        unnamed.mapping(None, what="a rule")
        raise unnamed.missing("alert", "missing; every rule has a name")
    alert = name.text(what="a name such as NpsLow")
    if not _NAME.fullmatch(alert):
        raise name.error("must start with a letter and hold only letters, digits and _ : . -")
    place = unnamed.named(alert)
    later = dict.fromkeys(_KINDS_LATER, NOT_YET)
    if place.member("when") or place.member("on"):
        of_metrics = dict.fromkeys(set(METRIC_FIELDS) - set(CUSTOMER_FIELDS), _ONLY_METRIC)
        fields = place.mapping(CUSTOMER_FIELDS, later | of_metrics)
        return customer_rule(place, fields, alert, group, limits)
    fields = place.mapping(METRIC_FIELDS, later)
    return metric_rule(place, fields, alert, group, limits)


_ONLY_METRIC: Final = (
    "belongs to rules over a window of a metric; this rule looks at single records, its tests go under `when`"
)


def _goal(place: Place) -> Goal:
    fields = place.mapping(_GOAL, what="a goal")
    for name in ("metric", "goal"):
        if name not in fields:
            raise place.missing(name)
    numbers = {name: fields[name].number() for name in ("goal", "baseline", "benchmark") if name in fields}
    return Goal(
        metric=fields["metric"].choice(METRICS, "metric", METRICS_LATER),
        where=where_of(fields["where"]) if "where" in fields else (),
        goal=numbers["goal"],
        baseline=numbers.get("baseline"),
        benchmark=numbers.get("benchmark"),
        owner=fields["owner"].text() if "owner" in fields else None,
        by=_date(fields["by"]) if "by" in fields else None,
    )


def _date(place: Place) -> date:
    text = place.text(what="a date such as 2026-12-31")
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise place.error("must be a date such as 2026-12-31")
