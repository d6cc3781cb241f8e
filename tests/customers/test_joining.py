"""Two ids of one person, joined: the customer that one log with one id would have made."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alerting.joining import join_watches
from stream.alerting.watch import Trail, Watch
from stream.customers import Contributor, Customer, CustomerConfig, Telling, decode, encode, fold
from stream.customers.ids import Ids
from stream.customers.joining import join, part
from stream.customers.profile import everything
from stream.measures import METRICS
from stream.measures.declare import CART, QUEUE, Declarations
from tests.customers.oracle import DAY, T0, reply, touch

CONFIG = CustomerConfig(
    dedup_per_customer=1000,
    dedup_horizon_ms=400 * DAY,
    max_purchase_days=100,
    ticket_memory_ms=400 * DAY,
    max_tickets=100,
    max_touchpoints=100,
    max_promises=100,
    max_refs=100,
    max_strays=100,
    stray_ms=400 * DAY,
    ticket_history_ms=400 * DAY,
    attributes=frozenset({"plan"}),
)
DECLARED = Declarations(metrics=tuple(name for name in METRICS if name != "value_at_risk"))
DURABLE = (-1, -1)
#: Which records a state has seen is no part of what it says of the person.
_OWN = ("stamp_t", "stamp_r", "seen", "duplicates", "acquired", "told")

KINDS = [
    "session_started",
    "purchase",
    "ticket_opened",
    "ticket_resolved",
    "ticket_reopened",
    "promise_made",
    "promise_kept",
    "subscription_started",
    "subscription_cancelled",
    *CART.begun,
    *QUEUE.begun,
    *QUEUE.finished,
]


def event(rng: Random, number: int) -> Any:
    """Some record; times are all different, for of two at one moment the order of arrival may tell."""
    at_ms = T0 + rng.randrange(20 * DAY // 1000) * 1000 * 10 // 10 + number
    where = {"segment": rng.choice([None, "vip", "new"]), "channel": rng.choice([None, "web", "shop"])}
    if rng.random() < 0.3:
        return reply(f"e{number}", at_ms, rng.choice(["nps", "csat"]), float(rng.randint(1, 5)), **where)
    return touch(
        f"e{number}",
        at_ms,
        rng.choice(KINDS),
        ref=rng.choice([None, "r1", "r2"]),
        touchpoint=rng.choice([None, "home", "till"]),
        value=rng.choice([None, 3.5, 10.0]),
        currency=rng.choice([None, "EUR"]),
        attributes={"plan": rng.choice(["a", "b"])},
        **where,
    )


class Log:
    """A partition with one customer: its state, and the sums of what it contributed."""

    def __init__(self) -> None:
        self.customer = Customer()
        self.sums: Counter[Any] = Counter()
        self.ends = {"t": 0, "r": 0}
        self.contributor = Contributor(DECLARED, CONFIG)
        self.telling = Telling(DURABLE, Counter())

    def take(self, one: Any) -> None:
        """Fold a record in, and count."""
        code = "t" if one.metric is None else "r"
        offset = self.ends[code]
        self.ends[code] += 1
        assert fold(self.customer, one, code, offset, CONFIG) == "applied"
        gives = self.contributor.contributions if code == "t" else self.contributor.replies
        self.count(gives(self.customer, one, offset << 1 | (code == "r"), self.telling, fresh=True))

    def count(self, given: Any) -> None:
        """Add contributions up."""
        for at_ms, place, key, vec in given:
            for at, amount in enumerate(vec):
                self.sums[at_ms, place, key, at] += amount
                if not self.sums[at_ms, place, key, at]:
                    del self.sums[at_ms, place, key, at]

    def join(self, state: bytes, alias: str = "alias", name: str = "c") -> None:
        """Take an alias' history in."""
        other = decode(state)
        arrival = self.ends["t"] << 1
        self.ends["t"] += 1
        join(self.customer, other, (name, alias), arrival, CONFIG)
        self.count(self.contributor.joined(self.customer, other, arrival, self.telling))


def what(customer: Customer) -> dict[str, Any]:
    """Everything it says of the person."""
    held = everything(decode(encode(customer)))
    held = {name: value for name, value in held.items() if name not in _OWN}
    held["scores"] = {name: (at, *rest) for name, (at, _, *rest) in held["scores"].items()}
    held["tickets"] = sorted([ref, at, flags] for ref, at, _, flags in held["tickets"])
    held["known"] = {name: value for name, value in held["known"].items() if name != "ids"}
    story = held.pop("story")
    held["threads"] = sorted(
        ([t["family"], t["ref"], t["moments"], t["held"], t["until_ms"]] for t in story["threads"]), key=repr
    )
    strays = {name: bytes.fromhex(packed) for name, packed in story["strays"].items() if packed}
    held["strays"] = {
        name: sorted(packed[at : at + 17] for at in range(0, len(packed), 17))
        for name, packed in strays.items()
    }
    if held["contract"] is not None:
        held["contract"] = sorted(held["contract"]["subscriptions"])
    return held


def gone(customer: Customer) -> bytes:
    """The state of an alias that is merged into the person."""
    ids = customer.known.ids = customer.known.ids or Ids()
    ids.to, ids.since = "c", (customer.stamp_t, customer.stamp_r)
    return part(customer, DURABLE)


def one_log(events: list[Any]) -> Log:
    """All records with one id."""
    log = Log()
    for each in events:
        log.take(each)
    return log


