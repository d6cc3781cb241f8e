"""Warnings: what is right and can never come about, or does nothing."""

from __future__ import annotations

import pytest

from stream.alerting.lint import remarks
from stream.alerting.rules import load_rules
from stream.measures.registry import METRICS, observation

NOW_MS = 1_800_000_000_000  # 2027-01-15


def _warned(text: str) -> list[tuple[int, str | None, str, str]]:
    book = load_rules(text, "r.yml")
    return [(each.line, each.rule, each.field, each.problem) for each in remarks(book, NOW_MS)]


def _of_rule(fields: str, top: str = "") -> list[tuple[str, str]]:
    rule = "".join(f"        {line}\n" for line in fields.splitlines())
    found = _warned(f"{top}groups:\n  - name: g\n    rules:\n      - alert: A\n{rule}")
    assert {alert for _, alert, _, _ in found} <= {"A"}
    return [(field, problem) for _, _, field, problem in found]


NPS = "metric: nps\nwindow: 1h\n"
CSAT = "metric: csat\nwindow: 1h\n"

WARNED = [
    (NPS + "below: -100", "below", "never fires: nps is never below -100"),
    (CSAT + "above: 100", "above", "never fires: csat is never above 100"),
    ("metric: waiting_time\nwindow: 1h\nbelow: 0", "below", "never fires: waiting_time is never below 0"),
    ("metric: ces\nwindow: 1h\nbelow: 1", "below", "never fires: ces is never below 1"),
    (NPS + "below: 30\nresolve: {above: 100}", "resolve", "is never over: nps is never above 100"),
    (CSAT + "above: 30\nresolve: {below: 0}", "resolve", "is never over: csat is never below 0"),
    (NPS + "below: -95\nevidence: interval\nmin_n: 5", "min_n", "5 are never evidence enough"),
    (CSAT + "above: 90\nevidence: interval\nmin_n: 20", "min_n", "even if all were highest"),
    ("metric: reopen_rate\nwindow: 1h\nbelow: 1\nevidence: interval\nmin_n: 50", "min_n", "even if all were"),
    (NPS + "below: 3\nfor: 2h", "for", "2h is longer than the window, 1h"),
    (NPS + "drop: {points: 250, from: 7d}", "drop", "never fires: nps is between -100 and 100"),
    (NPS + "drop: {points: 10, from: 90m}", "drop", "1h is 67 % of 90m"),
    (NPS + "below: 3\nwhere: {topic: parkin}", "where.topic", "no topic 'parkin'"),
    (NPS + "below: 3\nby: [segment]\nwhere: {segment: a}\nevidence: anytime\nfdr: 0.1", "fdr", "one slice"),
    (
        "metric: csat\nburn_rate: {goal: 80, page: [[1h, 5m, 14.4]]}",
        "burn_rate",
        "never fires: with a goal of 80 % the budget burns at most 5 times as fast as it may",
    ),
    (
        "metric: csat\nburn_rate: {goal: 80, page: [[1h, 5m, 3], [6h, 30m, 6]]}",
        "burn_rate",
        "this line is never crossed",
    ),
    ("on: reply\nwhen: {metric: nps, score: {gt: 10}}", "when.score", "nps is answered from 0 to 10"),
    ("on: reply\nwhen: {metric: csat, score: 6}", "when.score", "unless replies bring a scale of their own"),
    ("on: reply\nwhen: {segment: {eq: a, ne: a}}", "when.segment", "exclude each other"),
    ("on: reply\nwhen: {segment: {in: [a, b], eq: c}}", "when.segment", "exclude each other"),
    ("on: reply\nwhen: {segment: {exists: false, eq: c}}", "when.segment", "exclude each other"),
    ("customer: {churn_probability: {gte: 70}}", "customer.churn_probability", "between 0 and 1"),
    ("count: {of: {kind: ticket_open}, at_least: 3, within: 7d}", "count.of.kind", "'ticket_opened'?"),
    (
        "expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolve}, within: 1d}",
        "expect.then.kind",
        "'ticket_resolved'?",
    ),
]

QUIET = [
    NPS + "below: -95\nevidence: interval\nmin_n: 140",
    NPS + "below: -95\nevidence: interval",
    NPS + "below: 30\nresolve: {above: 35}\nfor: 1h",
    NPS + "drop: {points: 10, from: 7d}",
    NPS + "drop: {points: 10, from: {ago: 7d, weeks: 4}}",
    NPS + "below: 3\nwhere: {topic: billing}",
    NPS + "below: 3\nby: [segment]\nevidence: anytime\nfdr: 0.1",
    "metric: csat\nburn_rate: {goal: 99, page: [[1h, 5m, 14.4]]}",
    "metric: lifetime_value\nwindow: ever\nabove: 250000",
    "on: reply\nwhen: {metric: nps, score: {lte: 6}}",
    "on: reply\nwhen: {segment: {in: [a, b], ne: a}}",
    "on: reply\nwhen: {segment: {exists: true, ne: a}}",
    "on: touchpoint\nwhen: {kind: newsletter_opened}",
    "customer: {churn_probability: {gte: 0.7}}",
    "expect: {after: {kind: session_started}, then: {kind: session_started}, within: 7d}",
]


