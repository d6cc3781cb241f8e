"""The rules of contributions, one case each, and the worked examples."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream.customers import Contributor, Customer, CustomerConfig, Telling, decode, encode, fold
from stream.customers.state import story_of
from stream.measures import NO_DIMS, add, all_values, dims_of, value_of
from stream.measures.declare import Declarations, JourneySpec, MoneySpec

from .oracle import DAY, T0, touch

if TYPE_CHECKING:
    from stream.intake.event import Event
    from stream.measures import Stats

MINUTE, HOUR = 60_000, 3_600_000
EVERYTHING = Declarations()


class Given:
    """What events of one customer have contributed, in the order in which they arrived."""

    def __init__(
        self, *events: Event, declared: Declarations = EVERYTHING, config: CustomerConfig | None = None
    ) -> None:
        config = config or CustomerConfig()
        contributor = Contributor(declared, config)
        self.customer = Customer()
        self.unpaired: Counter[str] = Counter()
        self.by_time: dict[int, Stats] = {}
        self.stats: Stats = {}
        self.dims: set[Any] = set()
        for offset, event in enumerate(events):
            fold(self.customer, event, "t", offset, config)
            if not contributor.concerned(event):
                continue
            telling = Telling((offset - 1, -1), self.unpaired)
            for time_ms, dims, key, vec in contributor.contributions(
                self.customer, event, offset << 1, telling, fresh=True
            ):
                add(self.by_time.setdefault(time_ms, {}), key, vec)
                add(self.stats, key, vec)
                self.dims.add(dims)
        self.by_time = {at: stats for at, stats in self.by_time.items() if stats}


def test_a_resolution_counts_when_it_happens_where_the_ticket_was_opened() -> None:
    """The time since the opening goes to the slices of the opening, at the time of the resolution."""
    opened = touch("a", T0, "ticket_opened", ref="T", segment="vip", channel="chat")
    given = Given(opened, touch("b", T0 + HOUR, "ticket_resolved", ref="T", segment="new"))
    assert given.dims == {dims_of(opened)}
    assert list(given.by_time) == [T0 + HOUR]
    assert given.stats["tickets"] == [1, 0]
    assert given.stats["resolution_time"] == [1, HOUR, HOUR**2]


def test_every_resolution_of_a_reopened_ticket_counts_from_its_opening() -> None:
    """Two resolutions an hour and three hours after the opening, and one reopening."""
    given = Given(
        touch("a", T0, "ticket_opened", ref="T"),
        touch("b", T0 + HOUR, "ticket_resolved", ref="T"),
        touch("c", T0 + 2 * HOUR, "ticket_reopened", ref="T"),
        touch("d", T0 + 3 * HOUR, "ticket_resolved", ref="T"),
    )
    assert given.stats["tickets"] == [2, 1]
    assert given.stats["resolution_time"] == [2, 4 * HOUR, 10 * HOUR**2]
    rate = value_of("reopen_rate", given.stats, 0.95)
    assert rate is not None
    assert rate.value == 50.0


@pytest.mark.parametrize("opening", ["ticket_opened", "queue_entered"])
def test_without_a_reference_a_customer_has_one_ticket_and_one_queue_at_a_time(opening: str) -> None:
    """They are tied together by having none, of a family each."""
    ending = {"ticket_opened": "ticket_resolved", "queue_entered": "queue_served"}[opening]
    given = Given(
        touch("a", T0, opening), touch("b", T0 + MINUTE, ending), touch("x", T0 + MINUTE, ending, ref="X")
    )
    stem = {"ticket_opened": "resolution_time", "queue_entered": "waiting_time"}[opening]
    assert given.stats[stem][:2] == [1, MINUTE]
    assert given.unpaired == {"never_opened": 1}


@pytest.mark.parametrize(
    ("events", "reasons"),
    [
        ([(0, "ticket_resolved")], {"never_opened": 1}),
        ([(0, "ticket_reopened")], {"never_opened": 1}),
        ([(5, "ticket_opened"), (3, "ticket_resolved")], {"negative_duration": 1}),
        ([(3, "ticket_resolved"), (5, "ticket_opened")], {"never_opened": 1, "negative_duration": 1}),
        ([(3, "ticket_resolved"), (1, "ticket_opened")], {"never_opened": 1}),
        ([(1, "ticket_opened"), (2, "ticket_opened")], {"already_open": 1}),
        ([(1, "ticket_opened"), (2, "ticket_reopened")], {"already_open": 1}),
        (
            [(1, "ticket_opened"), (2, "ticket_resolved"), (3, "ticket_resolved")],
            {"already_resolved": 1},
        ),
        ([(0, "queue_served")], {"never_opened": 1}),
        ([(5, "queue_entered"), (3, "queue_served")], {"negative_duration": 1}),
        ([(0, "queue_entered"), (61, "queue_served")], {"after_deadline": 1}),
        ([(0, "queue_entered"), (1, "queue_served"), (2, "queue_abandoned")], {"already_ended": 1}),
        ([(0, "subscription_cancelled")], {"never_opened": 1}),
        ([(5, "subscription_started"), (3, "subscription_cancelled")], {"negative_duration": 1}),
        ([(0, "cart_started"), (24 * 60 + 1, "purchase")], {"after_deadline": 1}),
        ([(0, "purchase"), (1, "purchase")], {}),
    ],
)
def test_what_does_not_fit_has_a_reason_and_counts_nowhere(
    events: list[tuple[int, str]], reasons: dict[str, int]
) -> None:
    """Each is counted when it arrives, by what is known then; times in minutes."""
    given = Given(*(touch(f"e{i}", T0 + at * MINUTE, kind, ref="R") for i, (at, kind) in enumerate(events)))
    assert given.unpaired == reasons
    if reasons.keys() & {"never_opened", "negative_duration"} and len(events) < 2:
        assert not given.stats.keys() - {"acquired"}


def test_a_negative_duration_is_never_counted() -> None:
    """A ticket resolved before it was opened stays open, and its next resolution counts from its opening."""
    given = Given(
        touch("a", T0, "ticket_resolved", ref="T"),
        touch("b", T0 + HOUR, "ticket_opened", ref="T"),
        touch("c", T0 + 3 * HOUR, "ticket_resolved", ref="T"),
    )
    assert given.stats["resolution_time"] == [1, 2 * HOUR, (2 * HOUR) ** 2]
    assert given.stats["tickets"] == [1, 0]


def test_a_late_opening_makes_up_for_the_resolution_before_it() -> None:
    """The resolution that came first counts as soon as the opening is known."""
    given = Given(touch("b", T0 + HOUR, "ticket_resolved", ref="T"), touch("a", T0, "ticket_opened", ref="T"))
    assert given.stats["resolution_time"] == [1, HOUR, HOUR**2]
    assert given.unpaired == {"never_opened": 1}


def test_a_journey_counts_as_abandoned_ahead_until_it_is_finished() -> None:
    """The place at the deadline is taken back by the purchase, and the end counts at its time."""
    begun = touch("a", T0, "cart_started", ref="C", segment="vip")
    waiting = Given(begun)
    assert waiting.by_time == {T0 + DAY: {"ended|cart": [1, 1]}}
    bought = Given(begun, touch("b", T0 + HOUR, "purchase", ref="C"), declared=Declarations(("abandonment",)))
    assert bought.by_time == {T0 + HOUR: {"ended|cart": [1, 0]}}
    assert bought.dims == {dims_of(begun)}


def test_a_deadline_more_than_an_hour_ahead_is_placed_on_five_minutes() -> None:
    """So that carts of one time meet in one pane; the deadline itself stays exact."""
    begun = touch("a", T0 + 1, "checkout_started", ref="C")
    only = Declarations(("abandonment",))
    assert list(Given(begun).by_time) == [T0 + DAY + 5 * MINUTE]
    late = Given(begun, touch("b", T0 + DAY + 2, "purchase", ref="C"), declared=only)
    assert late.by_time == {T0 + DAY + 5 * MINUTE: {"ended|cart": [1, 1]}}
    in_time = Given(begun, touch("b", T0 + DAY + 1, "purchase", ref="C"), declared=only)
    assert in_time.by_time == {T0 + DAY + 1: {"ended|cart": [1, 0]}}
    assert list(Given(touch("a", T0 + 1, "queue_entered")).by_time) == [T0 + 1 + HOUR]


def test_a_purchase_without_a_reference_finishes_no_cart() -> None:
    """It might be of anything; and a cart without one could never be finished, so it does not begin."""
    given = Given(touch("a", T0, "cart_started", ref="C"), touch("b", T0 + HOUR, "purchase"))
    assert given.stats["ended|cart"] == [1, 1]
    lone = Given(touch("a", T0, "cart_started"))
    assert lone.stats == {}
    assert lone.unpaired == {"no_reference": 1}


def test_a_wait_counts_even_where_the_queue_counts_as_abandoned() -> None:
    """Else the longest waits would be missing from the waiting time."""
    given = Given(touch("a", T0, "queue_entered"), touch("b", T0 + 2 * HOUR, "queue_served"))
    assert given.by_time[T0 + HOUR] == {"ended|queue": [1, 1]}
    assert given.by_time[T0 + 2 * HOUR]["waiting_time"] == [1, 2 * HOUR, (2 * HOUR) ** 2]


def test_waiting_time_needs_no_declared_queue() -> None:
    """Without a queue among the journeys waits are counted all the same, and nothing is abandoned."""
    given = Given(
        touch("a", T0, "queue_entered"),
        touch("b", T0 + MINUTE, "queue_served"),
        declared=Declarations(journeys=()),
    )
    assert {key.split("|")[0] for key in given.stats} == {"waiting_time"}


def test_a_declared_journey_is_paired_like_the_others() -> None:
    """A form begun twice is one; left, it is abandoned when it was."""
    form = JourneySpec("form", ("form_started",), ("form_sent",), ("form_left",), 30 * MINUTE)
    given = Given(
        touch("a", T0, "form_started"),
        touch("b", T0 + MINUTE, "form_started"),
        touch("c", T0 + 2 * MINUTE, "form_left"),
        touch("d", T0 + 3 * MINUTE, "form_started"),
        touch("e", T0 + 33 * MINUTE, "form_sent"),
        declared=Declarations(journeys=(form,)),
    )
    assert given.by_time == {
        T0 + 2 * MINUTE: {"ended|form": [1, 1]},
        T0 + 33 * MINUTE: {"ended|form": [1, 0]},
    }


@pytest.mark.parametrize(
    ("events", "sessions"),
    [
        ([("support_session", "S")], [1, 0]),
        ([("support_session", None), ("support_session", None)], [2, 0]),
        ([("support_session", "S"), ("support_session", "S")], [1, 0]),
        ([("support_session", "S"), ("self_service_answered", "S")], [1, 1]),
        ([("self_service_answered", "S"), ("support_session", "S")], [1, 1]),
        ([("support_session", "S"), ("self_service_answered", "X")], [1, 0]),
        ([("support_session", "S"), ("self_service_answered", "S"), ("ticket_opened", "S")], [1, 0]),
        ([("ticket_opened", "S"), ("support_session", "S"), ("self_service_answered", "S")], [1, 0]),
    ],
)
def test_a_session_is_deflected_by_an_answer_and_no_ticket(
    events: list[tuple[str, str | None]], sessions: list[int]
) -> None:
    """Sessions are told apart by their reference; one without counts by itself and is never deflected."""
    given = Given(*(touch(f"e{i}", T0 + i, kind, ref=ref) for i, (kind, ref) in enumerate(events)))
    assert given.stats["sessions"] == sessions


def test_a_subscriber_is_somebody_with_any_live_subscription() -> None:
    """A second one, or the first ending before the second, moves nothing; the loss is where the gain was."""
    vip = touch("a", T0, "subscription_started", ref="1", segment="vip")
    given = Given(
        vip,
        touch("b", T0 + HOUR, "subscription_started", ref="2", segment="new"),
        touch("c", T0 + 2 * HOUR, "subscription_cancelled", ref="1"),
        declared=Declarations(("churn_rate",)),
    )
    assert given.by_time == {T0: {"subscribers": [1, 1, 0]}}
    lost = Given(vip, touch("b", T0 + HOUR, "subscription_cancelled", ref="1"))
    assert lost.by_time[T0 + HOUR] == {"subscribers": [-1, 0, 1]}
    assert lost.dims == {dims_of(vip)}


def test_a_customer_is_acquired_once_by_what_is_seen_first() -> None:
    """The first purchase or subscription in the order of the log, whatever their times."""
    given = Given(
        touch("a", T0 + HOUR, "subscription_started", ref="1"),
        touch("b", T0, "purchase", value=5.0),
        touch("c", T0 + 2 * HOUR, "purchase", value=5.0),
    )
    assert given.stats["acquired"] == [1]
    assert given.by_time[T0 + HOUR]["acquired"] == [1]
    assert Given(touch("b", T0, "purchase"), touch("a", T0 + 1, "subscription_started")).by_time[T0][
        "acquired"
    ]


def test_a_customer_known_before_acquisition_was_noted_is_not_acquired_again() -> None:
    """State written by an earlier version has purchases and no acquisition."""
    c = Customer()
    fold(c, touch("a", T0, "purchase"), "t", 0)
    c = decode(encode(c))
    event = touch("b", T0 + 1, "purchase")
    fold(c, event, "t", 1)
    given = Contributor(EVERYTHING, CustomerConfig()).contributions(
        c, event, 2, Telling((0, -1), Counter()), fresh=True
    )
    assert [key for _, _, key, _ in given] == ["purchases"]


@pytest.mark.parametrize(
    ("attributes", "vec"),
    [
        (None, [1, 0]),
        ({"referred_by": "c7"}, [1, 1]),
        ({"referred_by": None}, [1, 0]),
        ({"referred_by": ""}, [1, 0]),
        ({"referred_by": 0}, [1, 1]),
    ],
)
def test_a_purchase_is_referred_if_it_says_by_whom(attributes: Any, vec: list[int]) -> None:
    """Nobody and nothing are no referrers; customer number 0 is one."""
    assert Given(touch("a", T0, "purchase", attributes=attributes)).stats["purchases"] == vec


def test_one_hundred_of_three_thousand_purchases_are_referred() -> None:
    """The worked example: 100 / 3000 is 3.33 %."""
    referred = {"referred_by": "friend"}
    given = Given(
        *(touch(f"e{i}", T0, "purchase", attributes=referred if i < 100 else None) for i in range(3000))
    )
    value = value_of("referral_rate", given.stats, 0.95)
    assert value is not None
    assert value.value == pytest.approx(3.33, abs=0.005)


def test_fifty_a_year_for_five_years_is_two_hundred_and_fifty() -> None:
    """The worked example of historic lifetime value, with the very first purchase counting the customer."""
    given = Given(
        *(touch(f"e{i}", T0 + i * 365 * DAY, "purchase", value=50.0, currency="USD") for i in range(5))
    )
    value = value_of("lifetime_value", given.stats, 0.95, given.stats, "ever")
    assert value is not None
    assert (value.value, value.n, value.currency) == (250.0, 1, "USD")


def test_money_is_kept_apart_by_currency() -> None:
    """Upper and lower case are one currency, none is a currency of its own."""
    given = Given(
        touch("a", T0, "purchase", value=1.5, currency="eur"),
        touch("b", T0, "purchase", value=2.5, currency="EUR"),
        touch("c", T0, "purchase", value=4.0),
        touch("d", T0, "purchase", value=8.0, currency="USD"),
    )
    money = {key: vec[:2] for key, vec in given.stats.items() if key.startswith("revenue|")}
    assert money == {"revenue|EUR": [2, 40_000], "revenue|XXX": [1, 40_000], "revenue|USD": [1, 80_000]}


def test_revenue_and_cost_are_of_the_declared_kinds_and_fields() -> None:
    """By default a purchase's value, and the cost that any touchpoint states; both can be declared."""
    events = (
        touch("a", T0, "purchase", value=10.0, attributes={"cost": 2}),
        touch("b", T0, "call_made", value=3.0, attributes={"cost": 0.5, "margin": 1.0}),
    )
    by_default = Given(*events).stats
    assert by_default["revenue|XXX"][:2] == [1, 100_000]
    assert by_default["cost|XXX"][:2] == [2, 25_000]
    declared = Declarations(
        revenue=MoneySpec((), "attributes.margin"), cost=MoneySpec(("call_made",), "value")
    )
    otherwise = Given(*events, declared=declared).stats
    assert otherwise["revenue|XXX"][:2] == [1, 10_000]
    assert otherwise["cost|XXX"][:2] == [1, 30_000]


