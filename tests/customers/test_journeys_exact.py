"""Properties: contributions add up to what the definitions say, in any order of arrival, over any crash."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.customers import APPLIED, Contributor, Customer, CustomerConfig, Telling, decode, encode, fold
from stream.customers.journeys import (
    NOTHING_HELD,
    Journey,
    Machine,
    Moment,
    pack,
    subscriptions,
    tickets,
    unpack,
)
from stream.customers.journeys import subscription as subscription_text
from stream.measures import NO_DIMS
from stream.measures.declare import CART, QUEUE, Declarations, DriversSpec, JourneySpec
from stream.measures.drivers import responses

from .oracle import T0, reply, touch
from .paired import SUBSCRIPTION, SUPPORT, TICKET, added, expected

if TYPE_CHECKING:
    from stream.customers.contribute import Contribution
    from stream.intake.event import Event

MINUTE, HOUR = 60_000, 3_600_000
FORM = JourneySpec("form", ("form_started",), ("form_sent",), ("form_left",), 30 * MINUTE)
JOURNEYS = (CART, QUEUE, FORM)
PAIRED = (
    "resolution_time",
    "reopen_rate",
    "waiting_time",
    "abandonment",
    "self_service_deflection",
    "churn_rate",
)
DECLARED = Declarations(metrics=PAIRED, journeys=JOURNEYS)
KINDS = (
    *TICKET, *SUPPORT, *SUBSCRIPTION, *CART.begun, *CART.finished, *QUEUE.begun, *QUEUE.finished, *QUEUE.abandoned,
    *FORM.begun, *FORM.finished, *FORM.abandoned,
)  # fmt: skip
#: Nothing is trimmed or forgotten within these.
WIDE = CustomerConfig(
    dedup_per_customer=1000,
    dedup_horizon_ms=1000 * 24 * HOUR,
    max_refs=1000,
    max_moments=1000,
    max_strays=1000,
    stray_ms=1000 * 24 * HOUR,
    max_journal=10_000,
)
unhurried = settings(deadline=None, max_examples=150)


@st.composite
def histories(draw: st.DrawFn, *, ties: bool = False) -> list[Event]:
    """Touchpoints of a customer, few references and many meetings, each at a millisecond of its own."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True))
    related = [k for k in KINDS if any(k.split("_")[0] == kind.split("_")[0] for kind in kinds)]
    found, at = [], T0
    for number in range(draw(st.integers(1, 14))):
        steps = (0, MINUTE) if ties else (1, MINUTE, 29 * MINUTE, HOUR, 5 * HOUR, 24 * HOUR - 1)
        at += draw(st.sampled_from(steps))
        found.append(
            touch(
                f"e{number}",
                at,
                draw(st.sampled_from(related + kinds)),
                ref=draw(st.sampled_from((None, "A", "A", "B"))),
                segment=draw(st.sampled_from((None, "vip", "new", ""))),
                channel=draw(st.sampled_from((None, "app"))),
            )
        )
    return found


def take(
    events: list[Event], config: CustomerConfig = WIDE, declared: Declarations = DECLARED
) -> tuple[list[Contribution], Counter[str]]:
    """Contributions of events as they arrive, with the customer written and read again in between."""
    contributor, c, unpaired = Contributor(declared, config), Customer(), Counter[str]()
    found: list[Contribution] = []
    for offset, event in enumerate(events):
        if fold(c, event, "t", offset, config) == APPLIED and contributor.concerned(event):
            telling = Telling((offset - 2, -1), unpaired)
            found += contributor.contributions(c, event, offset << 1, telling, fresh=True)
        c = decode(encode(c))
    return found, unpaired


@unhurried
@given(histories(), st.data())
def test_any_order_of_arrival_and_any_repeats_come_to_what_the_definitions_say(
    events: list[Event], data: st.DataObject
) -> None:
    """The sum of all contributions is that of the plain computation over the events in order of time."""
    arriving = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=5))))
    assert added(take(arriving)[0]) == expected(events, JOURNEYS)


@unhurried
@given(histories(ties=True), st.data())
def test_events_of_one_moment_come_to_the_same_in_any_order(events: list[Event], data: st.DataObject) -> None:
    """What happened first at a millisecond is decided by what it is, not by what came first."""
    assert added(take(data.draw(st.permutations(events)))[0]) == added(take(events)[0])


