"""Wrong changes, budgets, sequences, counts, signals and hygiene are refused with line, rule and field.

The line an error must name is the one that ends in ``# <-``.
"""

from __future__ import annotations

import pytest

from stream.alerting.rules import RuleError, load_rules

SIGNALS = ("open_tickets", "churn_probability")


def _refused(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        load_rules(text, "rules.yml", signals=SIGNALS)
    marked = [number for number, line in enumerate(text.splitlines(), start=1) if line.endswith("# <-")]
    assert [caught.value.line] == marked, str(caught.value)
    return caught.value


def _of_rule(fields: str) -> RuleError:
    lines = "".join(f"        {line}\n" for line in fields.splitlines())
    error = _refused(f"groups:\n  - name: g\n    rules:\n      - alert: A\n{lines}")
    assert error.rule == "A"
    return error


CHANGE = "metric: ces\nchange:\n  direction: down\n  one_false_alarm_per: 10000\n"
BURN = "metric: csat\nburn_rate:\n  goal: 80\n  page: [[1h, 5m, 3]]\n"
NO_DATA = "metric: nps\nno_data: 30m\n"
BELOW = "metric: nps\nwindow: 1h\nbelow: 3\n"
EXPECT = "expect:\n  after: {kind: a}\n  then: {kind: b}\n  within: 1h\n"

RULES = [
    (CHANGE + "window: 1h  # <-", "window", "under change.from"),
    (CHANGE + "evidence: interval  # <-", "evidence", "one_false_alarm_per"),
    (CHANGE + "for: 5m  # <-", "for", "takes none"),
    (CHANGE + "resolve: {above: 4}  # <-", "resolve", "takes none"),
    (BELOW + "no_data: 30m  # <-", "no_data", "below is given too"),
    ("metric: ces\nchange: 10  # <-", "change", "must be a change"),
    ("metric: waiting_time\nchange: {}  # <-", "change", "not made of replies; one of: nps"),
    ("metric: ces\nchange: {direction: down}  # <-", "change.one_false_alarm_per", "missing"),
    ("metric: ces\nchange: {one_false_alarm_per: 100}  # <-", "change.direction", "missing"),
    (
        "metric: ces\nchange: {direction: left, one_false_alarm_per: 500}  # <-",
        "change.direction",
        "one of: down, up",
    ),
    (
        "metric: ces\nchange: {direction: up, one_false_alarm_per: 99}  # <-",
        "change.one_false_alarm_per",
        "100 replies or more",
    ),
    (
        "metric: ces\nchange: {direction: up, one_false_alarm_per: 500, from: 7}  # <-",
        "change.from",
        "lacks its unit",
    ),
    (BURN + "window: 1h  # <-", "window", "its lines name theirs"),
    (BURN + "resolve: {above: 80}  # <-", "resolve", "when no line is crossed"),
    (
        "metric: nps\nburn_rate: {goal: 80, page: [[1h, 5m, 3]]}  # <-",
        "burn_rate",
        "no share of good answers",
    ),
    ("metric: reopen_rate\nburn_rate: {goal: 80}  # <-", "burn_rate", "no share of good answers"),
    ("metric: csat\nburn_rate: {page: [[1h, 5m, 3]]}  # <-", "burn_rate.goal", "missing"),
    ("metric: csat\nburn_rate: {goal: 100, page: [[1h, 5m, 3]]}  # <-", "burn_rate.goal", "below 100"),
    ("metric: csat\nburn_rate: {goal: 80}  # <-", "burn_rate.page", "missing; lines such as"),
    ("metric: csat\nburn_rate: {goal: 80, page: []}  # <-", "burn_rate", "must have 1 to 8 lines"),
    ("metric: csat\nburn_rate: {goal: 80, page: [[1h, 5m]]}  # <-", "burn_rate.page[0]", "a long window"),
    ("metric: csat\nburn_rate: {goal: 80, page: [[5m, 1h, 3]]}  # <-", "burn_rate.page[0][1]", "shorter"),
    ("metric: csat\nburn_rate: {goal: 80, page: [[1h, 5m, 0]]}  # <-", "burn_rate.page[0][2]", "above 0"),
    (
        "metric: csat\nburn_rate: {goal: 80, page: [[1h, 7s, 3]]}  # <-",
        "burn_rate.page[0][1]",
        "steps of 10s",
    ),
    (NO_DATA + "window: 1h  # <-", "window", "silence has no value"),
    (NO_DATA + "min_n: 4  # <-", "min_n", "silence has no value"),
    (NO_DATA + "for: 4m  # <-", "for", "silence has no value"),
    ("metric: nps\nno_data: true  # <-", "no_data", "must be a duration"),
    ("metric: lifetime_value\nno_data: ever  # <-", "no_data", "never without data"),
    (BELOW + "fdr: 0.1  # <-", "fdr", "needs `evidence: anytime`"),
    (BELOW + "evidence: anytime\nfdr: 0.1  # <-", "fdr", "needs `by`"),
    (BELOW + "evidence: anytime\nby: [segment]\nfdr: 10  # <-", "fdr", "at most 0.5"),
    (
        "metric: nps\nwindow: 1h\ndrop: {points: 3, from: 7d}\nevidence: anytime  # <-",
        "evidence",
        "use change",
    ),
    (
        "metric: waiting_time\nwindow: 1h\nabove: 3\nevidence: anytime  # <-",
        "evidence",
        "not made of replies",
    ),
    (BELOW + "keep_firing: soon  # <-", "keep_firing", "must be a duration"),
    (BELOW + "drivers: []  # <-", "drivers", "must name 1 to 4 dimensions"),
    (BELOW + "by: [segment]\ndrivers: [segment]  # <-", "drivers", "own slices already"),
    (BELOW + "drivers: [channel, topic]  # <-", "drivers", "topic is no driver"),
    ("metric: revenue\nwindow: 1h\nbelow: 3\ndrivers: [channel]  # <-", "drivers", "no mean"),
    (BELOW + "limit: 20  # <-", "limit", "alerts and per"),
    (BELOW + "limit: {alerts: 0, per: 1h}  # <-", "limit.alerts", "between 1 and"),
    (BELOW + "limit: {alerts: 3}  # <-", "limit.per", "missing"),
    (BELOW + "links: {a: /d/cx}  # <-", "links.a", "must begin with http:// or https://"),
    (BELOW + "links: {a: 'javascript:alert(1)'}  # <-", "links.a", "must begin with http://"),
    (BELOW + "links: {a: 'file:///etc/passwd'}  # <-", "links.a", "must begin with http://"),
    (BELOW + "links: {a: 'https://{slice}'}  # <-", "links.a", "placeholders come after it"),
    (BELOW + "links: {a: 'https://a.{slice}/b'}  # <-", "links.a", "placeholders come after it"),
    (BELOW + "links: {a: 'https://a/{segment}'}  # <-", "links.a", "unknown placeholder {segment}"),
    (BELOW + "annotations: {a: {}}  # <-", "annotations.a", "has no text"),
    (BELOW + "annotations: {a: {english: b}}  # <-", "annotations.a.english", "no language 'english'"),
    (BELOW + "annotations: {a: {../en: b}}  # <-", "annotations.a.../en", "no language"),
    (BELOW + "annotations: {a: {en: b, it: '{n.x}'}}  # <-", "annotations.a.it", "unknown placeholder"),
    (
        BELOW + "annotations:\n  a_it: c\n  a: {en: b, it: d}  # <-",
        "annotations.a.it",
        "there is an annotation a_it already",
    ),
    ("metric: nps\nwindow: 1h\ndrop: {points: 3, from: {ago: 30m}}  # <-", "drop.from.ago", "whole hours"),
    ("metric: nps\nwindow: 24h\ndrop: {points: 3, from: {ago: 1h}}  # <-", "drop.from", "and apart"),
    ("metric: nps\nwindow: 1h\ndrop: {points: 3, from: {weeks: 4}}  # <-", "drop.from.ago", "missing"),
    ("metric: churn_rate\nwindow: 1h\nrise: {points: 3, from: {ago: 7d}}  # <-", "rise.from", "not kept"),
    (
        "metric: cost\nwindow: 1h\nrise: {points: 3, from: {ago: 7d, weeks: 2}}  # <-",
        "rise.from.weeks",
        "is a total",
    ),
    (EXPECT + "metric: nps  # <-", "metric", "belongs to rules over a window"),
    (EXPECT + "every: 1d  # <-", "every", "goes with `customer` only"),
    (EXPECT + "count: {}  # <-", "count", "expect is given too"),
    ("expect: {after: {kind: a}, within: 1h}  # <-", "expect.then", "missing"),
    ("expect: {after: {kind: a}, then: {kind: b}}  # <-", "expect.within", "24h, or due_at"),
    ("expect: {after: {kind: a}, then: {}, within: 1h}  # <-", "expect.then.on", "reply or touchpoint"),
    ("expect: {after: {kind: a}, then: {on: reply}, within: 1h}  # <-", "expect.then", "has no test"),
    ("expect: {after: {kind: a}, then: {kind: b}, within: 91d}  # <-", "expect.within", "longer than 90d"),
    ("expect: {after: {kind: a}, then: {kind: b}, within: soon}  # <-", "expect.within", "a duration"),
    ("expect: {after: {kind: a}, then: {kind: b}, same: id, within: 1h}  # <-", "expect.same", "one of: ref"),
    (
        "expect: {after: {kind: a}, then: {metric: nps}, same: ref, within: 1h}  # <-",
        "expect.then",
        "a reply has no ref",
    ),
    (
        "expect: {after: {metric: nps}, then: {kind: a}, within: due_at}  # <-",
        "expect.within",
        "replies carry no due_at",
    ),
    (
        "sequence: {steps: [{kind: a}, {kind: b}], within: due_at}  # <-",
        "sequence.within",
        "only what is waited for",
    ),
    ("sequence: {steps: [], within: 1h}  # <-", "sequence.steps", "1 to 8 steps"),
    ("sequence: {steps: [{kind: a}], within: 1h}  # <-", "sequence.steps", "name a second"),
    (
        "sequence: {steps: [{kind: a}, {customer.open_tickets: 1, kind: b}], within: 1h}  # <-",
        "sequence.steps[1].customer.open_tickets",
        "record's own fields",
    ),
    ("count: {of: {kind: a}, at_least: 1, within: 1h}  # <-", "count.at_least", "between 2 and"),
    ("count: {of: {kind: a}, within: 1h}  # <-", "count.at_least", "missing"),
    ("count: {of: {kind: a, metric: nps}, at_least: 2, within: 1h}  # <-", "count.of.on", "missing"),
    ("count: {of: {kind: a}, at_least: 2, within: 1y}  # <-", "count.within", "a duration"),
    ("customer: {}  # <-", "customer", "has no test"),
    (
        "customer: {churn_probablity: {gte: 0.7}}  # <-",
        "customer.churn_probablity",
        "did you mean 'churn_probability'?",
    ),
    ("customer: {churn_probability: high}\nevery: 1s  # <-", "every", "a minute or more"),
    ("on: reply\ncustomer: {open_tickets: 1}  # <-", "customer", "make two of it"),
]

FILES = [
    ("language: english  # <-", "language", "no language 'english' is known"),
    ("language: [en]  # <-", "language", "not a list"),
    ("inhibit: {source: {severity: critical}}  # <-", "inhibit", "must be a list"),
    ("inhibit: [{source: {severity: critical}}]  # <-", "inhibit[0].target", "missing"),
    ("inhibit: [{source: {}, target: {a: b}}]  # <-", "inhibit[0].source", "1 to 20 matchers"),
    ("inhibit: [{source: a=b, target: {a: b}}]  # <-", "inhibit[0].source", "a mapping such as"),
    ("inhibit: [{source: ['a'], target: {a: b}}]  # <-", "inhibit[0].source[0]", "no matcher"),
    ("inhibit: [{source: ['a=~\"(\"'], target: {a: b}}]  # <-", "inhibit[0].source", "regular expression"),
    ("inhibit: [{source: {state: b}, target: {a: b}}]  # <-", "inhibit[0].source.state", "alertname"),
    ("inhibit: [{source: {a: b}, target: {a: c}, equal: [d, d]}]  # <-", "inhibit[0].equal[1]", "twice"),
    ("silences: [{matchers: {a: b}}]  # <-", "silences[0].starts_at", "missing"),
    (
        (
            "silences: [{matchers: ['a=~\".*\"'], starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z,"
            " author: me, comment: c}]  # <-"
        ),
        "silences[0].matchers",
        "every alert",
    ),
    (
        (
            "silences: [{matchers: {a: b}, starts_at: 2026-01-02T00:00:00Z, ends_at: 2026-01-01T00:00:00Z,"
            " author: me, comment: c}]  # <-"
        ),
        "silences[0].ends_at",
        "after starts_at",
    ),
    (
        (
            "silences:\n"
            "  - {matchers: {a: b}, starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z, author: me,"
            " comment: c}\n"
            "  - {matchers: {a: b}, starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-03T00:00:00Z, author: me,"
            " comment: d}  # <-"
        ),
        "silences[1]",
        "the same as another",
    ),
    ("contact: {per_customer: 2}  # <-", "contact.within", "both go together"),
    ("contact: {within: 7d}  # <-", "contact.per_customer", "both go together"),
    ("contact: {quiet_hours: ['21:00', '08:00']}  # <-", "contact.time_zone", "of a time zone"),
    ("contact: {quiet_hours: ['21:00'], time_zone: UTC}  # <-", "contact.quiet_hours", "two times"),
    ("contact: {quiet_hours: ['9:00', '8:00'], time_zone: UTC}  # <-", "contact.quiet_hours[0]", "a time of"),
    ("contact: {quiet_hours: ['08:00', '08:00'], time_zone: UTC}  # <-", "contact.quiet_hours[1]", "differ"),
    ("contact: {quiet_hours: ['21:00', '08:00'], time_zone: Rome}  # <-", "contact.time_zone", "Europe/Rome"),
    (
        "contact: {quiet_hours: ['21:00', '08:00'], time_zone: ../../etc/passwd}  # <-",
        "contact.time_zone",
        "no time zone",
    ),
    ("hold_out: 0.1  # <-", "hold_out", "a mapping with share"),
    ("hold_out: {share: 1}  # <-", "hold_out.share", "below 1"),
    ("route: {group_by: alertname}  # <-", "route.group_by", "a list of labels"),
    ("route: {group_by: [..., segment]}  # <-", "route.group_by", "'...' is all labels"),
    ("route: {group_by: [se-gment]}  # <-", "route.group_by[0]", "letters, digits and _ only"),
    ("route: {group_wait: 30}  # <-", "route.group_wait", "lacks its unit"),
    ("storm: {alerts: 50}  # <-", "storm.per", "missing"),
]


@pytest.mark.parametrize(("fields", "field", "problem"), RULES)
def test_a_wrong_rule_names_its_line_and_field(fields: str, field: str, problem: str) -> None:
    """Whatever a rule says that it cannot mean is refused with the place and a way out."""
    error = _of_rule(fields)
    assert (error.field, problem in error.problem) == (field, True), error


@pytest.mark.parametrize(("text", "field", "problem"), FILES)
def test_wrong_hygiene_names_its_line_and_field(text: str, field: str, problem: str) -> None:
    """What keeps alerts few is checked as strictly as rules are: a typo there would silence nobody knows what."""
    error = _refused(text)
    assert (error.field, problem in error.problem) == (field, True), error


def test_windows_beside_the_published_ones_are_few() -> None:
    """Every window costs memory in every slice, so a file cannot ask for any number of them."""
    rules = "".join(f"  - {{alert: A{n}, metric: nps, window: {n}m, below: 3}}\n" for n in range(6, 31))
    error = _refused(f"groups:  # <-\n- name: g\n  rules:\n{rules}")
    assert "25 windows" in error.problem
    load_rules(f"groups:\n- name: g\n  rules:\n{rules[: rules.rindex('  - {')]}", "rules.yml")
