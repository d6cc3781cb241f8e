"""What a rules file declares besides rules, and every way to get it wrong.

The line an error must name is the one that ends in ``# <-``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alerting.model import RuleBook
from stream.alerting.rules import RuleError, load_rules
from stream.measures.declare import (
    CART,
    QUEUE,
    BaselineSpec,
    Declarations,
    DriversSpec,
    Experiment,
    Goal,
    JourneySpec,
    MoneySpec,
    Question,
)
from stream.measures.registry import METRICS
from stream.measures.tiers import plan
from stream.settings import Settings

FULL = """
metrics: [revenue, csat, nps, cost, waiting_time]
questions:
  - {question: q1, metric: csat, scale: [1, 10], higher_is_better: true}
  - {question: "How hard was it?", higher_is_better: false}
journeys:
  - {name: form, begun: [form_started], finished: [form_sent], abandoned: [form_left], within: 30m}
  - {name: queue, begun: [queue_entered], finished: [queue_served], within: 10m}
money: {revenue: {kinds: [purchase, renewal]}, cost: {field: attributes.cost}}
goals:
  - {metric: csat, where: {segment: vip}, goal: 80, baseline: 71, benchmark: 76, owner: retail, by: 2026-12-31}
  - {metric: csat, baseline: {window: 1d}}
  - {metric: nps, benchmark: 41}
  - {metric: revenue, baseline: {ago: 7d}}
  - {metric: waiting_time, baseline: {ago: 7d, weeks: 4}}
experiments:
  - name: new_checkout
    metrics: [csat]
    control: A
    where: {channel: web}
    starts_at: 2026-03-01T00:00:00Z
    ends_at: 2026-04-01T00:00:00+02:00
    confidence: 0.9
topics: {languages: [it], words: {parking: [parking, parcheggio]}}
privacy: {min_slice_n: 5}
groups: []
"""


def _declared(text: str) -> Declarations:
    return load_rules(text, "rules.yml").declared


def test_everything_that_can_be_declared_is_read_as_written() -> None:
    """A file with every declaration comes out as the same plain values."""
    said = _declared(FULL)
    assert said.metrics == ("nps", "csat", "waiting_time", "revenue", "cost")
    assert said.questions == {
        "q1": Question("csat", (1.0, 10.0), higher_is_better=True),
        "How hard was it?": Question(higher_is_better=False),
    }
    assert said.journeys == (
        CART,
        JourneySpec("queue", ("queue_entered",), ("queue_served",), (), 600_000),
        JourneySpec("form", ("form_started",), ("form_sent",), ("form_left",), 1_800_000),
    )
    assert (said.revenue, said.cost) == (
        MoneySpec(("purchase", "renewal"), "value"),
        MoneySpec((), "attributes.cost"),
    )
    assert said.goals == (
        Goal("csat", (("segment", "vip"),), 80, 71, 76, "retail", date(2026, 12, 31)),
        Goal("csat", baseline=BaselineSpec(window="24h")),
        Goal("nps", benchmark=41),
        Goal("revenue", baseline=BaselineSpec(ago_ms=604_800_000)),
        Goal("waiting_time", baseline=BaselineSpec(ago_ms=604_800_000, weeks=4)),
    )
    assert said.experiments == (
        Experiment(
            "new_checkout", ("csat",), "A", (("channel", "web"),), 1_772_323_200_000, 1_774_994_400_000, 0.9
        ),
    )
    assert (said.topics.languages, said.topics.words) == (("it",), {"parking": ("parking", "parcheggio")})
    assert said.min_slice_n == 5


def test_drivers_are_sought_where_they_are_asked_for() -> None:
    """Overall answer, what may explain it, and how near in time."""
    assert _declared("groups: []").drivers is None
    said = _declared("drivers: {overall: nps, by: touchpoint, among: [shop, app], within: 7d}")
    assert said.drivers == DriversSpec("nps", ("shop", "app"), "touchpoint", 604_800_000)
    assert _declared("drivers: {overall: nps, among: [q1]}").drivers == DriversSpec("nps", ("q1",))


def test_a_file_that_declares_nothing_has_the_defaults() -> None:
    """Without a word there is every metric, the built-in journeys and no goal; so is it without a file."""
    assert _declared("groups: []") == Declarations() == RuleBook("").declared
    assert Declarations().metrics == tuple(
        name for name in METRICS if name not in {"customers", "value_at_risk"}
    )
    assert _declared("metrics: all\ngroups: []").metrics == tuple(METRICS)
    assert Declarations().journeys == (CART, QUEUE)


def test_the_default_windows_are_the_settings_and_can_be_kept() -> None:
    """One list of default windows, whoever is asked."""
    defaults = Settings(_env_file=None)
    assert defaults.window_names == Declarations().windows
    assert [window.name for window in plan(10_000, defaults.window_names).windows] == [*defaults.window_names]


def test_what_the_deployment_says_holds_where_the_file_is_silent() -> None:
    """The file's privacy wins over the setting, and windows come from the setting."""
    silent = load_rules("groups: []", "r.yml", windows=("5m", "2h"), min_slice_n=7).declared
    assert (silent.windows, silent.min_slice_n) == (("5m", "2h"), 7)
    assert load_rules("privacy: {min_slice_n: 2}", "r.yml", min_slice_n=7).declared.min_slice_n == 2
    assert load_rules("privacy: {}", "r.yml", min_slice_n=7).declared.min_slice_n == 7