@pytest.mark.parametrize(
    "event",
    [
        touch("a", T0, "call", attributes={"cost": "5"}),
        touch("a", T0, "call", attributes={"cost": True}),
        touch("a", T0, "call", attributes={"cost": 1e13}),
        touch("a", T0, "call", attributes={"cost": 5}, currency="€"),
        touch("a", T0, "acquisition_spend", value=-1e300),
    ],
)
def test_money_that_is_none_is_counted_and_left_out(event: Event) -> None:
    """Texts, truth values, amounts beyond reason and currencies that are no codes."""
    given = Given(event)
    assert given.stats == {}
    assert given.unpaired == {"bad_money": 1}


def test_acquisition_spend_by_customers_acquired() -> None:
    """What was spent, whoever's record it is on, by the customers acquired."""
    given = Given(
        touch("a", T0, "acquisition_spend", value=120.0, currency="EUR"),
        touch("b", T0, "purchase", value=10.0, currency="EUR"),
    )
    value = value_of("acquisition_cost", given.stats, 0.95)
    assert value is not None
    assert value.value == 120.0


def test_only_keys_of_enabled_metrics_are_made() -> None:
    """A deployment that computes one metric keeps no history for another."""
    events = (
        touch("a", T0, "ticket_opened", ref="T"),
        touch("b", T0 + HOUR, "ticket_resolved", ref="T"),
        touch("c", T0, "cart_started", ref="C"),
        touch("d", T0, "purchase", ref="C", value=1.0, attributes={"cost": 1.0}),
        touch("e", T0, "queue_entered"),
        touch("f", T0, "subscription_started"),
        touch("g", T0, "support_session", ref="S"),
        touch("h", T0, "acquisition_spend", value=1.0),
    )
    stems = {
        name: {key.split("|")[0] for key in Given(*events, declared=Declarations((name,))).stats}
        for name in ("resolution_time", "reopen_rate", "cost", "nps", "customers", "waiting_time")
    }
    assert stems == {
        "resolution_time": {"resolution_time"},
        "reopen_rate": {"tickets"},
        "cost": {"cost"},
        "nps": set(),
        "customers": set(),
        "waiting_time": set(),
    }
    all_of_it = Given(*events)
    assert {"tickets", "ended|cart", "ended|queue", "subscribers", "sessions"} <= all_of_it.stats.keys()
    assert all_values(all_of_it.stats, 0.95)
    assert len(encode(Given(*events, declared=Declarations(("nps",))).customer)) < 350


