"""The order of events of two topics: by event time, however the topics arrive."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.test_customers_crash import Outcome, logs

if TYPE_CHECKING:
    from stream.pipeline import CustomersChanges


def keep(outcome: Outcome, changes: CustomersChanges, live: dict[bytes, bytes]) -> None:
    """A round that became durable as a whole."""
    outcome.publish(changes)
    outcome.write(outcome.customers, changes.customers)
    outcome.write(live, changes.customers)


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
    assert cut.customers == whole.customers
    assert cut.dead == whole.dead
