"""Rules over one record: every operator, the index, the cooldown, and what the claim says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alerting.customer_rules import CustomerRules, Match, Reason
from stream.alerting.events import encode_event
from stream.alerting.model import Op
from stream.alerting.rules import load_rules

if TYPE_CHECKING:
    from stream.alerting.claims import Claim

HOUR = 3_600_000


@dataclass(frozen=True)
class Event:
    """A record with the fields rules may name."""

    metric: str | None = None
    kind: str | None = None
    event_id: str = "e1"
    customer_id: str = "c-7"
    time_ms: int = 1_000_000
    score: float | None = None
    segment: str | None = None
    stage: str | None = None
    touchpoint: str | None = None
    channel: str | None = None
    product: str | None = None
    variant: str | None = None
    region: str | None = None
    question: str | None = None
    pillar: str | None = None
    survey: str | None = None
    comment: str | None = None
    in_reply_to: str | None = None
    ref: str | None = None
    value: float | None = None
    currency: str | None = None
    attributes: dict[str, Any] | None = field(default=None, hash=False)


def _rules(*whens: str) -> CustomerRules:
    lines = "\n".join(f"  - {{alert: R{i}, {when}}}" for i, when in enumerate(whens))
    return CustomerRules(load_rules(f"groups:\n- name: g\n  rules:\n{lines}\n", "r.yml"))


def _unasked() -> dict[str, Any]:
    pytest.fail("the signals were not needed")


def _matches(rules: CustomerRules, event: Event, **signals: Any) -> list[str]:
    return [match.rule for match in rules.match(event, lambda: signals, {})]


@pytest.mark.parametrize(
    ("test", "passing", "failing"),
    [
        ("score: 6", [6, 6.0], [5, None]),
        ("score: {eq: 6.5}", [6.5], [6, None]),
        ("score: {ne: 6}", [5, None], [6]),
        ("score: {lt: 6}", [5.9, -1], [6, None]),
        ("score: {lte: 6}", [6, 0], [6.1, None]),
        ("score: {gt: 6}", [6.1], [6, None]),
        ("score: {gte: 6}", [6, 7], [5.9, None]),
        ("score: {gte: 3, lt: 6}", [3, 5.9], [2.9, 6, None]),
        ("score: {in: [9, 10]}", [9, 10.0], [8, None]),
        ("score: {exists: true}", [0], [None]),
        ("score: {exists: false}", [None], [0]),
        ("segment: vip", ["vip"], ["Vip", "", None]),
        ("segment: {ne: vip}", ["new", None], ["vip"]),
        ("segment: {in: [vip, gold]}", ["gold"], ["new", None]),
        ("comment: {exists: true}", ["bad"], [None]),
    ],
)
def test_every_operator_on_a_field_of_the_record(test: str, passing: list[Any], failing: list[Any]) -> None:
    """A bare value means eq; an absent field passes only ne and exists: false."""
    name = test.split(":", maxsplit=1)[0]
    rules = _rules(f"on: reply, when: {{{test}}}")
    for value in passing:
        assert _matches(rules, Event("nps", **{name: value})) == ["R0"], value
    for value in failing:
        assert _matches(rules, Event("nps", **{name: value})) == [], value


@pytest.mark.parametrize(
    ("test", "passing", "failing"),
    [
        ("attributes.paid: true", [True], [1, "true", False, None]),
        ("attributes.count: 1", [1, 1.0], [True, "1", None]),
        ("attributes.count: {gte: 2}", [2, 3.5], [1, "3", True, None]),
        ("attributes.code: {in: [A, 1, true]}", ["A", 1, True], ["1", 0, False, None]),
        ("attributes.code: {ne: A}", ["B", 1, None], ["A"]),
    ],
)
def test_attributes_are_compared_with_their_type(test: str, passing: list[Any], failing: list[Any]) -> None:
    """Text is never below a number and true is not 1."""
    name = test.split(":", maxsplit=1)[0].removeprefix("attributes.")
    rules = _rules(f"on: touchpoint, when: {{{test}}}")
    for value in passing:
        assert _matches(rules, Event(kind="x", attributes={name: value})) == ["R0"], value
    for value in failing:
        assert _matches(rules, Event(kind="x", attributes={name: value})) == [], value
    assert _matches(rules, Event(kind="x")) == (["R0"] if "ne" in test else [])


def test_a_rule_looks_at_its_own_kind_of_record() -> None:
    """A reply rule never sees a touchpoint, nor the other way round."""
    rules = _rules("on: reply, when: {segment: vip}", "on: touchpoint, when: {segment: vip}")
    assert _matches(rules, Event("nps", segment="vip")) == ["R0"]
    assert _matches(rules, Event(kind="purchase", segment="vip")) == ["R1"]


def test_signals_are_worked_out_once_and_only_if_needed() -> None:
    """No rule that fails on the record itself asks for the customer."""
    rules = _rules(
        "on: reply, when: {customer.open_tickets: {gte: 1}, score: {lte: 6}}",
        "on: reply, when: {customer.gap_ratio: {gt: 2}, score: {lte: 6}}",
    )
    assert rules.match(Event("nps", score=9), _unasked, {}) == ()
    asked = []

    def signals() -> dict[str, float | None]:
        asked.append(1)
        return {"open_tickets": 2, "gap_ratio": None}

    assert [match.rule for match in rules.match(Event("nps", score=3), signals, {})] == ["R0"]
    assert asked == [1]


def test_no_rules_match_nothing() -> None:
    """An empty book is quiet."""
    rules = CustomerRules(load_rules("groups: []", "r.yml"))
    assert rules.match(Event("nps", score=0), _unasked, {}) == ()


def test_a_cooldown_holds_for_a_customer_and_a_rule() -> None:
    """Within the cooldown a match is named and makes no claim; after it the rule fires again."""
    rules = _rules("on: reply, when: {score: {lte: 6}}, cooldown: 24h", "on: reply, when: {score: {lte: 3}}")
    fired: dict[str, int] = {}
    seen = []
    for hour, score in ((0, 5), (1, 5), (2, 2), (23, 5), (24, 5), (47, 5), (48, 5)):
        event = Event("nps", score=score, time_ms=hour * HOUR, event_id=f"e{hour}")
        matches = rules.match(event, _unasked, fired)
        fired = rules.remember(fired, matches, event.time_ms)
        seen += [(hour, match.rule, str(match.reason)) for match in matches]
        assert all((match.claim is None) == (match.reason is Reason.IN_COOLDOWN) for match in matches)
    assert seen == [
        (0, "R0", "matched"), (1, "R0", "in_cooldown"), (2, "R0", "in_cooldown"), (2, "R1", "matched"),
        (23, "R0", "in_cooldown"), (24, "R0", "matched"), (47, "R0", "in_cooldown"), (48, "R0", "matched"),
    ]  # fmt: skip
    assert fired == {"R0": 48 * HOUR}


def test_what_is_remembered_is_forgotten_when_it_no_longer_matters() -> None:
    """Cooldowns that are over and rules that are gone leave no trace; an older event takes nothing back."""
    rules = _rules("on: reply, when: {score: 1}, cooldown: 1h", "on: reply, when: {score: 1}")
    matches = rules.match(Event("nps", score=1, time_ms=HOUR), _unasked, {})
    assert rules.remember({"Gone": 5}, matches, HOUR) == {"R0": HOUR}
    assert rules.remember({"R0": HOUR}, (), 2 * HOUR) == {}
    late = (Match("R0", Reason.MATCHED, matches[0].claim),)
    assert rules.remember({"R0": 9 * HOUR}, late, HOUR) == {"R0": 9 * HOUR}


def _claim(rule: str, event: Event, **signals: Any) -> Claim:
    claim = _rules(rule).match(event, lambda: signals, {})[0].claim
    assert claim is not None
    return claim


def test_the_claim_names_the_signal_and_its_reasons() -> None:
    """The customer is the subject, the reasons are the tests with what they saw."""
    claim = _claim(
        "on: reply, when: {metric: nps, score: {gte: 1, lte: 6}, customer.spend: {gte: 500}},"
        " severity: critical, labels: {team: care}, action: {type: callback, owner: ops, within: 2h},"
        " annotations: {summary: '{customer} of {segment} gave {score} ({customer.spend}, {channel})'}",
        Event("nps", score=3.0, segment="vip", time_ms=1_767_225_600_500),
        spend=812.5,
    )
    event = msgspec.json.decode(encode_event(claim))
    assert event["subject"] == "customer:c-7"
    assert event["type"] == "cx.alert.firing.v1"
    assert event["time"] == "2026-01-01T00:00:00.500Z"
    data = event["data"]
    assert data["labels"] == {"team": "care"}
    assert data["annotations"] == {"summary": "c-7 of vip gave 3 (812.5, unknown)"}
    assert data["claim"] == {
        "on": "reply",
        "signal": "nps",
        "value": 3.0,
        "event_id": "e1",
        "reasons": [
            {"field": "metric", "value": "nps", "eq": "nps"},
            {"field": "score", "value": 3.0, "gte": 1, "lte": 6},
            {"field": "customer.spend", "value": 812.5, "gte": 500},
        ],
    }
    assert data["action"] == {"type": "callback", "owner": "ops", "due_by": "2026-01-01T02:00:00.500Z"}


def test_a_comment_never_reaches_an_alert() -> None:
    """That there is one may be asked; what it says stays where it is."""
    claim = _claim(
        "on: reply, when: {comment: {exists: true}}", Event("nps", score=1, comment="my phone is 555")
    )
    assert b"555" not in encode_event(claim)
    assert claim.figures["reasons"] == [{"field": "comment", "exists": True}]


def test_a_touchpoint_shows_its_kind_and_value() -> None:
    """The signal of a touchpoint is its kind."""
    claim = _claim(
        "on: touchpoint, when: {kind: purchase, value: {gte: 100}, attributes.gift: true}",
        Event(kind="purchase", value=120.0, attributes={"gift": True}),
    )
    assert (claim.figures["signal"], claim.figures["value"]) == ("purchase", 120.0)
    assert claim.figures["reasons"][2] == {"field": "attributes.gift", "value": True, "eq": True}


def test_ids_come_from_the_event_and_fingerprints_from_the_customer() -> None:
    """The same record gives the same id; another record another id; another customer another alert."""
    rule = "on: reply, when: {score: 1}"
    first, again = (_claim(rule, Event("nps", score=1)) for _ in range(2))
    other = _claim(rule, Event("nps", score=1, event_id="e2"))
    someone = _claim(rule, Event("nps", score=1, customer_id="c-8"))
    assert first == again
    assert first.id != other.id
    assert first.fingerprint == other.fingerprint != someone.fingerprint


# Against brute force: every rule tested in full on every record.

OPS = {
    Op.LT: lambda a, b: a is not None and a < b,
    Op.LTE: lambda a, b: a is not None and a <= b,
    Op.GT: lambda a, b: a is not None and a > b,
    Op.GTE: lambda a, b: a is not None and a >= b,
    Op.EQ: lambda a, b: a == b,
    Op.NE: lambda a, b: a != b,
    Op.IN: lambda a, b: a in b,
    Op.EXISTS: lambda a, b: (a is not None) == b,
}
NUMBER = st.one_of(
    st.tuples(st.sampled_from(["lt", "lte", "gt", "gte", "eq", "ne"]), st.integers(0, 10).map(str)),
    st.tuples(st.just("in"), st.lists(st.integers(0, 10), min_size=1, max_size=3).map(str)),
    st.tuples(st.just("exists"), st.sampled_from(["true", "false"])),
)
WORD = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), st.sampled_from(["a", "b"])),
    st.tuples(st.just("in"), st.sampled_from(["[a]", "[a, b]"])),
    st.tuples(st.just("exists"), st.sampled_from(["true", "false"])),
)
WHEN = (
    st.dictionaries(st.sampled_from(["score", "customer.spend"]), NUMBER, max_size=2)
    .flatmap(
        lambda numbers: st.dictionaries(st.sampled_from(["segment", "channel"]), WORD, max_size=2).map(
            lambda words: numbers | words
        )
    )
    .filter(bool)
)
EVENTS = st.builds(
    Event,
    metric=st.sampled_from(["nps", "csat"]),
    score=st.integers(0, 10) | st.none(),
    segment=st.sampled_from(["a", "b", None]),
    channel=st.sampled_from(["a", "c", None]),
)


@settings(deadline=None)
@given(
    st.lists(WHEN, min_size=1, max_size=8),
    st.lists(st.tuples(EVENTS, st.none() | st.integers(0, 10)), max_size=8),
)
def test_the_index_finds_what_testing_every_rule_finds(
    whens: list[dict[str, tuple[str, str]]], records: list[tuple[Event, int | None]]
) -> None:
    """However rules are indexed, a record matches those whose tests all pass, in order."""
    texts = [
        "on: reply, when: {" + ", ".join(f"{name}: {{{op}: {x}}}" for name, (op, x) in when.items()) + "}"
        for when in whens
    ]
    rules = _rules(*texts)
    book = load_rules(
        "groups: [{name: g, rules: ["
        + ", ".join(f"{{alert: R{i}, {text}}}" for i, text in enumerate(texts))
        + "]}]",
        "r.yml",
    )
    for event, spend in records:
        naive = [
            rule.alert
            for rule in book.customer_rules
            if all(
                OPS[test.op](
                    spend if test.field == "customer.spend" else getattr(event, test.field), test.operand
                )
                for test in rule.tests
            )
        ]
        assert _matches(rules, event, spend=spend) == naive
