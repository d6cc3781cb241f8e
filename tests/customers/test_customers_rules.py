"""The rules of a customer's state, one case each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream.customers import (
    APPLIED,
    DUPLICATE,
    PRIOR,
    REPLAYED,
    SIGNALS,
    Customer,
    CustomerConfig,
    churn_probability,
    decode,
    encode,
    fold,
    signals,
    was_applied,
)
from stream.customers.identity import HASH_PRIME, find, hash64, is_listed, pack_arrival
from stream.intake.event import Event

from .oracle import DAY, T0, place, reply, run, touch

FIXTURES = Path(__file__).parent / "fixtures"
HOUR = 3600_000


def of(*events: Event, config: CustomerConfig | None = None) -> Customer:
    """Fold events of one topic."""
    return run(place([("t", e) for e in events]), config or CustomerConfig())[0]


def daily(days: int, start: int = T0) -> list[Event]:
    """One event a day."""
    return [touch(f"d{i}", start + i * DAY) for i in range(days)]


def test_the_same_id_counts_once_and_still_moves_the_stamp() -> None:
    """A duplicate changes nothing that is counted, but its record is done with."""
    c = Customer()
    event = touch("a", T0, "purchase", value=10.0, currency="EUR")
    assert fold(c, event, "t", 5) == APPLIED
    assert fold(c, event, "t", 6) == DUPLICATE
    assert fold(c, event, "r", 0) == DUPLICATE
    assert (c.stamp_t, c.stamp_r, c.events, c.spend) == (6, 0, 1, {"EUR": 100_000})


def test_a_record_at_or_before_the_stamp_is_replayed() -> None:
    """Also one never seen: its offset says that it was dealt with."""
    c = of(touch("a", T0), touch("b", T0))
    before = encode(c)
    assert fold(c, touch("b", T0), "t", 1) == REPLAYED
    assert fold(c, touch("x", T0), "t", 0) == REPLAYED
    assert encode(c) == before


def test_an_unknown_topic_code_is_refused() -> None:
    """Topics have codes t and r only."""
    with pytest.raises(ValueError, match="topic code 'x'"):
        fold(Customer(), touch("a", T0), "x", 0)


@pytest.mark.parametrize(
    ("between", "verdict"),
    [(1, DUPLICATE), (2, DUPLICATE), (3, APPLIED)],
)
def test_ids_are_remembered_for_as_many_applied_events_as_declared(between: int, verdict: str) -> None:
    """With three remembered, an id is forgotten once three others were applied after it."""
    config = CustomerConfig(dedup_per_customer=3)
    c = of(touch("a", T0), *(touch(f"o{i}", T0) for i in range(between)), config=config)
    assert fold(c, touch("a", T0), "t", 10, config) == verdict


@pytest.mark.parametrize(("later_ms", "verdict"), [(HOUR, DUPLICATE), (HOUR + 1000, APPLIED)])
def test_ids_are_remembered_as_long_as_declared(later_ms: int, verdict: str) -> None:
    """An id is forgotten once the customer's newest event is more than the horizon ahead of it."""
    config = CustomerConfig(dedup_horizon_ms=HOUR)
    c = of(touch("a", T0), touch("b", T0 + later_ms), config=config)
    assert fold(c, touch("a", T0), "t", 2, config) == verdict


def test_more_duplicates_than_are_listed_are_still_known_by_their_original() -> None:
    """A retry storm overflows the list of duplicates; the remembered original tells them apart."""
    config = CustomerConfig(max_duplicates=2)
    event = touch("a", T0)
    c, verdicts = run(place([("t", event)] * 10), config)
    assert verdicts == [APPLIED] + [DUPLICATE] * 9
    assert [was_applied(c, event, "t", i, config) for i in range(10)] == [True] + [False] * 9
    assert not was_applied(c, event, "r", 3, config)
    assert len(c.duplicates) == 16


def test_duplicates_that_cannot_be_replayed_any_more_are_forgotten() -> None:
    """The list of duplicates empties itself behind the declared number of offsets."""
    config = CustomerConfig(replay_offsets=100)
    c = of(touch("a", T0), touch("a", T0), config=config)
    assert len(c.duplicates) == 8
    fold(c, touch("b", T0), "t", 101, config)
    assert len(c.duplicates) == 8
    fold(c, touch("c", T0), "t", 102, config)
    assert c.duplicates == b""


