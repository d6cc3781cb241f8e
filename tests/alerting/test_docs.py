"""The rule reference and the example rules are true: what they show is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stream.alerting import conditions, contact, history_rules, hygiene_rules, metric_rules, when_rules
from stream.alerting.life import NEW, step
from stream.alerting.lint import remarks
from stream.alerting.model import CountRule, Evidence, Kind, Op, RuleBook, SequenceRule, SignalRule
from stream.alerting.rules import RuleError, load_rules
from stream.customers import SIGNALS
from stream.measures import DIMENSIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def _load(kind: str, text: str) -> RuleBook:
    if kind == "rules":
        text = "groups:\n  - name: g\n    rules:\n" + "".join(f"      {line}\n" for line in text.splitlines())
    return load_rules(text, "rules.yml", signals={"open_tickets", "churn_probability"})


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, text) for language, kind, text in BLOCKS if language == "yaml" and kind != "refused"],
)
def test_every_example_of_the_reference_is_accepted(kind: str, text: str) -> None:
    """What the page tells people to write can be written."""
    book = _load(kind, text)
    assert replace(book, filename="") != load_rules("groups: []", "")
    assert kind != "rules" or remarks(book, 0) == ()


def test_the_refused_example_is_refused_in_the_words_shown() -> None:
    """The error on the page is the error one gets."""
    [wrong] = [text for _, kind, text in BLOCKS if kind == "refused"]
    with pytest.raises(RuleError) as caught:
        _load("", wrong)
    assert f"```text\n{caught.value}\n```" in TEXT


def test_the_warned_example_is_warned_of_in_the_words_shown() -> None:
    """The warning on the page is the warning one gets, but for the line it is broken at."""
    [text] = [text for _, kind, text in BLOCKS if kind == "warned"]
    [remark] = remarks(_load("", text), 0)
    assert str(remark) in {" ".join(text.split()) for language, _, text in BLOCKS if language == "text"}


@pytest.mark.parametrize(
    "word",
    [
        *metric_rules.METRIC_FIELDS,
        *when_rules.CUSTOMER_FIELDS,
        *history_rules.HISTORY_FIELDS,
        *history_rules.EXPECT_FIELDS,
        *history_rules.SEQUENCE_FIELDS,
        *history_rules.COUNT_FIELDS,
        *hygiene_rules.HYGIENE_FIELDS,
        *hygiene_rules.INHIBIT_FIELDS,
        *hygiene_rules.SILENCE_FIELDS,
        *hygiene_rules.CONTACT_FIELDS,
        *hygiene_rules.ROUTE_FIELDS,
        *Evidence,
        *conditions.Reason,
        *contact.Reason,
        *Op,
        *DIMENSIONS,
        *(name for names in when_rules.FIELDS.values() for name in names),
        *(f"{{{name}}}" for name in metric_rules.PLACEHOLDERS | metric_rules.CHANGE_PLACEHOLDERS),
        *(f"{{{name}}}" for name in when_rules.PLACEHOLDERS | history_rules.PLACEHOLDERS),
        *(f"{{{name}}}" for name in history_rules.SEQUENCE_PLACEHOLDERS | history_rules.COUNT_PLACEHOLDERS),
    ],
)
def test_the_reference_leaves_nothing_out(word: str) -> None:
    """Every field, operator, reason and placeholder is named on the page."""
    assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", TEXT)


@dataclass(frozen=True)
class Value:
    """A value as measures hands it over."""

    value: float
    n: int
    interval: None = None
    currency: None = None


def test_the_timeline_of_the_reference_is_what_happens() -> None:
    """The table of an alert's life on the page is replayed line by line."""
    [timeline] = [text for _, _, text in BLOCKS if text.startswith("rule: ")]
    first, _, _, *lines = timeline.splitlines()
    rule = _load(
        "",
        f"groups: [{{name: g, rules: [{{alert: A, metric: nps, window: 1h, {first.removeprefix('rule: ')}}}]}}]",
    ).metric_rules[0]
    state = NEW
    for line in lines:
        clock, value, *rest = line.split()
        hours, minutes = map(int, clock.split(":"))
        now = None if value == "none" else Value(float(value), int(rest.pop(0)))
        t_ms = (hours * 60 + minutes) * 60_000
        result = step(rule, "{}", state, {"1h": now}.get, t_ms=t_ms)
        state = result.state
        assert [result.reason, state.phase] == rest[:2], line
        sent = None if result.claim is None else f"cx.alert.{result.claim.state}.v1"
        assert (rest[-1] if rest[-2] == "->" else None) == sent, line
    assert len(lines) == 10


def test_the_example_rules_are_accepted_and_show_each_kind() -> None:
    """examples/rules.yml is what people start from."""
    path = ROOT / "examples" / "rules.yml"
    book = load_rules(path.read_text(encoding="utf-8"), str(path), signals=SIGNALS)
    assert remarks(book, 0) == ()
    assert {rule.metric for rule in book.metric_rules} >= {"nps", "csat", "ces", "waiting_time"}
    assert {rule.kind for rule in book.metric_rules} == set(Kind) - {Kind.RISE}
    assert {rule.evidence for rule in book.metric_rules} == set(Evidence)
    assert {type(rule) for rule in book.history_rules} == {SequenceRule, CountRule, SignalRule}
    hygiene = book.hygiene
    assert hygiene.inhibitions
    assert hygiene.contact
    assert hygiene.grouped
    assert hygiene.storm
    assert {rule.on for rule in book.customer_rules} == {"reply", "touchpoint"}
    assert book.slices
    assert book.declared.goals
