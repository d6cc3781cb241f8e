"""The order of events of two topics: by event time, however the topics arrive."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.customers import decode, encode
from stream.customers.state import story_of
from stream.intake import Event
from stream.measures import Groupings, PaneConfig, SourcePanes
from stream.pipeline.merging import Inlet, merge
from tests.pipeline.path import Stored
from tests.pipeline.test_customers_crash import EVERYTHING, Outcome, logs

if TYPE_CHECKING:
    from stream.pipeline import CustomersChanges


def keep(outcome: Outcome, changes: CustomersChanges, live: dict[bytes, bytes]) -> None:
    """A round that became durable as a whole."""
    outcome.publish(changes)
    outcome.write(outcome.customers, changes.customers)
    outcome.write(live, changes.customers)


def told(outcome: Outcome) -> dict[bytes, bytes]:
    """Customers without what they remember for a replay alone, which depends on the cuts."""
    found = {}
    for key, value in outcome.customers.items():
        customer = decode(value)
        story_of(customer, EVERYTHING)
        found[key] = encode(customer)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_two_logs_that_are_there_come_to_the_same_however_they_are_cut(seed: int) -> None:
    """With what is known to come waited for, claims and customers are those of one run over both logs."""
    inputs = logs(seed)
    whole = Outcome()
    partition = whole.partition()
    keep(whole, partition.run(list(inputs.items())), partition._customers)  # type: ignore[arg-type]

    rng = Random(seed)
    cut = Outcome()
    partition = cut.partition()
    at = dict.fromkeys(inputs, 0)
    rounds = 0
    while any(at[topic] < len(log) for topic, log in inputs.items()):
        batches = []
        for topic, log in inputs.items():
            size = rng.choice([0, 0, 1, 7, 60])
            if log[at[topic] : at[topic] + size]:
                batches.append((topic, log[at[topic] : at[topic] + size]))
                at[topic] += len(batches[-1][1])
        waiting = [topic for topic, log in inputs.items() if at[topic] < len(log)]
        changes = partition.run(batches, waiting)
        keep(cut, changes, partition._customers)  # type: ignore[arg-type]
        for topic, offset in changes.done.items():
            assert offset <= inputs[topic][at[topic] - 1].offset
        rounds += 1
    keep(cut, partition.run([]), partition._customers)  # type: ignore[arg-type]
    assert rounds > 3
    assert cut.claims == whole.claims
    assert told(cut) == told(whole)
    assert cut.dead == whole.dead


@given(*(st.lists(st.integers(0, 9), max_size=12) for _ in range(2)), st.sets(st.sampled_from(["t", "r"])))
def test_a_topic_s_own_order_is_never_changed(ones: list[int], others: list[int], waiting: set[str]) -> None:
    """Of each topic a beginning is taken, as it stood; the earlier head first, the first topic's of equal ones."""
    inlets = {
        code: Inlet(code, code, SourcePanes(code, PaneConfig(), Groupings((), 1))) for code in ("t", "r")
    }
    for (code, inlet), times in zip(inlets.items(), (ones, others), strict=True):
        for at, time_ms in enumerate(times):
            event = Event(event_id=f"{code}{at}", customer_id="c", time_ms=time_ms, kind="k")
            inlet.left.append((event, Stored(at, 0, None, None), inlet))
    taken = merge(inlets["t"], inlets["r"], waiting=waiting)
    left = {"t": list(ones), "r": list(others)}
    for event, record, inlet in taken:
        mine, other = inlet.code, "r" if inlet.code == "t" else "t"
        assert record.offset == len((ones, others)[mine == "r"]) - len(left[mine])
        assert event.time_ms == left[mine].pop(0)
        if left[other]:
            assert event.time_ms < left[other][0] or (event.time_ms == left[other][0] and mine == "t")
        else:
            assert other not in waiting, "one that is still to come might go before"
    assert {code: [e.time_ms for e, _, _ in inlet.left] for code, inlet in inlets.items()} == left
    if not waiting:
        assert left == {"t": [], "r": []}
