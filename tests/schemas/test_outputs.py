"""What the rooms write is what the models promise."""

import json
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from schemas import AlertEvent, Metrics
from schemas import Decision as DecisionRecord
from schemas.export import json_schema
from stream.alerting.claims import Action, AlertState, AtRisk, Claim, Decision, Driver, fingerprint
from stream.alerting.decisions import encode_decisions
from stream.alerting.events import encode_event
from stream.measures import Stats, add, all_values, observation

REPLIES: list[tuple[str, float, tuple[float, float], bool]] = [
    ("nps", 9, (0, 10), True),
    ("nps", 3, (0, 10), True),
    ("csat", 4, (1, 5), True),
    ("ces", 6, (1, 7), True),
]


@pytest.mark.parametrize("last", [("ces", 2.5, (1, 5), False), ("csat", 10, (1, 10), True)])
def test_measured_values_fit_the_metrics_contract(last: tuple[str, float, tuple[float, float], bool]) -> None:
    """Values of every metric, of one reply or several, on one scale or two, fit the model and its document."""
    stats: Stats = {}
    for reply in [*REPLIES, last]:
        seen = observation(*reply)
        assert seen is not None
        add(stats, *seen)
    values = {metric: {"1h": value} for metric, value in all_values(stats, 0.95).items()}
    message = {"slice": {"segment": "vip"}, "as_of": "2026-03-01T12:00:00Z", "final": True, "metrics": values}
    encoded = msgspec.json.encode(message)
    assert set(Metrics.model_validate_json(encoded).metrics) == {"nps", "csat", "ces"}
    jsonschema.validate(json.loads(encoded), json_schema("metrics"), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "action", [None, Action("callback"), Action("callback", "retail", 1_772_366_400_000)]
)
@pytest.mark.parametrize(
    ("subject", "figures", "baseline"),
    [
        ("nps{segment=vip}", {"metric": "nps", "window": "1h", "value": 12.5, "n": 9, "below": 30}, None),
        (
            "csat{}",
            {"metric": "csat", "drop": {"points": 10.0, "from": "7d"}},
            {"window": "7d", "value": 80.0},
        ),
        ("customer:c-1", {"signal": "reply", "reasons": ["score lte 6"]}, None),
    ],
)
def test_alerts_fit_the_alert_contract(
    subject: str, figures: dict[str, Any], baseline: dict[str, Any] | None, action: Action | None
) -> None:
    """An event made of a claim fits the model and its document, and keeps every figure."""
    labels = {"segment": "vip"}
    mark = fingerprint("A", labels)
    claim = Claim(
        id="1", alert="A", subject=subject, state="firing", reason="first_crossing", severity="critical",
        fingerprint=mark, labels=labels, annotations={}, starts_at_ms=5, ends_at_ms=None, as_of_ms=5,
        figures=figures, baseline=baseline, action=action,
    )  # fmt: skip
    encoded = encode_event(claim)
    event = AlertEvent.model_validate_json(encoded)
    assert event.data.fingerprint == mark
    assert event.data.claim.model_dump(exclude_unset=True) == figures
    jsonschema.validate(json.loads(encoded), json_schema("alert"), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("state", get_args(AlertState))
def test_all_that_a_claim_may_hold_is_in_its_event(state: AlertState) -> None:
    """Drivers, what is at risk, the hold-out, links and the group come through, in every state."""
    claim = Claim(
        id="1", alert="A", subject="csat", state=state, reason="first_crossing", severity="info",
        fingerprint="f-1", labels={}, annotations={}, starts_at_ms=5, ends_at_ms=None, as_of_ms=5, figures={},
        drivers=(Driver({"channel": "chat"}, -9.1, -0.4),), at_risk=AtRisk(31, 18250.0, "EUR"), hold_out=True,
        links={"dashboard": "https://grafana/d/cx"}, group="{}",
    )  # fmt: skip
    encoded = encode_event(claim)
    jsonschema.validate(json.loads(encoded), json_schema("alert"), cls=jsonschema.Draft202012Validator)
    data = AlertEvent.model_validate_json(encoded).data.model_dump()
    assert data["drivers"] == ({"slice": {"channel": "chat"}, "service": -9.1, "mix": -0.4},)
    assert data["at_risk"] == {"customers": 31, "value": 18250.0, "currency": "EUR"}
    assert (data["hold_out"], data["links"], data["group"]) == (
        True,
        {"dashboard": "https://grafana/d/cx"},
        "{}",
    )


def test_decisions_fit_the_decision_contract() -> None:
    """A decision as published fits the model and its document; its key is fingerprint and stage, the last wins."""
    first = Decision("judge", "A", "f-1", {"segment": "vip"}, "not_enough_replies", 9, 5, {"n": 3})
    last = msgspec.structs.replace(first, reason="ok", as_of_ms=10, since_ms=10)
    lane = msgspec.structs.replace(first, stage="lane", reason="silenced")
    encoded = encode_decisions([first, lane, last])
    assert list(encoded) == [b"f-1|judge", b"f-1|lane"]
    assert [json.loads(value)["reason"] for value in encoded.values()] == ["ok", "silenced"]
    for value in encoded.values():
        assert DecisionRecord.model_validate_json(value).fingerprint == "f-1"
        jsonschema.validate(json.loads(value), json_schema("decision"), cls=jsonschema.Draft202012Validator)