def test_event_ids_hash_the_same_in_every_process() -> None:
    """The hash is arithmetic on the id's bytes, so state outlives the process."""
    assert hash64("e-1") == int.from_bytes(b"e-1", "little")
    assert all(pow(base, HASH_PRIME - 1, HASH_PRIME) == 1 for base in (2, 3, 5, 7, 11, 13))
    assert hash64("\ud800") != hash64("\ud801")


def test_event_ids_of_usual_forms_do_not_collide() -> None:
    """Counters, padded counters and ids in two halves: all apart."""
    ids = {f"e-{i}" for i in range(30_000)} | {f"{i:016x}" for i in range(30_000)}
    ids |= {f"{a:04d}-x-{b:04d}" for a in range(150) for b in range(150)}
    assert len({hash64(i) for i in ids}) == len(ids)


def test_bytes_that_only_look_like_an_id_are_not_taken_for_one() -> None:
    """What straddles two entries is no entry, and the search goes on behind it."""
    wanted = bytes(range(8))
    stray = b"\xff" * 4 + wanted + b"\xff" * 8
    entry = wanted + b"\xff" * 12
    assert find(stray, wanted, 0) == -1
    assert find(entry + stray, wanted, 0) == 0
    assert is_listed(pack_arrival(7) + pack_arrival(0x0102), 0x0102)
    assert not is_listed(pack_arrival(0x0102 << 8) + pack_arrival(0), 0x0102)


def test_days_that_drop_out_leave_no_empty_bytes() -> None:
    """After a long silence only the newest day is kept."""
    assert of(touch("a", T0), touch("b", T0 + 20 * DAY), touch("c", T0 + 45 * DAY)).counts == (
        b"\x01" + bytes(24) + b"\x01"
    )


@pytest.mark.parametrize(
    ("now", "silence", "gap"),
    [
        (T0 + 9 * DAY, 0.0, 1.0),  # on the day of the newest event: the gap it ended
        (T0 + 10 * DAY, 1.0, 1.0),
        (T0 + 19 * DAY, 10.0, 10.0),
    ],
)
def test_silence_is_measured_against_the_own_rhythm(now: int, silence: float, gap: float) -> None:
    """Ten days of silence are ten times the rhythm of a daily customer."""
    got = signals(of(*daily(10)), now)
    assert got["mean_gap_days"] == 1.0
    assert got["silence_ratio"] == silence
    assert got["gap_ratio"] == gap


def test_coming_back_shows_the_gap_that_ended() -> None:
    """A rule that looks at the event which ends a long silence still sees how long that was."""
    back = of(*daily(10), touch("back", T0 + 21 * DAY))
    got = signals(back, T0 + 21 * DAY)
    assert (got["gap_ratio"], got["silence_ratio"], got["mean_gap_days"]) == (12.0, 0.0, 1.0)


def test_a_weekly_customer_is_not_called_silent_after_five_days() -> None:
    """The rhythm is the customer's own, not everybody's."""
    weekly = of(*(touch(f"w{i}", T0 + 7 * i * DAY) for i in range(5)))
    assert signals(weekly, T0 + 33 * DAY)["gap_ratio"] == pytest.approx(5 / 7)


def test_a_rare_customer_has_the_rhythm_of_a_lifetime() -> None:
    """Too rare for the thirty days kept, the mean since the first event stands in."""
    rare = of(*(touch(f"r{i}", T0 + 60 * i * DAY) for i in range(5)))
    assert signals(rare, T0 + 241 * DAY)["mean_gap_days"] == 60.0


def test_no_rhythm_is_stated_from_too_little() -> None:
    """Three active days have two gaps: fewer than the three declared."""
    got = signals(of(*daily(3)), T0 + 50 * DAY)
    assert (got["mean_gap_days"], got["gap_ratio"], got["silence_ratio"]) == (None, None, None)


def test_a_burst_is_one_day_of_activity() -> None:
    """Fifty events in an hour do not make a rhythm of minutes."""
    burst = [touch(f"b{i}", T0 + i * 60_000) for i in range(50)]
    got = signals(of(*burst), T0 + 2 * DAY)
    assert (got["active_days"], got["mean_gap_days"]) == (1, None)


@pytest.mark.parametrize(("days_later", "rate"), [(0, 1.0), (7, 0.5), (14, 0.25)])
def test_the_activity_rate_halves_in_a_half_life(days_later: int, rate: float) -> None:
    """Once a day for months is a rate of one; it fades by half a week, save for the days cut off."""
    got = signals(of(*daily(100)), T0 + (99 + days_later) * DAY)["activity_rate"]
    assert got == pytest.approx(rate, rel=0.06)


