"""What models are fitted to and learn from, as published on ``cx.examples``: figures of customers, nobody named.

Event time is cut at *moments*, multiples of the declared period since 1970. When the events of a partition reach a
moment, it tells what its customers were like just before: a sample of those who have bought, and the cohort whose
labels are known by now. Its last record for the moment *closes* it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .state import Customer

HOUR_MS: Final = 3_600_000
#: Rows of a sample in one record: some 50 kB.
CHUNK: Final = 2_000
NO_CURRENCY: Final = -1

Row = tuple[int, int, int, int, int]
"""Purchases after the first; hour of the first and of the last one, since 1970; place of the currency among those
of the record, -1 where there is none or several; money of all purchases in it, in units of 1e-4."""


class Sample(msgspec.Struct, tag="sample", array_like=True, frozen=True, gc=False):
    """Customers of a partition who have bought, as they were before a moment.

    Attributes:
        partition: of the inputs.
        moment_ms: The moment reached.
        since_ms: The first moment reached at once: where nothing came for long, several are; between them nothing
            changed.
        chunk: Number of this record among those of the moment, from 0.
        last: Whether it is the last of them, which closes the moment.
        clock: Whether the clock went past the moment, in a partition where nothing came: it may still be
            taken back by an event of earlier time.
        weight: How many customers each row stands for.
        currencies: That rows refer to.
        rows: Of the customers sampled.
    """

    partition: int
    moment_ms: int
    since_ms: int
    chunk: int = 0
    last: bool = True
    clock: bool = False
    weight: float = 1.0
    currencies: list[str] = []
    rows: list[Row] = []


class Cohort(msgspec.Struct, tag="cohort", array_like=True, frozen=True, gc=False):
    """What became of customers with a contract: their figures at an earlier moment, and whether they have left.

    It comes before the sample that closes ``moment_ms``.

    Attributes:
        partition: of the inputs.
        moment_ms: The moment by which it is known.
        chunk: Number of this record among the cohorts of the moment, from 0.
        frozen_ms: The moment at which the figures were taken.
        rows: Figures, and whether the customer had left by ``moment_ms``.
    """

    partition: int
    moment_ms: int
    chunk: int
    frozen_ms: int
    rows: list[tuple[list[float], bool]]


Example = Sample | Cohort

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Sample | Cohort]] = msgspec.msgpack.Decoder(Sample | Cohort)

#: Bytes of an example.
encode_example = _encoder.encode


def decode_example(data: bytes) -> Example:
    """Read what ``encode_example`` wrote.

    Raises:
        msgspec.DecodeError: the bytes are no example.
    """
    return _decoder.decode(data)


def row_of(customer: Customer, currency: str | None, currencies: dict[str, int]) -> Row | None:
    """What is told of a customer who has bought; None of others.

    Args:
        customer: As of the moment.
        currency: Whose amounts count; None: the customer's only one.
        currencies: Places of those met so far; a new one is added.
    """
    first_ms, last_ms = customer.first_purchase_ms, customer.last_purchase_ms
    if first_ms is None or last_ms is None:
        return None
    again = customer.purchase_days - 1
    first, last = first_ms // HOUR_MS, (last_ms if again else first_ms) // HOUR_MS
    spend = customer.spend
    if currency is None:
        currency = next(iter(spend)) if len(spend) == 1 else None
    if currency is None or currency not in spend:
        return again, first, last, NO_CURRENCY, 0
    return again, first, last, currencies.setdefault(currency, len(currencies)), spend[currency]
