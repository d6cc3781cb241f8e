"""Claims on the wire: the contract's shape to the letter, identities, times, codecs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import AlertEvent
from stream.alerting.claims import (
    Claim,
    ClaimRecord,
    MarkRecord,
    claim_id,
    decode_claim,
    decode_record,
    encode_claim,
    encode_record,
)
from stream.alerting.events import encode_event, fingerprint, to_cloudevent
from stream.alerting.life import NEW, step
from stream.alerting.rules import load_rules

CONTRACT = """
{"specversion": "1.0", "id": "…", "source": "cx-pulse", "type": "cx.alert.firing.v1",
 "time": "…", "subject": "nps{segment=vip}", "severitytext": "critical",
 "data": {"alert": "NpsLowForVip", "state": "firing", "reason": "first_crossing",
   "fingerprint": "…", "labels": {"segment": "vip"}, "annotations": {"summary": "…"},
   "starts_at": "…", "ends_at": null, "as_of": "…",
   "claim": {"metric": "nps", "window": "1h", "value": 12.5, "n": 240, "interval": [4.1, 20.9],
             "below": 30, "evidence": "interval", "confidence": 0.95},
   "baseline": {"window": "7d", "value": 41.0}, "drivers": [{"slice": {"channel": "chat"},
             "service": -9.1, "mix": -0.4}],
   "at_risk": {"customers": 31, "value": 18250.0, "currency": "EUR"},
   "action": {"type": "callback", "owner": "cx-ops", "due_by": "…"}, "hold_out": false}}
"""
RULES = """
groups:
  - name: journey
    rules:
      - alert: NpsLowForVip
        metric: nps
        by: [segment]
        window: 1h
        below: 30
        evidence: interval
        min_n: 50
        severity: critical
        annotations: {summary: "NPS of {segment} is {value} ({interval}) on {n} replies since {as_of}"}
        action: {type: callback, owner: cx-ops, within: 2h}
      - alert: CsatFell
        metric: csat
        by: [touchpoint, channel]
        window: 1h
        drop: {points: 10, from: 7d}
        annotations: {summary: "{slice}: {change} from {baseline} to {value} ({threshold}, {confidence})"}
      - alert: Whole
        metric: ces
        window: 5m
        above: 5.5
        annotations: {summary: "{slice} {low}"}
      - alert: Spent
        metric: cost
        by: [segment]
        window: 1h
        above: 900
        annotations: {summary: "{value} {currency} of {segment}"}
"""
T = 1_767_225_600_000


@dataclass(frozen=True)
class Value:
    """A value as measures hands it over."""

    value: float
    n: int
    interval: tuple[float, float] | None
    currency: str | None = None


def _claim(alert: str, slice_key: str, current: Value, earlier: Value | None = None, t_ms: int = T) -> Claim:
    book = load_rules(RULES, "r.yml")
    rule = next(rule for rule in book.rules_for(slice_key) if rule.alert == alert)
    values = {rule.window: current, rule.baseline: earlier}
    claim = step(rule, slice_key, NEW, values.get, t_ms=t_ms).claim
    assert claim is not None
    return claim


def _vip() -> Claim:
    return _claim("NpsLowForVip", '{"segment":"vip"}', Value(12.5, 240, (4.1, 20.9)))


def _same_shape(ours: Any, theirs: Any, path: str = "") -> None:
    """Every field of the contract is there, in its order and with its type; … stands for any text."""
    if isinstance(theirs, dict):
        assert [key for key in ours if key in theirs] == list(theirs), path
        for key, value in theirs.items():
            _same_shape(ours[key], value, f"{path}.{key}")
    elif theirs == "…":
        assert isinstance(ours, str), path
        assert ours, path
    else:
        assert ours == theirs, path


def test_the_event_is_that_of_the_contract() -> None:
    """The contract's example comes out field by field; what is not known yet is there and empty."""
    contract = json.loads(CONTRACT)
    contract["data"] |= {"baseline": None, "drivers": [], "at_risk": None}
    event = json.loads(encode_event(_vip()))
    _same_shape(event, contract)
    added = set(event) - set(contract)
    assert added == {"datacontenttype", "dataschema"}
    assert list(event)[-1] == "data"
    assert event["data"]["annotations"]["summary"] == (
        "NPS of vip is 12.5 (4.1 to 20.9) on 240 replies since 2026-01-01T00:00:00Z"
    )
    assert event["data"]["action"]["due_by"] == "2026-01-01T02:00:00Z"


