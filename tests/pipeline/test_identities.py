"""Ids of one person in different partitions come to what one id would, through deaths at any moment."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from stream import topics
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS, decode
from stream.customers.ids import Ids, merged_into
from stream.customers.joining import note_alias
from stream.intake import partition_of
from stream.measures import METRICS, Groupings, PaneConfig, merge
from stream.measures.declare import Declarations
from stream.pipeline import CustomersChanges, CustomersPartition, PipelineConfig
from stream.pipeline.identities import MERGE_HEADER, PASSED_HEADER
from tests.customers.oracle import DAY, T0
from tests.customers.test_joining import CONFIG as CUSTOMERS
from tests.customers.test_joining import KINDS, what
from tests.pipeline.path import Stored, cut, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.claims import Claim
    from stream.measures import Stats
    from stream.pipeline.changes import Passed

PARTITIONS = 3
LATE_MS = 100 * DAY
#: Counted by id: who came, and who was won.
_BY_ID = ("customers", "acquired")
_METRICS = tuple(name for name in METRICS if name != "value_at_risk")
Table = dict[bytes, bytes]


def _config(
    late_ms: int = LATE_MS, rules: str = "groups: []\n", remembered: int = 1000
) -> tuple[PipelineConfig, CustomerRules]:
    book = load_rules(rules, "rules.yml", signals=SIGNALS)
    config = PipelineConfig(
        topics.INPUTS,
        PARTITIONS,
        Groupings(book.groupings, 4),
        declared=Declarations(metrics=_METRICS),
        panes=PaneConfig(lateness_ms=1000, late_horizon_ms=late_ms, max_ahead_ms=1000),
        customers=replace(CUSTOMERS, dedup_per_customer=remembered),
    )
    return config, CustomerRules(book)


class World:
    """All partitions of both inputs, and whatever workers would make durable and public.

    Args:
        config: what decides the outcome.
        rules: on customers.
    """

    def __init__(self, config: PipelineConfig, rules: CustomerRules) -> None:
        self.config, self.rules = config, rules
        self.logs: dict[tuple[str, int], list[Stored]] = {
            (topic, number): [] for topic in topics.INPUTS for number in range(PARTITIONS)
        }
        self.tables: list[tuple[Table, Table]] = [({}, {}) for _ in range(PARTITIONS)]
        self.claims: dict[str, Claim] = {}
        self.cells: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self.verdicts: Counter[str] = Counter()
        self.unpaired: Counter[str] = Counter()
        self.dead: list[Any] = []
        self.parts = [self._restored(number) for number in range(PARTITIONS)]

    def _restored(self, number: int) -> CustomersPartition:
        customers, panes = self.tables[number]
        return CustomersPartition(number, self.config, self.rules, dict(customers), dict(panes))

    def forget(self) -> None:
        """Lose everything but the inputs: a replay."""
        self.__dict__.update({**World(self.config, self.rules).__dict__, "logs": self.logs})

    def append(self, topic: str, key: bytes, value: bytes, headers: Any = ()) -> None:
        """As a producer."""
        log = self.logs[topic, partition_of(key, PARTITIONS)]
        log.append(Stored(len(log), 2_000_000_000_000, key, value, tuple(headers)))

    def send(self, *events: dict[str, Any]) -> None:
        """Events as producers send them."""
        for each in events:
            topic = topics.REPLIES if "metric" in each else topics.TOUCHPOINTS
            self.append(topic, each["customer_id"].encode(), json.dumps(each).encode())

    def step(self, number: int, most: Callable[[], int], rng: Random | None = None) -> bool:
        """Let a partition take in some of what is there; with ``rng`` its worker may die anywhere on the way."""
        part = self.parts[number]
        batches = []
        for topic in topics.INPUTS:
            read = part.panes[topic].offset + 1
            log = self.logs[topic, number]
            if read < len(log):
                batches.append((topic, log[read : read + most()]))
        if not batches:
            return False
        changes = part.run(batches)
        dies = rng is not None and rng.random() < 0.3
        self._settle(number, changes, rng if dies else None)
        if dies:
            self.parts[number] = self._restored(number)
        return True

    def _settle(self, number: int, changes: CustomersChanges, rng: Random | None) -> None:
        """Publish and write: all of it or, with ``rng``, a beginning."""
        passed = changes.passed
        if rng is not None and rng.random() < 0.3:
            self._publish(passed[: rng.randrange(len(passed) + 1)])
            return
        self._publish(passed)
        self.claims |= {claim.id: claim for claim in changes.claims}
        for partial in changes.partials:
            at = (partial.slice_key, partial.source, partial.pane, partial.known)
            if partial.version >= self.cells.get(at, (-1, None))[0]:
                self.cells[at] = (partial.version, partial.stats)
        customers, panes = self.tables[number]
        entries = [*changes.cells, *changes.sources]
        if rng is not None:
            whole = rng.random() < 0.5
            table = changes.customers if whole else cut(rng, changes.customers)
            written(customers, table)
            if len(table) == len(changes.customers):
                written(panes, cut(rng, entries))
            return
        written(customers, changes.customers)
        written(self.parts[number]._customers, changes.customers)  # type: ignore[arg-type] # the live table
        written(panes, entries)
        self.dead += changes.deadletters
        for (_, verdict), n in changes.verdicts.items():
            self.verdicts[verdict] += n
        self.unpaired.update(changes.unpaired)

    def _publish(self, passed: list[Passed]) -> None:
        for each in passed:
            self.append(each.topic, each.key, each.value, each.headers)

    def settle(self, rng: Random | None = None, *, deaths: bool = False) -> None:
        """Until nothing is left to take in."""
        most = (lambda: 10_000) if rng is None else lambda: rng.randrange(1, 30)
        left = list(range(PARTITIONS))
        while left:
            number = left[0] if rng is None else rng.choice(left)
            if self.step(number, most, rng if deaths else None):
                left = list(range(PARTITIONS))
            else:
                left.remove(number)

    def customer(self, name: str) -> Any:
        """A customer of the tables."""
        return decode(self.tables[partition_of(name.encode(), PARTITIONS)][0][name.encode()])

    def people(self) -> dict[str, Any]:
        """What is known of everybody who was not merged into somebody."""
        found = {}
        for customers, _ in self.tables:
            for name, state in customers.items():
                customer = decode(state)
                if merged_into(customer) is None and customer.events:
                    found[name.decode()] = what(customer)
        return found

    def sums(self) -> dict[Any, Any]:
        """What all cells come to, whoever contributed and whenever."""
        panes: dict[Any, Stats] = {}
        for (name, _, pane, _), (_, stats) in self.cells.items():
            held = {key: vec for key, vec in dict(stats).items() if key.split("|")[0] not in _BY_ID}
            merge(panes.setdefault((name, pane), {}), held)
        return {
            (*at, key): tuple(vec) for at, stats in panes.items() for key, vec in stats.items() if any(vec)
        }


def traffic(rng: Random, people: int = 4, size: int = 250) -> list[dict[str, Any]]:
    """Records of people with several ids, in order of time; each id but the first is identified some time.

    Ids of a person are merged in the order of a chain or of a star.
    """
    ids = {person: [f"p{person}-{n}" for n in range(rng.randint(1, 4))] for person in range(people)}
    found = []
    for number in range(size):
        person = rng.randrange(people)
        record: dict[str, Any] = {
            "event_id": f"e{number}",
            "customer_id": rng.choice(ids[person]),
            "occurred_at": T0 + number * 40_000,
            "segment": rng.choice(["vip", "new", None]),
            "channel": rng.choice(["web", None]),
        }
        if rng.random() < 0.3:
            record |= {"metric": rng.choice(["nps", "csat"]), "score": rng.randint(1, 5)}
        else:
            record |= {
                "kind": rng.choice(KINDS),
                "ref": rng.choice([None, "r1", "r2"]),
                "value": rng.choice([None, 4.5]),
                "currency": "EUR",
                "touchpoint": rng.choice(["home", "till"]),
            }
        found.append(record)
    for person, names in ids.items():
        chain = rng.random() < 0.5
        for n, name in enumerate(names[1:], 1):
            at = rng.randrange(size)
            identified = {
                "event_id": f"i{name}",
                "customer_id": names[n - 1] if chain else names[0],
                "occurred_at": T0 + at * 40_000 + 1 + person,
                "kind": "identified",
                "attributes": {"alias": name},
            }
            found.append(identified)
    return sorted(found, key=lambda each: each["occurred_at"])


def as_one(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with one id a person, and nothing to identify."""
    found = []
    for each in events:
        kind = "was_identified" if each.get("kind") == "identified" else each.get("kind")
        one = {**each, "customer_id": each["customer_id"].split("-")[0] + "-0", "kind": kind}
        found.append({key: value for key, value in one.items() if value is not None})
    return found


