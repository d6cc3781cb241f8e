"""Hygiene against a plain computation, millisecond by millisecond, and over batches, interleavings and crashes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stream.alerting.claims import Claim
from stream.alerting.hygiene import Grouped, Limit, Silence
from stream.alerting.lane import Lane
from stream.alerting.matching import labels_of, matches
from stream.alerting.model import RuleBook
from tests.alerting.lanes import (
    Table,
    book_of,
    claim_of,
    inhibition_of,
    restored,
    rule_of,
    silence_of,
    store,
)

PARTITIONS = (0, 1, 2)
END = 120
SEVERITIES = {"a": "critical", "b": "warning", "c": "info"}
SEGMENTS = ("x", "y", "z")
QUICK = settings(deadline=None, max_examples=60)

Record = tuple[int, "Claim | int"]


@st.composite
def logs(draw: st.DrawFn) -> list[list[Record]]:
    """One list of records for each partition: lives of alerts, late data about earlier ones, marks."""
    log = []
    for partition in PARTITIONS:
        at, records = 0, []
        fires: dict[tuple[str, str], int] = {}
        before: dict[tuple[str, str], int] = {}
        segment = SEGMENTS[partition]
        for gap, alert, what, mark in draw(
            st.lists(
                st.tuples(st.integers(0, 6), st.sampled_from("abc"), st.integers(0, 9), st.booleans()),
                max_size=14,
            )
        ):
            at += gap + 1
            key = (alert, segment)
            state: Any = "firing"
            starts, reason = fires.get(key, at), None
            if key in fires:
                states = ("resolved", "resolved", "firing", "no_data", "amended", "withdrawn")
                state = states[what % len(states)]
                reason = "still_firing" if state == "firing" else None
            elif key in before and what >= 7:
                state, starts = ("amended", "withdrawn")[what % 2], before[key]
            records.append(
                (
                    partition,
                    claim_of(
                        alert,
                        at,
                        state,
                        starts_at_ms=starts,
                        labels={"segment": segment},
                        severity=SEVERITIES[alert],
                        reason=reason,
                    ),
                )
            )
            if state in ("firing", "no_data"):
                fires[key] = starts
            elif state in ("resolved", "withdrawn") and key in fires:
                before[key] = fires.pop(key)
            if mark:
                records.append((partition, at))
        records.append((partition, END))
        log.append(records)
    return log


TIMES = st.tuples(st.integers(0, 90), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SILENCES = st.lists(
    st.tuples(st.sampled_from(["alertname=a", "alertname=~a|b", "segment=x", "severity!=info"]), TIMES),
    max_size=3,
).map(lambda some: tuple(silence_of(text, *times, f"s{at}") for at, (text, times) in enumerate(some)))
INHIBITIONS = st.lists(
    st.sampled_from(
        [
            inhibition_of("severity=critical", "severity=~warning|info", "segment"),
            inhibition_of("alertname=b", "alertname=c"),
            inhibition_of("segment=x", "segment=~x|y"),
        ]
    ),
    max_size=2,
).map(tuple)
LIMITS = st.none() | st.builds(Limit, st.integers(1, 3), st.integers(5, 40))
GROUPED = st.none() | st.builds(
    Grouped, st.sampled_from([(), ("alertname",), ("segment",)]), st.integers(0, 10), st.integers(0, 30)
)
BOOKS = st.builds(
    lambda limit, **hygiene: book_of(rule_of("a"), rule_of("b", limit), rule_of("c", limit), **hygiene),
    limit=LIMITS,
    silences=SILENCES,
    inhibitions=INHIBITIONS,
    grouped=GROUPED,
    storm=LIMITS,
)


Told = tuple[int, str, str, str, int]


@dataclass
class Life:
    """One fingerprint, in the plain computation."""

    claim: Claim | None = None
    told: bool = False
    why: str = ""
    until: int = 0
    told_starts: set[int] = field(default_factory=set)


class Plain:
    """What is told, by looking at everything at every millisecond; without summaries."""

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self.lives: dict[str, Life] = {}
        self.turns: dict[str, int] = {}
        self.told_of: dict[str, list[int]] = {}
        self.arrived: list[int] = []
        self.storm = False
        self.exceeded = 0
        self.now: list[Told] = []

    def run(self, claims: list[Claim]) -> list[Told]:
        """Everything told, instant by instant."""
        told = []
        for now in range(END + 1):
            self.now = []
            fresh: set[str] = set()
            for claim in sorted(
                (each for each in claims if each.as_of_ms == now), key=lambda each: each.order
            ):
                self._take(claim, fresh)
                firing = {self._group(life.claim) for life in self.lives.values() if life.claim is not None}
                self.turns = {group: turn for group, turn in self.turns.items() if group in firing}
            self._instant(now, fresh)
            told += sorted(self.now)
        return told

    def _take(self, claim: Claim, fresh: set[str]) -> None:
        name, life = claim.fingerprint, self.lives.setdefault(claim.fingerprint, Life())
        was = life.claim if life.claim is not None and life.claim.starts_at_ms == claim.starts_at_ms else None
        if claim.state in ("firing", "no_data"):
            if was is None:
                life.told = False
            same = was is not None and not life.told and was.state == claim.state
            life.claim = replace(claim, reason=was.reason) if was is not None and same else claim
            if not life.why:
                fresh.add(name)
            return
        if life.told if was is not None else claim.starts_at_ms in life.told_starts:
            self._tell(life, claim)
        if was is not None and claim.state == "amended":
            life.claim = replace(claim, state=was.state, reason=was.reason)
        elif was is not None:
            life.claim, life.why = None, ""
            fresh.discard(name)

    def _instant(self, now: int, fresh: set[str]) -> None:
        limit = self.book.hygiene.storm
        waiting = sum(life.why == "storm" for life in self.lives.values())
        over = False
        if (
            self.storm
            and limit is not None
            and now >= self.exceeded + limit.per_ms
            and waiting <= limit.alerts
        ):
            over, self.storm, self.arrived = True, False, []
        clear = []
        for name, life in self.lives.items():
            if life.claim is None:
                continue
            timed = life.why in ("grouped", "rate_limited") and now >= life.until
            looks = (
                name in fresh
                or timed
                or life.why in ("silenced", "inhibited")
                or (over and life.why == "storm")
            )
            if looks and not self._kept_back(name, life, life.claim, now, fresh=name in fresh):
                clear.append((list(SEVERITIES.values()).index(life.claim.severity), life.claim.order, life))
        for _, _, life in sorted(clear, key=lambda one: one[:2]):
            self._pour(life, life.claim, now)

    def _kept_back(self, name: str, life: Life, claim: Claim, now: int, *, fresh: bool) -> bool:
        hygiene, labels = self.book.hygiene, labels_of(claim)
        if fresh and hygiene.grouped is not None:
            group = self._group(claim)
            turn = self.turns.get(group, now + hygiene.grouped.wait_ms)
            while turn < now:
                turn = turn + hygiene.grouped.interval_ms if hygiene.grouped.interval_ms else now
            self.turns[group] = life.until = turn
            if turn > now:
                life.why = "grouped"
                return True
        if any(
            each.starts_at_ms <= now < each.ends_at_ms and matches(each.matchers, labels)
            for each in hygiene.silences
        ):
            life.why = "silenced"
            return True
        for rule in hygiene.inhibitions:
            both = matches(rule.source, labels)
            for other in self.lives.values():
                theirs = None if other.claim is None else labels_of(other.claim)
                if (
                    theirs is not None
                    and matches(rule.target, labels)
                    and matches(rule.source, theirs)
                    and not (both and matches(rule.target, theirs))
                    and all(theirs.get(label) == labels.get(label) for label in rule.equal)
                ):
                    life.why = "inhibited"
                    return True
        return False

    def _pour(self, life: Life, claim: Claim | None, now: int) -> None:
        assert claim is not None
        limit = next(rule.limit for rule in self.book.metric_rules if rule.alert == claim.alert)
        times = self.told_of.setdefault(claim.alert, [])
        if limit is not None:
            recent = [time for time in times if time > now - limit.per_ms]
            if len(recent) >= limit.alerts:
                life.why, life.until = "rate_limited", recent[-limit.alerts] + limit.per_ms
                return
        most = self.book.hygiene.storm
        if most is not None:
            self.arrived.append(now)
            if sum(time > now - most.per_ms for time in self.arrived) > most.alerts:
                self.storm, self.exceeded = True, now
            if self.storm:
                life.why = "storm"
                return
        times.append(now)
        late = {
            "silenced": "silence_ended",
            "inhibited": "inhibition_ended",
            "rate_limited": "limit_ended",
            "storm": "storm_ended",
        }.get(life.why)
        life.why, life.told = "", True
        self._tell(life, claim if late is None else replace(claim, reason=late, as_of_ms=now))

    def _tell(self, life: Life, claim: Claim) -> None:
        life.told_starts.add(claim.starts_at_ms)
        self.now.append(row(claim))

    def _group(self, claim: Claim | None) -> str:
        grouped = self.book.hygiene.grouped
        return (
            "" if grouped is None or claim is None else str([labels_of(claim)[name] for name in grouped.by])
        )


def row(claim: Claim) -> Told:
    """What is compared of a claim."""
    return (claim.as_of_ms, claim.fingerprint, claim.state, claim.reason, claim.starts_at_ms)


def interleaved(log: list[list[Record]], rng: random.Random) -> list[Record]:
    """The records as they may come: each partition's in its order."""
    queues = [list(records) for records in log]
    out = []
    while any(queues):
        out.append(rng.choice([queue for queue in queues if queue]).pop(0))
    return out


