"""The lane: one order of claims, whatever the interleaving and whatever crashes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.claims import Claim, claim_id
from stream.alerting.lane import Lane, LaneChanges, Verdict
from stream.alerting.told import MOST_PAST
from tests.alerting.lanes import store

PARTITIONS = (0, 1, 2)


def _claim_of(alert: str, as_of_ms: int, state: str = "firing") -> Claim:
    return Claim(
        id=claim_id(alert, state, as_of_ms, ""),
        alert=alert,
        subject=f"nps{{segment={alert}}}",
        state="firing" if state == "firing" else "resolved",
        reason="first_crossing",
        severity="warning",
        fingerprint=f"f-{alert}",
        labels={},
        annotations={},
        starts_at_ms=as_of_ms,
        ends_at_ms=None,
        as_of_ms=as_of_ms,
        figures={"metric": "nps", "value": 12.5, "below": 30},
    )


def _names(claims: list[Claim]) -> list[str]:
    return [f"{claim.alert}@{claim.as_of_ms}" for claim in claims]


def _restored(table: dict[str, bytes], kept: int = 1000) -> Lane:
    lane = Lane(PARTITIONS, kept=kept)
    keys = list(table)
    random.Random(len(keys)).shuffle(keys)
    for key in keys:
        lane.restore(key, table[key])
    lane.ready()
    return lane


def test_a_claim_waits_for_the_marks_of_all_partitions() -> None:
    """Nothing leaves before every partition has reached its instant, silent ones included."""
    lane = Lane(PARTITIONS)
    assert lane.offer(0, _claim_of("a", 100)) is Verdict.HELD
    lane.mark(0, 500)
    lane.mark(1, 500)
    assert (lane.release(), lane.waiting, lane.silent, lane.frontier_ms) == ([], 1, {2}, None)
    lane.mark(2, 99)
    assert (lane.release(), lane.frontier_ms) == ([], 99)
    lane.mark(2, 100)
    assert _names(lane.release()) == ["a@100"]
    assert (lane.release(), lane.waiting) == ([], 0)


def test_claims_leave_by_time_then_fingerprint_then_id() -> None:
    """The order is that of event time, not of arrival."""
    lane = Lane(PARTITIONS)
    lane.offer(2, _claim_of("b", 200))
    lane.offer(0, _claim_of("c", 200))
    lane.offer(1, _claim_of("a", 200))
    lane.offer(0, _claim_of("z", 100))
    for partition in PARTITIONS:
        lane.mark(partition, 200)
    assert _names(lane.release()) == ["z@100", "a@200", "b@200", "c@200"]


def test_what_was_offered_before_is_known_again() -> None:
    """A claim still held is a duplicate, one at or before its partition's mark is a replay."""
    lane = Lane(PARTITIONS)
    assert lane.offer(0, _claim_of("a", 100)) is Verdict.HELD
    assert lane.offer(0, _claim_of("a", 100)) is Verdict.DUPLICATE
    lane.mark(0, 100)
    assert lane.offer(0, _claim_of("a", 100)) is Verdict.REPLAYED
    lane.mark(0, 50)
    assert lane.offer(0, _claim_of("a", 100)) is Verdict.REPLAYED


def test_an_unknown_partition_is_an_error_and_not_a_lost_claim() -> None:
    """A producer the lane was not told of is a wiring mistake; it must be loud."""
    lane = Lane(PARTITIONS)
    with pytest.raises(ValueError, match="partition 7"):
        lane.offer(7, _claim_of("a", 1))
    with pytest.raises(ValueError, match="partition 7"):
        lane.mark(7, 1)
    with pytest.raises(ValueError, match="a lane needs"):
        Lane(())
    with pytest.raises(ValueError, match="truncated"):
        lane.restore("other", b"")


def test_the_active_alerts_are_those_fired_and_not_resolved() -> None:
    """Firing puts an alert in, resolving takes it out, also after a restart."""
    table: dict[str, bytes] = {}
    lane = Lane([0])
    for alert, at, state in (("a", 10, "firing"), ("b", 20, "firing"), ("a", 30, "resolved")):
        lane.offer(0, _claim_of(alert, at, state))
        lane.mark(0, at)
        lane.release()
        store(table, lane.changes())
    assert list(lane.active) == ["f-b"]
    again = Lane([0])
    for key, value in table.items():
        again.restore(key, value)
    again.ready()
    assert list(again.active) == ["f-b"]
    store(table, again.changes())
    assert sorted(table) == ["alert/f-a", "alert/f-b", "progress"]


def test_the_history_of_an_alert_is_bounded_and_keeps_the_newest() -> None:
    """Of each alert the newest transitions are remembered with what became of them, also after a restart."""
    table: dict[str, bytes] = {}
    lane = Lane(PARTITIONS)
    for at in range(1, 101):
        lane.offer(0, _claim_of("a", at, "resolved" if at % 2 == 0 else "firing"))
        for partition in PARTITIONS:
            lane.mark(partition, at)
        lane.release()
        store(table, lane.changes())
    assert [past.at_ms for past in lane.history("f-a")] == list(range(101 - MOST_PAST, 101))
    assert {past.outcome for past in lane.history("f-a")} == {"told"}
    assert _restored(table).history("f-a") == lane.history("f-a")
    assert lane.history("never heard of") == ()