@pytest.mark.parametrize("deaths", [False, True])
@pytest.mark.parametrize("seed", range(int(__import__("os").environ.get("SEEDS", "12"))))
def test_several_ids_come_to_what_one_would(seed: int, deaths: bool) -> None:
    """However partitions take turns, batches are cut and workers die: people and measures are those of one id."""
    rng = Random(seed)
    events = traffic(rng)
    whole = World(*_config())
    whole.send(*as_one(events))
    whole.settle()
    merged = World(*_config())
    for each in events:
        merged.send(each)
        if rng.random() < 0.3:
            merged.step(rng.randrange(PARTITIONS), lambda: rng.randrange(1, 30), rng if deaths else None)
    merged.settle(rng, deaths=deaths)
    assert merged.people() == whole.people()
    assert merged.sums() == whole.sums()
    assert not merged.dead
    people, sums = merged.people(), merged.sums()
    merged.forget()  # all that workers have sent is on the logs, and comes once more
    merged.settle(rng, deaths=deaths)
    assert merged.people() == people
    assert merged.sums() == sums


def _touch(who: str, number: int, kind: str = "session_started", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"{who}{number}",
        "customer_id": who,
        "occurred_at": T0 + number * 1000,
        "kind": kind,
        **fields,
    }


def _identified(who: str, alias: object, number: int) -> dict[str, Any]:
    return {
        **_touch(who, number, "identified", attributes={"alias": alias}),
        "event_id": f"i{who}-{number}",
    }


