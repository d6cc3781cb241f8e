"""What a partition tells of customers with a contract: who was looked at a horizon ago, and has left or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.customers import customer_hash
from stream.customers import decode as decode_customer
from stream.customers.examples import Cohort, encode_example
from stream.customers.learning_labels import advance, gathered, is_looked_at
from stream.customers.state import UNTOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.customers import Customer, CustomerConfig
    from stream.customers.learning_features import Example

    Everyone = Callable[[], Iterable[tuple[bytes, bytes | Customer]]]
    Keep = Callable[[bytes, Customer], None]

#: Rows of a cohort in one record: some 150 kB.
CHUNK: Final = 1_000


def cohorts(
    partition: int,
    since_ms: int,
    upto_ms: int,
    most: int,
    config: CustomerConfig,
    everyone: Everyone,
    keep: Keep,
) -> list[bytes]:
    """Look at the customers whose moment has come, and tell of those whose labels have become known.

    Done again after a crash it tells the same: customers keep what they have told until their next look.

    Args:
        partition: Of the inputs.
        since_ms: The first moment that was reached.
        upto_ms: The last one; no event of it or later was folded in, but into customers who have moved on by that.
        most: Examples told of one moment; where there are more, those of the same customers each time.
        config: Of customers; without lessons nothing is done.
        everyone: All customers of the partition by name, as objects, which are changed in place, or as written.
        keep: Told of those as written that have changed.

    Returns:
        Records for ``cx.examples``, by moment.
    """
    lessons = config.lessons
    if lessons is None:
        return []
    found: dict[int, list[tuple[int, Example]]] = {}
    for name, held in everyone():
        if isinstance(held, bytes) and held.endswith(UNTOLD):
            continue
        hashed = customer_hash(name.decode())
        if not is_looked_at(hashed, since_ms, upto_ms, lessons):
            continue
        customer = decode_customer(held) if isinstance(held, bytes) else held
        if customer.contract is None:
            continue
        if customer.contract.due_ms <= upto_ms:
            advance(customer, upto_ms, config)
            if isinstance(held, bytes):
                keep(name, customer)
        for moment_ms, example in gathered(customer, since_ms, upto_ms, lessons):
            found.setdefault(moment_ms, []).append((hashed, example))
    told: list[bytes] = []
    for moment_ms, examples in sorted(found.items()):
        chosen = [example for _, example in sorted(examples, key=lambda each: each[0] >> 32)[:most]]
        # Sorted by what they say: whose they are must not show.
        rows = sorted((list(example.x), example.left) for example in chosen)
        told += [
            encode_example(
                Cohort(
                    partition, moment_ms, chunk, moment_ms - lessons.horizon_ms, rows[start : start + CHUNK]
                )
            )
            for chunk, start in enumerate(range(0, len(rows), CHUNK))
        ]
    return told
