"""Properties: the state equals a recomputation, whatever the batches, crashes, replays and order."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.customers import (
    APPLIED,
    REPLAYED,
    SIGNALS,
    Customer,
    CustomerConfig,
    churn_probability,
    decode,
    encode,
    fold,
    signal,
    signals,
    stamp_of,
    was_applied,
)
from stream.intake.event import Event

from .oracle import DAY, T0, Record, applied, expected, place, reply, run, touch

CONFIG = CustomerConfig(
    dedup_horizon_ms=3 * DAY, dedup_per_customer=6, ticket_memory_ms=1000 * DAY, max_tickets=1000
)
WIDE = msgspec.structs.replace(CONFIG, buckets=2000)  # nothing is a straggler beyond reach
REACH = 20 * DAY  # stragglers in these tests come at most so far behind the newest event
#: How long an example takes says something about the machine, not about the rule.
unhurried = settings(deadline=None, max_examples=80)
KINDS = ("purchase", "ticket_opened", "ticket_resolved", "ticket_reopened", "session_started", "other")


@st.composite
def records(draw: st.DrawFn, *, unique: bool = False) -> list[Record]:
    """A customer's records in both topics, in arrival order, with stragglers and duplicates."""
    newest, out = T0, []
    for used in range(draw(st.integers(1, 30))):
        newest += draw(st.sampled_from((0, 1000, 3600_000, DAY, DAY, 3 * DAY, 17 * DAY)))
        time_ms = max(T0 - DAY, newest - draw(st.sampled_from((0, 0, 0, 1, 60_000, DAY, REACH))))
        event_id = f"e{used}" if unique else f"e{draw(st.integers(0, 12))}"
        segment = draw(st.sampled_from((None, "vip", "new")))
        event: Event
        if draw(st.booleans()):
            metric = draw(st.sampled_from(("nps", "csat", "ces", "loyalty", "engagement")))
            score = draw(st.sampled_from((1.0, 2.5, 5.0)))
            event = reply(
                event_id, time_ms, metric, score, segment=segment, higher_is_better=draw(st.booleans())
            )
        else:
            event = touch(
                event_id,
                time_ms,
                draw(st.sampled_from(KINDS)),
                segment=segment,
                ref=draw(st.sampled_from((None, "A", "B", "C"))),
                value=draw(st.sampled_from((None, 0.1, 19.99, -5.0, 1e6))),
                currency=draw(st.sampled_from((None, "EUR", "GBP"))),
            )
        out.append((draw(st.sampled_from("tr")), event))
    return place(out)


MODELLED = {"churn_probability", "p_alive", "expected_purchases", "expected_value"}


def same(got: dict[str, float | int | None], want: dict[str, float | None]) -> None:
    """Compare signals, floats to twelve digits; what a model makes of them has tests of its own."""
    assert set(got) == set(SIGNALS)
    assert set(want) == set(SIGNALS) - MODELLED
    for name, value in want.items():
        assert got[name] == (None if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)), name


@unhurried
@given(records(), st.sampled_from((0, 1000, DAY, 9 * DAY, 90 * DAY, 91 * DAY)))
def test_one_signal_is_what_all_of_them_say(arrived: list[Record], later: int) -> None:
    """A signal worked out by itself is the same, and the churn probability is that of the others."""
    c, _ = run(arrived, CONFIG)
    now = c.last_ms + later
    known = signals(c, now, CONFIG)
    assert {name: signal(c, now, CONFIG, name) for name in SIGNALS} == known
    assert known["churn_probability"] == (churn_probability(known).value if c.events else None)


@unhurried
@given(records(), st.sampled_from((0, 1, DAY, 40 * DAY)))
def test_signals_equal_a_recomputation_from_the_applied_events(log: list[Record], later: int) -> None:
    """Signals are those of the plain list of applied records."""
    c, verdicts = run(log, CONFIG)
    kept = applied(log, CONFIG)
    assert [r for r, v in zip(log, verdicts, strict=True) if v == APPLIED] == kept
    now = c.last_ms + later
    same(signals(c, now, CONFIG), expected(kept, now, CONFIG))