def test_goals_and_experiments_need_their_groupings() -> None:
    """The slices of a goal and the variants of an experiment are kept without being asked for."""
    assert load_rules(FULL, "r.yml").groupings == (("channel", "variant"), ("segment",))


def test_a_baseline_of_weeks_reaches_back_a_week_at_a_time() -> None:
    """The same hour of the last four weeks."""
    day = 86_400_000
    assert BaselineSpec(ago_ms=7 * day, weeks=4).shifts_ms == (7 * day, 14 * day, 21 * day, 28 * day)
    assert BaselineSpec(window="7d").shifts_ms == ()


def test_a_rule_may_be_on_any_metric_in_a_window_where_it_lives() -> None:
    """Every metric with a figure can be judged: in a rolling window, or since the beginning."""
    for name, metric in METRICS.items():
        if metric.family == "explanation":
            continue
        window = "ever" if metric.windows == "ever" else "1h"
        rule = f"{{alert: A, metric: {name}, window: {window}, above: 5}}"
        text = f"metrics: all\ngroups: [{{name: g, rules: [{rule}]}}]"
        assert load_rules(text, "r.yml").metric_rules[0].window == window


def test_windows_need_not_be_the_usual_ones() -> None:
    """A rule and a baseline may use whatever windows the deployment keeps, and no other."""
    text = "goals: [{metric: nps, baseline: {window: 2h}}]"
    assert load_rules(text, "r.yml", windows=("1h", "2h")).declared.goals[0].baseline == BaselineSpec("2h")
    with pytest.raises(RuleError, match="no such window is kept"):
        load_rules(text, "r.yml")


START = "2026-03-01T00:00:00Z"

