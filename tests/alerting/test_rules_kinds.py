"""What changes, budgets, silence, histories and hygiene mean once they are read."""

from __future__ import annotations

from datetime import date

import pytest

from stream.alerting.hygiene import (
    EVERY_LABEL,
    Contact,
    Grouped,
    Inhibition,
    Limit,
    Matcher,
    MatchOp,
    QuietHours,
)
from stream.alerting.model import (
    ActionSpec,
    BurnLine,
    BurnSpec,
    ChangeSpec,
    Check,
    CountRule,
    Direction,
    Evidence,
    HistoryRule,
    Kind,
    MetricRule,
    On,
    Op,
    Pattern,
    RuleBook,
    SequenceRule,
    Severity,
    SignalRule,
)
from stream.alerting.rules import RuleError, load_rules
from stream.customers import SIGNALS

CONTRACT = """\
slices:                       # groupings that are kept; each is also a `by`
  - [segment]
  - [touchpoint, channel]
goals:
  - {metric: csat, where: {segment: vip}, goal: 80, baseline: 71, benchmark: 76, owner: retail, by: 2026-12-31}
groups:
  - name: journey
    rules:
      - alert: NpsLowForVip           # a window crosses a line
        metric: nps
        by: [segment]
        where: {segment: vip}
        window: 1h
        below: 30                     # or above
        evidence: interval            # none | interval | anytime
        confidence: 0.95
        min_n: 50
        for: 5m
        resolve: {above: 35}
        cooldown: 30m
        severity: critical
        labels: {team: retail}
        annotations: {summary: "NPS of {segment} is {value} on {n} replies"}
        action: {type: callback, owner: retail, within: 2h}
      - alert: CsatFell               # against its own past
        metric: csat
        by: [touchpoint, channel]
        window: 1h
        drop: {points: 10, from: 7d}  # or rise
      - alert: EffortChanged          # change detection with a bounded false-alarm rate
        metric: ces
        by: [touchpoint, channel]
        change: {direction: down, one_false_alarm_per: 10000}
      - alert: CsatBudget             # error budget against a goal
        metric: csat
        by: [segment]
        burn_rate: {goal: 80, page: [[1h, 5m, 14.4], [6h, 30m, 6]]}
      - alert: RepliesStopped         # silence is a signal
        metric: nps
        by: [channel]
        no_data: 30m
      - alert: UnhappyAndValuable     # one customer, at once
        on: reply
        when: {metric: nps, score: {lte: 6}, customer.expected_value: {gte: 500}}
      - alert: TicketUnanswered       # something expected did not happen
        expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 24h}
      - alert: ContactedThreeTimes
        count: {of: {kind: ticket_opened}, at_least: 3, within: 7d}
      - alert: LikelyToLeave
        customer: {churn_probability: {gte: 0.7}}
inhibit:
  - {source: {severity: critical}, target: {severity: warning}, equal: [segment]}
silences: []                   # matchers, starts_at, ends_at, author, comment
contact: {per_customer: 2, within: 7d, quiet_hours: ["21:00", "08:00"], time_zone: Europe/Rome}
hold_out: {share: 0.1}         # customers whose action is withheld, to measure what acting is worth
"""


def _book(rule: str, top: str = "") -> RuleBook:
    return load_rules(f"{top}\ngroups: [{{name: g, rules: [{{alert: A, {rule}}}]}}]", "r.yml")


def _metric(rule: str, top: str = "") -> MetricRule:
    return _book(rule, top).metric_rules[0]


def _history(rule: str) -> HistoryRule:
    return _book(rule).history_rules[0]


def _kind(name: str) -> Pattern:
    return Pattern(On.TOUCHPOINT, (Check("kind", Op.EQ, name),))


