"""Which rules can take the place of others while workers run."""

from __future__ import annotations

import pytest

from stream.alerting.kept import not_kept
from stream.alerting.rules import RuleBook, load_rules

KEPT = """
slices: [[segment], [channel, touchpoint]]
metrics: [nps, csat, waiting_time]
journeys: [{name: form, begun: [form_started], finished: [form_sent]}]
privacy: {min_slice_n: 5}
questions: [{question: q, metric: csat, scale: [1, 10]}]
goals: [{metric: nps, goal: 40}]
groups:
  - name: g
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30}
      - {alert: Fell, metric: csat, window: 1h, drop: {points: 10, from: {ago: 7d}}}
"""

RULE = "groups: [{{name: g, rules: [{}]}}]"


def book(text: str) -> RuleBook:
    """The rules of a text."""
    return load_rules(text, "rules.yml", windows=("5m", "1h", "24h", "7d"))


def reasons(text: str) -> list[str]:
    """What the text needs that is not kept."""
    return not_kept(book(text), book(KEPT), book("groups: []"))


@pytest.mark.parametrize(
    "text",
    [
        KEPT,
        "groups: []",
        "slices: [[touchpoint, channel]]\ngroups: []",
        "metrics: [csat]\ngroups: []",
        KEPT.replace("below: 30", "below: 20").replace("NpsLow", "Other"),
        RULE.format("{alert: A, metric: csat, where: {segment: vip}, window: 24h, above: 90}"),
        RULE.format("{alert: A, metric: csat, window: 1h, drop: {points: 5, from: {ago: 7d}}}"),
        RULE.format("{alert: A, on: reply, when: {metric: nps, score: {lte: 6}}}"),
        "hold_out: {share: 0.1}\n" + RULE.format("{alert: A, metric: nps, by: [segment], no_data: 5m}"),
    ],
)
def test_rules_that_need_what_is_kept_may_hold(text: str) -> None:
    """Slices in any order, windows, metrics and declarations that are kept, or nothing said of them."""
    assert reasons(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slices: [[product]]\ngroups: []", ["slices: slices by product are not kept"]),
        (
            RULE.format("{alert: A, metric: nps, by: [region], window: 1h, below: 3}"),
            ["rule 'A' (line 1): slices by region are not kept"],
        ),
        (
            RULE.format("{alert: A, metric: nps, by: [segment], window: 1h, below: 5, drivers: [region]}"),
            ["rule 'A' (line 1): slices by region, segment are not kept"],
        ),
        (
            RULE.format("{alert: A, metric: revenue, window: 1h, below: 3}"),
            ["rule 'A' (line 1): revenue is not computed"],
        ),
        ("metrics: [nps, ces]\ngroups: []", ["metrics: ces is not computed"]),
        (
            RULE.format("{alert: A, metric: csat, window: 24h, drop: {points: 5, from: {ago: 7d}}}"),
            ["rule 'A' (line 1): the window 24h@7d is not kept"],
        ),
        (
            RULE.format("{alert: A, metric: csat, burn_rate: {goal: 80, page: [[6h, 5m, 14.4]]}}"),
            ["rule 'A' (line 1): the window 6h is not kept"],
        ),
        (
            "journeys: [{name: form, begun: [form_opened], finished: [form_sent]}]\ngroups: []",
            ["journeys: form is kept otherwise"],
        ),
        (
            "journeys: [{name: loan, begun: [a], finished: [b]}]\ngroups: []",
            ["journeys: loan is not kept"],
        ),
        ("privacy: {min_slice_n: 9}\ngroups: []", ["privacy.min_slice_n: is declared otherwise than now"]),
        (
            "questions: [{question: q, metric: csat, scale: [1, 7]}]\ngroups: []",
            ["questions: is declared otherwise than now"],
        ),
        ("money: {cost: {field: value}}\ngroups: []", ["money.cost: is declared otherwise than now"]),
        ("goals: [{metric: nps, goal: 41}]\ngroups: []", ["goals: the one of nps is not published now"]),
    ],
)
def test_rules_that_need_more_are_told_what(text: str, expected: list[str]) -> None:
    """Whatever is missing is named, with the rule and its line."""
    assert reasons(text) == expected
