"""Warnings about silences, inhibitions, grouping and contact: what fits no rule, or is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import format_ms
from stream.alerting.hygiene import EVERY_LABEL
from stream.alerting.matching import matches, show_matcher
from stream.alerting.model import MetricRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream.alerting.hygiene import Inhibition, Matcher
    from stream.alerting.lint_records import Said
    from stream.alerting.model import Rule, RuleBook


_Labels = dict[str, str | None]
"""Labels of a rule's alerts; None where any value may be."""


def hygiene_remarks(book: RuleBook, now_ms: int) -> Iterator[Said]:
    """All warnings about what keeps alerts few."""
    rules = (*book.metric_rules, *book.customer_rules, *book.history_rules)
    hygiene, lines = book.hygiene, dict(book.hygiene.lines)
    labelled = [_labels(rule) for rule in rules]
    for silence in hygiene.silences:
        if silence.ends_at_ms <= now_ms:
            yield silence.line, None, "silences", f"is over since {format_ms(silence.ends_at_ms)}; drop it"
        elif not any(_may_match(silence.matchers, labels) for labels in labelled):
            yield silence.line, None, "silences", f"fits no alert of this file: {_shown(silence.matchers)}"
    for inhibition in hygiene.inhibitions:
        for field, problem in _of_inhibition(inhibition, labelled):
            yield inhibition.line, None, field, problem
    for label in hygiene.grouped.by if hygiene.grouped is not None else ():
        if rules and label != EVERY_LABEL and not any(label in labels for labels in labelled):
            yield lines.get("route", 1), None, "route.group_by", f"no alert of this file has a label {label}"
    of_customers = [rule for rule in rules if not isinstance(rule, MetricRule)]
    for name, said in (("contact", hygiene.contact is not None), ("hold_out", hygiene.hold_out > 0)):
        if said and not any(rule.action is not None for rule in of_customers):
            yield lines.get(name, 1), None, name, "does nothing: no rule over customers has an action"


def _of_inhibition(inhibition: Inhibition, labelled: Iterable[_Labels]) -> Iterator[tuple[str, str]]:
    for name, matchers in (("source", inhibition.source), ("target", inhibition.target)):
        fitting = [labels for labels in labelled if _may_match(matchers, labels)]
        if not fitting:
            yield f"inhibit.{name}", f"fits no alert of this file: {_shown(matchers)}"
        for label in inhibition.equal:
            if fitting and not any(label in labels for labels in fitting):
                yield "inhibit.equal", f"no alert that fits the {name} has a label {label}"


def _labels(rule: Rule) -> _Labels:
    known: dict[str, str | None] = {}
    if isinstance(rule, MetricRule):
        known.update(dict.fromkeys(rule.grouping))
        known.update(rule.where)
    return {**known, **dict(rule.labels), "alertname": rule.alert, "severity": str(rule.severity)}


def _may_match(matchers: tuple[Matcher, ...], labels: _Labels) -> bool:
    fixed = {name: value for name, value in labels.items() if value is not None}
    return matches([one for one in matchers if labels.get(one.label, "") is not None], fixed)


def _shown(matchers: tuple[Matcher, ...]) -> str:
    return ", ".join(show_matcher(matcher) for matcher in matchers)