def test_a_reference_beyond_the_cap_takes_the_place_of_the_least_needed() -> None:
    """What is over goes first; what was counted of it stays; what is gone is counted."""
    config = CustomerConfig(max_refs=2)
    given = Given(
        touch("a", T0, "ticket_opened", ref="open"),
        touch("b", T0 + 1, "ticket_opened", ref="over"),
        touch("c", T0 + 2, "ticket_resolved", ref="over"),
        touch("d", T0 + 3, "ticket_opened", ref="new"),
        touch("e", T0 + HOUR, "ticket_resolved", ref="open"),
        touch("f", T0 + HOUR, "ticket_reopened", ref="over"),
        config=config,
    )
    assert given.stats["tickets"] == [2, 0]
    assert given.unpaired == {"over_capacity": 1, "never_opened": 1}
    assert len(story_of(given.customer, (-1, -1)).threads) == 2


def test_purchases_that_finish_no_cart_are_a_few_bytes_and_no_more_than_declared() -> None:
    """They wait for a late beginning, 17 bytes each, and leave without a word."""
    orders = [touch(f"e{i}", T0 + i, "purchase", ref=f"o{i}") for i in range(20)]
    config = CustomerConfig(max_strays=10)
    given = Given(*orders, config=config)
    story = story_of(given.customer, (-1, -1))
    assert (story.threads, len(story.strays["cart"])) == ([], 170)
    assert not given.unpaired
    late = Given(*orders, touch("x", T0, "cart_started", ref="o15"), config=config)
    assert late.by_time[T0 + 15]["ended|cart"] == [1, 0]
    assert len(story_of(late.customer, (-1, -1)).strays["cart"]) == 153
    forgotten = Given(*orders, touch("x", T0 + 2 * DAY + 5, "purchase", ref="o"))
    assert len(story_of(forgotten.customer, (-1, -1)).strays["cart"]) == 16 * 17
    answered = Given(*(touch(f"e{i}", T0 + i, "queue_served", ref=f"q{i}") for i in range(20)), config=config)
    assert answered.unpaired == {"never_opened": 20, "over_capacity": 10}