def test_the_contracts_rules_over_windows_parse_as_they_stand() -> None:
    """Word for word what the contract shows: lines, drops, changes, budgets, silence."""
    book = load_rules(CONTRACT, "rules.yml", signals=SIGNALS)
    low, fell, changed, budget, stopped = book.metric_rules
    assert (low.alert, low.metric, low.window, low.kind, low.threshold) == (
        "NpsLowForVip", "nps", "1h", Kind.BELOW, 30,
    )  # fmt: skip
    assert (low.grouping, low.where) == (("segment",), (("segment", "vip"),))
    assert (low.evidence, low.confidence, low.min_n) == (Evidence.INTERVAL, 0.95, 50)
    assert (low.for_ms, low.resolve_at, low.cooldown_ms) == (300_000, 35, 1_800_000)
    assert (low.severity, low.labels) == (Severity.CRITICAL, (("team", "retail"),))
    assert low.action == ActionSpec("callback", "retail", 7_200_000)
    assert (fell.kind, fell.threshold, fell.baseline) == (Kind.DROP, 10, "7d")
    assert (changed.kind, changed.change) == (Kind.CHANGE, ChangeSpec(Direction.DOWN, 10_000, "7d"))
    lines = (BurnLine("1h", "5m", 14.4), BurnLine("6h", "30m", 6))
    assert (budget.kind, budget.burn) == (Kind.BURN_RATE, BurnSpec(80, lines))
    assert (stopped.kind, stopped.no_data_ms, stopped.grouping) == (Kind.NO_DATA, 1_800_000, ("channel",))
    assert book.windows == ("30m", "6h")
    assert book.groupings == (("channel",), ("channel", "touchpoint"), ("segment",))
    goal = book.declared.goals[0]
    assert (goal.metric, goal.goal, goal.baseline, goal.benchmark) == ("csat", 80, 71, 76)
    assert (goal.where, goal.owner, goal.by) == ((("segment", "vip"),), "retail", date(2026, 12, 31))


def test_the_contracts_rules_over_customers_parse_as_they_stand() -> None:
    """Word for word what the contract shows: one reply, what did not happen, counts, signals."""
    book = load_rules(CONTRACT, "rules.yml", signals=SIGNALS)
    [unhappy] = book.customer_rules
    assert unhappy.on is On.REPLY
    assert unhappy.tests == (
        Check("metric", Op.EQ, "nps"),
        Check("score", Op.LTE, 6),
        Check("customer.expected_value", Op.GTE, 500),
    )
    unanswered, contacted, leaving = book.history_rules
    assert isinstance(unanswered, SequenceRule)
    assert (unanswered.steps, unanswered.unless) == ((_kind("ticket_opened"),), _kind("ticket_resolved"))
    assert (unanswered.same_ref, unanswered.within_ms, unanswered.due_at) == (True, 86_400_000, False)
    assert isinstance(contacted, CountRule)
    assert (contacted.of, contacted.at_least, contacted.within_ms) == (_kind("ticket_opened"), 3, 604_800_000)
    assert isinstance(leaving, SignalRule)
    assert leaving.tests == (Check("customer.churn_probability", Op.GTE, 0.7),)
    assert leaving.every_ms == 86_400_000


def test_the_contracts_hygiene_parses_as_it_stands() -> None:
    """Word for word what the contract shows of inhibition, contact and the hold-out."""
    hygiene = load_rules(CONTRACT, "rules.yml", signals=SIGNALS).hygiene
    critical, warning = (
        (Matcher("severity", MatchOp.EQ, value),) for value in (Severity.CRITICAL, Severity.WARNING)
    )
    assert hygiene.inhibitions == (Inhibition(critical, warning, ("segment",)),)
    assert hygiene.silences == ()
    assert hygiene.contact == Contact(2, 604_800_000, QuietHours(21 * 60, 8 * 60, "Europe/Rome"))
    assert hygiene.hold_out == 0.1
    assert (hygiene.grouped, hygiene.storm) == (None, None)


def test_a_file_that_says_nothing_keeps_nothing_back() -> None:
    """Hygiene is what is asked for, and no more."""
    book = load_rules("groups: []\ninhibit: []\nsilences:\ncontact: {}\nroute:\n", "r.yml")
    assert book == RuleBook("r.yml")


