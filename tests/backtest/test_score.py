"""How alerts are held against what happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.claims import Claim, fingerprint
from stream.alerting.rules import RuleBook, load_rules
from stream.backtest import BadOutcome, Incident, Judgement, read_outcomes
from stream.backtest.score import Score, episodes, judge, scores

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_768_204_800_000  # 2026-01-12T08:00:00Z
BOOK = load_rules(
    """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: 0}
      - {alert: Vip, metric: csat, where: {segment: vip}, window: 1h, below: 60}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 3}}}
""",
    "rules.yml",
)


def told(alert: str, state: str, starts: int, at: int, *, customer: str = "", **labels: str) -> Claim:
    """An event of an alert, times in hours after T0."""
    subject = f"customer:{customer}" if customer else f"nps{labels}"
    mark = fingerprint(alert, labels, customer)
    return Claim(
        id=f"{mark}{state}{at}",
        alert=alert,
        subject=subject,
        state=state,  # type: ignore[arg-type]
        reason="first_crossing",
        severity="warning",
        fingerprint=mark,
        labels=labels,
        annotations={},
        starts_at_ms=T0 + starts * HOUR,
        ends_at_ms=T0 + at * HOUR if state in {"resolved", "withdrawn"} else None,
        as_of_ms=T0 + at * HOUR,
        figures={},
    )


def incident(starts: float, ends: float | None, **given: object) -> Incident:
    """Hours after T0."""
    ends_at = None if ends is None else T0 + int(ends * HOUR)
    return Incident.model_validate({"starts_at": T0 + int(starts * HOUR), "ends_at": ends_at, **given})


def scored(
    alerts: list[Claim],
    incidents: list[Incident] | None = None,
    judgements: list[Judgement] | None = None,
    book: RuleBook = BOOK,
    grace_ms: int = 0,
) -> dict[str, Score]:
    """Scores by rule, over two days."""
    found = episodes(alerts)
    judge(found, book, incidents or [], judgements or [], grace_ms)
    names = ["Low", "Vip", "One"]
    return {s.rule: s for s in scores(found, names, book, incidents or [], (T0, T0 + 2 * DAY))}


def test_an_alert_is_one_from_firing_to_its_end() -> None:
    """Repeats and amendments are no alerts of their own; each slice's firing time counts."""
    alerts = [
        told("Low", "firing", 1, 1, segment="vip"),
        told("Low", "firing", 1, 3, segment="vip"),
        told("Low", "amended", 1, 4, segment="vip"),
        told("Low", "resolved", 1, 5, segment="vip"),
        told("Low", "firing", 2, 2, segment="new"),
        told("Low", "resolved", 2, 3, segment="new"),
        told("Low", "firing", 47, 47, segment="vip"),
    ]
    low = scored(alerts)["Low"]
    assert (low.alerts, low.per_day, low.open) == (3, 1.5, 1)
    assert low.firing_ms == (4 + 1 + 1) * HOUR
    assert (low.precision, low.recall, low.delay_ms) == (None, None, None)


def test_customers_alerts_have_no_length() -> None:
    """An alert on one record is told once and is over."""
    one = scored([told("One", "firing", 1, 1, customer="a"), told("One", "firing", 3, 3, customer="a")])[
        "One"
    ]
    assert (one.alerts, one.firing_ms, one.open) == (2, 0, 0)


def test_right_is_what_begins_while_an_incident_lasts() -> None:
    """Before it, after it, elsewhere or of another metric an alert is wrong; the delay is to the first."""
    given = [incident(10, 12, where={"segment": "vip", "channel": "chat"}, metric="nps")]
    alerts = [
        told("Low", "firing", 9, 9, segment="vip"),
        told("Low", "firing", 11, 11, segment="vip"),
        told("Low", "firing", 11, 11, segment="new"),
        told("Low", "firing", 13, 13, segment="vip"),
        told("Vip", "firing", 11, 11, segment="vip"),
        told("One", "firing", 11, 11, customer="a"),
    ]
    found = scored(alerts, given)
    assert (found["Low"].right, found["Low"].wrong) == (1, 3)
    assert (found["Low"].found, found["Low"].missed, found["Low"].delays_ms) == (1, 0, (HOUR,))
    assert (found["Vip"].right, found["Vip"].wrong, found["Vip"].missed) == (0, 1, 0)
    assert (found["One"].right, found["One"].wrong) == (0, 0)
    assert scored(alerts, given, grace_ms=HOUR + 1)["Low"].right == 2


