"""docs/why.md says what the code says: the reasons, and what ``cx alerts explain`` answers."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.accounts.account import accounts
from stream.accounts.records import Found
from stream.alerting import conditions, contact, floods, histories, history_claims, limits, telling
from stream.alerting.claims import Decision, fingerprint
from stream.alerting.decisions import encode_decisions
from stream.alerting.reasons import REASONS, words_of
from stream.alerting.rules import load_rules
from stream.cli.alerts import _say
from tests.docs.pages import ROOT, blocks, code, rows, section

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = ROOT / "docs" / "why.md"
RULES = """
slices: [[segment]]
groups:
  - name: g
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30, evidence: interval, min_n: 50,
         resolve: {above: 35}}
"""
AT = 1_772_366_400_000  # 2026-03-01T12:00:00Z
NOW = AT + 125 * 60_000
LABELS = {"segment": "vip"}
MARK = fingerprint("NpsLow", LABELS)


def event(**more: Any) -> bytes:
    """An event of NpsLow as on cx.alerts."""
    data = {
        "alert": "NpsLow", "state": "firing", "reason": "first_crossing", "fingerprint": MARK, "labels": LABELS,
        "annotations": {"summary": "NPS of vip is 12.5 on 240 replies"}, "starts_at": "2026-03-01T12:00:00Z",
        "ends_at": None, "as_of": "2026-03-01T12:00:00Z",
        "claim": {
            "metric": "nps", "window": "1h", "value": 12.5, "n": 240, "interval": [4.1, 20.9], "below": 30,
            "evidence": "interval", "confidence": 0.95,
        },
        "drivers": [{"slice": {"channel": "chat", "segment": "vip"}, "service": -9.1, "mix": -0.4}],
        "at_risk": {"customers": 31, "value": 18250.0, "currency": "EUR"},
        "action": {"type": "callback", "owner": "retail", "due_by": "2026-03-01T16:00:00Z"},
    } | more  # fmt: skip
    envelope = {"id": f"{data['state']}-{data['as_of']}", "severitytext": "critical"}
    return json.dumps({**envelope, "subject": "nps{segment=vip}", "data": data}).encode()


def answer(found: dict[str, list[Found]], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    [rule] = load_rules(RULES, "rules.yml").metric_rules
    _say("NpsLow", accounts(found), rule, [], NOW, None)
    return capsys.readouterr().out


def block(word: str) -> str:
    """The block of the page that is marked with a word."""
    [found] = [each.text for each in blocks(PAGE) if each.word == word]
    return found


def test_what_fired_is_explained_as_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word."""
    acknowledged = {"fingerprint": MARK, "at": AT + 300_000, "by": "ada", "status": "acknowledged"}
    found = {
        topics.ALERTS: [Found(b"", event(), 0)],
        topics.ACTIONS: [Found(b"", json.dumps(acknowledged).encode(), 0)],
    }
    assert answer(found, capsys) == block("fired")


def test_what_did_not_fire_is_explained_as_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word."""
    figures = {"n": 12, "min_n": 50, "value": 8.25}
    decision = Decision("judge", "NpsLow", MARK, LABELS, "not_enough_replies", NOW, AT, figures)
    found = {topics.DECISIONS: [Found(*pair, 0) for pair in encode_decisions([decision]).items()]}
    assert answer(found, capsys) == block("quiet")


def test_the_tables_are_those_of_the_code() -> None:
    """Every reason with its words, by who decides, and no other."""
    shown = [
        tables_row for part in section(PAGE, "Reasons").split("\n### ")[1:] for tables_row in [rows(part)]
    ]
    listed = [{code(row[0])[0]: tuple(row[1:]) for row in table} for table in shown]
    assert listed == [{name: tuple(words) for name, words in group.items()} for group in REASONS.values()]


def reasons_of(*modules: Any) -> Iterable[str]:
    """Values of the enumerations of reasons, and of the constants that are reasons."""
    for module in modules:
        for name, found in vars(module).items():
            if name == "Reason" and isinstance(found, type) and issubclass(found, StrEnum):
                yield from map(str, found)
            elif name.isupper() and isinstance(found, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", found):
                yield found
    yield from telling._ENDED.values()


def test_every_reason_has_words() -> None:
    """Whatever decides, its reasons are explained."""
    known = {name for group in REASONS.values() for name in group}
    found = set(reasons_of(conditions, contact, floods, histories, history_claims, limits, telling))
    # Words of other meaning among the constants of these rooms.
    assert found - known - {"due_at"} == set()


def test_a_reason_that_is_not_known_says_itself() -> None:
    """An old record of a new worker is explained as well as can be."""
    assert words_of("made_of_cheese").why == "made of cheese"