@pytest.mark.parametrize(("fields", "field", "problem"), WARNED)
def test_what_can_never_be_is_warned_of(fields: str, field: str, problem: str) -> None:
    """One warning for each, with the field it is about."""
    for found in _of_rule(fields):
        assert found[0] == field
        assert problem in found[1]
        return
    pytest.fail("no warning")


@pytest.mark.parametrize("fields", QUIET)
def test_what_may_be_is_not(fields: str) -> None:
    """A warning about a rule that may fire would teach people not to read warnings."""
    assert _of_rule(fields) == []


@pytest.mark.parametrize("line", [-99, -60, -5, 20])
def test_the_number_of_replies_it_takes_is_the_least(line: int) -> None:
    """So many of the worst replies are evidence, and one fewer are not: by the metric's own interval."""
    [(_, problem)] = _of_rule(NPS + f"below: {line}\nevidence: interval\nmin_n: 2") or [("", "it takes 2 of")]
    needed = int(problem.split("it takes ")[1].split()[0])
    seen = observation("nps", 0, (0, 10), True)
    assert seen is not None
    for n, enough in ((needed - 1, needed <= 2), (needed, True)):
        value = METRICS["nps"].value({seen[0]: [n * part for part in seen[1]]}, 0.95)
        assert value is not None
        assert (value.interval is not None and value.interval[1] < line) is enough


def test_scales_of_declared_questions_count() -> None:
    """What is out of the usual scale may be on that of a question."""
    questions = "questions: [{question: q, metric: csat, scale: [1, 10]}]\n"
    assert _of_rule("on: reply\nwhen: {metric: csat, score: 6}", questions) == []


def test_kinds_of_declared_journeys_are_known() -> None:
    """A kind that is declared is no slip of the pen."""
    rule = "on: touchpoint\nwhen: {kind: ticket_opener}"
    assert _of_rule(rule)
    assert _of_rule(rule, "journeys: [{name: j, begun: [ticket_opener], finished: [b]}]\n") == []


def test_a_min_n_below_what_is_shown_does_nothing() -> None:
    """Values that are hidden are hidden from rules."""
    rule = NPS + "below: 3\nmin_n: 4\n"
    top = "privacy: {min_slice_n: 5}\n"
    assert [field for field, _ in _of_rule(rule + "by: [segment]", top)] == ["min_n"]
    assert _of_rule(rule, top) == []


RULES = """\
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: 3, severity: critical, labels: {team: a}}
      - {alert: One, on: reply, when: {metric: nps}}
"""
HYGIENE = [
    ("silences: [{matchers: {team: b}, SPAN, author: me, comment: c}]", ["silences: fits no alert of"]),
    ("silences: [{matchers: {team: a, segment: vip}, SPAN, author: me, comment: c}]", []),
    ("silences: [{matchers: ['alertname=~L.*'], SPAN, author: me, comment: c}]", []),
    (
        "silences: [{matchers: {team: a}, PAST, author: me, comment: c}]",
        ["silences: is over since 2026-01-02"],
    ),
    (
        "inhibit: [{source: {severity: info}, target: {severity: warning}}]",
        ['inhibit.source: fits no alert of this file: severity="info"'],
    ),
    (
        "inhibit: [{source: {severity: critical}, target: {severity: warning}, equal: [segment]}]",
        ["inhibit.equal: no alert that fits the target has a label segment"],
    ),
    ("route: {group_by: [alertname, team]}", []),
    ("route: {group_by: ['...']}", []),
    ("route: {group_by: [region]}", ["route.group_by: no alert of this file has a label region"]),
    (
        "contact: {per_customer: 2, within: 7d}",
        ["contact: does nothing: no rule over customers has an action"],
    ),
    ("hold_out: {share: 0.1}", ["hold_out: does nothing"]),
    ("hold_out: {share: 0}", []),
]


@pytest.mark.parametrize(("text", "problems"), HYGIENE)
def test_hygiene_that_fits_no_rule_is_warned_of(text: str, problems: list[str]) -> None:
    """A silence with a typo silences nothing, and an inhibition that fits nothing inhibits nothing."""
    spans = {"SPAN": ("2026-01-01", "2030-01-01"), "PAST": ("2026-01-01", "2026-01-02")}
    for word, (begin, end) in spans.items():
        text = text.replace(word, f"starts_at: {begin}T00:00:00Z, ends_at: {end}T00:00:00Z")
    found = _warned(RULES + text + "\n")
    assert len(found) == len(problems)
    for (line, rule, field, problem), wanted in zip(found, problems, strict=True):
        assert (line, rule) == (6, None)
        assert f"{field}: {problem}".startswith(wanted)