def test_an_incident_may_name_its_rules() -> None:
    """Then no other rule is asked for it, and alerts of the others are wrong."""
    given = [incident(10, None, alert=["Vip", "One"])]
    alerts = [told("Low", "firing", 11, 11, segment="vip"), told("One", "firing", 12, 12, customer="a")]
    found = scored(alerts, given)
    assert (found["Low"].right, found["Low"].wrong, found["Low"].missed) == (0, 1, 0)
    assert (found["One"].right, found["One"].recall, found["One"].delay_ms) == (1, 1.0, 2 * HOUR)
    assert (found["Vip"].recall, found["Vip"].missed) == (0.0, 1)


def test_incidents_outside_of_the_history_are_not_missed() -> None:
    """Nobody could have told of them."""
    given = [incident(-3, -1), incident(49, 50), incident(1, 2)]
    assert scored([], given)["Low"].missed == 1


def test_what_was_withdrawn_is_neither() -> None:
    """Late data took it back: it is counted apart."""
    alerts = [told("Low", "firing", 1, 1, segment="vip"), told("Low", "withdrawn", 1, 2, segment="vip")]
    low = scored(alerts, [incident(0, 5)])["Low"]
    assert (low.withdrawn, low.right, low.wrong, low.found) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("outcome", "status", "right", "wrong"),
    [
        ("useful", "done", 1, 0),
        ("customer_kept", "done", 1, 0),
        ("not_useful", "done", 0, 1),
        ("customer_lost", "done", 0, 0),
        (None, "dismissed", 0, 1),
        (None, "acknowledged", 0, 0),
    ],
)
def test_actions_say_whether_an_alert_was_useful(
    outcome: str | None, status: str, right: int, wrong: int
) -> None:
    """By the alert's id, or the newest of its fingerprint at the time."""
    alerts = [told("One", "firing", at, at, customer="a") for at in (1, 3)]
    by_id = Judgement(
        fingerprint=alerts[0].fingerprint, alert_id=alerts[0].id, outcome=outcome, status=status
    )
    by_time = Judgement.model_validate(
        {"fingerprint": alerts[0].fingerprint, "at": T0 + 2 * HOUR, "outcome": outcome, "status": status}
    )
    for judgement in (by_id, by_time):
        one = scored(alerts, judgements=[judgement])["One"]
        assert (one.right, one.wrong) == (right, wrong)


def test_outcomes_are_read_line_by_line() -> None:
    """Incidents and actions mixed; of a wrong line its number and field are told, and none of its values."""
    lines = [
        b'{"starts_at": "2026-01-12T09:00:00Z", "ends_at": "2026-01-12T10:00:00+01:00", "metric": "nps"}',
        b"",
        b'{"fingerprint": "f", "alert_id": "i", "at": 1, "by": "x", "status": "done", "outcome": "useful"}',
    ]
    with pytest.raises(BadOutcome, match=r"^1: ends_at: must be after starts_at$"):
        read_outcomes(lines)
    incidents, judgements = read_outcomes([lines[0].replace(b"+01:00", b"Z"), *lines[1:]])
    assert [one.metric for one in incidents] == [("nps",)]
    assert [one.useful for one in judgements] == [True]
    with pytest.raises(BadOutcome, match=r"^2: starts_at: "):
        read_outcomes([b" ", b'{"starts_at": "secret"}'])
    with pytest.raises(BadOutcome) as wrong:
        read_outcomes([b'{"starts_at": "secret"}'])
    assert "secret" not in str(wrong.value)


@given(
    st.lists(st.tuples(st.integers(0, 46), st.integers(1, 40), st.sampled_from(["vip", "new"])), max_size=12)
)
def test_right_and_wrong_by_brute_force(drawn: list[tuple[int, int, str]]) -> None:
    """Precision and recall are those of a plain count."""
    alerts = sorted(
        {
            (segment, start): told("Low", "firing", start, start, segment=segment)
            for start, _, segment in drawn
        }.values(),
        key=lambda claim: claim.order,
    )
    given = [incident(10, 15, where={"segment": "vip"}), incident(30, 31)]
    low = scored(alerts, given)["Low"]
    hours = [((claim.starts_at_ms - T0) // HOUR, claim.labels["segment"]) for claim in alerts]
    first = [hour for hour, segment in hours if 10 <= hour < 15 and segment == "vip"]
    second = [hour for hour, _ in hours if 30 <= hour < 31]
    assert low.right == len(first) + len(second)
    assert low.wrong == len(hours) - low.right
    assert low.found == bool(first) + bool(second)
    assert low.found + low.missed == 2