def test_histories_are_forgotten_when_nothing_can_reach_them_any_more() -> None:
    """A ticket 30 days after its resolution, a journey 2 days after its end; an open ticket never."""
    given = Given(
        touch("a", T0, "ticket_opened", ref="open"),
        touch("b", T0, "ticket_opened", ref="over"),
        touch("c", T0 + 1, "ticket_resolved", ref="over"),
        touch("d", T0, "queue_entered", ref="Q"),
        touch("e", T0 + MINUTE, "queue_served", ref="Q"),
        touch("f", T0 + 29 * DAY, "ticket_opened", ref="x"),
    )
    assert len(story_of(given.customer, (-1, -1)).threads) == 3
    given = Given(
        touch("a", T0, "ticket_opened", ref="open"),
        touch("b", T0, "ticket_opened", ref="over"),
        touch("c", T0 + 1, "ticket_resolved", ref="over"),
        touch("f", T0 + 31 * DAY, "ticket_resolved", ref="open"),
    )
    assert given.stats["tickets"] == [2, 0]
    assert len(story_of(given.customer, (-1, -1)).threads) == 1


def test_more_events_of_a_reference_than_are_held_are_summed_up() -> None:
    """In order nothing is lost; what would have to go in front of the sum is counted and left out."""
    config = CustomerConfig(max_moments=4)
    events = [touch("o", T0, "ticket_opened", ref="T")]
    for i in range(10):
        kind = "ticket_reopened" if i % 2 else "ticket_resolved"
        events.append(touch(f"e{i}", T0 + (i + 1) * HOUR, kind, ref="T"))
    given = Given(*events, config=config)
    assert given.stats["tickets"] == [5, 5]
    assert set(given.unpaired) == {"history_trimmed"}
    late = Given(*events, touch("x", T0 + 1, "ticket_resolved", ref="T"), config=config)
    assert late.stats == given.stats
    assert late.unpaired["beyond_history"] == 1
    assert len(encode(late.customer)) < 700