# (text, the field named, a part of the problem)
CASES = [
    ("metrics: nps  # <-", "metrics", "must be a list of metrics such as"),
    ("metrics: []  # <-", "metrics", "leave it out to have the standard metrics"),
    ("metrics: [nsp]  # <-", "metrics[0]", "did you mean 'nps'?"),
    ("metrics: [nps, nps]  # <-", "metrics[1]", "named twice"),
    (
        "metrics: [nps]\ngoals: [{metric: csat, goal: 3}]  # <-",
        "goals[0].metric",
        "csat is not among the `metrics`",
    ),
    (
        "metrics: [nps]\ngroups: [{name: g, rules: [{alert: A, metric: csat, window: 1h, below: 3}]}]  # <-",
        "metric",
        "csat is not among the `metrics` that are computed; add it there, or say `metrics: all`",
    ),
    ("questions: [{metric: csat}]  # <-", "questions[0].question", "missing"),
    ("questions: [{question: q}]  # <-", "questions[0]", "says nothing"),
    ("questions: [{question: q, metric: revenue}]  # <-", "questions[0].metric", "one of: ces, csat"),
    ("questions: [{question: q, scale: 5}]  # <-", "questions[0].scale", "such as [1, 10]"),
    ("questions: [{question: q, scale: [1, 2, 3]}]  # <-", "questions[0].scale", "such as [1, 10]"),
    ("questions: [{question: q, scale: [10, 1]}]  # <-", "questions[0].scale[1]", "higher_is_better: false"),
    ("questions: [{question: q, metric: nps, scale: [1, 5]}]  # <-", "questions[0].scale", "[0, 10] for nps"),
    (
        "questions: [{question: q, higher_is_better: up}]  # <-",
        "questions[0].higher_is_better",
        "true or fal",
    ),
    (
        "questions:\n- {question: q, metric: ces}\n- {question: q, metric: nps}  # <-",
        "questions[1].question",
        "twice",
    ),
    ("journeys: [{name: f, begun: [a]}]  # <-", "journeys[0].finished", "missing"),
    ("journeys: [{name: f|g, begun: [a], finished: [b]}]  # <-", "journeys[0].name", "letters, digits"),
    ("journeys: [{name: f, begun: [], finished: [b]}]  # <-", "journeys[0].begun", "at least one kind"),
    ("journeys: [{name: f, begun: [a], finished: [a]}]  # <-", "journeys[0].finished[0]", "named twice"),
    (
        "journeys: [{name: f, begun: [a], finished: [b], within: 0s}]  # <-",
        "journeys[0].within",
        "longer than",
    ),
    (
        "journeys:\n- {name: f, begun: [a], finished: [b]}\n- {name: f, begun: [c], finished: [d]}  # <-",
        "journeys[1].name",
        "already on line 2",
    ),
    ("money: {revenu: {}}  # <-", "money.revenu", "did you mean 'revenue'?"),
    ("money: {cost: {}}  # <-", "money.cost", "is empty"),
    ("money: {cost: {field: cost}}  # <-", "money.cost.field", "attributes.NAME"),
    ("money: {cost: {field: attributes.}}  # <-", "money.cost.field", "attributes.NAME"),
    ("goals: [{metric: nps, goal: 101}]  # <-", "goals[0].goal", "between -100 and 100"),
    ("goals: [{metric: csat, benchmark: -1}]  # <-", "goals[0].benchmark", "between 0 and 100"),
    ("goals: [{metric: nps, goal: high}]  # <-", "goals[0].goal", "must be a number"),
    (
        "goals: [{metric: cost, goal: 3, where: {topic: a}}]  # <-",
        "goals[0].where",
        "only replies have a topic",
    ),
    ("goals: [{metric: nps, baseline: {}}]  # <-", "goals[0].baseline.ago", "missing; {window: 7d}"),
    (
        "goals: [{metric: nps, baseline: [7d]}]  # <-",
        "goals[0].baseline",
        "must be a number, {window: 7d} or",
    ),
    (
        "goals: [{metric: nps, baseline: {window: 7d, ago: 7d}}]  # <-",
        "goals[0].baseline.ago",
        "drop one of them",
    ),
    ("goals: [{metric: nps, baseline: {window: 2h}}]  # <-", "goals[0].baseline.window", "no such window"),
    ("goals: [{metric: nps, baseline: {ago: 90m}}]  # <-", "goals[0].baseline.ago", "whole hours"),
    ("goals: [{metric: nps, baseline: {ago: 100d}}]  # <-", "goals[0].baseline.ago", "further back than 92d"),
    ("goals: [{metric: nps, baseline: {ago: 7d, weeks: 0}}]  # <-", "goals[0].baseline.weeks", "between 1"),
    (
        "goals: [{metric: revenue, baseline: {window: 7d}}]  # <-",
        "goals[0].baseline.window",
        "compare with {ago: 7d}",
    ),
    (
        "goals: [{metric: revenue, baseline: {ago: 7d, weeks: 4}}]  # <-",
        "goals[0].baseline.weeks",
        "drop weeks",
    ),
    (
        "goals: [{metric: churn_rate, baseline: {window: 7d}}]  # <-",
        "goals[0].baseline.window",
        "give a number",
    ),
    ("goals: [{metric: churn_rate, baseline: {ago: 7d}}]  # <-", "goals[0].baseline", "give a number"),
    ("goals: [{metric: lifetime_value, baseline: {ago: 7d}}]  # <-", "goals[0].baseline", "as a number"),
    (
        "goals:\n- {metric: nps, goal: 3}\n- {metric: nps, where: {}, benchmark: 4}  # <-",
        "goals[1]",
        "goal on line 2",
    ),
    ("experiments: [{name: a, metrics: [nps], control: A}]  # <-", "experiments[0].starts_at", "missing"),
    *(
        (
            "experiments: [{name: a, metrics: [nps], control: A, starts_at: 2026-03-01T00:00:00Z, "
            + fields
            + "}]  # <-",
            f"experiments[0].{field}",
            problem,
        )
        for fields, field, problem in (
            ("where: {variant: A}", "where", "leave `variant` out"),
            ("ends_at: 2026-02-01T00:00:00Z", "ends_at", "must be after starts_at"),
            ("ends_at: tomorrow", "ends_at", "reads like 2026-03-01T00:00:00Z"),
            ("ends_at: 2026-04-01T00:00:00", "ends_at", "offset"),
            ("confidence: 95", "confidence", "did you mean 0.95?"),
        )
    ),
    *(
        (
            f"experiments: [{{name: {name}, metrics: {metrics}, control: A, starts_at: {START}}}]  # <-",
            f"experiments[0].{field}",
            problem,
        )
        for name, metrics, field, problem in (
            ("24h", "[nps]", "name", "must start with a letter"),
            ("ever", "[nps]", "name", "is the name of a window"),
            ("a", "[]", "metrics", "is empty"),
            ("a", "[nps, nps]", "metrics[1]", "named twice"),
            ("a", "[lifetime_value]", "metrics[0]", "no mean of single observations"),
            ("a", "[churn_rate]", "metrics[0]", "no mean of single observations"),
        )
    ),
    ("topics: {languages: [fr]}  # <-", "topics.languages[0]", "unknown language 'fr'"),
    ("topics: {words: {parking: []}}  # <-", "topics.words.parking", "never found"),
    ('topics: {words: {parking: ["?"]}}  # <-', "topics.words.parking[0]", "no letter"),
    ("topics: {words: {parking: [park, of the]}}  # <-", "topics.words.parking[1]", "in any comment"),
    ('topics: {words: {"a\\x1fb": [c]}}  # <-', "topics.words.'a\\x1fb'", "letters, digits"),
    ("drivers: {among: [q1]}  # <-", "drivers.overall", "missing"),
    ("drivers: {overall: revenue, among: [q1]}  # <-", "drivers.overall", "unknown metric of replies"),
    ("drivers: {overall: nps, among: []}  # <-", "drivers.among", "must name 1 to 12"),
    ("drivers: {overall: nps, among: [a, a]}  # <-", "drivers.among[1]", "named twice"),
    ("drivers: {overall: nps, by: channel, among: [a]}  # <-", "drivers.by", "one of: question, touchpoint"),
    ("privacy: {min_slice_n: 0}  # <-", "privacy.min_slice_n", "between 1 and"),
    ("privacy: 5  # <-", "privacy", "must be a mapping with min_slice_n"),
]