def test_a_mark_stays_and_records_go_on() -> None:
    """The alias keeps where it went; the id that stays knows its aliases; later records end at both."""
    world = World(*_config())
    world.send(_touch("anon", 1), _touch("eva", 2), _identified("eva", "anon", 3))
    world.settle()
    world.send(_touch("anon", 4), _touch("anon", 4), _touch("anon", 5))
    world.settle()
    anon, eva = world.customer("anon"), world.customer("eva")
    assert merged_into(anon) == "eva"
    assert anon.events == 0
    assert eva.known.ids == Ids(aliases={"anon": (2, 0, True)})
    assert eva.events == 5
    assert +world.verdicts == {"applied": 8, "forwarded": 2, "duplicate": 1}


def test_repetitions_are_known_however_many() -> None:
    """What is passed on once more, as after a crash, is known by its number: event ids are soon forgotten."""
    world = World(*_config(remembered=2))
    world.send(_identified("eva", "anon", 0))
    world.settle()
    replies = [
        {"event_id": f"r{n}", "customer_id": "anon", "occurred_at": T0 + n, "metric": "nps", "score": 9}
        for n in range(20)
    ]
    world.send(*replies, *(_touch("anon", n) for n in range(20)))
    world.settle()
    assert world.customer("eva").events == 41
    world.forget()
    world.settle()
    assert world.customer("eva").events == 41


def test_what_came_before_is_not_counted_again() -> None:
    """An event that the alias had and the person sends again is the same event."""
    world = World(*_config())
    world.send(_touch("anon", 1), _identified("eva", "anon", 2))
    world.settle()
    world.send({**_touch("anon", 1), "customer_id": "eva"})
    world.settle()
    assert world.customer("eva").events == 2


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([_identified("a", "a", 1)], "alias_is_itself"),
        ([_identified("a", "", 1)], "bad_alias"),
        ([_identified("a", 7, 1)], "bad_alias"),
        ([_identified("a", "x" * 257, 1)], "bad_alias"),
        ([_touch("a", 1, "identified")], "bad_alias"),
        ([_identified("a", "z", 1), None, _identified("b", "z", 2)], "alias_elsewhere"),
        ([_identified("a", "b", 1), None, _identified("b", "a", 2)], "alias_is_itself"),
        (
            [_identified("a", "b", 1), None, _identified("b", "c", 2), None, _identified("c", "a", 3)],
            "alias_is_itself",
        ),
    ],
)
def test_what_cannot_be_merged_is_counted(events: list[Any], reason: str) -> None:
    """An id with itself, one merged elsewhere, a ring and no id at all are refused, with a reason."""
    world = World(*_config())
    for each in events:
        if each is None:
            world.settle()
        else:
            world.send(each)
    world.settle()
    assert +world.unpaired == {reason: 1}
    for name in ("a", "b", "c"):
        customers = world.tables[partition_of(name.encode(), PARTITIONS)][0]
        if name.encode() in customers:
            assert merged_into(decode(customers[name.encode()])) in {None, "a"}


def test_the_same_again_is_nothing_new() -> None:
    """Two ids that are known to be one are told so again: nothing is sent, nothing refused."""
    world = World(*_config())
    world.send(_identified("a", "b", 1))
    world.settle()
    ends = {source: len(log) for source, log in world.logs.items()}
    world.send(_identified("a", "b", 2))
    world.settle()
    assert sum(map(len, world.logs.values())) == sum(ends.values()) + 1
    assert not +world.unpaired


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ring", [2, 3])
def test_a_ring_declared_at_one_moment_comes_to_rest(seed: int, ring: int) -> None:
    """Ids merged into each other at the same time go round no more than once, and no history is lost."""
    world = World(*_config())
    names = [f"ring{n}" for n in range(ring)]
    for n, name in enumerate(names):
        world.send(_touch(name, n, "purchase"), _identified(name, names[(n + 1) % ring], 10 + n))
    world.settle(Random(seed))
    assert sum(world.customer(name).purchases for name in names) == ring
    assert sum(map(len, world.logs.values())) < 40