def feed(lane: Lane, records: list[Record]) -> list[Claim]:
    """What is told after a batch."""
    for partition, what in records:
        if isinstance(what, Claim):
            lane.offer(partition, what)
        else:
            lane.mark(partition, what)
    return lane.release()


def in_one(log: list[list[Record]], book: RuleBook) -> list[Claim]:
    """What is told with everything in one batch."""
    return feed(Lane(PARTITIONS, book), [record for records in log for record in records])


@QUICK
@given(logs(), BOOKS)
def test_it_tells_what_a_plain_computation_tells(log: list[list[Record]], book: RuleBook) -> None:
    """All stages together, looked at anew at every millisecond, give the same alerts at the same time."""
    claims = [what for records in log for _, what in records if isinstance(what, Claim)]
    told = [row(each) for each in in_one(log, book) if not each.reason.endswith("_summary")]
    assert sorted(told) == sorted(Plain(book).run(claims))


@QUICK
@given(logs(), BOOKS)
def test_whoever_was_told_of_an_alert_is_told_of_its_end(log: list[list[Record]], book: RuleBook) -> None:
    """Every id is told once; what ends was told, and what was told and is over has ended."""
    told = in_one(log, book)
    assert len({claim.id for claim in told}) == len(told)
    begun: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    for claim in told:
        key = (claim.fingerprint, claim.starts_at_ms)
        if claim.state in ("firing", "no_data"):
            begun.add(key)
        else:
            assert key in begun, "an end of what was never told"
        if claim.state == "resolved":
            assert key not in ended, "an end told twice"
            ended.add(key)
    over = {
        (what.fingerprint, what.starts_at_ms)
        for records in log
        for _, what in records
        if isinstance(what, Claim) and what.state == "resolved"
    }
    assert over & begun <= ended, "an alert that is over and was told has no end"


