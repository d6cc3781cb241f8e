"""Rules files: text in, a typed RuleBook out, or one RuleError that says where and what to do.

Pure: the caller reads the file. The syntax is in ``docs/rules.md``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stream.alerting import declared
from stream.alerting.goals import experiments_of, goals_of
from stream.alerting.history_rules import HISTORY_FIELDS, KINDS, history_rule
from stream.alerting.hygiene_rules import HYGIENE_FIELDS, hygiene_of
from stream.alerting.metric_rules import METRIC_FIELDS, metric_rule
from stream.alerting.model import CustomerRule, HistoryRule, MetricRule, RuleBook
from stream.alerting.nodes import NodesError, parse
from stream.alerting.parts import Draft, Limits, grouping_of, language_of
from stream.alerting.reading import Place, RuleError
from stream.alerting.templates import ENGLISH
from stream.alerting.when_rules import CUSTOMER_FIELDS, customer_rule
from stream.measures.declare import Declarations
from stream.measures.registry import REPLY_METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["RuleBook", "RuleError", "load_rules"]

AnyRule = MetricRule | CustomerRule | HistoryRule

_TOP: Final = (
    "slices", "metrics", "questions", "journeys", "money", "goals", "experiments", "topics", "drivers",
    "privacy", "groups", "language", *HYGIENE_FIELDS,
)  # fmt: skip
_MOST_WINDOWS: Final = 24
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]{0,127}", re.ASCII)


_DEFAULT: Final = Declarations()


def load_rules(
    text: str,
    filename: str,
    *,
    windows: Sequence[str] = _DEFAULT.windows,
    signals: Collection[str] | None = None,
    confidence: float = 0.95,
    min_slice_n: int = _DEFAULT.min_slice_n,
    pane_ms: int = 10_000,
) -> RuleBook:
    """Parse and check a rules file.

    Args:
        text: the file's content.
        filename: how errors name it.
        windows: the windows that are published, shortest first.
        signals: names that ``customer.<name>`` may use in ``when``; None: any.
        confidence: of rules that give none.
        min_slice_n: where the file does not say it under ``privacy``.
        pane_ms: what windows are made of.

    Raises:
        RuleError: the first thing wrong, with file, line, rule and field.
    """
    try:
        node = parse(text)
    except NodesError as wrong:
        raise RuleError(filename, wrong.line, None, "", wrong.problem) from None
    if node is None:
        raise RuleError(filename, 1, None, "", "is empty; it needs at least `groups: []`")
    root = Place(filename, None, "", node, node.line)
    fields = root.mapping(_TOP, what="a mapping with `groups`")
    slices = tuple(grouping_of(place) for place in _items(fields, "slices"))
    language = language_of(fields["language"]) if "language" in fields else ENGLISH
    hygiene, renotify_ms = hygiene_of(fields)
    limits = Limits(
        windows=tuple(windows),
        signals=None if signals is None else frozenset(signals),
        confidence=confidence,
        metrics=declared.metrics_of(fields.get("metrics")),
        pane_ms=pane_ms,
        language=language,
        renotify_ms=renotify_ms,
    )
    said = _declarations(fields, limits, min_slice_n)
    rules = _rules(_items(fields, "groups"), limits)
    # Claims about replies say who is at risk.
    at_risk = any(isinstance(rule, MetricRule) and rule.metric in REPLY_METRICS for rule in rules)
    book = RuleBook(
        filename,
        slices,
        metric_rules=tuple(rule for rule in rules if isinstance(rule, MetricRule)),
        customer_rules=tuple(rule for rule in rules if isinstance(rule, CustomerRule)),
        history_rules=tuple(rule for rule in rules if isinstance(rule, HistoryRule)),
        hygiene=hygiene,
        declared=replace(said, at_risk=at_risk),
        language=language,
    )
    if len(book.windows) > _MOST_WINDOWS:
        problem = (
            f"rules look at {len(book.windows)} windows that are not published, at most {_MOST_WINDOWS} may"
        )
        raise fields["groups"].error(f"{problem}; let rules share windows, or add some to CX_WINDOWS")
    return book


def _declarations(fields: dict[str, Place], limits: Limits, min_slice_n: int) -> Declarations:
    revenue, cost = declared.money_of(fields.get("money"), _DEFAULT.revenue, _DEFAULT.cost)
    return Declarations(
        metrics=limits.metrics,
        windows=limits.windows,
        min_slice_n=declared.min_slice_n_of(fields.get("privacy"), min_slice_n),
        questions=declared.questions_of(_items(fields, "questions")),
        journeys=declared.journeys_of(_items(fields, "journeys")),
        revenue=revenue,
        cost=cost,
        goals=goals_of(_items(fields, "goals"), limits),
        experiments=experiments_of(_items(fields, "experiments"), limits),
        topics=declared.topics_of(fields.get("topics")),
        drivers=declared.drivers_of(fields.get("drivers"), limits.metrics),
    )


def _items(fields: dict[str, Place], name: str) -> list[Place]:
    place = fields.get(name)
    return [] if place is None or (place.is_scalar and place.is_empty) else place.items()


def _rules(groups: list[Place], limits: Limits) -> list[AnyRule]:
    found: list[AnyRule] = []
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


def _rule(item: Place, group: str, index: int, limits: Limits) -> AnyRule:
    unnamed = item.named(f"#{index} of group {group}")
    name = unnamed.member("alert")
    if name is None:
        unnamed.mapping(None, what="a rule")
        raise unnamed.missing("alert", "missing; every rule has a name")
    alert = name.text(what="a name such as NpsLow")
    if not _NAME.fullmatch(alert):
        raise name.error("must start with a letter and hold only letters, digits and _ : . -")
    draft = Draft(unnamed.named(alert), alert, group)
    place = draft.place
    if place.member("when") or place.member("on"):
        return customer_rule(draft, place.mapping(CUSTOMER_FIELDS, _ONLY_METRIC | _ONLY_HISTORY), limits)
    if any(place.member(kind) for kind in KINDS):
        return history_rule(draft, place.mapping(HISTORY_FIELDS, _NOT_HISTORY), limits)
    return metric_rule(draft, place.mapping(METRIC_FIELDS), limits)


_ONLY_METRIC: Final = dict.fromkeys(
    set(METRIC_FIELDS) - set(CUSTOMER_FIELDS),
    "belongs to rules over a window of a metric; this rule looks at single records, its tests go under `when`",
)
_ONLY_HISTORY: Final = dict.fromkeys(
    set(HISTORY_FIELDS) - set(CUSTOMER_FIELDS),
    "belongs to rules over several records of a customer; this one has `on` and `when`: make two of it",
)
_NOT_HISTORY: Final = dict.fromkeys(
    set(METRIC_FIELDS) - set(HISTORY_FIELDS),
    f"belongs to rules over a window of a metric; a rule with one of {', '.join(KINDS)} is about one customer",
)
