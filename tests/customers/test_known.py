"""What is known of a person, against a recomputation from the plain events; and how little room it takes."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.customers import Customer, CustomerConfig, Telling, decode, encode, fold
from stream.customers.contribute import Contributor
from stream.customers.known import (
    MAX_SCORES,
    NAMED,
    Known,
    broken,
    kept_in_all,
    open_promises,
    touched,
    trend,
)
from stream.intake import Event
from stream.measures.declare import Declarations

from .oracle import DAY, T0, Record, place, reply, run, touch

CONFIG = CustomerConfig(attributes=frozenset({"plan", "beta"}))
unhurried = settings(deadline=None, max_examples=100)
HOUR = 3_600_000
WHERE = ("website", "app", "checkout")


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """Records of a customer in both topics, in the order of arrival, some late."""
    newest, out = T0, []
    for used in range(draw(st.integers(1, 25))):
        newest += draw(st.sampled_from((0, 1000, 3_600_000, DAY)))
        time_ms = newest - draw(st.sampled_from((0, 0, 500, 60_000, DAY)))
        fields: dict[str, Any] = {
            name: draw(st.sampled_from((None, f"{name}-a", f"{name}-b"))) for name in NAMED[1:]
        }
        fields["stage"] = draw(st.sampled_from((None, "enter", "engage")))
        fields["touchpoint"] = draw(st.sampled_from((None, *WHERE)))
        if draw(st.booleans()):
            metric = draw(st.sampled_from(("nps", "csat")))
            event = reply(f"e{used}", time_ms, metric, draw(st.sampled_from((1.0, 3.0, 5.0))), **fields)
        else:
            event = touch(
                f"e{used}",
                time_ms,
                draw(st.sampled_from(("promise_made", "promise_kept", "session_started"))),
                ref=draw(st.sampled_from((None, "A", "B"))),
                due_ms=draw(st.sampled_from((None, time_ms + DAY, time_ms + 3 * DAY))),
                attributes=draw(
                    st.sampled_from((None, {"plan": "gold", "beta": True, "age": 7}, {"plan": 3}))
                ),
                **fields,
            )
        out.append((draw(st.sampled_from("tr")), event))
    return place(out)


def newest(found: list[tuple[int, str]]) -> str | None:
    """The value of the newest second, of several the greatest."""
    return max(found)[1] if found else None


@unhurried
@given(records())
def test_what_is_known_equals_a_recomputation_from_the_events(log: list[Record]) -> None:
    """Counts, newest values, trends and promises are those of the plain list of applied events."""
    c, _ = run(log, CONFIG)
    events: list[Event] = [record.event for record in log]
    counts = Counter(e.touchpoint for e in events if e.touchpoint)
    assert {name: touched(held) for name, held in c.known.touchpoints.items()} == {
        name: (n, max(e.time_ms // HOUR for e in events if e.touchpoint == name) * HOUR)
        for name, n in counts.items()
    }
    for name in NAMED:
        named = [(e.time_ms // 1000, getattr(e, name)) for e in events if getattr(e, name)]
        assert getattr(c.known, name) == newest(named)
    given_ = [(e.time_ms // 1000, str(e.attributes["plan"])) for e in events if e.attributes]
    assert c.known.attributes.get("plan", (0, None))[1] == newest(given_)
    assert c.known.attributes.keys() <= {"plan", "beta"}
    for metric, low, high in (("nps", 0, 10), ("csat", 1, 5)):
        places = sorted(
            (e.time_ms // 1000, int(1000 * (e.score - low) / (high - low) + 0.5))
            for e in events
            if e.metric == metric and e.score is not None
        )[-MAX_SCORES:]
        expected = None
        if len(places) > 1:
            before = [each for _, each in places[:-1]]
            expected = (places[-1][1] - sum(before) / len(before)) / 10
        assert trend(c.known, metric) == expected


@unhurried
@given(records(), st.randoms(use_true_random=False))
def test_what_is_known_does_not_depend_on_how_two_topics_interleave(
    log: list[Record], random: Random
) -> None:
    """Any merge of the two topics gives the same, as long as nothing is forgotten meanwhile."""
    config = msgspec.structs.replace(CONFIG, ticket_memory_ms=1000 * DAY)
    c, _ = run(log, config)
    by_topic = {code: [r for r in log if r.topic == code] for code in "tr"}
    mixed: list[Record] = []
    while any(by_topic.values()):
        mixed.append(by_topic[random.choice([k for k, left in by_topic.items() if left])].pop(0))
    assert run(mixed, config)[0].known == c.known


@unhurried
@given(st.permutations(["made", "kept"]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 10))
def test_a_promise_is_broken_when_its_deadline_passes_before_it_is_kept(
    order: list[str], due: int, kept: int, now: int
) -> None:
    """Whichever event came first, and whether or not it was kept in the end."""
    c = Customer()
    events = {
        "made": touch("m", T0, "promise_made", ref="A", due_ms=T0 + due * 1000),
        "kept": touch("k", T0 + kept * 1000, "promise_kept", ref="A"),
    }
    for offset, name in enumerate(order):
        fold(c, events[name], "t", offset, CONFIG)
    assert open_promises(c.known) == []
    assert (broken(c.known, T0 + now * 1000), kept_in_all(c.known)) == (int(due < kept), 1)
    waiting = Customer()
    fold(waiting, events["made"], "t", 0, CONFIG)
    assert open_promises(waiting.known) == [("A", T0 + due * 1000)]
    assert broken(waiting.known, T0 + now * 1000) == int(due < now)


def test_promises_that_are_over_are_counted_and_let_go() -> None:
    """Beyond the memory only how many were kept, and how many too late, is held; never more than the bound."""
    c = Customer()
    for n in range(40):
        at = T0 + n * 5 * DAY
        fold(c, touch(f"m{n}", at, "promise_made", ref=f"P{n}", due_ms=at + DAY), "t", 2 * n, CONFIG)
        late = DAY * (n % 2) * 2
        fold(c, touch(f"k{n}", at + 1 + late, "promise_kept", ref=f"P{n}"), "t", 2 * n + 1, CONFIG)
    assert len(c.known.promises) == 1
    assert (kept_in_all(c.known), broken(c.known, c.last_ms)) == (40, 20)
    for n in range(40):
        fold(c, touch(f"o{n}", c.last_ms + 1, "promise_made", ref=f"O{n}"), "t", 100 + n, CONFIG)
    assert len(open_promises(c.known)) == CONFIG.max_promises


def test_touchpoints_beyond_the_bound_are_counted_together() -> None:
    """Memory of a customer is bounded; nothing is left out of the sum."""
    c = Customer()
    for n in range(50):
        fold(c, touch(f"e{n}", T0 + n, touchpoint=f"place-{n}" * 20), "t", n, CONFIG)
    assert len(c.known.touchpoints) == CONFIG.max_touchpoints + 1
    assert sum(touched(held)[0] for held in c.known.touchpoints.values()) == 50
    assert all(len(name) <= 64 for name in c.known.touchpoints)


def test_waits_are_those_that_queues_count() -> None:
    """Served waits are summed up, whether the queue was left in the order of events or not."""
    contributor = Contributor(Declarations(), CONFIG)
    c, unpaired = Customer(), Counter[str]()
    events = [
        touch("a", T0, "queue_entered", ref="Q1"),
        touch("b", T0 + 60_000, "queue_served", ref="Q1"),
        touch("d", T0 + 100_000, "queue_served", ref="Q2"),
        touch("c", T0 + 70_000, "queue_entered", ref="Q2"),
        touch("e", T0 + 200_000, "queue_entered", ref="Q3"),
    ]
    for offset, event in enumerate(events):
        fold(c, event, "t", offset, CONFIG)
        contributor.contributions(c, event, offset << 1, Telling((-1, -1), unpaired), fresh=True)
    assert (c.known.waits, c.known.waited_ms) == (2, 90_000)


def test_a_state_written_before_any_of_this_was_kept_still_decodes() -> None:
    """What is missing at the end of an older value is as if nothing were known."""
    c, _ = run(place([("t", touch("a", T0, "purchase", value=3, touchpoint="app"))]), CONFIG)
    fields = msgspec.msgpack.decode(encode(c))
    old = decode(msgspec.msgpack.encode(fields[:28]))
    assert (old.events, old.purchases, old.known) == (1, 1, Known())


def month() -> Customer:
    """Thirty days of an active customer: an event or two a day, replies to two questions, purchases, tickets."""
    random = Random(7)
    c, at, offset = Customer(), T0, 5_000_000
    contributor = Contributor(Declarations(), CONFIG)
    config, telling = CustomerConfig(), Telling((2**60, 2**60), Counter())
    for day in range(30):
        for n in range(random.choice((1, 1, 2, 3))):
            at = T0 + day * DAY + n * 3_600_000 + random.randrange(3_600_000)
            offset += random.randrange(1, 900)
            where: dict[str, Any] = {
                "touchpoint": random.choice((*WHERE, "support", "delivery")),
                "channel": random.choice(("web", "app", "chat")),
                "segment": "regular",
                "stage": "engage",
                "region": "it-lombardia",
                "product": "standard",
            }
            if n == 2:
                event = reply(f"evt-{day}-{n}", at, random.choice(("nps", "csat")), 5.0, **where)
            else:
                kind = ("session_started", "purchase", "session_started", "ticket_opened", "ticket_resolved")[
                    day % 5
                ]
                event = touch(
                    f"evt-{day}-{n}", at, kind, ref=f"T-{day // 5}", value=20, currency="EUR", **where
                )
            fold(c, event, "t", offset, config)
            if event.kind and contributor.concerned(event):
                contributor.contributions(c, event, offset << 1, telling, fresh=True)
            c = decode(encode(c))
    return c


def test_thirty_days_of_activity_fit_into_four_hundred_bytes() -> None:
    """Of the profile; histories of tickets and journeys come on top, 45 bytes for one that is held."""
    c = month()
    assert len([n for n in c.counts if n]) == 30
    c.story = msgspec.Raw(b"\xc0")
    assert len(encode(c)) < 400
