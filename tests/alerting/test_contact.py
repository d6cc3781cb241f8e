"""What an alert about a customer has to pass: quiet hours, caps, silences, limits, and the hold-out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.claims import Action, Claim, decode_claim
from stream.alerting.contact import Gate, Outbox, held_out, quiet_until
from stream.alerting.hygiene import (
    Contact,
    Hygiene,
    Limit,
    Matcher,
    MatchOp,
    QuietHours,
    Silence,
)
from stream.alerting.limits import RateLimits
from stream.alerting.model import ActionSpec, CustomerRule, On, Severity
from stream.alerting.watch import DELAYED, SUPPRESSED, TOLD, Told, Watch

HOUR = 3_600_000
ROME = QuietHours(21 * 60, 8 * 60, "Europe/Rome")
RULE = CustomerRule(
    alert="Low",
    group="g",
    cooldown_ms=0,
    severity=Severity.WARNING,
    labels=(("team", "care"),),
    annotations=(),
    action=ActionSpec("call", "care", 2 * HOUR),
    line=1,
    on=On.REPLY,
    tests=(),
)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _claim(at_ms: int, action: Action | None = None, customer: str = "c") -> Claim:
    action = action or Action("call", "care", at_ms + 2 * HOUR)
    subject = f"customer:{customer}"
    figures = {"event_id": "e"}
    labels = {"team": "care"}
    return Claim(
        str(at_ms), "Low", subject, "firing", "matched", "warning", f"f-{customer}", labels, {},
        at_ms, None, at_ms, figures, action=action,
    )  # fmt: skip


def _told(at_ms: int) -> Told:
    return Told(0, "", at_ms, "e", SUPPRESSED, lives=False)


class Desk:
    """A gate, one customer, and what comes of it."""

    def __init__(self, hygiene: Hygiene, silences: list[Silence] | None = None) -> None:
        self.gate = Gate(hygiene, RateLimits(0, 1, lambda: 0, lambda _alert, _at_ms: None), silences or [])
        self.watch, self.outbox = Watch(), Outbox()

    def tell(self, claim: Claim, rule: CustomerRule = RULE) -> Told:
        """Hand a claim in."""
        told = _told(claim.as_of_ms)
        self.gate.tell(rule, claim, self.watch, told, self.outbox, claim.as_of_ms)
        return told

    def reasons(self) -> list[str]:
        """Why each was, or was not, told."""
        return [decision.reason for decision in self.outbox.decided]


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-01-10T20:59:59+01:00", None),
        ("2026-01-10T21:00:00+01:00", "2026-01-11T08:00:00+01:00"),
        ("2026-01-11T07:59:59+01:00", "2026-01-11T08:00:00+01:00"),
        ("2026-01-11T08:00:00+01:00", None),
        ("2026-03-28T23:00:00+01:00", "2026-03-29T08:00:00+02:00"),  # the clock goes forward at 2
        ("2026-10-24T23:00:00+02:00", "2026-10-25T08:00:00+01:00"),  # and back at 3
    ],
)
def test_quiet_hours_are_those_on_the_clock(at: str, until: str | None) -> None:
    """From the first minute to before the last, over midnight, in summer and winter."""
    assert quiet_until(ROME, _ms(at)) == (0 if until is None else _ms(until))


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from(["Europe/Rome", "America/New_York", "Asia/Kathmandu", "UTC"]),
    st.integers(_ms("2026-01-01T00:00:00+00:00"), _ms("2026-12-31T00:00:00+00:00")),
)
def test_quiet_hours_end_soon_and_where_it_is_not_quiet(first: int, last: int, zone: str, at_ms: int) -> None:
    """A delay ends within a day and an hour, at the minute named, or within the hour that comes twice."""
    quiet = QuietHours(first, last, zone)
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    inside = first <= minute < last if first <= last else minute >= first or minute < last
    until_ms = quiet_until(quiet, at_ms)
    assert bool(until_ms) == inside
    if inside:
        assert timedelta(0) < timedelta(milliseconds=until_ms - at_ms) <= timedelta(hours=25)


def test_quiet_hours_delay_and_do_not_drop() -> None:
    """The alert waits, is told as of the end, and its deadline moves along; what asks for nothing goes out."""
    desk = Desk(Hygiene(contact=Contact(None, 0, ROME)))
    at_ms, end_ms = _ms("2026-01-10T23:00:00+01:00"), _ms("2026-01-11T08:00:00+01:00")
    desk.tell(replace_action(_claim(at_ms)))
    told = desk.tell(_claim(at_ms))
    assert (told.status, told.due_ms) == (DELAYED, end_ms)
    assert [claim.action for claim in desk.outbox.claims] == [None]
    desk.gate.tell_late({"Low": RULE}, desk.watch, told, desk.outbox, end_ms)
    late = desk.outbox.claims[-1]
    assert (late.starts_at_ms, late.as_of_ms) == (at_ms, end_ms)
    assert late.action == Action("call", "care", end_ms + 2 * HOUR)
    assert late.figures["delayed_from"] == "2026-01-10T22:00:00Z"
    assert desk.reasons() == ["matched", "quiet_hours", "matched"]


def replace_action(claim: Claim) -> Claim:
    """The claim of a rule that asks for nothing."""
    return Claim(**{name: getattr(claim, name) for name in Claim.__struct_fields__} | {"action": None})


def test_what_is_delayed_is_never_told_without_its_rule() -> None:
    """A rule that is gone when quiet hours end tells nothing."""
    desk = Desk(Hygiene(contact=Contact(None, 0, ROME)))
    told = desk.tell(_claim(_ms("2026-01-10T23:00:00+01:00")))
    desk.gate.tell_late({}, desk.watch, told, desk.outbox, told.due_ms)
    assert (told.status, desk.outbox.claims) == (SUPPRESSED, [])
    assert desk.reasons() == ["quiet_hours", "over_before_told"]


def test_a_customer_is_contacted_so_often_and_no_more() -> None:
    """At most two in any seven days; what asks for nothing is no contact."""
    desk = Desk(Hygiene(contact=Contact(2, 7 * 24 * HOUR, None)))
    days = [0, 1, 2, 6.9, 7, 7.5, 8]
    for day in days:
        desk.tell(replace_action(_claim(int(day * 24 * HOUR))))
        desk.tell(_claim(int(day * 24 * HOUR)))
    told = [claim.as_of_ms / (24 * HOUR) for claim in desk.outbox.claims if claim.action is not None]
    assert told == [0, 1, 7, 8]
    assert desk.outbox.counted == {"matched": len(days) + 4, "capped": 3}
    assert len(desk.watch.contacts) == 2


def test_a_silence_keeps_an_alert_back() -> None:
    """From its start to before its end, by the labels, those of the file and those from outside alike."""
    silence = Silence("s", (Matcher("alertname", MatchOp.EQ, "Low"),), 10, 20, "a", "c")
    other = Silence("t", (Matcher("team", MatchOp.EQ, "care"),), 30, 40, "a", "c")
    desk = Desk(Hygiene(silences=(silence,)), [other])
    for at_ms in (9, 10, 19, 20, 35, 40):
        desk.tell(_claim(at_ms))
    assert [claim.as_of_ms for claim in desk.outbox.claims] == [9, 20, 40]
    assert desk.outbox.counted["silenced"] == 3


def test_an_alert_that_goes_on_is_told_when_its_silence_is_over() -> None:
    """Only what may still be over waits for that; the rest is left out."""
    silence = Silence("s", (Matcher("alertname", MatchOp.EQ, "Low"),), 10, 20, "a", "c")
    desk = Desk(Hygiene(silences=(silence,)))
    told = Told(7, "", 15, "e", SUPPRESSED, lives=True)
    desk.gate.tell(RULE, _claim(15), desk.watch, told, desk.outbox, 15)
    assert (told.status, told.due_ms) == (DELAYED, 20)
    desk.gate.tell_late({"Low": RULE}, desk.watch, told, desk.outbox, 20)
    (claim,) = desk.outbox.claims
    assert (claim.starts_at_ms, claim.as_of_ms, claim.reason) == (15, 20, "silence_ended")


def test_an_action_is_withheld_from_the_share_held_out() -> None:
    """They are told of, marked, without the action; whoever is in a small share is in a larger one."""
    people = [f"customer:{n}" for n in range(20_000)]
    small, large = ({one for one in people if held_out(one, share)} for share in (0.1, 0.3))
    assert small < large
    assert len(small) == pytest.approx(2000, abs=150)
    assert not any(held_out(one, 0.0) for one in people[:100])
    desk = Desk(Hygiene(hold_out=1.0, contact=Contact(1, HOUR, None)))
    told = desk.tell(_claim(0))
    (claim,) = desk.outbox.claims
    assert (claim.hold_out, claim.action, told.status) == (True, None, TOLD)
    assert desk.reasons() == ["held_out"]
    desk.tell(_claim(1))  # it counts as a contact, so that both groups are alike
    assert desk.reasons()[-1] == "capped"


def test_a_limit_tells_a_partitions_share_and_then_a_summary() -> None:
    """Of 5 an hour over 2 partitions each tells 3; how many more there were is told when the hour is over."""
    rule = replace(RULE, limit=Limit(5, HOUR))
    limits, outbox = RateLimits(1, 2, lambda: 0, lambda _alert, _at_ms: rule), Outbox()
    gate = Gate(Hygiene(), limits)
    watches = [Watch() for _ in range(6)]
    for n, watch in enumerate(watches):
        gate.tell(rule, _claim(n, customer=str(n)), watch, _told(n), outbox, 0)
    assert [claim.as_of_ms for claim in outbox.claims] == [0, 1, 2]
    assert outbox.counted["rate_limited"] == 3
    assert limits.next_ms == HOUR
    again = RateLimits(
        1, 2, lambda: 0, lambda _alert, _at_ms: rule
    )  # after a crash, from what customers remember
    for watch in watches:
        again.restore(watch, 0)
    assert again.next_ms == HOUR
    summary = limits.summary()
    assert summary is not None
    assert summary == again.summary()
    assert (summary.subject, summary.as_of_ms) == ("rule:Low", HOUR)
    assert (summary.figures["told"], summary.figures["withheld"]) == (3, 3)
    gate.tell(rule, _claim(HOUR), Watch(), _told(HOUR), outbox, HOUR)
    assert outbox.claims[-1].as_of_ms == HOUR


def test_a_delayed_claim_is_kept_whole() -> None:
    """What was held back is told with all it said."""
    desk = Desk(Hygiene(contact=Contact(None, 0, ROME)))
    claim = _claim(_ms("2026-01-10T23:00:00+01:00"))
    assert decode_claim(desk.tell(claim).claim) == claim
