"""Every way to get a rules file wrong is refused, with the line, the rule and the field.

The line an error must name is the one that ends in ``# <-``.
"""

from __future__ import annotations

import pytest

from stream.alerting.rules import RuleError, load_rules

SIGNALS = ("open_tickets", "gap_ratio")

METRIC = """\
groups:
  - name: g
    rules:
      - alert: First
        metric: nps
        window: 1h
        below: 3
      - alert: Low
"""
CUSTOMER = """\
groups:
  - name: g
    rules:
      - alert: One
"""


def _refused(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        load_rules(text, "rules.yml", signals=SIGNALS)
    error = caught.value
    lines = text.splitlines()
    marked = [number for number, line in enumerate(lines, start=1) if line.endswith("# <-")]
    assert [error.line] == (marked or [1]), str(error)
    assert str(error).startswith(f"rules.yml:{error.line}: ")
    assert "\n" not in str(error)
    return error


def _body(head: str, fields: str) -> str:
    return head + "".join(f"        {line}\n" for line in fields.splitlines())


# (fields of the rule, the field named, a part of the problem)
METRIC_CASES = [
    ("metric: nps\nwindow: 1h\nbelow: 3\nbelo: 4  # <-", "belo", "unknown field; did you mean 'below'?"),
    ("metric: nsp  # <-\nwindow: 1h\nbelow: 3", "metric", "unknown metric 'nsp'; did you mean 'nps'?"),
    ("metric: [nps]  # <-\nwindow: 1h\nbelow: 3", "metric", "must be a metric, not a list"),
    ("metric:  # <-\nwindow: 1h\nbelow: 3", "metric", "nothing is given"),
    ("metric: nps\nwindow: 7s  # <-\nbelow: 3", "window", "made of steps of 10s"),
    ("metric: nps\nwindow: 61m  # <-\nbelow: 3", "window", "made of steps of 5m"),
    ("metric: nps\nwindow: 91d  # <-\nbelow: 3", "window", "longer than 90d"),
    ("metric: nps\nwindow: ever  # <-\nbelow: 3", "window", "has values in rolling windows: 5m, 1h,"),
    ("metric: lifetime_value\nwindow: 1h  # <-\nbelow: 3", "window", "write `window: ever`"),
    (
        "metric: lifetime_value\nwindow: ever\ndrop: {points: 3, from: 7d}  # <-",
        "drop",
        "use below or above",
    ),
    (
        "metric: lifetime_value\nwindow: ever\nbelow: 3\nevidence: interval  # <-",
        "evidence",
        "has no interval",
    ),
    ("metric: revenue\nwindow: 1h\ndrop: {points: 3, from: 7d}  # <-", "drop", "grows with its window"),
    ("metric: churn_rate\nwindow: 1h\nrise: {points: 3, from: 7d}  # <-", "rise", "use below or above"),
    ("metric: waiting_time\nwindow: 1h\nabove: 3\nby: [topic]  # <-", "by", "only replies have a topic"),
    (
        "metric: revenue\nwindow: 1h\nbelow: 3\nwhere: {question: q1}  # <-",
        "where",
        "only replies have a question",
    ),
    ("metric: waiting_time\nwindow: 1h\nbelow: -1  # <-", "below", "never below 0: -1 says always or never"),
    ("metric: reopen_rate\nwindow: 1h\nabove: 101  # <-", "above", "between 0 and 100"),
    ("metric: nps\nwindow: 60  # <-\nbelow: 3", "window", "it lacks its unit"),
    ("metric: nps\nwindow: 1h\nbelow: low  # <-", "below", "must be a number, not 'low'"),
    ('metric: nps\nwindow: 1h\nbelow: "3"  # <-', "below", "must be a number, not '3'"),
    ("metric: nps\nwindow: 1h\nbelow: .nan  # <-", "below", "must be a number"),
    ("metric: nps\nwindow: 1h\nbelow: 1e999  # <-", "below", "must be a number"),
    ("metric: nps\nwindow: 1h\nbelow: 101  # <-", "below", "between -100 and 100"),
    ("metric: csat\nwindow: 1h\nabove: -1  # <-", "above", "between 0 and 100"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nabove: 4  # <-", "above", "below is given too"),
    ("metric: nps\nwindow: 1h\nbelow: 3\ndrop: {points: 1, from: 7d}  # <-", "drop", "below is given too"),
    ("metric: nps\nwindow: 1h\ndrop: 10  # <-", "drop", "must be points and from (field: value), not '10'"),
    ("metric: nps\nwindow: 1h\ndrop: {points: 10}  # <-", "drop.from", "missing"),
    ("metric: nps\nwindow: 1h\nrise: {from: 7d}  # <-", "rise.points", "missing"),
    ("metric: nps\nwindow: 1h\ndrop:\n  from: 7d\n  points: 0  # <-", "drop.points", "must be above 0"),
    ("metric: nps\nwindow: 1h\ndrop:\n  points: 3\n  from: 1h  # <-", "drop.from", "must be longer than"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nby: segment  # <-", "by", "must be a list of dimensions such as"),
    (
        "metric: nps\nwindow: 1h\nbelow: 3\nby:\n  - segment\n  - chanel  # <-",
        "by[1]",
        "did you mean 'channel'?",
    ),
    ("metric: nps\nwindow: 1h\nbelow: 3\nby: [region, region]  # <-", "by[1]", "named twice"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nwhere: {team: a}  # <-", "where.team", "unknown field"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nwhere: {segment: [a]}  # <-", "where.segment", "not a list"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nwhere: {segment: 3}  # <-", "where.segment", 'quote it: "3"'),
    ("metric: nps\nwindow: 1h\nbelow: 3\nwhere: {stage: exti}  # <-", "where.stage", "did you mean 'exit'?"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nevidence: some  # <-", "evidence", "unknown evidence 'some'"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nconfidence: 95  # <-", "confidence", "did you mean 0.95?"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nconfidence: 1  # <-", "confidence", "below 1"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nmin_n: 0  # <-", "min_n", "between 1 and"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nmin_n: 2.5  # <-", "min_n", "whole number"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nfor: soon  # <-", "for", "must be a duration such as"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nfor: 53w  # <-", "for", "longer than a year"),
    ("metric: nps\nwindow: 1h\nbelow: 3\ncooldown: -5m  # <-", "cooldown", "must be a duration such as"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nresolve: 5  # <-", "resolve", "must be a mapping with 'above'"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nresolve: {}  # <-", "resolve.above", "missing"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nresolve: {above: 2}  # <-", "resolve.above", "must be 3 or more"),
    ("metric: nps\nwindow: 1h\nabove: 3\nresolve: {below: 4}  # <-", "resolve.below", "must be 3 or less"),
    (
        "metric: nps\nwindow: 1h\nabove: 3\nresolve: {above: 4}  # <-",
        "resolve.above",
        "did you mean 'below'?",
    ),
    (
        "metric: nps\nwindow: 1h\nrise: {points: 5, from: 24h}\nresolve: {points: 6}  # <-",
        "resolve.points",
        "between 0 and the rule's own 5",
    ),
    ("metric: nps\nwindow: 1h\nbelow: 3\nseverity: severe  # <-", "severity", "unknown severity 'severe'"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nlabels: [a]  # <-", "labels", "must be a mapping of labels"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nlabels: {segment: a}  # <-", "labels.segment", "would hide"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nlabels: {severity: a}  # <-", "labels.severity", "set by cx-pulse"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nlabels: {a-b: c}  # <-", "labels.a-b", "letters, digits and _"),
    ('metric: nps\nwindow: 1h\nbelow: 3\nlabels: {a: "{n}"}  # <-', "labels.a", "identity"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nlabels: {a: 3}  # <-", "labels.a", "quote it"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a b: c}  # <-", "annotations.a b", "letters, digits"),
    (
        'metric: nps\nwindow: 1h\nbelow: 3\nannotations:\n  summary: "{segmnt} is {value}"  # <-',
        "annotations.summary",
        "unknown placeholder {segmnt}",
    ),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{segment}'}  # <-", "annotations.a", "unknown"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{n.real}'}  # <-", "annotations.a", "unknown"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{n:>9}'}  # <-", "annotations.a", "no formats"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{n[0]}'}  # <-", "annotations.a", "no code"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{n!r}'}  # <-", "annotations.a", "no formats"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: 'n}'}  # <-", "annotations.a", "lone '}'"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nannotations: {a: '{baseline}'}  # <-", "annotations.a", "unknown"),
    ("metric: nps\nwindow: 1h\nbelow: 3\naction: call  # <-", "action", "must be an action"),
    ("metric: nps\nwindow: 1h\nbelow: 3\naction: {owner: a}  # <-", "action.type", "missing"),
    (
        "metric: nps\nwindow: 1h\nbelow: 3\naction: {type: a, within: 0s}  # <-",
        "action.within",
        "longer than",
    ),
    ("metric: nps\nwindow: 1h\nbelow: 3\naction: {type: a, who: b}  # <-", "action.who", "unknown field"),
    ("metric: nps\nwindow: 1h\nbelow: 3\nwindow: 5m  # <-", "window", "is given twice (first on line 10)"),
]

# Missing fields are reported at the rule's own line, the one that starts with "- alert".
MISSING_CASES = [
    ("window: 1h\nbelow: 3", "metric", "missing"),
    ("metric: nps\nbelow: 3", "window", "missing"),
    ("metric: nps\nwindow: 1h", "below", "one of: below, above, drop, rise"),
]

CUSTOMER_CASES = [
    ("on: answer  # <-\nwhen: {score: 3}", "on", "unknown kind of record 'answer'"),
    ("on: reply\nwhen: score < 3  # <-", "when", "must be a mapping of tests"),
    ("on: reply\nwhen: {}  # <-", "when", "would match every record"),
    ("on: reply\nwhen: {scor: 3}  # <-", "when.scor", "unknown field; did you mean 'score'?"),
    ("on: reply\nwhen: {score: {}}  # <-", "when.score", "has no test"),
    ("on: reply\nwhen: {score: [3]}  # <-", "when.score", "must be a value, or tests such as"),
    ("on: reply\nwhen: {score: {less: 3}}  # <-", "when.score.less", "unknown field"),
    ("on: reply\nwhen: {score: {lte: six}}  # <-", "when.score.lte", "must be a number"),
    ("on: reply\nwhen: {score: bad}  # <-", "when.score", "must be a number"),
    ("on: reply\nwhen: {score: {gt: 6, lte: 6}}  # <-", "when.score", "can never match"),
    ("on: reply\nwhen: {score: {gte: 7, lte: 6}}  # <-", "when.score", "can never match"),
    ("on: reply\nwhen: {metric: nsp}  # <-", "when.metric", "did you mean 'nps'?"),
    ("on: reply\nwhen: {segment: {gte: 3}}  # <-", "when.segment.gte", "is text and has no order"),
    ("on: reply\nwhen: {segment: 3}  # <-", "when.segment", "quote it"),
    ("on: reply\nwhen: {segment: {in: vip}}  # <-", "when.segment.in", "must be a list of values"),
    ("on: reply\nwhen: {segment: {in: []}}  # <-", "when.segment.in", "never match"),
    ("on: reply\nwhen: {segment: {exists: maybe}}  # <-", "when.segment.exists", "true or false"),
    ("on: reply\nwhen: {stage: {in: [exit, leave]}}  # <-", "when.stage.in[1]", "one of: engage"),
    ("on: reply\nwhen: {kind: purchase}  # <-", "when.kind", "a reply has no such field, a touchpoint has"),
    ("on: reply\nwhen: {attributes.a: 1}  # <-", "when.attributes.a", "a touchpoint has"),
    ("on: touchpoint\nwhen: {score: 1}  # <-", "when.score", "a touchpoint has no such field, a reply has"),
    ("on: reply\nwhen: {comment: bad}  # <-", "when.comment", "exists: true"),
    ("on: reply\nwhen: {comment: {ne: bad}}  # <-", "when.comment.ne", "exists: true"),
    (
        "on: reply\nwhen:\n  customer.open_ticket: {gte: 1}  # <-",
        "when.customer.open_ticket",
        "unknown customer signal 'open_ticket'; did you mean 'open_tickets'?",
    ),
    ("on: reply\nwhen: {score: 1}\nwindow: 1h  # <-", "window", "its tests go under `when`"),
    ("on: reply\nwhen: {score: 1}\nwehn: {}  # <-", "wehn", "did you mean 'when'?"),
    ("on: reply\nwhen: {score: 1}\nexpect: {}  # <-", "expect", "make two of it"),
    (
        "on: reply\nwhen: {score: 1}\nannotations: {a: '{comment}'}  # <-",
        "annotations.a",
        "unknown placeholder {comment}",
    ),
    (
        "on: reply\nwhen: {score: 1}\nannotations: {a: '{customer.gap_ratio}'}  # <-",
        "annotations.a",
        "unknown placeholder {customer.gap_ratio}",
    ),
]

FILE_CASES = [
    ("", "", "is empty"),
    ("nothing  # <-", "", "must be a mapping with `groups`"),
    ("- a  # <-", "", "must be a mapping with `groups`"),
    ("groups: []\ngruops: []  # <-", "gruops", "did you mean 'groups'?"),
    ("groups: []\ngroups: []  # <-", "groups", "is given twice (first on line 1)"),
    ("groups: {}  # <-", "groups", "must be a list, not a mapping"),
    ("groups:\n  - rules: []  # <-", "groups[0].name", "every group has a name"),
    ("groups:\n  - name: a\n    interval: 1m  # <-", "groups[0].interval", "unknown field"),
    ("groups:\n  - name: a\n  - name: a  # <-", "groups[1].name", "already on line 2"),
    ("groups:\n  - name: a\n    rules:\n      - nps  # <-", "", "must be a rule"),
    ("groups:\n  - name: a\n    rules:\n      - metric: nps  # <-", "alert", "every rule has a name"),
    ("groups:\n  - name: a\n    rules:\n      - alert: a|b  # <-", "alert", "letters, digits"),
    ("slices: [[segment], [channel, nps]]  # <-", "slices[1][1]", "unknown dimension 'nps'"),
    ("goals:\n  - {metric: csat}  # <-", "goals[0].goal", "missing; a goal, a baseline or a benchmark"),
    ("goals:\n  - {goal: 80}  # <-", "goals[0].metric", "missing"),
    ("goals:\n  - metric: csat\n    goal: 80\n    by: 2026-13-01  # <-", "goals[0].by", "must be a date"),
    ("goals:\n  - metric: csat\n    goal: 80\n    by: soon  # <-", "goals[0].by", "must be a date"),
    ("goals:\n  - metric: csat\n    goal: 80\n    wher: {}  # <-", "goals[0].wher", "did you mean 'where'?"),
    ("groups: &a []\nslices: *a  # <-", "", "the alias '*a' is not read"),
    ("groups: !!python/object/apply:os.system [ls]  # <-", "", "the tag"),
    ("groups: [\n--- # <-", "", "not valid YAML"),
    ("groups: []\n--- # <-\ngroups: []", "", "a second document"),
    ("? [a]  # <-\n: b", "", "a key must be a word"),
    ("<<: {groups: []}  # <-", "<<", "unknown field"),
    ("groups: " + "[" * 500 + "  # <-", "", "nested deeper than"),
    ("groups: []\n\x01: 1 # <-", "", "a character YAML does not allow"),
    ("groups: []\n\ud800: 1 # <-", "", "not valid Unicode"),
]


@pytest.mark.parametrize(("fields", "field", "problem"), METRIC_CASES)
def test_a_wrong_metric_rule_names_its_line_rule_and_field(fields: str, field: str, problem: str) -> None:
    """A metric rule that is wrong is refused with the place and a way out."""
    error = _refused(_body(METRIC, fields))
    assert (error.rule, error.field) == ("Low", field)
    assert problem in error.problem


@pytest.mark.parametrize(("fields", "field", "problem"), MISSING_CASES)
def test_a_missing_field_is_reported_where_its_rule_begins(fields: str, field: str, problem: str) -> None:
    """What is not there has no line of its own: the rule's first line is named."""
    error = _refused(_body(METRIC.rstrip() + "  # <-\n", fields))
    assert (error.rule, error.field) == ("Low", field)
    assert problem in error.problem


@pytest.mark.parametrize(("fields", "field", "problem"), CUSTOMER_CASES)
def test_a_wrong_customer_rule_names_its_line_rule_and_field(fields: str, field: str, problem: str) -> None:
    """A customer rule that is wrong is refused with the place and a way out."""
    error = _refused(_body(CUSTOMER, fields))
    assert (error.rule, error.field) == ("One", field)
    assert problem in error.problem


@pytest.mark.parametrize(("fields", "field"), [("on: reply", "when"), ("when: {score: 1}", "on")])
def test_on_and_when_come_together(fields: str, field: str) -> None:
    """Either of `on` and `when` alone is refused at the rule's line."""
    error = _refused(_body(CUSTOMER.rstrip() + "  # <-\n", fields))
    assert (error.rule, error.field) == ("One", field)


@pytest.mark.parametrize(("text", "field", "problem"), FILE_CASES)
def test_a_wrong_file_names_its_line_and_field(text: str, field: str, problem: str) -> None:
    """Whatever is wrong outside the rules is refused with its line."""
    error = _refused(text)
    assert error.field == field
    assert problem in error.problem


def test_two_alerts_of_one_name_are_refused_at_the_second() -> None:
    """Alert names are unique in a file, over all groups and kinds of rules."""
    text = _body(METRIC, "metric: nps\nwindow: 1h\nbelow: 3")
    text += "  - name: h\n    rules:\n      - alert: Low  # <-\n        on: reply\n        when: {score: 1}\n"
    error = _refused(text)
    assert (error.rule, error.field) == ("Low", "alert")
    assert "already on line 8" in error.problem


def test_the_error_reads_as_one_line_with_everything_in_it() -> None:
    """The text is file, line, rule, field, problem: what a terminal shows."""
    error = _refused(_body(METRIC, "metric: nps\nwindow: 1h\nbelow: low  # <-"))
    assert str(error) == "rules.yml:11: rule 'Low': below: must be a number, not 'low'"


@pytest.mark.parametrize("text", ["a: b\n" * 300_000, "é" * 600_000, "#" * (1024 * 1024 + 1)])
def test_a_file_over_one_mebibyte_is_refused_unread(text: str) -> None:
    """Size is judged in bytes, before any parsing."""
    error = _refused(text)
    assert "larger than 1 MiB" in error.problem


def test_a_bomb_of_aliases_is_refused_at_its_first_alias() -> None:
    """Aliases are never expanded."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]  # <-\nc: [*b,*b,*b,*b,*b,*b]\n"
    assert "alias" in _refused(bomb).problem
