"""Looks at customers with a contract: nothing of the future is in them, and labels are told once known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.customers import Customer, CustomerConfig, customer_hash, decode, encode, fold
from stream.customers.learning_features import FEATURES, Example, features, pack, unpack
from stream.customers.learning_labels import advance, gathered, is_looked_at, moment_after
from stream.customers.state import NEVER, Frozen, Lessons
from stream.intake.event import Event

from .oracle import DAY, reply, touch

WEEK = 7 * DAY
LESSONS = Lessons(every_ms=WEEK, horizon_ms=4 * WEEK)
CONFIG = CustomerConfig(lessons=LESSONS)
#: The customer's first moment after the epoch.
FIRST = moment_after(0, customer_hash("c"), LESSONS)
T0 = FIRST + 800 * WEEK


def of(*events: Event) -> Customer:
    """Fold events of one topic."""
    c = Customer()
    for offset, event in enumerate(events):
        fold(c, event, "t", offset, CONFIG)
    return c


def started(at_ms: int, ref: str = "S") -> Event:
    """A subscription begins."""
    return touch(f"started-{ref}-{at_ms}", at_ms, "subscription_started", ref=ref)


def cancelled(at_ms: int, ref: str = "S") -> Event:
    """It ends."""
    return touch(f"cancelled-{ref}-{at_ms}", at_ms, "subscription_cancelled", ref=ref)


def known(c: Customer) -> list[Frozen]:
    """Looks with their labels."""
    assert c.contract is not None
    return c.contract.known


def named(look: Frozen) -> dict[str, float]:
    """Its figures by name."""
    x = unpack(look.figures)
    assert x is not None
    return dict(zip(FEATURES, x, strict=True))


KINDS = st.sampled_from(
    ["session_started", "ticket_opened", "ticket_resolved", "purchase", "nps", "csat", "cancel", "start"]
)


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """A contract and what happens in the weeks after, in order of time, with much at or near moments."""
    found = [started(T0 - draw(st.integers(1, 30)) * DAY)]
    near = st.sampled_from([-1, 0, 1])
    day = st.integers(0, 120) | st.sampled_from([8, 36, 64, 92])  # moments
    days = draw(st.lists(st.tuples(day, near, KINDS), max_size=25))
    for number, (day, off, kind) in enumerate(sorted(days, key=lambda each: each[:2])):
        at_ms = T0 - 8 * DAY + day * DAY + off
        if kind in {"nps", "csat"}:
            found.append(reply(f"e{number}", at_ms, kind, float(number % 5)))
        elif kind == "cancel":
            found.append(cancelled(at_ms))
        elif kind == "start":
            found.append(started(at_ms))
        else:
            found.append(touch(f"e{number}", at_ms, kind, ref="T", value=1.0))
    return found


def runs_at(events: list[Event]) -> bool:
    """Whether the newest start or cancellation leaves the subscription running; at once, it starts first."""
    told = [event for event in events if event.kind and event.kind.startswith("subscription_")]
    newest_ms = max((event.time_ms for event in told), default=0)
    newest = {event.kind for event in told if event.time_ms == newest_ms}
    return newest == {"subscription_started"}


@given(lives(), st.lists(st.integers(0, 20), max_size=6))
def test_a_look_holds_what_was_known_before_its_moment(events: list[Event], sweeps: list[int]) -> None:
    """Figures are those of a customer who never lived to see the moment; labels say who runs no more a horizon on.

    Whether and when the partition moves things on between records makes no difference.
    """
    c, looks = Customer(), dict[int, Frozen]()
    for offset, event in enumerate(events):
        if offset in sweeps:
            advance(c, (event.time_ms - 1) // WEEK * WEEK, CONFIG)
            looks |= {look.at_ms: look for look in known(c)} if c.contract else {}
        fold(c, event, "t", offset, CONFIG)
        looks |= {look.at_ms: look for look in known(c)}
    end_ms = T0 + 40 * WEEK
    advance(c, end_ms, CONFIG)
    looks |= {look.at_ms: look for look in known(c)}

    expected = {}
    at_ms = moment_after(events[0].time_ms, customer_hash("c"), LESSONS)
    while at_ms + LESSONS.horizon_ms <= end_ms:
        before = [event for event in events if event.time_ms < at_ms]
        after = [event for event in events if event.time_ms < at_ms + LESSONS.horizon_ms]
        if runs_at(before):
            young = of(*before)
            assert young.contract is not None
            x = features(young, at_ms, young.contract.since_ms, CONFIG)
            expected[at_ms] = Frozen(at_ms, pack(x), not runs_at(after))
        at_ms += LESSONS.horizon_ms
    # No more than three are kept at a time: a life with long gaps may lose some, and never has others.
    assert looks.items() <= expected.items()
    assert len(looks) >= min(3, len(expected))
    if max((b.time_ms - a.time_ms for a, b in pairwise(events)), default=0) < 8 * WEEK:
        last_ms = events[-1].time_ms
        assert {at_ms for at_ms in expected if at_ms < last_ms - 4 * WEEK} <= looks.keys()


def test_a_farewell_is_in_no_look() -> None:
    """What comes at the very moment of a look, or later, is not in it; what came a millisecond before is."""
    c = of(
        started(T0 - 5 * DAY),
        touch("before", T0 - 1, "ticket_opened", ref="A"),
        touch("at", T0, "ticket_opened", ref="B"),
        cancelled(T0 + DAY),
    )
    advance(c, T0 + 4 * WEEK, CONFIG)
    (look,) = known(c)
    assert (look.at_ms, look.left) == (T0, True)
    assert named(look)["open_tickets"] == 1.0


def test_who_leaves_is_known_when_who_stays_is() -> None:
    """A cancellation is not told before the horizon is over, for else everyone would seem to leave."""
    c = of(started(T0 - DAY), touch("a", T0 + 1), cancelled(T0 + DAY), touch("b", T0 + 4 * WEEK - 1))
    assert known(c) == []
    fold(c, touch("c", T0 + 4 * WEEK), "t", 10, CONFIG)
    assert [look.left for look in known(c)] == [True]
    assert list(gathered(c, T0 + 4 * WEEK, T0 + 4 * WEEK, LESSONS)) == [
        (T0 + 4 * WEEK, Example(unpack(known(c)[0].figures) or (), True))
    ]
    assert list(gathered(c, T0, T0 + 4 * WEEK - 1, LESSONS)) == []


def test_who_changes_the_plan_has_not_left() -> None:
    """A subscription that ends while another runs, or one that is back within the horizon, is no loss."""
    other = of(started(T0 - DAY), started(T0 + DAY, "S2"), cancelled(T0 + 2 * DAY))
    back = of(started(T0 - DAY), touch("a", T0), cancelled(T0 + DAY), started(T0 + 2 * DAY))
    for c in (other, back):
        advance(c, T0 + 4 * WEEK, CONFIG)
        assert [look.left for look in known(c)] == [False]


def test_who_had_gone_before_the_look_is_no_example() -> None:
    """A cancellation of before the moment that comes after it takes the look back."""
    c = of(started(T0 - 2 * DAY), touch("a", T0), cancelled(T0 - DAY))
    advance(c, T0 + 4 * WEEK, CONFIG)
    assert known(c) == []
    assert c.contract is not None
    assert c.contract.due_ms == NEVER


def test_nobody_without_a_contract_is_looked_at() -> None:
    """No subscription: no look, and one byte; one that has ended: no further look until there is another."""
    c = of(touch("a", T0 - DAY), touch("b", T0 + 9 * WEEK))
    assert c.contract is None
    assert not advance(c, T0 + 20 * WEEK, CONFIG)
    c = of(started(T0 - 9 * DAY), cancelled(T0 - 8 * DAY), touch("b", T0 + 9 * WEEK))
    assert known(c) == []
    fold(c, started(T0 + 10 * WEEK), "t", 5, CONFIG)
    assert c.contract is not None
    assert c.contract.due_ms == T0 + 12 * WEEK


def test_who_has_left_for_good_is_looked_at_no_more() -> None:
    """The last look becomes known, and that is that."""
    c = of(started(T0 - DAY), cancelled(T0 + DAY))
    advance(c, T0 + 100 * WEEK, CONFIG)
    assert [look.at_ms for look in known(c)] == [T0]
    assert not advance(c, T0 + 200 * WEEK, CONFIG)


def test_moments_of_customers_lie_a_horizon_apart_and_all_over() -> None:
    """One customer in four at each week's moment."""
    moments = [moment_after(T0, customer_hash(f"c{i}"), LESSONS) for i in range(2_000)]
    assert {(at_ms - min(moments)) // WEEK for at_ms in moments} == {0, 1, 2, 3}
    for at_ms in set(moments):
        assert T0 < at_ms <= T0 + 4 * WEEK
        assert at_ms % WEEK == 0
        assert moments.count(at_ms) == pytest.approx(500, abs=100)
    hashed = customer_hash("c")
    for week in range(-2, 6):
        at_ms = T0 + week * WEEK
        assert is_looked_at(hashed, at_ms, at_ms, LESSONS) == (week in {0, 4})
    assert is_looked_at(hashed, T0 + WEEK, T0 + 4 * WEEK, LESSONS)


def test_a_contract_is_kept_with_its_customer() -> None:
    """Encoded and back, in the middle of a look; a running contract is some 60 bytes, at most 120 with looks."""
    without = of(touch("a", T0 - DAY, "session_started"))
    c = of(touch("a", T0 - DAY, "session_started"), started(T0 - DAY))
    assert len(encode(c)) - len(encode(without)) < 80
    for week in range(20):
        fold(c, touch(f"w{week}", T0 + week * WEEK + DAY, "session_started"), "t", 10 + week, CONFIG)
        again = decode(encode(c))
        assert encode(again) == encode(c)
        assert again.contract == c.contract
    bare = decode(encode(c))
    bare.contract = None
    assert len(encode(c)) - len(encode(bare)) < 270


@given(st.lists(st.integers(-8_000, 10_000), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_figures_are_kept_as_they_were_seen(units: list[int]) -> None:
    """Thousandths, in two bytes each; what another version wrote is none."""
    x = tuple(each / 1000 for each in units)
    assert unpack(pack(x)) == x
    assert unpack(pack(x)[:-2]) is None


@pytest.mark.parametrize(
    ("name", "events", "figure"),
    [
        ("silence", [touch(f"e{i}", T0 - (40 - 2 * i) * DAY) for i in range(17)], 2.0),  # 8 days, not 2
        ("detractor", [reply("e", T0 - DAY, "nps", 6.0)], 1.0),
        ("detractor", [reply("e", T0 - 91 * DAY, "nps", 6.0)], 0.0),  # too long ago
        ("promoter", [reply("e", T0 - DAY, "nps", 9.0)], 1.0),
        ("dissatisfied", [reply("e", T0 - DAY, "csat", 3.0)], 1.0),
        ("effort", [reply("e", T0 - DAY, "ces", 3.0)], 1.0),
        ("mood", [reply("e", T0 - DAY, "nps", 0.0), reply("f", T0 - DAY, "csat", 5.0)], 0.0),
        ("mood", [reply("e", T0 - DAY, "nps", 0.0)], 1.0),
        ("open_tickets", [touch(f"e{i}", T0 - DAY, "ticket_opened", ref=f"T{i}") for i in range(5)], 3.0),
        ("reopened_tickets", [touch("e", T0 - DAY, "ticket_reopened", ref="T")], 1.0),
        ("ticket_age", [touch("e", T0 - 7 * DAY, "ticket_opened", ref="T")], 3.0),
        ("falling", [reply("e", T0 - 3 * DAY, "nps", 9.0), reply("f", T0 - DAY, "nps", 4.0)], 1.0),
        ("falling", [reply("e", T0 - DAY, "nps", 4.0)], 0.0),  # below nothing
        ("broken_promises", [touch("e", T0 - 3 * DAY, "promise_made", due_ms=T0 - DAY)], 1.0),
        ("broken_promises", [touch("e", T0 - 3 * DAY, "promise_made", due_ms=T0 + DAY)], 0.0),
        ("quiet", [touch("e", T0 - 3 * DAY)], 2.0),
        ("activity", [touch("e", T0)], 1.0),
        ("fading", [touch(f"e{i}", T0 - 60 * DAY + i * DAY) for i in range(54)], 3.0),  # 7 a week, then none
        ("fading", [touch(f"e{i}", T0 - 3 * DAY) for i in range(9)], 0.0),  # too new
        ("tenure", [], 5.0),  # 31 weeks
        ("late_purchase", [touch(f"e{i}", T0 - (60 - 10 * i) * DAY, "purchase") for i in range(3)], 2.0),
        ("late_purchase", [touch("e", T0 - 90 * DAY, "purchase")], 0.0),  # no rhythm yet
    ],
)
def test_figures_mean_what_they_say(name: str, events: list[Event], figure: float) -> None:
    """Each is worked out by hand."""
    c = of(*events) if events else of(touch("e", T0))
    x = features(c, T0, T0 - 31 * WEEK, CONFIG)
    assert dict(zip(FEATURES, x, strict=True))[name] == pytest.approx(figure, abs=1e-3)


def test_a_schedule_that_cannot_work_is_refused() -> None:
    """A horizon is a whole number of periods."""
    with pytest.raises(ValueError, match="horizon_ms: must be a multiple"):
        Lessons(every_ms=WEEK, horizon_ms=30 * DAY)
    with pytest.raises(ValueError, match="every_ms"):
        Lessons(every_ms=0)