def test_a_new_customer_is_not_taken_for_a_rare_one() -> None:
    """The rate is over the days since the first event, not over thirty."""
    assert signals(of(touch("a", T0)), T0)["activity_rate"] == 1.0


def test_a_bucket_counts_to_255() -> None:
    """Beyond that a day is simply a busy one."""
    assert of(*(touch(f"b{i}", T0 + i) for i in range(300)), config=CustomerConfig()).counts == b"\xff"


@pytest.mark.parametrize(
    ("first", "second", "last"),
    [
        ((T0, 3.0), (T0 + 1, 9.0), 9.0),
        ((T0 + 1, 9.0), (T0, 3.0), 9.0),
        ((T0, 3.0), (T0, 9.0), 9.0),  # a tie: the higher offset
    ],
)
def test_the_newest_score_by_event_time_is_the_last(
    first: tuple[int, float], second: tuple[int, float], last: float
) -> None:
    """A reply that comes late does not overwrite a newer one."""
    c = of(reply("a", first[0], "nps", first[1]), reply("b", second[0], "nps", second[1]))
    assert signals(c, T0)["last_nps"] == last


def test_scores_have_a_place_whichever_way_the_question_was_asked() -> None:
    """2 of 1..7 where low is effortless is a place of 83.3 of 100."""
    c = of(reply("a", T0, "ces", 2.0, higher_is_better=False))
    got = signals(c, T0)
    assert (got["last_ces"], got["last_ces_place"]) == (2, 83.3)


def ticket(event_id: str, state: str, minute: int, ref: str | None = "T") -> Event:
    """A ticket's event."""
    return touch(event_id, T0 + minute * 60_000, f"ticket_{state}", ref=ref)


@pytest.mark.parametrize(
    ("events", "open_", "unopened"),
    [
        ([("opened", 0)], 1, 0),
        ([("opened", 0), ("resolved", 5)], 0, 0),
        ([("resolved", 5), ("opened", 0)], 0, 0),  # the opening came late
        ([("opened", 0), ("resolved", 5), ("reopened", 9)], 1, 0),
        ([("reopened", 9), ("opened", 0), ("resolved", 5)], 1, 0),
        ([("resolved", 5)], 0, 1),
        ([("opened", 0), ("opened", 1)], 1, 0),
    ],
)
def test_a_ticket_is_what_its_newest_event_says(
    events: list[tuple[str, int]], open_: int, unopened: int
) -> None:
    """Open, resolved or reopened by event time, in whatever order the events come."""
    got = signals(of(*(ticket(f"e{i}", state, minute) for i, (state, minute) in enumerate(events))), T0)
    assert (got["open_tickets"], got["unopened_tickets"]) == (open_, unopened)


def test_tickets_without_a_reference_are_balanced() -> None:
    """Two opened and one resolved leave one; more resolved than opened leave none."""
    opened = [
        ticket("a", "opened", 0, None),
        ticket("b", "opened", 1, None),
        ticket("c", "resolved", 2, None),
    ]
    assert signals(of(*opened), T0)["open_tickets"] == 1
    assert signals(of(opened[2]), T0)["open_tickets"] == 0


def test_the_list_of_tickets_is_capped_resolved_ones_first() -> None:
    """Beyond the cap resolved tickets go before open ones, and old before new."""
    config = CustomerConfig(max_tickets=2)
    c = of(
        ticket("a", "opened", 0, "A"),
        ticket("b", "resolved", 1, "B"),
        ticket("c", "opened", 2, "C"),
        ticket("d", "opened", 3, "D"),
        config=config,
    )
    assert [t[0] for t in c.tickets] == ["C", "D"]
    assert signals(c, T0)["unopened_tickets"] == 1


def test_money_is_exact_and_currencies_are_never_added() -> None:
    """Ten times 0.1 is 1; with two currencies there is no single spend, unless one is declared."""
    cents = [touch(f"p{i}", T0, "purchase", value=0.1, currency="EUR") for i in range(10)]
    c = of(*cents)
    assert signals(c, T0)["spend"] == 1.0
    fold(c, touch("gbp", T0, "purchase", value=5.0, currency="GBP"), "t", 99)
    got = signals(c, T0)
    assert (got["spend"], got["mean_spend"], got["currencies"], got["frequency"]) == (None, None, 2, 11)
    assert signals(c, T0, CustomerConfig(currency="GBP"))["spend"] == 5.0