def test_a_drop_shows_its_baseline_and_change() -> None:
    """The claim of a drop says from where, to where and how sure the difference is."""
    claim = _claim(
        "CsatFell",
        '{"channel":"chat","touchpoint":"checkout"}',
        Value(40.0, 60, (37.0, 44.0)),
        Value(60.0, 900, (57.0, 64.0)),
    )
    event = to_cloudevent(claim)
    assert event["subject"] == "csat{channel=chat,touchpoint=checkout}"
    assert event["data"]["baseline"] == {"window": "7d", "value": 60.0, "n": 900}
    figures = event["data"]["claim"]
    assert figures["drop"] == {"points": 10, "from": "7d"}
    assert figures["change"] == -20.0
    assert figures["change_interval"] == [-25.0, -15.0]
    assert event["data"]["annotations"]["summary"] == (
        "channel=chat,touchpoint=checkout: -20 from 60 to 40 (10, 95 %)"
    )


def test_the_whole_has_the_metric_as_its_subject_and_no_labels() -> None:
    """The slice of everything is called by the metric alone; a missing interval reads unknown."""
    event = to_cloudevent(_claim("Whole", "{}", Value(6.0, 3, None)))
    assert (event["subject"], event["data"]["labels"]) == ("ces", {})
    assert event["data"]["claim"]["interval"] is None
    assert event["data"]["annotations"]["summary"] == "all unknown"
    assert event["data"]["action"] is None


def test_identities_are_what_they_were_yesterday() -> None:
    """Fingerprints and ids are part of the contract with subscribers: they may not drift."""
    claim = _vip()
    assert claim.fingerprint == fingerprint("NpsLowForVip", {"segment": "vip"}) == "87b0a0ede6349f73"
    assert claim.id == claim_id(claim.fingerprint, "firing", T, str(T)) == "ce8768e75b257733c034d3374dd0980a"


@given(
    st.lists(
        st.tuples(st.text(), st.dictionaries(st.text(), st.text(), max_size=3), st.text()), unique_by=repr
    )
)
def test_different_alerts_have_different_fingerprints(alerts: list[tuple[str, dict[str, str], str]]) -> None:
    """No two of alert, labels and customer run into each other; the order of labels does not count."""
    marks = {}
    for alert, labels, subject in alerts:
        mark = fingerprint(alert, labels, subject)
        assert mark == fingerprint(alert, dict(reversed(labels.items())), subject)
        what = (alert, tuple(sorted(labels.items())), subject)
        assert marks.setdefault(mark, what) == what


def test_claims_and_marks_survive_the_wire() -> None:
    """What is read is what was written, and the event made of it has the same bytes."""
    claim = _vip()
    assert decode_claim(encode_claim(claim)) == msgspec.convert(msgspec.to_builtins(claim), Claim)
    for record in (ClaimRecord(3, claim), MarkRecord(3, T)):
        again = decode_record(encode_record(record))
        assert encode_record(again) == encode_record(record)
        assert type(again) is type(record)
    again = decode_record(encode_record(ClaimRecord(3, claim)))
    assert isinstance(again, ClaimRecord)
    assert encode_event(again.claim) == encode_event(claim)


def test_numbers_keep_their_sort() -> None:
    """30 in the rule is 30 in the event, 12.0 stays 12.0: bytes do not depend on the way taken."""
    claim = _claim("NpsLowForVip", '{"segment":"vip"}', Value(12.0, 240, (4.1, 20.9)))
    assert b'"value":12.0,' in encode_event(decode_claim(encode_claim(claim)))
    assert b'"below":30,' in encode_event(claim)


def test_a_claim_about_money_names_the_currency() -> None:
    """An amount without its currency would be no figure; other claims have none."""
    claim = _claim("Spent", '{"segment":"vip"}', Value(1234.5, 40, (1100.0, 1400.0), "EUR"))
    assert claim.figures["currency"] == "EUR"
    assert claim.annotations == {"summary": "1,234.5 EUR of vip"}
    assert AlertEvent.model_validate_json(encode_event(claim)).data.claim.currency == "EUR"
    assert "currency" not in _vip().figures
