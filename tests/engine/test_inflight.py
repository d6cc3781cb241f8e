"""The commit bookkeeping: only what is wholly done may be committed, whatever the order of events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.engine import Batch, InFlight, Partition

TP = Partition("t", 0)
OTHER = Partition("t", 1)


class R:
    """A record of which only the offset matters."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


def batch(first: int, last: int, tp: Partition = TP) -> Batch:
    """Build a batch of offsets ``first`` to ``last``."""
    records: list[Any] = [R(offset) for offset in range(first, last + 1)]
    return Batch(tp.topic, tp.partition, records, 1, lambda _: None)


def test_commits_only_up_to_the_first_unfinished_batch() -> None:
    """A batch done before its predecessor is committed only when the predecessor is done."""
    books = InFlight()
    first, second, third = batch(0, 9), batch(10, 19), batch(20, 29)
    for one in (first, second, third):
        books.add(one, 0.0)
    assert books.ack(second, 1.0)
    assert books.pending() == []
    assert books.take(TP) is None
    assert books.ack(first, 2.0)
    assert books.take(TP) == 20
    assert books.take(TP) is None
    assert books.ack(third, 3.0)
    assert books.take(TP) == 30


def test_partitions_do_not_wait_for_each_other() -> None:
    """An unfinished batch holds back its own partition only."""
    books = InFlight()
    held, done = batch(0, 9), batch(5, 6, OTHER)
    books.add(held, 0.0)
    books.add(done, 0.0)
    books.ack(done, 1.0)
    assert books.pending() == [OTHER]
    assert books.take(OTHER) == 7


def test_a_second_ack_changes_nothing() -> None:
    """Acknowledging twice is as acknowledging once."""
    books = InFlight()
    one, two = batch(0, 9), batch(10, 19)
    books.add(one, 0.0)
    books.add(two, 0.0)
    assert books.ack(one, 1.0)
    assert not books.ack(one, 1.0)
    assert books.records == 10
    assert books.take(TP) == 10


def test_an_ack_from_before_a_rebalance_changes_nothing() -> None:
    """A batch that was forgotten can neither be committed nor free room."""
    books = InFlight()
    old, new = batch(0, 9), batch(0, 9)
    books.add(old, 0.0)
    books.forget()
    books.add(new, 1.0)
    assert not books.ack(old, 2.0)
    assert books.pending() == []
    assert books.records == 10


def test_a_forgotten_commit_is_not_made() -> None:
    """What was done and not yet committed at a rebalance is left to whoever holds the partition then."""
    books = InFlight()
    one = batch(0, 9)
    books.add(one, 0.0)
    books.ack(one, 1.0)
    books.forget()
    assert books.pending() == []
    assert books.take(TP) is None


def test_a_failed_commit_is_made_again() -> None:
    """An offset that could not be committed is handed out again, unless a higher one has come since."""
    books = InFlight()
    one, two = batch(0, 9), batch(10, 19)
    books.add(one, 0.0)
    books.add(two, 0.0)
    books.ack(one, 1.0)
    assert books.take(TP) == 10
    books.committed_failed(TP, 10)
    assert books.take(TP) == 10
    books.ack(two, 2.0)
    books.committed_failed(TP, 10)
    assert books.take(TP) == 20


def test_a_queue_that_moves_is_not_old() -> None:
    """The age of a partition counts from its last progress, not from when its waiting batch was handed out."""
    books = InFlight()
    one, two = batch(0, 9), batch(10, 19)
    books.add(one, 1.0)
    books.add(two, 2.0)
    assert books.oldest() == {TP: 1.0}
    books.ack(one, 100.0)
    assert books.oldest() == {TP: 100.0}
    books.ack(two, 101.0)
    assert books.oldest() == {}
    books.add(batch(20, 29), 200.0)
    assert books.oldest() == {TP: 200.0}


class Books(RuleBasedStateMachine):
    """Any order of events, against lists that are searched from the start each time."""

    def __init__(self) -> None:
        super().__init__()
        self.books = InFlight()
        self.out: dict[Partition, list[tuple[Batch, bool]]] = {TP: [], OTHER: []}
        self.next = {TP: 0, OTHER: 0}
        self.reached: dict[Partition, int] = {}
        self.due: dict[Partition, int] = {}
        self.gone: list[Batch] = []

    @rule(tp=st.sampled_from([TP, OTHER]), length=st.integers(1, 5), gap=st.integers(0, 3))
    def fetch(self, tp: Partition, length: int, gap: int) -> None:
        """A batch is handed out, perhaps after a gap that compaction left."""
        first = self.next[tp] + gap
        made = batch(first, first + length - 1, tp)
        self.next[tp] = first + length
        self.out[tp].append((made, False))
        self.books.add(made, 0.0)

    @precondition(lambda self: any(self.out.values()))
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        """Any batch that was ever out in this generation is acknowledged, perhaps again."""
        tp = data.draw(st.sampled_from([tp for tp, held in self.out.items() if held]))
        at = data.draw(st.integers(0, len(self.out[tp]) - 1))
        made, before = self.out[tp][at]
        assert self.books.ack(made, 0.0) is not before
        self.out[tp][at] = (made, True)
        reached = None
        for one, done in self.out[tp]:
            if not done:
                break
            reached = one.last_offset + 1
        if not before and reached is not None and reached > self.reached.get(tp, -1):
            self.reached[tp] = reached
            self.due[tp] = reached

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def ack_too_late(self, data: st.DataObject) -> None:
        """A batch from before a rebalance is acknowledged."""
        assert not self.books.ack(data.draw(st.sampled_from(self.gone)), 0.0)

    @rule(tp=st.sampled_from([TP, OTHER]), works=st.booleans())
    def commit(self, tp: Partition, works: bool) -> None:
        """A commit is tried."""
        offset = self.books.take(tp)
        assert offset == self.due.pop(tp, None)
        if offset is not None and not works:
            self.books.committed_failed(tp, offset)
            self.due[tp] = offset

    @rule()
    def rebalance(self) -> None:
        """Everything that is out is forgotten."""
        self.books.forget()
        for tp, held in self.out.items():
            self.gone += [made for made, _ in held]
            held.clear()
            self.reached.pop(tp, None)
        self.due.clear()

    @invariant()
    def pending_is_what_is_due(self) -> None:
        """What may be committed is the end of the acknowledged prefix, once."""
        assert set(self.books.pending()) == set(self.due)

    @invariant()
    def records_are_those_still_out(self) -> None:
        """Room is freed exactly when a batch leaves at the front."""
        still = 0
        for held in self.out.values():
            front = next((at for at, (_, done) in enumerate(held) if not done), len(held))
            still += sum(len(made) for made, _ in held[front:])
        assert self.books.records == still

    @invariant()
    def busy_partitions_are_known(self) -> None:
        """A partition is at work exactly while one of its batches is not done."""
        busy = {tp for tp, held in self.out.items() if any(not done for _, done in held)}
        assert set(self.books.oldest()) == busy


TestBooks = Books.TestCase
TestBooks.__doc__ = "Commit bookkeeping equals a search over everything that happened."
pytestmark = pytest.mark.timeout(60)