def test_a_flood_in_one_batch_cannot_swell_a_customer() -> None:
    """What cannot be remembered for a replay is not counted either, and told."""
    config = CustomerConfig(max_journal=10)
    contributor, c, unpaired = Contributor(EVERYTHING, config), Customer(), Counter[str]()
    for offset in range(50):
        event = touch(f"e{offset}", T0 + offset, "queue_entered", ref=f"q{offset}")
        fold(c, event, "t", offset, config)
        contributor.contributions(c, event, offset << 1, Telling((-1, -1), unpaired), fresh=True)
    assert len(story_of(c, (-1, -1)).journal) == 10
    assert unpaired == {"over_capacity": 40}


def test_customers_without_journeys_pay_four_bytes() -> None:
    """No acquisition, an empty story, no watch, no contract; an open ticket with dimensions is about a hundred."""
    c = Customer()
    fold(c, touch("a", T0, "session_started"), "t", 0)
    assert msgspec.msgpack.decode(encode(c))[25:29] == [-1, None, None, None]
    opened = Given(
        touch("a", T0, "ticket_opened", ref="T", segment="vip", channel="chat"), declared=EVERYTHING
    )
    without = Given(touch("a", T0, "ticket_opened", ref="T"), declared=Declarations(("nps",)))
    assert len(encode(opened.customer)) - len(encode(without.customer)) < 100


def test_an_event_without_dimensions_counts_in_the_whole_alone() -> None:
    """Packed and unpacked, nothing is nothing."""
    assert Given(touch("a", T0, "queue_entered")).dims == {NO_DIMS}