@pytest.mark.parametrize(
    ("written", "baseline"),
    [
        ("7d", "7d"), ("3d", "3d"), ("{ago: 7d}", "1h@7d"), ("{ago: 7d, weeks: 4}", "1h@7d,14d,21d,28d"),
        ("{ago: 24h}", "1h@1d"), ("{ago: 36h}", "1h@36h"),
    ],
)  # fmt: skip
def test_a_drop_is_from_a_longer_window_or_from_an_earlier_one(written: str, baseline: str) -> None:
    """The same hour of earlier weeks has the name that windows have, and is kept for judging."""
    book = _book(f"metric: nps, window: 1h, drop: {{points: 10, from: {written}}}")
    assert book.metric_rules[0].baseline == baseline
    assert book.windows == (() if baseline == "7d" else (baseline,))


def test_totals_compare_with_windows_of_their_own_length() -> None:
    """Revenue of an hour is held against that of the same hour a week ago."""
    assert _metric("metric: revenue, window: 1h, drop: {points: 500, from: {ago: 7d}}").baseline == "1h@7d"


@pytest.mark.parametrize(("kept", "reference"), [(("5m", "1h", "7d", "30d"), "7d"), (("1h", "30d"), "1h")])
def test_a_change_is_from_the_longest_window_up_to_a_week(kept: tuple[str, ...], reference: str) -> None:
    """Where `from` says nothing, what is published is taken, and nothing more is kept."""
    change = "{direction: up, one_false_alarm_per: 500}"
    text = f"groups: [{{name: g, rules: [{{alert: A, metric: ces, change: {change}}}]}}]"
    book = load_rules(text, "r.yml", windows=kept)
    assert book.metric_rules[0].change == ChangeSpec(Direction.UP, 500, reference)
    assert book.windows == ()


def test_pages_and_tickets_are_lines_alike() -> None:
    """The order is that of the file: pages first."""
    rule = _metric("metric: csat, burn_rate: {goal: 99, page: [[1h, 5m, 14.4]], ticket: [[3d, 6h, 1]]}")
    assert rule.burn == BurnSpec(99, (BurnLine("1h", "5m", 14.4), BurnLine("3d", "6h", 1)))
    assert rule.windows == ("1h", "5m", "3d", "6h")


def test_what_a_rule_over_a_window_may_say_beside() -> None:
    """Evidence at all times, false alerts over slices, life cycle, drivers, limit."""
    rule = _metric(
        "metric: nps, by: [segment], window: 1h, below: 3, evidence: anytime, fdr: 0.1, keep_firing: 10m,"
        " renotify: 4h, drivers: [channel, product], limit: {alerts: 20, per: 1h}"
    )
    assert (rule.evidence, rule.fdr) == (Evidence.ANYTIME, 0.1)
    assert (rule.keep_firing_ms, rule.renotify_ms) == (600_000, 14_400_000)
    assert (rule.drivers, rule.limit) == (("channel", "product"), Limit(20, 3_600_000))


def test_value_at_risk_comes_from_replies() -> None:
    """It has values in slices that only replies have, and there is no interval to ask for."""
    rule = "metric: value_at_risk, window: 24h, above: 5000, by: [question]"
    assert _metric(rule, "metrics: all").grouping == ("question",)
    with pytest.raises(RuleError, match="value_at_risk has no interval"):
        _metric(f"{rule}, evidence: interval", "metrics: all")


def test_drivers_have_their_finer_groupings_kept() -> None:
    """What a change is decomposed over is kept by itself."""
    book = _book("metric: nps, by: [segment], window: 1h, below: 3, drivers: [channel]")
    assert book.groupings == (("channel", "segment"), ("segment",))


def test_a_route_says_how_often_rules_are_told_again() -> None:
    """`repeat_interval` is the default of `renotify`."""
    route = "route: {group_by: [segment], group_wait: 10s, repeat_interval: 4h}"
    book = _book("metric: nps, window: 1h, below: 3", route)
    assert book.hygiene.grouped == Grouped(("segment",), 10_000, 300_000)
    assert book.metric_rules[0].renotify_ms == 14_400_000
    assert _metric("metric: nps, window: 1h, below: 3, renotify: 1h", route).renotify_ms == 3_600_000


def test_a_route_by_all_labels_has_a_group_for_every_alert() -> None:
    """`'...'` is what Alertmanager writes for it."""
    grouped = _book("metric: nps, window: 1h, below: 3", "route: {group_by: ['...']}").hygiene.grouped
    assert grouped == Grouped((EVERY_LABEL,), 30_000, 300_000)


