"""Rules that have nothing to decide are left out; whoever has is found, whatever the values."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from stream.alerting.conditions import Reason, crossing
from stream.alerting.rules import load_rules
from stream.alerting.thresholds import Index, Look, entry_of, values_of

KINDS = (
    "window: {window}, below: {line}",
    "window: {window}, above: {line}",
    "window: 5m, drop: {{points: {points}, from: 24h}}",
    "window: 5m, rise: {{points: {points}, from: 24h}}",
    "burn_rate: {{goal: 60, page: [[1h, 5m, {rate}]], ticket: [[24h, 1h, {rate}]]}}",
)


def _rules(rng: Random, n: int) -> str:
    rules = []
    for number in range(n):
        fields = rng.choice(KINDS).format(
            window=rng.choice(["5m", "1h", "24h"]),
            line=rng.choice([0, 25, 50, 50.0, 75, 100]),
            points=rng.choice([10, 25, 50]),
            rate=rng.choice([1, 1.5, 2.5]),
        )
        evidence = "" if "burn" in fields else rng.choice(["", ", evidence: interval"])
        rules.append(f"{{alert: R{number}, metric: csat, {fields}{evidence}, min_n: {rng.choice([1, 5])}}}")
    return f"groups: [{{name: g, rules: [{', '.join(rules)}]}}]"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_not_found_is_ok_or_has_no_data(seed: int) -> None:
    """Of all rules, those that the index leaves out are not crossed, and are counted under the right reason."""
    rng = Random(seed)
    book = load_rules(_rules(rng, 60), "r.yml")
    index = Index([entry_of(rule, 0) for rule in book.metric_rules])
    for _ in range(20):
        sums: dict[str, Any] = {}
        for window in ("5m", "1h", "24h"):
            n = rng.choice([0, 1, 4, 8, 20])
            if n:
                sums[window] = {"csat": [rng.choice([0, n // 4, n // 2, 3 * n // 4, n]), n]}
        look = Look(sums)
        due, without = index.due(look, (), ())
        left = {}
        for position, entry in enumerate(index.entries):
            if position not in due:
                reader = look.reader(entry.rule.metric, entry.rule.confidence)
                left[entry.rule.alert] = crossing(entry.rule, values_of(entry.rule, reader))
        assert None not in left.values()
        assert not set(left.values()) & {Reason.INTERVAL_STRADDLES, Reason.NO_INTERVAL}
        assert without == sum(reason is Reason.NO_DATA for reason in left.values())


def test_what_has_to_be_decided_anyhow_is() -> None:
    """Alerts that fire or wait are decided whatever the value, in order; unknown ones are ignored."""
    book = load_rules(_rules(Random(1), 20), "r.yml")
    index = Index([entry_of(rule, 0) for rule in book.metric_rules])
    due, without = index.due(Look({}), {"R7", "R3", "Gone"}, ())
    assert (due, without) == ([3, 7], 18)


def test_a_rule_of_silence_is_due_when_it_first_hears_of_a_slice_and_when_nothing_is_heard() -> None:
    """Known and heard, or never heard of and still silent: there is nothing to decide."""
    text = "groups: [{name: g, rules: [{alert: S, metric: nps, no_data: 30m}]}]"
    index = Index([entry_of(rule, 0) for rule in load_rules(text, "r.yml").metric_rules])
    window = index.entries[0].rule.window
    heard, silent = Look({window: {"nps": [1, 0, 0]}}), Look({})
    assert [index.due(look, (), known)[0] for look in (heard, silent) for known in ((), {"S"})] == [
        [0],
        [],
        [],
        [0],
    ]


def test_a_rule_is_judged_on_as_many_replies_as_are_shown() -> None:
    """A slice on fewer replies than `min_slice_n` is never told of, whatever its rule says."""
    text = "groups: [{name: g, rules: [{alert: A, metric: nps, window: 1h, below: 0, min_n: 3}]}]"
    (rule,) = load_rules(text, "r.yml").metric_rules
    assert [entry_of(rule, least).rule.min_n for least in (0, 3, 10)] == [3, 3, 10]
    assert entry_of(rule, 10).by == entry_of(rule, 0).by
