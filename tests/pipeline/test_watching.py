"""Rules over time on a partition: against the definitions over the whole history, in any order, cut and crash."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from stream import topics
from stream.alerting.compiled import compiled
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.events import encode_event
from stream.alerting.histories import MOST_MOMENTS
from stream.alerting.model import SequenceRule
from stream.alerting.rules import RuleBook, load_rules
from stream.alerting.sequences import NOTHING_HELD
from stream.customers import SIGNALS, CustomerConfig, decode
from stream.measures import Groupings, PaneConfig
from stream.measures.declare import Declarations
from stream.pipeline import CustomersChanges, CustomersPartition, PipelineConfig
from stream.pipeline.customers import AT_ONCE
from tests.pipeline.path import Stored

if TYPE_CHECKING:
    from stream.alerting.claims import Claim

T0 = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
LATE_MS = HOUR
FAR_MS = T0 + 400 * HOUR  # more looks than are done at once
HISTORIES = """
groups:
  - name: g
    rules:
      - {alert: Unanswered, expect: {after: {kind: opened}, then: {kind: resolved}, same: ref, within: 20m}}
      - {alert: NotAgain, expect: {after: {kind: bought}, then: {kind: bought}, within: 30m},
         annotations: {summary: "{customer} of {segment} bought nothing in {within}"}}
      - {alert: Left, sequence: {steps: [{kind: opened}, {on: reply, score: {lte: 3}}], unless: {kind: bought},
         within: 40m}}
      - {alert: Twice, sequence: {steps: [{kind: opened}, {kind: bought}], within: 10m}}
      - {alert: Thrice, count: {of: {kind: opened, segment: gold}, at_least: 3, within: 25m}}
"""
HYGIENE = """
contact: {per_customer: 2, within: 2h, quiet_hours: ["16:00", "17:30"], time_zone: Europe/Rome}
hold_out: {share: 0.3}
silences:
  - {matchers: {alertname: Twice}, starts_at: 2025-06-15T15:30:00Z, ends_at: 2025-06-15T16:00:00Z,
     author: a, comment: c}
groups:
  - name: g
    rules:
      - {alert: Unanswered, expect: {after: {kind: opened}, then: {kind: resolved}, same: ref, within: 20m},
         action: {type: call, within: 1h}, cooldown: 30m, limit: {alerts: 2, per: 1h}}
      - {alert: Left, sequence: {steps: [{kind: opened}, {on: reply, score: {lte: 3}}], unless: {kind: bought},
         within: 40m}, action: {type: call}}
      - {alert: Twice, sequence: {steps: [{kind: opened}, {kind: bought}], within: 10m}}
      - {alert: Thrice, count: {of: {kind: opened}, at_least: 3, within: 25m}, cooldown: 1h}
      - {alert: Quiet, customer: {days_since_last: {gte: 0.05}}, every: 1h}
      - {alert: Sad, customer: {last_nps: {lte: 3}}, action: {type: call}}
      - {alert: Low, on: reply, when: {score: {lte: 2}}, action: {type: write}, limit: {alerts: 3, per: 30m}}
      - {alert: Gold, on: touchpoint, when: {segment: gold}, cooldown: 20m}
"""
OTHER = """
contact: {per_customer: 1, within: 1h}
groups:
  - name: g
    rules:
      - {alert: Unanswered, expect: {after: {kind: opened}, then: {kind: resolved}, same: ref, within: 20m},
         limit: {alerts: 3, per: 30m}, severity: critical}
      - {alert: Twice, sequence: {steps: [{kind: opened}, {kind: bought}], within: 10m}, action: {type: call}}
      - {alert: Quiet, customer: {days_since_last: {gte: 0.05}}, every: 20m, limit: {alerts: 1, per: 1h}}
      - {alert: Between, customer: {days_since_first: {gte: 0.05, lte: 0.08}}, every: 10m, action: {type: call}}
      - {alert: Low, on: reply, when: {score: {lte: 2}}, action: {type: write}}