def test_a_promise_is_due_at_its_own_time() -> None:
    """`within: due_at` waits until the first record's own time, 90 days at most."""
    rule = _history("expect: {after: {kind: promise_made}, then: {kind: promise_kept}, within: due_at}")
    assert isinstance(rule, SequenceRule)
    assert (rule.due_at, rule.same_ref, rule.within_ms) == (True, False, 90 * 86_400_000)


def test_a_sequence_names_records_of_both_kinds() -> None:
    """`metric` means a reply, `kind` a touchpoint, and `on` says it where neither does."""
    rule = _history(
        "sequence: {steps: [{kind: queue_entered, channel: phone}, {metric: csat, score: {lte: 2}},"
        " {on: reply, survey: exit}], unless: {on: touchpoint, value: {gt: 3}}, within: 2h}"
    )
    assert isinstance(rule, SequenceRule)
    assert [step.on for step in rule.steps] == [On.TOUCHPOINT, On.REPLY, On.REPLY]
    assert rule.steps[0].tests == (Check("kind", Op.EQ, "queue_entered"), Check("channel", Op.EQ, "phone"))
    assert rule.unless == Pattern(On.TOUCHPOINT, (Check("value", Op.GT, 3),))


SILENCE = (
    "silences: [{{matchers: {matchers}, author: me, comment: c, "
    "starts_at: 2026-01-01T00:00:00Z, ends_at: {ends}}}]"
)


def test_matchers_are_a_mapping_or_texts_as_in_alertmanager() -> None:
    """Both mean the same where both can say it."""
    found = [
        load_rules(SILENCE.format(matchers=written, ends="2026-01-02T00:00:00Z"), "r.yml").hygiene.silences[0]
        for written in ("{segment: vip}", "[segment=vip]", "['segment = \"vip\"']")
    ]
    assert {silence.matchers for silence in found} == {(Matcher("segment", MatchOp.EQ, "vip"),)}
    assert (found[0].starts_at_ms, found[0].ends_at_ms) == (1_767_225_600_000, 1_767_312_000_000)
    [silence] = load_rules(
        SILENCE.format(matchers="['channel=~\"chat|web\"', team!=a]", ends="2026-01-02T00:00:00Z"), "r.yml"
    ).hygiene.silences
    assert silence.matchers == (
        Matcher("channel", MatchOp.RE, "chat|web"),
        Matcher("team", MatchOp.NE, "a"),
    )


def test_a_silence_that_is_made_longer_stays_the_same_one() -> None:
    """Without an id, it is known by what it silences, from when, and by whom."""
    ids = {
        load_rules(SILENCE.format(matchers="{a: b}", ends=f"2026-01-0{day}T00:00:00Z"), "r.yml")
        .hygiene.silences[0]
        .id
        for day in (2, 3)
    }
    assert len(ids) == 1


def test_texts_in_several_languages_have_names_of_their_own() -> None:
    """The first language has the plain name; a text in one language is in that of the file."""
    rule = _metric(
        "metric: nps, window: 1h, below: 3,"
        ' annotations: {summary: {it: "{n} risposte", en: "{n} replies"}, b: "{n}"}',
        "language: de",
    )
    assert [(name, text.language, text.render({"n": 1234})) for name, text in rule.annotations] == [
        ("summary", "it", "1.234 risposte"),
        ("summary_en", "en", "1,234 replies"),
        ("b", "de", "1.234"),
    ]


def test_links_are_for_every_kind_of_rule() -> None:
    """An address may name what annotations may name."""
    links = 'links: {a: "https://a/?s={segment}"}'
    for rule in (
        "metric: nps, by: [segment], window: 1h, below: 3",
        "on: reply, when: {score: 3}",
        "count: {of: {kind: a}, at_least: 2, within: 1h}",
    ):
        book = _book(f"{rule}, {links}")
        [(name, link)] = (*book.metric_rules, *book.customer_rules, *book.history_rules)[0].links
        assert (name, link.render({"segment": "a b"})) == ("a", "https://a/?s=a%20b")
