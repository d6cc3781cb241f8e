"""Rules in one sentence."""

from __future__ import annotations

import pytest

from stream.alerting.described import fires_when, over_when, where_of
from stream.alerting.model import Rule
from stream.alerting.rules import load_rules


def rule(text: str) -> Rule:
    """The one rule of a text."""
    book = load_rules(f"groups: [{{name: g, rules: [{{alert: A, {text}}}]}}]", "rules.yml")
    [found] = (*book.metric_rules, *book.customer_rules, *book.history_rules)
    return found


@pytest.mark.parametrize(
    ("text", "fires", "over", "where"),
    [
        (
            (
                "metric: nps, by: [segment], where: {segment: vip}, window: 1h, below: 30, evidence:"
                " interval, min_n: 50, for: 5m, resolve: {above: 35}"
            ),
            (
                "nps over the last 1h is below 30, with the whole of its 95 % interval, on at least 50"
                " replies, for 5m without a break"
            ),
            "nps over 1h is above 35 on at least 50 replies",
            "where segment is vip",
        ),
        (
            "metric: csat, by: [touchpoint, channel], window: 1h, drop: {points: 10, from: 7d}",
            "csat over the last 1h is 10 points or more below that of the last 7d",
            "that is no longer so",
            "for each channel and touchpoint",
        ),
        (
            "metric: csat, window: 1h, rise: {points: 10, from: {ago: 7d, weeks: 2}}, keep_firing: 10m",
            "csat over the last 1h is 10 points or more above the same 1h 7d and 14d ago",
            "that is no longer so, and 10m more have passed",
            "for everyone together",
        ),
        (
            "metric: nps, window: 1h, below: 30, evidence: anytime, confidence: 0.99",
            "nps over the last 1h is below 30, by evidence that is 100 to 1 however often it is looked at",
            "that is no longer so",
            "for everyone together",
        ),
        (
            "metric: ces, change: {direction: down, one_false_alarm_per: 10000, from: 7d}",
            (
                "the mean of ces falls against that of the last 7d; it is told with at most one false alarm"
                " in 10000 replies on average"
            ),
            "that is no longer so",
            "for everyone together",
        ),
        (
            "metric: csat, burn_rate: {goal: 80, page: [[1h, 5m, 14.4], [6h, 30m, 6]]}",
            (
                "the budget of 20 % of csat that need not be good burns at least this many times as fast as"
                " it may: 14.4 over 1h and 5m or 6 over 6h and 30m"
            ),
            "that is no longer so",
            "for everyone together",
        ),
        (
            "metric: nps, by: [channel], no_data: 30m",
            "nothing is heard of nps for 30m, having been heard of",
            "something is heard of nps again",
            "for each channel",
        ),
        (
            (
                "on: reply, when: {metric: nps, score: {lte: 6}, customer.spend: {gte: 500}, segment: {in:"
                " [a, b]}, comment: {exists: true}}"
            ),
            (
                "one reply arrives whose metric is nps and score is at most 6 and spend is at least 500 and"
                " segment is one of a, b and comment is there"
            ),
            None,
            "for each customer",
        ),
        (
            "expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 24h}",
            "one customer has ticket_opened, and no ticket_resolved of the same ref within 1d",
            "ticket_resolved comes after all",
            "for each customer",
        ),
        (
            "expect: {after: {kind: promise_made}, then: {kind: promise_kept}, same: ref, within: due_at}",
            "one customer has promise_made, and no promise_kept of the same ref by the time it is due",
            "promise_kept comes after all",
            "for each customer",
        ),
        (
            "sequence: {steps: [{kind: cart_started}, {metric: csat, score: {lte: 2}}], within: 2h}",
            "one customer has cart_started, then csat reply whose score is at most 2, all within 2h",
            None,
            "for each customer",
        ),
        (
            "count: {of: {kind: ticket_opened}, at_least: 3, within: 7d}",
            "one customer has 3 of ticket_opened within 7d",
            None,
            "for each customer",
        ),
        (
            "customer: {churn_probability: {gte: 0.7}}",
            "a customer's churn_probability is at least 0.7, where it was not so before",
            "the customer's churn_probability is at least 0.7 no longer",
            "for each customer",
        ),
    ],
)
def test_every_kind_of_rule_says_when_it_fires(text: str, fires: str, over: str | None, where: str) -> None:
    """One sentence of when, one of what ends it, and one of whom it is about."""
    one = rule(text)
    assert (fires_when(one), over_when(one), where_of(one)) == (fires, over, where)