"""
NONE = "groups: []"
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def book(text: str) -> RuleBook:
    """Rules, with the signals there are."""
    return load_rules(text, "rules.yml", signals=SIGNALS)


def config(partitions: int = 1) -> PipelineConfig:
    """A deployment that computes nothing but what rules on customers look at."""
    return PipelineConfig(
        topics.INPUTS,
        partitions,
        Groupings((), 4),
        panes=PaneConfig(lateness_ms=30 * SECOND, late_horizon_ms=LATE_MS, max_ahead_ms=MINUTE),
        customers=CustomerConfig(dedup_horizon_ms=1000 * HOUR, dedup_per_customer=1000),
        declared=Declarations(metrics=()),
    )


CONFIG = config()
Logs = dict[str, list[Stored]]


def logs(rng: Random, size: int) -> Logs:
    """Both topics: bursts and gaps, stragglers within reach, and repeats."""
    found: Logs = {}
    for topic in topics.INPUTS:
        now, log = T0, list[Stored]()
        for offset in range(size):
            now += rng.choice([0, SECOND, MINUTE, 3 * MINUTE, 5 * MINUTE])
            if log and rng.random() < 0.1:
                log.append(rng.choice(log)._replace(offset=offset, timestamp=now))
                continue
            made: dict[str, Any] = {
                "event_id": f"{topic}-{offset}",
                "customer_id": f"c{rng.randrange(3)}",
                "occurred_at": max(T0, now - rng.choice([0, 0, 0, MINUTE, 25 * MINUTE, 50 * MINUTE])),
                "segment": rng.choice(["gold", "tin"]),
            }
            if rng.random() < 0.2:
                made |= {"metric": "nps", "score": rng.randrange(6)}
            else:
                made["kind"] = rng.choice(["opened", "opened", "resolved", "bought"])
                made["ref"] = rng.choice(["x", "y", None])
            key = made["customer_id"].encode()
            log.append(Stored(offset, now, key, json.dumps(made).encode()))
        found[topic] = log
    return found


class Run:
    """A partition over logs, cut anywhere, dying anywhere; at last all is idle and time goes far on."""

    def __init__(self, inputs: Logs, rules: str, rng: Random, deaths: float = 0.0) -> None:
        self.inputs, self.rng, self.deaths = inputs, rng, deaths
        self.versions: list[tuple[int, RuleBook]] = []
        #: Whether versions are known from the start, as on a replay, or come when their moment does.
        self.foreseen = True
        self.heard_ms = 0
        #: All is idle for a while when so many records of each topic are in, and it is that late.
        self.pause: tuple[int, int] | None = None
        self.rules = CustomerRules.of(book(rules))
        self.claims: list[Claim] = []
        self.known: dict[str, bytes] = {}
        self.customers: dict[bytes, bytes] = {}
        self.panes: dict[bytes, bytes] = {}
        self.handed = dict.fromkeys(inputs, 0)
        self.refused: set[tuple[str, int]] = set()

    def go(self) -> Run:
        """To the end."""
        self._restore()
        if self.pause is not None:
            records, now_ms = self.pause
            self._take(records)
            self._rest(now_ms)
            self.part.run([(topic, []) for topic in self.inputs])  # awake again
        self._take()
        for now_ms in (FAR_MS - HOUR, FAR_MS):
            self._rest(now_ms)
        return self

    def net(self) -> set[tuple[str, str, int, int | None]]:
        """What stands in the end: rule, fingerprint, since when, and its end."""
        standing: dict[tuple[str, str, int], int | None] = {}
        for claim in self.claims:
            at = (claim.alert, claim.fingerprint, claim.starts_at_ms)
            if claim.state == "withdrawn":
                del standing[at]
            else:
                assert (claim.state == "firing") == (at not in standing), claim
                standing[at] = claim.ends_at_ms
        return {(*at, end) for at, end in standing.items()}

    def _restore(self) -> None:
        self.live = dict(self.customers)
        self.part = CustomersPartition(0, CONFIG, self.rules, self.live, dict(self.panes))
        for from_ms, rules in self.versions:
            if self.foreseen or from_ms <= self.heard_ms:
                self.part.swap(rules, from_ms)

    def _hear(self, until_ms: int) -> None:
        """Versions come, up to those that hold from this moment on."""
        for from_ms, rules in self.versions:
            if not self.foreseen and self.heard_ms < from_ms <= until_ms:
                self.part.swap(rules, from_ms)
        self.heard_ms = max(self.heard_ms, until_ms)

    def _take(self, most: int | None = None) -> None:
        """Take in all records, or so many of each topic."""
        logs = {topic: log[:most] for topic, log in self.inputs.items()}
        while any(self.handed[topic] < len(log) for topic, log in logs.items()):
            self._round(logs)

    def _round(self, logs: Logs) -> None:
        batches, waiting = [], []
        for topic, log in logs.items():
            at = self.handed[topic]
            batch = log[at : at + self.rng.choice([0, 1, 3, 10, 40])]
            if batch:
                batches.append((topic, batch))
            if at + len(batch) < len(log):
                waiting.append(topic)
            self._hear(max([0, *(record.timestamp for record in batch)]))
        if self._end(self.part.run(batches, waiting)):
            for topic, batch in batches:
                self.handed[topic] += len(batch)
            return
        for topic in self.handed:
            self.handed[topic] = max(0, self.part.panes[topic].offset + 1 - self.rng.randrange(3))

    def _rest(self, now_ms: int) -> None:
        """All topics are idle, and it is this late."""
        self._hear(now_ms)
        alive = False
        while not alive or self.part.overdue:
            if not alive:
                for topic in self.inputs:
                    self.part.idle(topic)
                self.part.tick(now_ms)
            alive = self._end(self.part.run([]))

    def _end(self, changes: CustomersChanges) -> bool:
        """Make a run durable, or die somewhere on the way and start again."""
        panes = [*changes.cells, *changes.sources]
        if self.rng.random() >= self.deaths:
            self._publish(changes)
            for table, entries in ((self.customers, changes.customers), (self.live, changes.customers)):
                table.update(entries)  # type: ignore[arg-type]
            self._write(self.panes, panes)
            return True
        if self.rng.random() < 0.7:
            self._publish(changes)
            part = self.rng.randint(0, len(changes.customers))
            self.customers.update(changes.customers[:part])  # type: ignore[arg-type]
            if part == len(changes.customers):
                self._write(self.panes, panes[: self.rng.randint(0, len(panes))])
        self._restore()
        return False

    def _write(self, table: dict[bytes, bytes], entries: list[Any]) -> None:
        for key, value in entries:
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value

    def _publish(self, changes: CustomersChanges) -> None:
        self.refused |= {(dead.topic, dead.record.offset) for dead in changes.deadletters}
        for claim in changes.claims:
            event = encode_event(claim)
            if self.known.setdefault(claim.id, event) != event:
                pytest.fail(f"one id, two alerts: {self.known[claim.id]!r} {event!r}")
            if claim not in self.claims:
                self.claims.append(claim)


def truth(run: Run) -> set[tuple[str, int, int | None]]:
    """What the whole history of each customer comes to: rule, since when, and its end."""
    events: dict[str, dict[str, Any]] = {}
    for topic, log in run.inputs.items():
        for record in log:
            if (topic, record.offset) not in run.refused:
                made = json.loads(record.value or b"")
                events.setdefault(made["event_id"], made)
    found = set()
    for rule in book(HISTORIES).history_rules:
        assert not hasattr(rule, "every_ms")
        history = compiled(rule)  # type: ignore[arg-type]
        patterns = [rule.of] if not isinstance(rule, SequenceRule) else [*rule.steps]  # type: ignore[union-attr]
        patterns += [rule.unless] if isinstance(rule, SequenceRule) and rule.unless is not None else []
        by_key: dict[tuple[str, str], list[Any]] = {}
        for made in events.values():
            sorts = sum(1 << bit for bit, pattern in enumerate(patterns) if _is(made, pattern))
            ref = made.get("ref") if history.same_ref else ""
            if sorts and ref is not None:
                moment = (made["occurred_at"], sorts, made["event_id"] if sorts & 1 else "", 0, ())
                by_key.setdefault((made["customer_id"], ref), []).append(moment)
        for moments in by_key.values():
            for one in history.walk(NOTHING_HELD, sorted(moments))[0]:
                found.add((rule.alert, one.at_ms, None if one.end_ms < 0 else one.end_ms))
    return found


def _is(made: dict[str, Any], pattern: Any) -> bool:
    if (pattern.on == "reply") != ("metric" in made):
        return False
    return all(
        made.get(test.field, 99) <= test.operand if test.op == "lte" else made.get(test.field) == test.operand
        for test in pattern.tests
    )


@QUIET
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_what_stands_in_the_end_is_what_the_whole_history_comes_to(seed: int, size: int) -> None:
    """In whatever order records come, late or twice, and however they are cut: told and taken back, it adds up."""
    run = Run(logs(Random(seed), size), HISTORIES, Random(seed)).go()
    assert {(alert, at, end) for alert, _, at, end in run.net()} == truth(run)


@QUIET
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_cuts_and_crashes_change_nothing(seed: int, size: int) -> None:
    """With caps, quiet hours, limits, silences and cooldowns too: the same alerts to the byte, once each."""
    inputs = logs(Random(seed), size)
    straight = Run(inputs, HYGIENE, Random(seed)).go()
    dying = Run(inputs, HYGIENE, Random(seed + 1), deaths=0.3).go()
    assert dying.known == straight.known
    assert dying.customers == straight.customers


BOOKS = [book(text) for text in (HISTORIES, HYGIENE, OTHER, NONE)]
CHANGING = settings(QUIET, max_examples=60)
Versions = list[tuple[int, int]]
"""Minute from which on rules hold, and the number of their book."""


def changing(
    seed: int, size: int, versions: Versions, deaths: float = 0.0, *, foreseen: bool = True, late: int = 0
) -> Run:
    """Under rules that change; ``late``: in the middle all is idle, so many minutes after the last record."""
    inputs = logs(Random(seed), size)
    run = Run(inputs, HYGIENE, Random(seed + (deaths > 0)), deaths)
    run.versions = [(T0 + minute * MINUTE, BOOKS[number]) for minute, number in versions]
    run.foreseen = foreseen
    if late:
        newest_ms = max(record.timestamp for log in inputs.values() for record in log[: size // 2 + 1])
        run.pause = size // 2 + 1, newest_ms + late * MINUTE
    return run.go()


VERSIONS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3)), max_size=4, unique_by=lambda one: one[0]
)


@CHANGING
@given(st.integers(0, 2**32), st.integers(1, 60), VERSIONS, st.one_of(st.just(0), st.integers(1, 200)))
# A worker that starts while all is idle: versions and timers since what is durable come one after the other.
@example(1903307873, 30, [(97, 0), (2, 1)], 0)
@example(3635820560, 53, [(134, 0), (17, 1)], 0)
@example(951923818, 54, [(165, 0), (6, 1)], 0)
@example(3542978074, 34, [(90, 0), (65, 1)], 0)
# Looks at signals begin at the version's moment, though time has jumped beyond it.
@example(2936177198, 57, [(103, 0), (114, 1)], 0)
@example(2161733059, 48, [(84, 0), (105, 1)], 0)
@example(708452615, 45, [(107, 0), (162, 1)], 0)
@example(3881695639, 52, [(87, 0), (92, 1)], 0)
# A limit is that of the alert's own moment, and two limits of one name count for themselves.
@example(190982095, 59, [(13, 0), (88, 1)], 0)
@example(4030036986, 41, [(31, 0), (80, 1)], 0)
@example(2995032295, 36, [(188, 3), (153, 1), (34, 2), (142, 1)], 0)
# After an idle time the clock does not go back, and what is late has its stretches still.
@example(3160687893, 31, [], 200)
# Of two topics the panes of one are durable, of the other not.
@example(3080806857, 47, [(119, 0), (107, 0)], 0)
def test_rules_that_change_change_at_their_moment(
    seed: int, size: int, versions: Versions, late: int
) -> None:
    """Swapped rules judge from a moment of event time on, whatever the cuts and crashes, and idle times."""
    straight = changing(seed, size, versions, late=late)
    dying = changing(seed, size, versions, 0.3, late=late)
    assert dying.known == straight.known
    assert dying.customers == straight.customers


@CHANGING
@given(st.integers(0, 2**32), st.integers(1, 60), VERSIONS)
# Rules that are gone for one version and back with the next; what was due of them once held the worker for ever.
@example(647892279, 42, [(12, 0), (18, 1), (137, 0)])
@example(1999951809, 33, [(150, 1), (48, 0), (47, 0)])
def test_a_replay_knows_later_rules_and_tells_the_same(seed: int, size: int, versions: Versions) -> None:
    """Versions that are known from the start, as after a restart, tell the same as when they came one by one."""
    assert changing(seed, size, versions).known == changing(seed, size, versions, foreseen=False).known


def test_moments_are_bounded() -> None:
    """A customer with more records than are held is summed up, and what is due is not lost."""
    log = [
        Stored(
            n,
            T0 + n,
            b"c",
            json.dumps(
                {"event_id": f"e{n}", "customer_id": "c", "occurred_at": T0 + n, "kind": "bought"}
            ).encode(),
        )
        for n in range(10 * MOST_MOMENTS)
    ]
    run = Run({topics.TOUCHPOINTS: log, topics.REPLIES: []}, HISTORIES, Random(0)).go()
    assert [(claim.alert, claim.as_of_ms) for claim in run.claims] == [
        ("NotAgain", T0 + 10 * MOST_MOMENTS - 1 + 30 * MINUTE)
    ]
    assert run.claims[0].annotations == {"summary": "c of unknown bought nothing in 30m"}
    assert len(run.live[b"c"]) < 64 * MOST_MOMENTS + 30_000


def touchpoints(*events: tuple[int, str, str]) -> list[Stored]:
    """A log of minute, kind and reference, all of one customer."""
    return [
        Stored(
            n,
            T0 + minute * MINUTE,
            b"c",
            json.dumps(
                {
                    "event_id": f"e{n}",
                    "customer_id": "c",
                    "occurred_at": T0 + minute * MINUTE,
                    "kind": kind,
                    "ref": ref,
                }
            ).encode(),
        )
        for n, (minute, kind, ref) in enumerate(events)
    ]


def told(changes: CustomersChanges) -> list[tuple[str, str, int]]:
    """Rule, state and minute of each claim."""
    return [(claim.alert, claim.state, (claim.as_of_ms - T0) // MINUTE) for claim in changes.claims]


def partition(tables: tuple[dict[bytes, bytes], dict[bytes, bytes]]) -> CustomersPartition:
    """One under the rules of the histories, restored from its tables."""
    return CustomersPartition(0, CONFIG, CustomerRules(book(HISTORIES)), tables[0], tables[1])


def test_time_goes_on_where_nothing_is_sent() -> None:
    """A topic that may still send holds the deadline; an idle one does not; with all idle the present counts."""
    first, later = touchpoints((0, "opened", "x"), (60, "other", "x"))
    table: dict[bytes, bytes] = {}
    part = partition((table, {}))
    changes = part.run([(topics.TOUCHPOINTS, [first, later])])
    assert told(changes) == []
    table.update(changes.customers)  # type: ignore[arg-type]
    part.idle(topics.REPLIES)
    changes = part.run([])
    assert told(changes) == [("Unanswered", "firing", 20)]
    table.update(changes.customers)  # type: ignore[arg-type]
    assert told(part.run([])) == []

    table = {}
    part = partition((table, {}))
    table.update(part.run([(topics.TOUCHPOINTS, [first])]).customers)  # type: ignore[arg-type]
    for topic in topics.INPUTS:
        part.idle(topic)
    assert not part.tick(T0 + 20 * MINUTE)  # what is on its way may take as long as the lateness
    assert part.tick(T0 + 21 * MINUTE)
    assert told(part.run([])) == [("Unanswered", "firing", 20)]


def test_a_timer_goes_off_once_over_a_restart() -> None:
    """What is due is found again in the table though nothing more is sent; what was told is not."""
    customers: dict[bytes, bytes] = {}
    panes: dict[bytes, bytes] = {}
    changes = partition((customers, panes)).run([(topics.TOUCHPOINTS, touchpoints((0, "opened", "x")))])
    customers.update(changes.customers)  # type: ignore[arg-type]
    panes.update([*changes.cells, *changes.sources])  # type: ignore[arg-type]
    for expected in ([("Unanswered", "firing", 20)], []):
        part = partition((customers, panes))
        for topic in topics.INPUTS:
            part.idle(topic)
        assert part.tick(FAR_MS)
        changes = part.run([])
        assert told(changes) == expected
        customers.update(changes.customers)  # type: ignore[arg-type]
    before = decode(customers[b"c"])
    assert (before.stamp_t, before.stamp_r) == (
        0,
        -1,
    )  # a timer leaves the stamps alone: the later write stays


def test_when_time_jumps_what_is_due_is_done_in_parts() -> None:
    """However many promises are broken at once, a run takes up to so many, in the order of their deadlines."""
    customers = AT_ONCE * 2 + 10
    log = [
        one._replace(
            offset=n,
            timestamp=T0 + n,
            key=f"c{n}".encode(),
            value=json.dumps(
                json.loads(one.value or b"")
                | {"event_id": f"e{n}", "customer_id": f"c{n}", "occurred_at": T0 + n}
            ).encode(),
        )
        for n, one in enumerate(touchpoints((0, "opened", "x")) * customers)
    ]
    table: dict[bytes, bytes] = {}
    part = partition((table, {}))
    table.update(part.run([(topics.TOUCHPOINTS, log)]).customers)  # type: ignore[arg-type]
    for topic in topics.INPUTS:
        part.idle(topic)
    assert part.tick(FAR_MS)
    runs = []
    while part.overdue:
        runs.append(part.run([]).claims)
    assert [len(claims) for claims in runs] == [AT_ONCE, AT_ONCE, 10]
    moments = [claim.as_of_ms for claims in runs for claim in claims]
    assert moments == sorted(moments)


def test_what_comes_late_takes_back_and_what_comes_after_its_time_ends() -> None:
    """In time by its own clock, it withdraws; else it resolves, and the alert is as it was but for its end."""
    part = partition(({}, {}))
    part.idle(topics.REPLIES)
    log = touchpoints(
        (0, "opened", "x"),
        (0, "opened", "y"),
        (30, "other", ""),
        (19, "resolved", "x"),
        (40, "resolved", "y"),
    )
    changes = part.run([(topics.TOUCHPOINTS, log)])
    assert told(changes) == [
        ("Unanswered", "firing", 20),
        ("Unanswered", "firing", 20),
        ("Unanswered", "withdrawn", 20),
        ("Unanswered", "resolved", 40),
    ]
    first, second, withdrawn, resolved = changes.claims
    by_mark = {first.fingerprint: first, second.fingerprint: second}
    assert by_mark[withdrawn.fingerprint].figures["ref"] == "x"
    assert by_mark[resolved.fingerprint].figures == resolved.figures
    assert resolved.ends_at_ms == T0 + 40 * MINUTE
    assert [decision.reason for decision in changes.decided] == [
        "overdue", "overdue", "late_data", "came_late",
    ]  # fmt: skip


def test_a_book_without_rules_on_customers_watches_nobody() -> None:
    """Nothing is kept, and nothing is ever due."""
    part = CustomersPartition(0, CONFIG, None, {}, {})
    part.swap(load_rules("groups: []", "r.yml"), T0)
    changes = part.run([(topics.TOUCHPOINTS, touchpoints((0, "opened", "x")))])
    assert decode(dict(changes.customers)[b"c"] or b"").watch == Raw(b"\xc0")
    assert not part.tick(FAR_MS)
