"""Which settings are tried, and which is proposed."""

from __future__ import annotations

from math import exp, factorial
from typing import TYPE_CHECKING

import pytest

from stream.alerting.rules import load_rules
from stream.backtest import Incident, replay, report
from stream.backtest.tuning import Setting, Tried, settings, trials, tune
from stream.deployment import load_book
from tests.compute.world import job, simulated, written
from tests.compute.world import settings as deployment

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: 0, min_n: 10, resolve: {above: 10}}
      - {alert: Fell, metric: csat, window: 1h, drop: {points: 10, from: 24h}, resolve: {points: 5}}
      - {alert: Slow, metric: waiting_time, window: 24h, above: 100}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 3}}}
"""
BOOK = load_rules(RULES, "rules.yml")
RULE = {rule.alert: rule for rule in BOOK.metric_rules}


def test_a_rule_is_tried_as_it_is_and_around() -> None:
    """Thresholds in the metric's unit, the windows next to its own, and min_n; what is shorter than a baseline."""
    tried = settings(RULE["Low"], BOOK)
    assert tried[0] == Setting(0, 10, "1h")
    assert {one.window for one in tried} == {"5m", "1h", "24h"}
    assert {one.min_n for one in tried} == {10, 30}
    assert {-20, -2, 0, 20} <= {one.threshold for one in tried}
    assert {one.window for one in settings(RULE["Fell"], BOOK)} == {"5m", "1h"}
    assert {50, 80, 125, 200} <= {one.threshold for one in settings(RULE["Slow"], BOOK)}
    assert len(set(tried)) == len(tried)


def test_what_a_rule_resolves_at_moves_with_its_threshold() -> None:
    """The distance stays, of drops the proportion; only what has a threshold is tried."""
    book, meant = trials(BOOK)
    assert {name for name, _ in meant.values()} == {"Low", "Fell", "Slow"}
    for rule in book.metric_rules:
        name, setting = meant[rule.alert]
        assert (rule.threshold, rule.min_n, rule.window) == setting
        if name == "Low":
            assert rule.resolve_at == setting.threshold + 10
        elif name == "Fell":
            assert rule.resolve_at == pytest.approx(setting.threshold / 2)
    assert not book.customer_rules
    assert {name for name, _ in trials(BOOK, ["Slow"])[1].values()} == {"Slow"}


def test_every_setting_is_judged_as_a_rule_of_its_own(tmp_path: Path) -> None:
    """What all of them in one replay come to is what a rules file with just that setting comes to."""
    setup = deployment(tmp_path, RULES, max_members=100)
    book = load_book(setup)
    file = written(tmp_path / "a.ndjson", simulated(3, 4_000, 1500))
    tried, meant = trials(book, ["Low"])
    all_at_once = report(replay(job(setup, file), book=tried), [], [], 0)
    seen = {}
    for score in all_at_once.scores:
        seen[meant[score.rule][1]] = score[1:]
    for setting in [Setting(0, 10, "1h"), Setting(10, 30, "1h"), Setting(-10, 10, "5m")]:
        text = RULES.replace("window: 1h, below: 0, min_n: 10, resolve: {above: 10}", "%s")
        one = f"window: {setting.window}, below: {setting.threshold:g}, min_n: {setting.min_n}"
        text %= one + f", resolve: {{above: {setting.threshold + 10:g}}}"
        alone = deployment(tmp_path, text, max_members=100)
        found = report(replay(job(alone, file)), [], [], 0)
        assert next(score[1:] for score in found.scores if score.rule == "Low") == seen[setting]
    assert len(set(seen.values())) > 3


def test_the_proposal_is_the_best_of_those_quiet_enough(tmp_path: Path) -> None:
    """Most found, then soonest; and nothing in the trade-off is better than anything else in it."""
    setup = deployment(tmp_path, RULES, max_members=100)
    book = load_book(setup)
    file = written(tmp_path / "a.ndjson", simulated(3, 4_000, 800))
    tried, meant = trials(book, ["Low"])
    given = [Incident.model_validate({"starts_at": "2026-01-12T09:00:00Z", "ends_at": "2026-01-12T10:05:00Z",
                                      "where": {"segment": "vip"}})]  # fmt: skip
    found = report(replay(job(setup, file), book=tried), given, [], 0)
    assert found.span_ms is not None
    for wanted in (1e9, 100.0, 0.0):
        (low,) = tune(book, meant, found.scores, found.span_ms, wanted, judged=True)
        assert low.now.setting == Setting(0, 10, "1h")
        everything = tune(book, meant, found.scores, found.span_ms, 1e9, judged=True)[0].trade_off
        quiet = [one for one in everything if one.false_per_week <= wanted]
        if low.proposed is None:
            assert not quiet
            continue
        assert low.proposed.false_per_week <= wanted
        assert worth(low.proposed) == max(map(worth, quiet))
        costs = [(one.false_per_week, *(-x for x in worth(one))) for one in low.trade_off]
        assert not [
            1 for a in costs for b in costs if a != b and all(x <= y for x, y in zip(a, b, strict=True))
        ]


def worth(one: Tried) -> tuple[float, float]:
    """What a setting finds, and how soon."""
    delay = one.score.delay_ms
    return one.score.recall or 0.0, -(float("inf") if delay is None else delay)


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_the_rate_that_a_count_is_compatible_with(count: int, tmp_path: Path) -> None:
    """At the rate named, so few false alarms or fewer come with a probability of 5 %."""
    from stream.backtest.tuning import _upper  # noqa: PLC0415

    mean = _upper(count)
    assert sum(exp(-mean) * mean**k / factorial(k) for k in range(count + 1)) == pytest.approx(0.05)
