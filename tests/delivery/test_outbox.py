"""What is owed: nothing is lost, nothing overtakes and nobody is hammered, whatever receivers do."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.delivery import outbox as module
from stream.delivery.outbox import REFUSALS, Outbox
from stream.delivery.reading import read_delivery
from stream.delivery.records import Outcome, Redrive
from stream.delivery.schedule import LONGEST_MS, delay_ms
from tests.delivery.events import START_MS, event

if TYPE_CHECKING:
    from stream.delivery.line import Parcel
    from stream.delivery.model import DeliveryPlan

DELIVERED = Outcome("delivered")
FAILED = Outcome("failed", "http_503")
REFUSED = Outcome("refused", "http_400")
GONE = Outcome("gone", "http_410")
HOUR_MS = 3_600_000

PLAN = """
give_up_after: 2h
route:
  receiver: hook
  routes:
    - {matchers: {severity: critical}, receiver: both}
    - {matchers: {severity: info}, receiver: nobody}
receivers:
  - name: hook
    webhook_configs: [{url: https://hook.example.org}]
  - name: both
    webhook_configs: [{url: https://hook.example.org}]
    alertmanager_configs: [{url: https://am.example.org}]
  - name: nobody
"""


def plan(text: str = PLAN) -> DeliveryPlan:
    """The plan of the tests."""
    return read_delivery(text, "delivery.yml")


class World:
    """An outbox, its table and its clock."""

    def __init__(self, text: str = PLAN) -> None:
        self.plan = plan(text)
        self.table: dict[str, bytes] = {}
        self.now_ms = START_MS
        self.offset = -1
        self.box = Outbox(self.plan, "seed")

    def write(self, prefix: int | None = None) -> None:
        """Write what has changed, or only so many records of it."""
        for key, value in self.box.changes()[:prefix]:
            if value is None:
                self.table.pop(key.decode(), None)
            else:
                self.table[key.decode()] = value

    def restart(self, text: str | None = None) -> None:
        """Another process takes over from the table."""
        if text is not None:
            self.plan = plan(text)
        self.box = Outbox(self.plan, "seed")
        for key, value in self.table.items():
            self.box.restore(key, value)
        self.box.ready(self.now_ms)

    def tell(self, name: str = "a", told_ms: int | None = None, **given: Any) -> Any:
        """An alert comes."""
        self.offset += 1
        at_ms = self.now_ms if told_ms is None else told_ms
        verdict = self.box.take(self.offset, at_ms, event(name, **given), self.now_ms)
        self.write()
        return verdict

    def due(self) -> list[Parcel]:
        """What is to be sent now."""
        return self.box.due(self.now_ms)

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """A request has ended."""
        self.box.settle(parcel, outcome, self.now_ms)
        self.write()

    def run(self, outcome: Outcome, until_ms: int) -> list[int]:
        """Answer everything the same way until then; the moments of the requests."""
        moments = []
        while self.now_ms <= until_ms:
            for parcel in self.due():
                moments.append(self.now_ms)
                self.settle(parcel, outcome)
            due_ms = self.box.next_ms(self.now_ms)
            if due_ms is None or due_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
        self.now_ms = max(self.now_ms, until_ms)
        return moments

    def redrive(self, **request: Any) -> int:
        """Somebody asks for it."""
        self.offset += 1
        found = self.box.redrive(self.offset, msgspec.json.encode(Redrive(**request)), self.now_ms)
        self.write()
        return found


def ids(parcel: Parcel) -> list[str]:
    """Of the alerts in a request."""
    return [json.loads(each)["id"] for each in parcel.events]


def test_an_alert_goes_where_routes_say_and_the_table_is_empty_after() -> None:
    """Each target gets it once; what is delivered is owed no more."""
    world = World()
    assert world.tell("x", severity="critical") == "routed"
    parcels = world.due()
    assert sorted(parcel.target.key for parcel in parcels) == ["both/alertmanager", "both/webhook"]
    for parcel in parcels:
        assert ids(parcel) == ["x"]
        world.settle(parcel, DELIVERED)
    assert not world.due()
    assert not [key for key in world.table if key.startswith("alert/")]
    assert world.tell("y", severity="info") == "unrouted"
    assert world.box.take(9, START_MS, b"{}", START_MS) == "unreadable"
    assert world.box.take(10, START_MS, None, START_MS) == "unreadable"


def test_what_is_told_again_after_a_crash_is_not_sent_again() -> None:
    """An event with a known id is left out, also by the next process; a record that is in is not looked at."""
    world = World()
    world.tell("x")
    world.run(DELIVERED, START_MS)
    world.restart()
    assert world.tell("x") == "repeated"
    assert world.box.take(0, START_MS, event("x"), START_MS) is None
    for number in range(module.IDS):
        world.tell(f"n{number}", fingerprint=f"f{number}")
    assert world.tell("x") == "routed"  # ids are kept for some time, not for ever


def test_old_alerts_are_left_out() -> None:
    """What was told longer ago than give_up_after, or is of longer ago than stale_after, is not sent."""
    world = World(PLAN + "stale_after: 6h\n")
    assert world.tell("x", told_ms=START_MS - 2 * HOUR_MS - 1) == "too_old"
    world.now_ms = START_MS + 6 * HOUR_MS
    assert world.tell("y", at_ms=START_MS) == "routed"
    world.now_ms += 1
    assert world.tell("z", at_ms=START_MS) == "stale"


def test_a_dead_receiver_is_asked_ever_less_often_and_gets_all_once_it_is_back() -> None:
    """Ten minutes of failures cost a handful of requests, not one per alert; then everything goes at once."""
    world = World()
    for number in range(500):
        world.tell(f"n{number}", fingerprint=f"f{number % 50}")
    asked = world.run(FAILED, START_MS + 600_000)
    assert 5 <= len(asked) <= 15
    waits = [after - before for before, after in pairwise(asked[4:])]
    assert all(later > sooner for sooner, later in pairwise(waits))
    got: list[str] = []
    due_ms = world.box.next_ms(world.now_ms)
    assert due_ms is not None
    world.now_ms = due_ms
    while parcels := world.due():
        for parcel in parcels:
            got += ids(parcel)
            world.settle(parcel, DELIVERED)
    assert sorted(got) == sorted(f"n{number}" for number in range(500))
    for mark in range(50):
        numbers = [int(name[1:]) for name in got if int(name[1:]) % 50 == mark]
        assert numbers == sorted(numbers)


def test_trouble_outlives_the_process() -> None:
    """Who takes over does not begin to hammer: the wait goes on where it was."""
    world = World()
    world.tell("x")
    world.run(FAILED, START_MS + 300_000)
    due_ms = world.box.next_ms(world.now_ms)
    world.restart()
    assert not world.due()
    assert world.box.next_ms(world.now_ms) == due_ms
    world.restart(PLAN.replace("hook.example.org", "new.example.org"))
    assert [ids(parcel) for parcel in world.due()] == [["x"]]  # another address is not in that trouble


def test_a_pause_that_is_asked_for_is_kept() -> None:
    """Retry-After lengthens the wait, and is not believed without bounds."""
    world = World()
    world.tell("x")
    (parcel,) = world.due()
    world.settle(parcel, Outcome("failed", "http_429", 600_000))
    assert world.box.next_ms(world.now_ms) == START_MS + 600_000
    world.now_ms += 600_000
    (parcel,) = world.due()
    world.settle(parcel, Outcome("failed", "http_429", 10**12))
    assert world.box.next_ms(world.now_ms) == world.now_ms + HOUR_MS


def test_what_cannot_be_delivered_is_parked_listed_and_redriven() -> None:
    """After give_up_after it is kept aside; a redrive owes it again, and asks the target at once."""
    world = World()
    world.tell("x")
    world.run(FAILED, START_MS + 3 * HOUR_MS)
    assert world.box.levels()["hook/webhook"][:2] == (0, 1)
    world.restart()
    assert world.redrive(target="other/webhook") == 0
    assert world.redrive(ids=["y"]) == 0
    assert world.redrive(target="hook/webhook", ids=["x"]) == 1
    (parcel,) = world.due()
    world.settle(parcel, DELIVERED)
    assert world.box.levels()["hook/webhook"] == (0, 0, None, True)


def test_what_a_receiver_does_not_want_does_not_hold_up_the_rest() -> None:
    """Refused a few times it is parked; others go meanwhile, and those of its fingerprint after it."""
    world = World()
    world.tell("bad", fingerprint="f1")
    world.tell("next", fingerprint="f1")
    world.tell("other", fingerprint="f2")
    got: list[str] = []
    tries = 0
    for _ in range(50):
        for parcel in world.due():
            (name,) = ids(parcel)
            tries += name == "bad"
            got += [] if name == "bad" else [name]
            world.settle(parcel, REFUSED if name == "bad" else DELIVERED)
        world.now_ms = world.box.next_ms(world.now_ms) or world.now_ms
    assert (tries, got) == (REFUSALS, ["other", "next"])
    assert world.box.levels()["hook/webhook"][:2] == (0, 1)


def test_410_disables_until_somebody_says_otherwise() -> None:
    """A receiver that is gone is not asked again, also by the next process; a redrive asks it once more."""
    world = World()
    world.tell("x")
    world.run(GONE, START_MS + HOUR_MS)
    world.tell("y")
    assert world.box.levels()["hook/webhook"] == (0, 2, None, False)
    world.restart()
    world.tell("z")
    assert not world.due()
    assert world.box.next_ms(world.now_ms) is None
    assert world.redrive() == 3
    assert len(world.run(DELIVERED, world.now_ms)) == 3


def test_a_receiver_that_left_the_file_leaves_its_alerts_parked() -> None:
    """What is owed to it is not lost: when it is back, a redrive sends it."""
    world = World()
    world.tell("x")
    world.restart("{receivers: [{name: nobody}], route: {receiver: nobody}}")
    world.write()
    world.restart(PLAN)
    assert not world.due()
    assert world.redrive() == 1
    assert [ids(parcel) for parcel in world.due()] == [["x"]]


def test_an_alertmanager_is_told_how_things_are() -> None:
    """Of a fingerprint only the newest is pushed; what fires is pushed again and again until it is over."""
    text = PLAN.replace("receiver: hook\n", "receiver: both\n", 1)
    world = World(text)

    def pushes() -> list[Parcel]:
        return [parcel for parcel in world.due() if parcel.target.kind == "alertmanager"]

    world.tell("fires", fingerprint="f1")
    (first,) = pushes()
    world.settle(first, FAILED)
    world.tell("worse", fingerprint="f1", state="amended")
    world.tell("single", fingerprint="f2", claim={"on": "reply"})
    world.now_ms += 5_000
    (second,) = pushes()
    assert ids(second) == ["single", "worse"] or ids(second) == ["worse", "single"]
    world.settle(second, DELIVERED)
    assert not pushes()
    world.restart()
    (again,) = pushes()
    assert (ids(again), again.offsets) == (["worse"], ())  # a single record does not last
    world.settle(again, DELIVERED)
    world.tell("over", fingerprint="f1", state="resolved", at_ms=world.now_ms)
    (last,) = pushes()
    world.settle(last, DELIVERED)
    world.now_ms += 10 * 60_000
    assert not pushes()
    assert not [key for key in world.table if key.startswith("held/")]


def test_one_that_an_alertmanager_refuses_does_not_take_others_along() -> None:
    """After a refusal those that went together go one by one."""
    world = World(PLAN.replace("receiver: hook\n", "receiver: both\n", 1))
    for name in ("bad", "good", "fine"):
        world.tell(name, fingerprint=name, claim={"on": "reply"})
    got = set()
    for _ in range(60):
        for parcel in world.due():
            if parcel.target.kind == "alertmanager" and "bad" in ids(parcel):
                world.settle(parcel, REFUSED)
            else:
                got |= set(ids(parcel))
                world.settle(parcel, DELIVERED)
        world.now_ms = world.box.next_ms(world.now_ms) or world.now_ms
    assert {"good", "fine"} <= got
    assert world.box.levels()["both/alertmanager"][:2] == (0, 1)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many alerts the longest parked are forgotten, then the longest owed; each is counted."""
    monkeypatch.setattr(module, "MOST", 10)
    world = World()
    for number in range(15):
        world.tell(f"n{number}", fingerprint=f"f{number}")
    assert len([key for key in world.table if key.startswith("alert/")]) == 10
    assert world.box.fates["hook/webhook", "lost"] == 5
    assert ids(world.due()[0]) == ["n5"]


def test_who_is_erased_is_forgotten() -> None:
    """Nothing owed, parked or pushed again is about them after it; who comes back later is somebody new."""
    gone: set[str] = set()
    world = World(PLAN.replace("receiver: hook\n", "receiver: both\n", 1))
    world.box = Outbox(world.plan, "seed", lambda name, at: name in gone and at < 3)
    world.tell("x", subject="customer:ada", fingerprint="f1")
    world.tell("y", subject="customer:bob", fingerprint="f2")
    under_way = world.due()
    gone.add("ada")
    assert world.box.forget() == 1
    world.write()
    assert "ada" not in str(world.table)
    for parcel in under_way:
        world.settle(parcel, DELIVERED)
    assert not [key for key in world.table if key.startswith("alert/")]
    gone.add("bob")
    assert "bob" in str(world.table)  # it fires in the Alertmanager
    world.box.forget()
    world.write()
    assert "bob" not in str(world.table)
    assert world.tell("z", subject="customer:ada") == "erased"
    assert world.tell("new", subject="customer:ada") == "routed"


def test_waits_grow_with_jitter() -> None:
    """Each wait is between half of its step and all of it; steps double up to a quarter of an hour."""
    for failures, step in enumerate([5, 10, 20, 40, 80, 160, 320, 640, 900, 900], 1):
        waits = {delay_ms(failures, f"seed {number}") for number in range(50)}
        assert all(step * 500 <= wait <= step * 1000 for wait in waits)
        assert len(waits) > 40
    assert delay_ms(10_000, "x") <= LONGEST_MS


class Story:
    """A log of alerts, an outbox that reads it, and a receiver; all of it may die at any record of the table."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.world = World()
        self.log: list[tuple[str, str]] = []
        self.committed = 0
        self.flying: list[Parcel] = []
        self.got: list[str] = []

    def tell(self, mark: int) -> None:
        """An alert is on the log."""
        self.log.append((f"n{len(self.log)}", f"f{mark}"))

    def take(self) -> None:
        """Take in what is beyond the committed offset; not written yet."""
        for at in range(self.committed, len(self.log)):
            name, mark = self.log[at]
            self.world.box.take(at, self.world.now_ms, event(name, fingerprint=mark), self.world.now_ms)

    def read(self, _: int = 0) -> None:
        """Take it in, durably; the commit may come later."""
        self.take()
        self.world.write()
        self.committed = self.rng.choice([self.committed, len(self.log)])

    def wait(self, ms: int) -> None:
        """Time goes on."""
        self.world.now_ms += ms

    def answer(self, outcome: Outcome) -> None:
        """One of the requests under way ends."""
        self.flying += self.world.due()
        if self.flying:
            parcel = self.flying.pop(self.rng.randrange(len(self.flying)))
            self.got += ids(parcel) if outcome.kind == "delivered" else []
            self.world.settle(parcel, outcome)

    def crash(self, prefix: int) -> None:
        """It dies while it writes; of requests under way some were delivered, and nobody heard of it."""
        self.take()
        for parcel in self.flying:
            if self.rng.random() < 0.5:
                self.got += ids(parcel)
                self.world.box.settle(parcel, DELIVERED, self.world.now_ms)
        self.flying = []
        self.world.write(prefix)
        self.world.restart()

    def end(self) -> None:
        """The receiver takes everything."""
        self.read()
        for _ in range(1_000):
            self.answer(DELIVERED)
            if not self.flying:
                due_ms = self.world.box.next_ms(self.world.now_ms)
                if due_ms is None:
                    return
                self.world.now_ms = due_ms


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(0, 3)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("answer"), st.sampled_from([DELIVERED, DELIVERED, FAILED, REFUSED])),
        st.tuples(st.just("wait"), st.integers(1, 40_000)),
        st.tuples(st.just("crash"), st.integers(0, 6)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(MOVES, st.integers(0, 2**31))
def test_whatever_happens_every_alert_arrives_or_is_parked(moves: list[tuple[str, Any]], seed: int) -> None:
    """All alerts are delivered or parked, those of one fingerprint in their order, wherever it crashes."""
    story = Story(seed)
    for move, what in moves:
        getattr(story, move)(what)
    story.end()
    parked = {
        entry.id
        for entry in story.world.box._entries.values()
        if all(tried.state == "parked" for tried in entry.to.values())
    }
    assert set(story.got) | parked == {name for name, _ in story.log}
    marks = dict(story.log)
    for mark in set(marks.values()):
        order = list(dict.fromkeys(int(name[1:]) for name in story.got if marks[name] == mark))
        assert order == sorted(order)
