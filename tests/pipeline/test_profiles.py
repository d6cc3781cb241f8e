"""Who is owed a profile: everybody whose state has changed, once a round, whatever the crashes; nobody else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import CustomerProfile
from stream.customers import Customer, CustomerConfig, encode, fold
from stream.pipeline.profiles import Owed, profiled
from tests.customers.oracle import DAY, T0, place, reply, run, touch

EVERY, ALL_EVERY = 10_000, 10 * DAY
unhurried = settings(deadline=None, max_examples=150)


class Partition:
    """A table, what was published of it, and the progress that is kept."""

    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.told: dict[bytes, bytes | None] = {}
        self.kept: bytes | None = None
        self.offset = -1
        self.at_ms = T0
        self.owed = self.begin()

    def begin(self) -> Owed:
        """As after a crash: from the table and the progress alone."""
        return Owed(self.table, self.kept, EVERY, ALL_EVERY)

    def change(self, name: bytes, *, gone: bool = False) -> None:
        """One more event of a customer, or the end of them."""
        self.offset += 1
        if gone:
            self.table.pop(name, None)
        else:
            customer = Customer(stamp_t=self.offset, events=1)
            self.table[name] = encode(customer)
        self.owed.changed([name], (self.offset, -1))

    def publish(self, most: int, *, patience: bool = False) -> list[bytes]:
        """One step of the publisher."""
        names = self.owed.take(most, self.at_ms, patience_over=patience)
        for name in names:
            self.told[name] = self.table.get(name)
        if (kept := self.owed.over()) is not None:
            self.kept = kept
        return names


steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from([b"a", b"b", b"c", b"d"])),
        st.tuples(st.just("gone"), st.sampled_from([b"a", b"b"])),
        st.tuples(st.just("time"), st.sampled_from([1_000, EVERY])),
        st.tuples(st.just("publish"), st.integers(1, 3)),
        st.tuples(st.just("crash"), st.none()),
        st.tuples(st.just("all"), st.none()),
    ),
    max_size=60,
)


@unhurried
@given(steps)
def test_in_the_end_everybody_was_told_of_as_they_are(did: list[tuple[str, Any]]) -> None:
    """After any changes, pauses, crashes and losses what was published is the table."""
    world = Partition()
    for what, given_ in did:
        if what == "change":
            world.change(given_)
        elif what == "gone":
            world.change(given_, gone=True)
        elif what == "time":
            world.at_ms += given_
        elif what == "publish":
            world.publish(given_)
        elif what == "crash":
            world.owed = world.begin()
        else:
            world.owed.all_again()
    for _ in range(60):
        world.publish(3, patience=True)
    told = {name: state for name, state in world.told.items() if name in world.table}
    assert told == world.table
    assert world.publish(9, patience=True) == []


def test_a_customer_is_told_of_once_a_round() -> None:
    """However many events there are within the throttle, and at once after a start."""
    world = Partition()
    world.publish(9)
    told = 0
    for _ in range(100):
        world.change(b"a")
        world.at_ms += 1_000
        told += len(world.publish(9))
    assert 9 <= told <= 11


def test_time_goes_on_for_those_of_whom_nothing_is_heard() -> None:
    """Every so often a round takes everybody; else only who has changed."""
    world = Partition()
    for name in (b"a", b"b", b"c"):
        world.change(name)
    assert set(world.publish(9)) == {b"a", b"b", b"c"}
    world.change(b"b")
    world.at_ms += DAY
    assert world.publish(9) == [b"b"]
    world.at_ms += ALL_EVERY
    assert set(world.publish(9)) == {b"a", b"b", b"c"}
    assert world.publish(9, patience=True) == []


def test_after_a_crash_only_who_was_not_told_of_is() -> None:
    """The progress names offsets; whoever has seen more than those is owed a profile."""
    world = Partition()
    for name in (b"a", b"b", b"c"):
        world.change(name)
    world.publish(9)
    world.publish(9)
    world.change(b"b")
    world.owed = world.begin()
    assert world.publish(9) == [b"b"]


def test_a_profile_fits_the_contract_and_a_missing_customer_is_removed() -> None:
    """What goes out is what schemas/json says, with everything named that the events named."""
    log = place(
        [
            ("t", touch("a", T0, "purchase", value=20, currency="EUR", touchpoint="shop", stage="engage")),
            ("t", touch("b", T0 + DAY, "ticket_opened", ref="T-1", channel="chat", region="it")),
            ("t", touch("c", T0 + DAY, "promise_made", ref="P-1", due_ms=T0 + 2 * DAY)),
            ("r", reply("d", T0 + 2 * DAY, "nps", 3.0, segment="vip")),
            ("r", reply("e", T0 + 3 * DAY, "nps", 9.0)),
        ]
    )
    customer, _ = run(log, CustomerConfig())
    found = profiled(b"ada", encode(customer), T0 + 4 * DAY, lambda _: CustomerConfig())
    assert found.payload is not None
    known = CustomerProfile.model_validate_json(found.payload)
    assert (known.segment, known.stage, known.channel, known.region) == ("vip", "engage", "chat", "it")
    assert known.touchpoints["shop"].events == 1
    assert known.scores["nps"].trend == 60.0
    assert known.promises_broken == 1
    assert [each.ref for each in known.tickets] == ["T-1"]
    assert (found.value_at_risk, found.currency) == (known.value_at_risk, "EUR")
    assert profiled(b"ada", None, T0, lambda _: CustomerConfig()).payload is None
    empty = Customer()
    fold(empty, log[0].event, "t", 0)
    assert profiled(b"bob", encode(Customer()), T0, lambda _: CustomerConfig()).payload is None
