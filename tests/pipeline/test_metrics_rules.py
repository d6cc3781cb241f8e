"""Rules over windows as a partition judges them, told as timelines; and rules that change while it runs."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from stream.alerting.claims import decode_claim, encode_claim
from stream.alerting.rules import load_rules
from tests.pipeline.judging import Cell, lines, nps, run

if TYPE_CHECKING:
    from stream.alerting.model import RuleBook
    from stream.measures import Stats
    from stream.pipeline import MetricsPartition

VIP = '{"segment":"vip"}'
NEW = '{"segment":"new"}'


def book(*rules: str) -> RuleBook:
    """Rules over two published windows."""
    text = f"groups: [{{name: g, rules: [{', '.join('{' + rule + '}' for rule in rules)}]}}]"
    return load_rules(text, "r.yml", windows=("5m", "1h"))


def steady(slice_key: str, panes: range, stats: Stats) -> list[Cell]:
    """The same in each of these panes."""
    return [Cell(slice_key, pane, pane, stats) for pane in panes]


def csat(good: int, bad: int) -> Stats:
    """Replies to one question."""
    return {"csat": [good, good + bad]}


def test_a_budget_that_burns_too_fast_pages_and_stops_with_the_short_window() -> None:
    """Of 60 answers a minute 20 % may be bad; with all bad the hour burns 2 times too fast after 24 minutes."""
    rules = book("alert: Budget, metric: csat, burn_rate: {goal: 80, page: [[1h, 5m, 2]]}")
    cells = [
        *steady("{}", range(360), csat(10, 0)),
        *steady("{}", range(360, 510), csat(0, 10)),
        *steady("{}", range(510, 700), csat(10, 0)),
    ]
    told = run(rules, cells, 700, size=100)
    assert [(claim.state, claim.as_of_ms / 60_000) for claim in told.claims] == [
        ("firing", pytest.approx(60 + 24 + 1 / 6)),
        ("resolved", pytest.approx(85 + 3, abs=0.17)),
    ]
    figures = told.claims[0].figures
    assert figures["burn_rate"] == {"goal": 80.0, "long": "1h", "short": "5m", "rate": 2.0}
    assert figures["burns"] == [pytest.approx(2.0139, abs=1e-4), 5.0]


def test_silence_of_one_slice_while_others_speak() -> None:
    """Ten minutes without a reply from a slice that had some; one that never had any is not missed."""
    rules = book("alert: Stopped, metric: nps, by: [segment], no_data: 10m")
    cells = [
        *steady(NEW, range(200), nps(1, 1)),
        Cell(VIP, 3, 3, nps(1, 0)),
        Cell(VIP, 20, 20, nps(1, 0)),
        Cell('{"segment":"other"}', 30, 30, csat(1, 0)),
        Cell(VIP, 150, 150, nps(0, 1)),
    ]
    told = run(rules, cells, 200)
    assert lines(told.claims) == [
        "13.5 Stopped firing first_crossing None 0",
        "25.1667 Stopped resolved resolved -100.0 1",
    ]
    assert told.claims[0].labels == {"segment": "vip"}
    assert told.claims[0].figures["no_data"] == "10m"
    assert told.claims[0].figures["in_words"] == "There has been no reply for 10m."


def test_a_change_is_told_once_and_is_over_when_the_mean_is_back() -> None:
    """The e-detector fires soon after the mean falls, and not while it stays."""
    rules = book("alert: Moved, metric: nps, change: {direction: down, one_false_alarm_per: 1000, from: 1h}")
    rng = Random(1)
    cells = []
    for pane in range(1200):
        good = sum(rng.random() < (0.3 if 500 <= pane < 800 else 0.7) for _ in range(5))
        cells.append(Cell("{}", pane, pane, nps(good, 5 - good)))
    told = run(rules, cells, 1200, size=100)
    assert [claim.state for claim in told.claims[:2]] == ["firing", "resolved"]
    fired = told.claims[0]
    assert 500 < fired.as_of_ms / 10_000 < 520
    assert fired.figures["change"] == {"direction": "down", "one_false_alarm_per": 1000.0, "from": "1h"}
    assert fired.figures["e_value"] >= fired.figures["e_needed"] == 1000.0
    assert fired.figures["before"] == pytest.approx(40, abs=12)
    assert decode_claim(encode_claim(fired)).figures == fired.figures


def test_anytime_waits_for_the_replies_that_come_after_the_line_was_crossed() -> None:
    """At 95 % the evidence of new replies must come to 20; at a steady low value it does."""
    rules = book("alert: Low, metric: nps, window: 5m, below: 0, evidence: anytime, confidence: 0.95")
    told = run(rules, steady("{}", range(40), nps(1, 3)), 40)
    (fired,) = told.claims
    assert fired.figures["since_n"] > 8
    assert fired.figures["e_value"] >= fired.figures["e_needed"] == pytest.approx(20)
    assert [decision.reason for decision in told.decided] == [
        "not_enough_evidence",
        "first_crossing",
        "still_firing",
    ]


def test_with_fdr_the_more_slices_begin_the_more_evidence_each_needs() -> None:
    """Episodes are counted over the slices of a rule, in order of time and slice."""
    rules = book("alert: Low, metric: nps, by: [segment], window: 5m, below: 0, evidence: anytime, fdr: 0.1")
    cells = [*steady(VIP, range(60), nps(0, 3)), *steady(NEW, range(5, 60), nps(0, 3))]
    told = run(rules, cells, 60)
    first, second = told.claims
    assert (first.labels["segment"], second.labels["segment"]) == ("vip", "new")
    assert first.figures["fdr"] == 0.1
    assert first.as_of_ms / 10_000 - 0 < second.as_of_ms / 10_000
    assert first.figures["e_needed"] > 20


def test_why_an_alert_did_not_fire_is_told_when_the_reason_changes() -> None:
    """A quiet rule says nothing; whoever was near, or fires, is told of once for each reason."""
    rules = book("alert: Low, metric: nps, window: 5m, below: 0, min_n: 5, for: 20s")
    cells = [
        Cell("{}", 0, 0, nps(9, 0)),
        Cell("{}", 40, 40, nps(0, 4)),
        Cell("{}", 50, 50, nps(0, 4)),
        Cell("{}", 60, 60, nps(20, 0)),
    ]
    told = run(rules, cells, 120)
    assert [(d.reason, d.as_of_ms / 10_000, d.figures.get("value")) for d in told.decided] == [
        ("not_enough_replies", 41, None),
        ("still_pending", 51, -100.0),
        ("first_crossing", 53, -100.0),
        ("resolved", 61, pytest.approx(42.857, abs=1e-3)),
        ("ok", 71, 66.66666666666667),
    ]
    assert {d.stage for d in told.decided} == {"judge"}
    assert told.counts["ok"] + told.counts["no_data"] > 0


LOW, LOWER = (
    "alert: Low, metric: nps, window: 5m, below: 0",
    "alert: Low, metric: nps, window: 5m, below: -60",
)
HIGH = "alert: High, metric: nps, window: 5m, above: -100"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_rules_change_at_the_first_instant_that_is_not_before_their_moment(size: int) -> None:
    """What no rule makes any more is over with the reason; other lines judge from then on."""

    def prepared(partition: MetricsPartition) -> None:
        partition.swap(book(HIGH), 305_000)
        partition.swap(book(LOWER), 204_000)

    told = run(book(LOW), steady("{}", range(40), nps(1, 2)), 40, size=size, prepared=prepared)
    assert [(c.alert, c.state, c.reason, c.as_of_ms / 1000) for c in told.claims] == [
        ("Low", "firing", "first_crossing", 10.0),
        ("Low", "resolved", "resolved", 210.0),
        ("High", "firing", "first_crossing", 310.0),
    ]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_rule_that_is_gone_ends_its_alert_even_in_silence(size: int) -> None:
    """The alert is over at that instant although nothing changed then."""

    def prepared(partition: MetricsPartition) -> None:
        partition.swap(book(HIGH), 105_000)

    cells = [Cell("{}", 0, 0, nps(0, 2)), Cell(VIP, 39, 39, nps(1, 1))]
    told = run(book(LOW), cells, 40, size=size, prepared=prepared)
    assert [(c.alert, c.state, c.reason, c.as_of_ms / 1000) for c in told.claims] == [
        ("Low", "firing", "first_crossing", 10.0),
        ("Low", "resolved", "rule_removed", 110.0),
    ]
    assert told.claims[1].ends_at_ms == 110_000
    assert [d.reason for d in told.decided] == ["first_crossing", "rule_removed"]


def test_windows_that_are_judged_and_not_published_are_kept() -> None:
    """A rule may look at a window that nobody publishes."""
    rules = book("alert: Low, metric: nps, window: 2m, below: 0")
    assert rules.windows == ("2m",)
    told = run(rules, [Cell("{}", 0, 0, nps(0, 1)), Cell("{}", 5, 5, nps(5, 0))], 30)
    assert [(c.state, c.as_of_ms / 1000) for c in told.claims] == [("firing", 10.0), ("resolved", 60.0)]


def test_the_same_hour_of_earlier_weeks() -> None:
    """A drop is held against the hour of a week ago, of which replies are still kept."""
    text = """
groups:
  - name: g
    rules:
      - {alert: Fell, metric: nps, window: 1h, drop: {points: 50, from: {ago: 7d, weeks: 1}}}
"""
    rules = load_rules(text, "r.yml", windows=("1h",))
    (rule,) = rules.metric_rules
    week = 7 * 24 * 360
    cells = [*steady("{}", range(0, 360, 30), nps(2, 0)), Cell("{}", week + 60, week + 60, nps(0, 3))]
    told = run(rules, cells, week + 400)
    assert (told.claims[0].state, told.claims[0].baseline) == (
        "firing",
        {"window": rule.baseline, "value": 100.0, "n": 24},
    )