def test_what_is_passed_on_is_never_too_late() -> None:
    """It was in time where it came in; how far the other partition is decides nothing."""
    world = World(*_config(late_ms=0))
    names = iter(f"n{n}" for n in range(100))
    other = next(name for name in names if partition_of(name.encode(), 3) != partition_of(b"anon", 3))
    world.send(_identified(other, "anon", 1))
    world.settle()
    world.send(_touch(other, 10_000), _touch("anon", 5, "purchase"))
    world.settle()
    assert world.customer(other).purchases == 1
    assert not world.dead


def test_a_kind_is_but_a_kind_without_the_worker_s_header() -> None:
    """Nobody merges ids by sending what workers send to each other."""
    world = World(*_config())
    world.send(_touch("a", 1), _touch("a", 2, "aliased", attributes={"to": "b"}))
    world.send(_touch("b", 3, "joined", attributes={"alias": "a"}))
    world.settle()
    assert merged_into(world.customer("a")) is None
    assert world.customer("a").events == 2
    assert {name for log in world.logs.values() for each in log for name, _ in each.headers} == set()


@pytest.mark.parametrize(
    "header",
    [
        (PASSED_HEADER, b""),
        (PASSED_HEADER, b"x anon"),
        (PASSED_HEADER, b"1 \xff"),
        (PASSED_HEADER, None),
        (MERGE_HEADER, b"\xff"),
        (MERGE_HEADER, None),
    ],
)
@pytest.mark.parametrize("kind", ["session_started", "aliased", "joined"])
def test_headers_that_make_no_sense_stop_nothing(kind: str, header: tuple[str, Any]) -> None:
    """A record with a broken header of ours is taken in, and the partition goes on."""
    world = World(*_config())
    record = json.dumps(_touch("a", 1, kind, attributes={"alias": "b"})).encode()
    world.append(topics.TOUCHPOINTS, b"a", record, [header])
    world.append(topics.TOUCHPOINTS, b"\xff", record, [header])
    world.send(_touch("a", 2))
    world.settle()
    assert world.customer("a").events >= 1
    assert merged_into(world.customer("a")) is None


EXPECT = """
groups:
  - name: promises
    rules:
      - alert: Forgotten
        expect: {after: {kind: promise_made}, then: {kind: promise_kept}, same: ref, within: 10m}
        severity: warning
"""


@pytest.mark.parametrize("kept_by", [None, "anon", "eva"])
def test_an_open_expectation_goes_on_at_the_id_that_stays(kept_by: str | None) -> None:
    """What the alias was promised is due for the person: kept under either id it is kept, else missed once."""
    world = World(*_config(rules=EXPECT))
    world.send(_touch("anon", 1, "promise_made", ref="p"), _identified("eva", "anon", 2))
    world.settle()
    if kept_by is not None:
        world.send(_touch(kept_by, 60, "promise_kept", ref="p"))
        world.settle()
    names = ["anon", "eva", *(f"tick{n}" for n in range(30))]
    world.send(*(_touch(name, 3600 + n) for n, name in enumerate(names)))
    replies = [
        {"event_id": f"r{n}", "customer_id": name, "occurred_at": T0 + 3_700_000, "metric": "nps", "score": 9}
        for n, name in enumerate(names)
    ]
    world.send(*replies)
    world.settle()
    subjects = [claim.subject for claim in world.claims.values()]
    assert subjects == ([] if kept_by else ["customer:eva"])


def test_headers_are_those_of_the_page() -> None:
    """What a record of a merged id carries is part of the contract of the inputs."""
    world = World(*_config())
    world.send(_identified("eva", "anon", 1))
    world.settle()
    world.append(topics.TOUCHPOINTS, b"anon", json.dumps(_touch("anon", 2)).encode(), [("trace", b"x")])
    world.settle()
    log = world.logs[topics.TOUCHPOINTS, partition_of(b"eva", PARTITIONS)]
    found = [each for each in log if each.key == b"eva"]
    assert found[-1].headers == (("trace", b"x"), (PASSED_HEADER, b"1 anon"))
    assert [name for name, _ in found[-2].headers] == [MERGE_HEADER]
    assert json.loads(found[-1].value or b"")["customer_id"] == "anon"
    note_alias(customer := world.customer("eva"), "anon")
    assert customer.known.ids.aliases == {"anon": (1, 0, True)}
