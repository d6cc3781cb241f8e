"""What a rules file means once it is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.durations import duration_text, parse_duration
from stream.alerting.model import (
    Evidence,
    MetricRule,
    RuleBook,
    Severity,
)
from stream.alerting.rules import load_rules


def _rules(fields: str) -> RuleBook:
    return load_rules(f"groups: [{{name: g, rules: [{fields}]}}]", "r.yml")


def _one(fields: str) -> MetricRule:
    return _rules("{alert: A, metric: nps, window: 1h, below: 3" + fields + "}").metric_rules[0]


def test_what_a_rule_leaves_out_has_the_plainest_meaning() -> None:
    """Without more words a rule compares the value itself, at once, and warns."""
    rule = _one("")
    assert (rule.evidence, rule.min_n, rule.for_ms, rule.cooldown_ms) == (Evidence.NONE, 1, 0, 0)
    assert (rule.resolve_at, rule.grouping, rule.where) == (None, (), ())
    assert (rule.severity, rule.confidence, rule.action) == (Severity.WARNING, 0.95, None)


def test_groupings_are_those_of_slices_rules_and_goals_each_once() -> None:
    """What must be kept is the union, in one order; the whole needs no mention."""
    book = load_rules(
        "slices: [[touchpoint, channel]]\n"
        "goals: [{metric: nps, goal: 3, where: {region: north}}]\n"
        "groups: [{name: g, rules: [\n"
        "  {alert: A, metric: nps, window: 1h, below: 3},\n"
        "  {alert: B, metric: nps, window: 1h, below: 3, by: [channel, touchpoint]},\n"
        "  {alert: C, metric: nps, window: 1h, below: 3, by: [channel], where: {segment: vip}}]}]",
        "r.yml",
    )
    assert book.groupings == (("channel", "segment"), ("channel", "touchpoint"), ("region",))


@pytest.mark.parametrize(
    ("slice_key", "alerts"),
    [
        ("{}", ["Whole"]),
        ('{"segment":"vip"}', ["Vip", "Segments"]),
        ('{"segment":"new"}', ["Segments"]),
        ('{"channel":"chat","segment":"vip"}', ["VipByChannel"]),
        ('{"channel":"chat","segment":"new"}', []),
        ('{"region":"north"}', []),
    ],
)
def test_a_rule_judges_the_slices_of_its_grouping_for_which_where_holds(
    slice_key: str, alerts: list[str]
) -> None:
    """The grouping of a rule is `by` and the dimensions of `where` together."""
    book = load_rules(
        "groups: [{name: g, rules: [\n"
        "  {alert: Whole, metric: nps, window: 1h, below: 3},\n"
        "  {alert: Vip, metric: nps, window: 1h, below: 3, where: {segment: vip}},\n"
        "  {alert: Segments, metric: nps, window: 1h, below: 3, by: [segment]},\n"
        "  {alert: VipByChannel, metric: nps, window: 1h, below: 3, by: [channel], where: {segment: vip}}]}]",
        "r.yml",
    )
    for _ in range(2):
        assert [rule.alert for rule in book.rules_for(slice_key)] == alerts


def test_words_that_yaml_would_bend_stay_words() -> None:
    """`on` is a key, `no` is Norway, and a quoted number is text."""
    book = _rules('{alert: A, on: reply, when: {region: no, segment: "3", product: 0x1F}}')
    assert [check.operand for check in book.customer_rules[0].tests] == ["no", "3", "0x1F"]


def test_equal_durations_name_the_same_window() -> None:
    """60m is 1h and 1d is 24h."""
    book = _rules("{alert: A, metric: nps, window: 60m, drop: {points: 3, from: 1d}}")
    assert (book.metric_rules[0].window, book.metric_rules[0].baseline) == ("1h", "24h")


def test_the_windows_and_the_confidence_come_from_the_caller() -> None:
    """Which windows are published is the deployment's choice; what a rule names beside is kept for judging."""
    text = "groups: [{name: g, rules: [{alert: A, metric: nps, window: 30d, below: 3}]}]"
    assert load_rules(text, "r.yml", windows=("5m", "1h")).windows == ("30d",)
    book = load_rules(text, "r.yml", windows=("5m", "30d"), confidence=0.9)
    assert (book.metric_rules[0].window, book.metric_rules[0].confidence) == ("30d", 0.9)
    assert book.windows == ()


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("24h", 86_400_000), ("7d", 604_800_000),
        ("1w", 604_800_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0),
        ("", None), ("5", None), ("m", None), ("30m1h", None), ("5 m", None), ("1.5h", None), ("٣m", None),
    ],
)  # fmt: skip
def test_durations_are_those_of_prometheus(text: str, ms: int | None) -> None:
    """Whole numbers with units, the largest first."""
    assert parse_duration(text) == ms


@given(st.integers(0, 10**12))
def test_a_duration_survives_being_written_and_read(ms: int) -> None:
    """duration_text and parse_duration are inverse."""
    assert parse_duration(duration_text(ms)) == ms