@unhurried
@given(records(unique=True), st.randoms(use_true_random=False))
def test_signals_do_not_depend_on_how_two_topics_interleave(log: list[Record], random: Random) -> None:
    """Any merge of the two topics gives exactly the same signals and segment."""
    c, _ = run(log, WIDE)
    by_topic = {code: [r for r in log if r.topic == code] for code in "tr"}
    mixed: list[Record] = []
    while any(by_topic.values()):
        mixed.append(by_topic[random.choice([k for k, left in by_topic.items() if left])].pop(0))
    other, _ = run(mixed, WIDE)
    for now in (c.last_ms, c.last_ms + 5 * DAY):
        assert signals(other, now, WIDE) == signals(c, now, WIDE)
    assert (other.segment, other.segment_ms) == (c.segment, c.segment_ms)


@unhurried
@given(records(), st.data())
def test_batch_boundaries_do_not_matter(log: list[Record], data: st.DataObject) -> None:
    """Writing the state out and reading it back between any two events changes no byte of it."""
    whole, verdicts = run(log, CONFIG)
    cuts = data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log)))
    c, got = Customer(), []
    for record, cut in zip(log, cuts, strict=True):
        got.append(fold(c, record.event, record.topic, record.offset, CONFIG))
        if cut:
            c = decode(encode(c))
    assert got == verdicts
    assert encode(c) == encode(whole)


@unhurried
@given(records(), st.data())
def test_a_crash_at_any_point_and_a_replay_from_any_earlier_offset_change_nothing(
    log: list[Record], data: st.DataObject
) -> None:
    """Durable state, then both topics again from anywhere before it: the end state is the same to the byte."""
    whole, _ = run(log, CONFIG)
    crash = data.draw(st.integers(0, len(log)))
    durable = encode(run(log[:crash], CONFIG)[0])
    starts = {code: data.draw(st.integers(0, sum(r.topic == code for r in log[:crash]))) for code in "tr"}
    c = decode(durable)
    replayed = [r for r in log[:crash] if r.offset >= starts[r.topic]]
    for record in replayed:
        assert fold(c, record.event, record.topic, record.offset, CONFIG) == REPLAYED
    assert encode(c) == durable
    for record in log[crash:]:
        assert fold(c, record.event, record.topic, record.offset, CONFIG) != REPLAYED
    assert encode(c) == encode(whole)


@unhurried
@given(records())
def test_a_replayed_record_is_known_to_have_been_applied_or_not(log: list[Record]) -> None:
    """After the fact ``was_applied`` names every duplicate, also once its original is forgotten."""
    c, verdicts = run(log, CONFIG)
    for record, verdict in zip(log, verdicts, strict=True):
        assert was_applied(c, record.event, record.topic, record.offset, CONFIG) == (verdict == APPLIED)


@unhurried
@given(records())
def test_the_stamp_never_falls_and_rises_with_every_record(log: list[Record]) -> None:
    """Of two states of a customer the later one has the higher stamp."""
    c, before = Customer(), stamp_of(encode(Customer()))
    for record in log:
        fold(c, record.event, record.topic, record.offset, CONFIG)
        now = stamp_of(encode(c))
        assert now > before
        assert now == c.stamp_t + c.stamp_r
        before = now


any_float = st.floats(allow_nan=False, allow_infinity=False)


@unhurried
@given(
    st.lists(
        st.tuples(
            any_float, any_float, any_float, st.integers(0, 253402300799999), st.text(max_size=300), any_float
        ),
        max_size=20,
    )
)
def test_no_event_makes_a_state_that_cannot_be_written(
    odd: list[tuple[float, float, float, int, str, float]],
) -> None:
    """Whatever scores, scales, money, times and texts come in: it encodes, decodes to the same, and answers."""
    c = Customer()
    for i, (score, low, high, time_ms, text, value) in enumerate(odd):
        scale = (min(low, high), max(low, high))
        events = [
            reply(f"r{i}{text}", time_ms, "csat", score, scale=scale),
            touch(f"p{i}{text}", time_ms, "purchase", value=value, currency=text),
            touch(f"t{i}{text}", time_ms, "ticket_opened", ref=text),
        ]
        for k, event in enumerate(events):
            fold(c, event, "t", 3 * i + k)
    data = encode(c)
    assert encode(decode(data)) == data
    assert msgspec.structs.asdict(decode(data)) == msgspec.structs.asdict(c)
    assert len(c.tickets) <= CustomerConfig().max_tickets
    assert len(c.spend) <= CustomerConfig().max_currencies
    assert len(data) < 6000
    signals(c, T0)