def test_of_alerts_that_are_over_the_oldest_are_forgotten() -> None:
    """Memory and table are bounded whatever the slices; an alert that fires is never forgotten."""
    table: dict[str, bytes] = {}
    lane = Lane([0], kept=16)
    lane.offer(0, _claim_of("fires", 1))
    for at in range(2, 102):
        lane.offer(0, _claim_of(f"{at:03}", at))
        lane.offer(0, _claim_of(f"{at:03}", at, "resolved"))
        lane.mark(0, at)
        lane.release()
        store(table, lane.changes())
    for _ in range(2):
        store(table, lane.changes())
    known = [key for key in table if key.startswith("alert/")]
    assert len(known) <= 17
    assert {"alert/f-fires", "alert/f-101", "alert/f-100"} <= set(known)
    assert lane.history("f-002") == ()


def test_a_claim_released_in_its_own_round_is_never_stored_as_waiting() -> None:
    """Only what waits is stored as waiting."""
    lane = Lane([0])
    lane.offer(0, _claim_of("a", 5))
    lane.mark(0, 5)
    lane.release()
    assert [key for key, _ in lane.changes().entries] == ["alert/f-a"]
    assert lane.changes() == LaneChanges([], None, [])


# A log as the producers write it: each partition in order of time, with marks between.

Record = tuple[int, "Claim | int"]
ALERTS = st.sampled_from(["a", "b", "c"])


@st.composite
def logs(draw: st.DrawFn) -> list[list[Record]]:
    """One list of records for each partition; alerts belong to one partition, states alternate."""
    log = []
    for partition in PARTITIONS:
        at, records, firing = 0, [], set()
        for step in draw(st.lists(st.tuples(st.integers(0, 3), ALERTS, st.booleans()), max_size=12)):
            gap, letter, mark = step
            at += gap + 1
            alert = f"{letter}{partition}"
            state = "resolved" if alert in firing else "firing"
            firing ^= {alert}
            records.append((partition, _claim_of(alert, at, state)))
            if mark:
                records.append((partition, at))
        records.append((partition, 100))
        log.append(records)
    return log


def _interleaved(log: list[list[Record]], seed: int) -> list[Record]:
    rng = random.Random(seed)
    queues = [list(records) for records in log]
    out = []
    while any(queues):
        out.append(rng.choice([queue for queue in queues if queue]).pop(0))
    return out


def _feed(lane: Lane, records: list[Record]) -> None:
    for partition, what in records:
        if isinstance(what, Claim):
            lane.offer(partition, what)
        else:
            lane.mark(partition, what)


def _expected(log: list[list[Record]]) -> list[Claim]:
    claims = [what for records in log for _, what in records if isinstance(what, Claim)]
    return sorted(claims, key=lambda claim: claim.order)


@given(logs(), st.integers(0, 10**6), st.integers(1, 9))
def test_the_order_does_not_depend_on_interleaving_or_batches(
    log: list[list[Record]], seed: int, batch: int
) -> None:
    """What leaves is all claims, sorted, whatever the way they came."""
    records = _interleaved(log, seed)
    lane = Lane(PARTITIONS)
    released = []
    for start in range(0, len(records), batch):
        _feed(lane, records[start : start + batch])
        released += lane.release()
    assert released == _expected(log)


@given(logs(), st.integers(0, 10**6), st.data())
def test_crashes_anywhere_release_again_only_what_was_not_durable(
    log: list[list[Record]], seed: int, data: st.DataObject
) -> None:
    """After any crash the same claims come out in the same order; repeats have the same ids.

    A crash cuts a round's writes anywhere; what was acknowledged is not read again, the rest is, and
    producers may have sent everything since long before a second time.
    """
    records = _interleaved(log, seed)
    table: dict[str, bytes] = {}
    lane = Lane(PARTITIONS)
    released: list[Claim] = []
    settled = 0  # how many claims rounds that were finished have released
    position, crashes = 0, 0
    while position < len(records):
        batch = data.draw(st.integers(1, 6))
        _feed(lane, records[position : position + batch])
        now = lane.release()
        changes = lane.changes()
        crash = crashes < 4 and data.draw(st.booleans())
        if not crash:
            store(table, changes)
            released = released[:settled] + now
            settled += len(now)
            position += batch
            continue
        crashes += 1
        total = len(changes.entries) + (changes.progress is not None) + len(changes.tombstones)
        writes = data.draw(st.integers(0, total))
        store(table, changes, writes)
        if changes.progress is not None and writes > len(changes.entries):
            # The progress is durable: the round counts, although its offsets were not acknowledged.
            released = released[:settled] + now
            settled += len(now)
        lane = _restored(table)
        # Read again from an offset that may be older than what the state holds.
        position = data.draw(st.integers(0, position))
    assert released == _expected(log)
    firing: dict[str, Claim] = {}
    for claim in released:
        if claim.state == "firing":
            firing[claim.fingerprint] = claim
        else:
            firing.pop(claim.fingerprint, None)
    assert lane.active == firing
    again = _restored(table)
    assert again.active == firing
    assert {name: again.history(name) for name in firing} == {name: lane.history(name) for name in firing}
    assert again.waiting == 0