def test_an_absurd_sum_is_left_out() -> None:
    """A value no purchase has counts as a purchase without a value."""
    got = signals(of(touch("a", T0, "purchase", value=1e300, currency="EUR")), T0)
    assert (got["frequency"], got["spend"]) == (1, 0.0)


def test_nothing_known_is_none_and_never_zero() -> None:
    """A customer without purchases or replies has no recency and no scores."""
    got = signals(of(touch("a", T0)), T0)
    assert list(got) == list(SIGNALS)
    for name in ("recency_days", "spend", "last_nps", "gap_ratio", "oldest_open_ticket_days"):
        assert got[name] is None
    assert signals(Customer(), T0)["churn_probability"] is None


def test_the_churn_probability_is_made_of_the_sum_of_its_reasons() -> None:
    """A silent detractor with a reopened ticket: three reasons, the largest first."""
    c = of(*daily(10), reply("n", T0 + 9 * DAY, "nps", 2.0), ticket("t", "reopened", 0))
    risk = churn_probability(signals(c, T0 + 17 * DAY))
    assert [name for name, _ in risk.reasons] == ["silence", "detractor", "reopened_tickets", "open_tickets"]
    assert dict(risk.reasons)["silence"] == pytest.approx(3 * PRIOR["silence"])
    assert 0.5 < risk.value < 0.99
    calm = churn_probability(signals(of(*daily(10)), T0 + 9 * DAY))
    assert calm.reasons == ()
    assert calm.value == pytest.approx(0.0474, abs=1e-4)


def test_an_old_score_is_no_reason() -> None:
    """A bad answer of a year ago says nothing about leaving now."""
    c = of(reply("n", T0, "nps", 2.0), touch("a", T0 + 365 * DAY))
    assert churn_probability(signals(c, T0 + 365 * DAY)).reasons == ()


def test_bytes_per_customer_stay_small() -> None:
    """One event: about 100 bytes; thirty days with two events a day and a few replies: below 400."""
    fresh = run(
        [*place([("t", touch("3f2a9c4e-77d1-4c1e-8a51-000000000001", T0, segment="regular"))])],
        CustomerConfig(),
    )
    assert len(encode(fresh[0])) < 110
    month = [
        (
            "tr"[i % 5 == 0],
            reply(
                f"month-of-events-{i:08d}",
                T0 + i * DAY // 2,
                ("nps", "csat", "ces")[i % 3],
                5.0,
                segment="vip",
            )
            if i % 5 == 0
            else touch(f"month-of-events-{i:08d}", T0 + i * DAY // 2, "purchase", value=9.99, currency="EUR"),
        )
        for i in range(60)
    ]
    c, _ = run(place(month), CustomerConfig())
    fold(c, ticket("one", "opened", 43_000), "t", 10_000_000)
    c.fired = {"UnhappyAndValuable": T0}
    assert len(c.counts) == 30
    assert len(encode(c)) < 400


def test_state_has_a_ceiling() -> None:
    """However busy the customer, the defaults keep the state within a few kilobytes."""
    events = [ticket(f"busy-{i}", "opened", i, f"ticket-number-{i}") for i in range(2000)]
    assert len(encode(of(*events))) < 2500


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.hex")), ids=lambda p: p.stem)
def test_state_written_by_earlier_versions_still_reads(path: Path) -> None:
    """Every committed encoding decodes, and says what it said."""
    c = decode(bytes.fromhex(path.read_text().strip()))
    got = signals(c, T0 + 40 * DAY)
    want = msgspec.json.decode(path.with_suffix(".json").read_text())
    assert {name: got[name] for name in want} == want


def test_fields_may_only_be_added_at_the_end() -> None:
    """A shorter array takes the defaults, and a longer one is read without its unknown end."""
    fields: list[object] = msgspec.msgpack.decode(encode(of(*daily(4))))
    shorter = decode(msgspec.msgpack.encode(fields[:10]))
    assert (shorter.events, shorter.purchases, shorter.fired) == (4, 0, {})
    assert decode(msgspec.msgpack.encode([*fields, "new"])) == of(*daily(4))


@pytest.mark.parametrize(
    "field", ["dedup_per_customer", "bucket_ms", "buckets", "half_life_ms", "min_gaps", "max_tickets"]
)
def test_limits_without_sense_are_refused(field: str) -> None:
    """The error names the limit."""
    with pytest.raises(ValueError, match=field):
        msgspec.structs.replace(CustomerConfig(), **{field: 0})
    with pytest.raises(ValueError, match="dedup_horizon_ms"):
        CustomerConfig(dedup_horizon_ms=-1)