def two_logs(events: list[Any], mine: list[bool], *, later: int) -> Log:
    """Some records with an alias, which is joined; the last few of all come after that, with one id."""
    person, alias = Log(), Log()
    cut = len(events) - later
    for each, own in zip(events[:cut], mine, strict=False):
        (person if own else alias).take(each)
    person.join(gone(alias.customer))
    person.sums.update(alias.sums)
    for key in [key for key, amount in person.sums.items() if not amount]:
        del person.sums[key]
    for each in events[cut:]:
        person.take(each)
    return person


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 10))
def test_joined_state_is_that_of_one_log(seed: int, size: int, later: int) -> None:
    """The state joined from two ids, and what it goes on to, equal that of the same records with one id."""
    rng = Random(seed)
    events = [event(rng, number) for number in range(size)]
    mine = [rng.random() < 0.5 for _ in events]
    whole, joined = one_log(events), two_logs(events, mine, later=min(later, size))
    assert what(joined.customer) == what(whole.customer)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 10))
def test_what_is_counted_is_that_of_one_log(seed: int, size: int, later: int) -> None:
    """Sums of measures over both ids and the join equal those of one id, but for who was won."""
    rng = Random(seed)
    events = [event(rng, number) for number in range(size)]
    mine = [rng.random() < 0.5 for _ in events]
    whole, joined = one_log(events), two_logs(events, mine, later=min(later, size))

    def counted(log: Log) -> dict[Any, int]:
        return {key: n for key, n in log.sums.items() if not key[2].startswith("acquired")}

    assert counted(joined) == counted(whole)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_order_of_joining_does_not_matter(seed: int) -> None:
    """Three ids come to the same, whichever is joined first and whichever stays."""
    rng = Random(seed)
    events = [event(rng, number) for number in range(30)]
    logs = [one_log([each for each in events if hash(each.event_id) % 3 == n]) for n in range(3)]
    states = [encode(log.customer) for log in logs]
    found = []
    for order in ((0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0)):
        log = Log()
        log.customer = decode(states[order[0]])
        for alias in order[1:]:
            log.join(states[alias], f"alias{alias}")
        found.append(what(log.customer))
    nested, inner = Log(), Log()
    nested.customer, inner.customer = decode(states[0]), decode(states[1])
    inner.join(states[2], "alias2")
    nested.join(gone(inner.customer), "alias1")
    assert all(each == found[0] for each in [*found, what(nested.customer)])
    ids = nested.customer.known.ids
    assert ids is not None
    assert set(ids.aliases) == {"alias1", "alias2"}


def test_a_cart_of_one_id_is_bought_by_the_other() -> None:
    """A cart that an anonymous id began and the person bought was not abandoned, once both are known as one."""
    begun = touch("a", T0, CART.begun[0], ref="cart")
    bought = touch("b", T0 + 60_000, "purchase", ref="cart", value=5.0)
    joined = two_logs([begun, bought], [False, True], later=0)
    ended = {key: n for key, n in joined.sums.items() if key[2].startswith("ended")}
    assert ended == {(T0 + 60_000, key[1], key[2], 0): 1 for key in ended}
    assert len(ended) == 1


def test_what_stays_of_an_alias_is_a_mark() -> None:
    """It remembers where it went and which records it had, and says nothing of the person any more."""
    rng = Random(1)
    log = one_log([event(rng, number) for number in range(30)])
    stamps, seen = (log.customer.stamp_t, log.customer.stamp_r), log.customer.seen
    gone(log.customer)
    assert log.customer.known.ids == Ids("c", stamps)
    assert log.customer.seen == seen
    rest = {**what(log.customer), "last_ms": 0}
    blank = what(Customer())
    assert {**rest, "threads": [], "strays": {}} == {**blank, "last_ms": 0}


def test_what_was_remembered_is_bounded() -> None:
    """Of the event ids of both the newest are remembered, as many as of one customer."""
    config = msgspec.structs.replace(CONFIG, dedup_per_customer=4)
    one, other = Customer(), Customer()
    for n in range(6):
        fold(one, touch(f"a{n}", T0 + n * 1000), "t", n, config)
        fold(other, touch(f"b{n}", T0 + n * 1000 + 500), "t", n, config)
    join(one, other, ("c", "alias"), 20, config)
    verdicts = {
        f"{who}{n}": fold(one, touch(f"{who}{n}", T0), "t", 30 + 2 * n + (who == "b"), config)
        for n in (5, 4)
        for who in "ab"
    }
    assert verdicts["a5"] == verdicts["b5"] == "duplicate"


@pytest.mark.parametrize("swapped", [False, True])
def test_expectations_and_alerts_go_on(swapped: bool) -> None:
    """What is due stays due, the nearer of two; a trail of the same rule and reference has both moments."""
    first = (T0, 1, "a", 0, ())
    second = (T0 + 5, 2, "b", 0, ())
    one = Watch(trails=[Trail(1, "r", [first], due_ms=50)], fired={"x": 3}, contacts=[9])
    other = Watch(
        trails=[Trail(1, "r", [second], due_ms=40), Trail(2, "", [first], due_ms=70)], fired={"x": 5}
    )
    if swapped:
        one, other = other, one
    join_watches(one, other)
    assert [(trail.rule, trail.moments, trail.due_ms) for trail in one.trails] == [
        (1, [first, second], 40),
        (2, [first], 70),
    ]
    assert (one.fired, one.contacts, one.due_ms) == ({"x": 5}, [9], 40)