@QUICK
@given(logs(), BOOKS, st.integers(0, 10**6), st.integers(1, 9))
def test_neither_batches_nor_interleaving_change_what_is_told(
    log: list[list[Record]], book: RuleBook, seed: int, batch: int
) -> None:
    """To the byte and in order, summaries included; silences from outside do as those of the file."""
    records = interleaved(log, random.Random(seed))
    outside = book_of(*book.metric_rules, **{**_parts(book), "silences": ()})
    lane = Lane(PARTITIONS, outside)
    lane.silences(book.hygiene.silences)
    told = []
    for start in range(0, len(records), batch):
        told += feed(lane, records[start : start + batch])
    assert told == in_one(log, book)


def _parts(book: RuleBook) -> dict[str, Any]:
    return {name: getattr(book.hygiene, name) for name in ("inhibitions", "silences", "grouped", "storm")}


@QUICK
@given(logs(), BOOKS, BOOKS, st.integers(0, END), st.integers(0, 10**6))
def test_crashes_tell_again_only_what_was_not_durable(
    log: list[list[Record]], book: RuleBook, later: RuleBook, from_ms: int, seed: int
) -> None:
    """Whatever a crash leaves of a round's writes: the same alerts in the same order, over new rules as well."""
    rng = random.Random(seed)
    records = interleaved(log, rng)
    table: Table = {}
    straight = Lane(PARTITIONS, book)
    straight.swap(later, from_ms)
    expected = feed(straight, records)
    decided = straight.changes().decided

    def begin() -> Lane:
        lane = restored(table, PARTITIONS, book)
        lane.swap(later, from_ms)
        return lane

    lane, told, settled, position, crashes = begin(), [], 0, 0, 0
    reasons: list[Any] = []
    while position < len(records):
        batch = rng.randint(1, 8)
        now = feed(lane, records[position : position + batch])
        changes = lane.changes()
        total = len(changes.entries) + (changes.progress is not None) + len(changes.tombstones)
        crash = crashes < 6 and rng.random() < 0.4
        writes = rng.randint(0, total) if crash else total
        store(table, changes, writes)
        assert told[settled:] == now[: len(told) - settled] or now == told[settled : settled + len(now)]
        if not crash or (changes.progress is not None and writes > len(changes.entries)):
            told = told[:settled] + now
            settled += len(now)
            reasons += changes.decided
        elif len(now) > len(told) - settled:
            told = told[:settled] + now  # published, and to be published again
        if crash:
            crashes += 1
            lane = begin()
            position = rng.randint(0, position)
        else:
            position += batch
    assert told == expected
    assert tuple(reasons) == decided
    assert lane.active == straight.active == begin().active
    assert all(lane.history(name) == straight.history(name) == begin().history(name) for name in lane.active)


@QUICK
@given(SILENCES, st.data())
def test_silences_given_before_their_time_are_as_if_they_had_always_been(
    silences: tuple[Silence, ...], data: st.DataObject
) -> None:
    """A silence that comes while the lane is before its beginning changes nothing that has been told."""
    log = data.draw(logs())
    records = sorted(
        (record for records in log for record in records),
        key=lambda record: record[1].as_of_ms if isinstance(record[1], Claim) else record[1],
    )
    table: Table = {}
    lane, told = restored(table, PARTITIONS, book_of()), []
    for now in range(END + 1):
        known = [each for each in silences if each.starts_at_ms <= now]
        if lane.silences(known):
            store(table, lane.changes())
            lane = restored(table, PARTITIONS, book_of())
        for partition, what in records:
            if isinstance(what, Claim) and what.as_of_ms == now:
                lane.offer(partition, what)
        for partition in PARTITIONS:
            lane.mark(partition, now)
        told += lane.release()
        store(table, lane.changes())
    assert told == in_one(log, book_of(silences=silences))