@unhurried
@given(histories(), st.data())
def test_a_replay_after_a_crash_contributes_the_very_same(events: list[Event], data: st.DataObject) -> None:
    """With the customer ahead by any number of records, each of them gives again what it gave at first."""
    events = data.draw(st.permutations(events))
    contributor, c = Contributor(Declarations(journeys=JOURNEYS), WIDE), Customer()
    durable = data.draw(st.integers(-1, len(events) - 1))
    at_first = []
    for offset, event in enumerate(events):
        telling = Telling((-1 if offset <= durable else durable, -1), Counter())
        assert fold(c, event, "t", offset, WIDE) == APPLIED
        at_first.append(contributor.contributions(c, event, offset << 1, telling, fresh=True))
    c = decode(encode(c))
    unpaired: Counter[str] = Counter()
    for offset, event in enumerate(events):
        if offset > durable:
            telling = Telling((durable, -1), unpaired)
            again = contributor.contributions(c, event, offset << 1, telling, fresh=False)
            assert added(again) == added(at_first[offset])
    assert not unpaired, "counted once"


@unhurried
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0, 1000, MINUTE, HOUR)),
            st.sampled_from("abc?"),
            st.integers(0, 10),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.data(),
)
def test_answers_come_to_what_drivers_make_of_all_of_them(
    given_: list[tuple[int, str, int, bool]], data: st.DataObject
) -> None:
    """In any order of arrival, and again after a crash: pairs of each overall answer with the nearest others."""
    at, answers, events = T0, set(), []
    for number, (step, name, score, touched) in enumerate(given_):
        at += step
        overall = name == "?"
        fields = {} if overall else {"question": name}
        metric = "nps" if overall or touched else "csat"
        events.append(reply(f"e{number}", at, metric, float(score), scale=(0.0, 10.0), **fields))
        answers.add((at, "" if overall else name, score * 1000))
    spec = DriversSpec("nps", ("a", "b", "c"), within_ms=HOUR)
    contributor, c = Contributor(Declarations(drivers=spec), WIDE), Customer()
    wide = contributor._answers._replace(max_moments=1000)
    contributor._answers = wide
    found: list[Contribution] = []
    arriving = data.draw(st.permutations(events))
    for offset, event in enumerate(arriving):
        assert fold(c, event, "r", offset, WIDE) == APPLIED
        telling, arrival = Telling((-1, -1), Counter()), offset << 1 | 1
        first = contributor.replies(c, event, arrival, telling, fresh=True)
        c = decode(encode(c))
        assert contributor.replies(c, event, arrival, telling, fresh=False) == first
        found += first
    want = [(moment, NO_DIMS, *seen) for moment, seen in responses(sorted(answers), spec.within_ms)]
    assert added(found) == added(want)


def _moments(events: list[Event], machine: Machine) -> list[Moment]:
    """Any events as moments of one reference of a machine."""
    rng = Random(len(events))
    found = set()
    for event in events:
        role = rng.randrange({tickets: 5, subscriptions: 2}.get(machine, 3))  # type: ignore[call-overload]
        text = pack((event.segment, *[None] * 10)) if role in {0, 3} else ""  # type: ignore[arg-type]
        if machine is subscriptions:
            text = subscription_text(rng.randrange(3), text)
        found.add((event.time_ms, role, text))
    return sorted(found)


@unhurried
@given(
    histories(),
    st.sampled_from((tickets, subscriptions, Journey(HOUR, waits=True), Journey(24 * HOUR, quiet=True))),
    st.integers(0, 14),
)
def test_a_history_can_be_cut_anywhere(events: list[Event], machine: Machine, at: int) -> None:
    """Settled before the cut, and after it gone on from what is held, is the whole; no two facts are alike."""
    moments = _moments(events, machine)
    whole = machine(NOTHING_HELD, moments)
    before = machine(NOTHING_HELD, moments[:at])
    after = machine(before.held, moments[at:])
    assert before.settled + after.settled == whole.settled
    assert (after.pending, after.held) == (whole.pending, whole.held)
    facts = whole.settled + whole.pending
    assert len(set(facts)) == len(facts)


@unhurried
@given(histories())
def test_in_order_of_time_the_bounds_lose_nothing(events: list[Event]) -> None:
    """However little of a reference is held, events that arrive in order come to the same."""
    config = CustomerConfig(dedup_per_customer=1000, max_moments=2, stray_ms=10**12)  # nothing is too old
    found, unpaired = take(events, config)
    assert added(found) == expected(events, JOURNEYS)
    assert not unpaired["beyond_history"]


@unhurried
@given(st.lists(st.one_of(st.none(), st.sampled_from(("", "a", "=", "\x01", "è"))), min_size=11, max_size=11))
def test_dimensions_are_packed_without_loss(values: list[Any]) -> None:
    """No value and an empty one are told apart."""
    assert unpack(pack(tuple(values))) == tuple(values)  # type: ignore[arg-type]