@pytest.mark.parametrize(("text", "field", "problem"), CASES)
def test_a_wrong_declaration_names_its_line_and_field(text: str, field: str, problem: str) -> None:
    """A wrong declaration is refused with its place and a way out."""
    with pytest.raises(RuleError) as caught:
        load_rules(text, "rules.yml")
    error = caught.value
    [line] = [number for number, line in enumerate(text.splitlines(), start=1) if line.endswith("# <-")]
    assert (error.line, error.field) == (line, field), str(error)
    assert problem in error.problem
    assert "\n" not in str(error)


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        ("metrics", "questions", "journeys", "money", "goals", "experiments", "topics", "drivers", "privacy")
    ),
    st.sampled_from(
        ("name", "metric", "metrics", "question", "scale", "begun", "finished", "within", "revenue", "field",
         "goal", "baseline", "where", "control", "starts_at", "words", "languages", "overall", "among", "by")
    ),
)  # fmt: skip
def test_any_value_in_any_declaration_is_read_or_refused(value: object, part: str, field: str) -> None:
    """Well-formed YAML of the wrong shape is refused, never a crash."""
    for shape in (value, [value], {field: value}, [{field: value}]):
        text = json.dumps({part: shape}, ensure_ascii=False).encode("utf-8", "replace").decode()
        with suppress(RuleError):
            load_rules(text, "r.yml")
