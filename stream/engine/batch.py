"""The unit of work: everything fetched at once for one topic-partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Record(Protocol):
    """One Kafka record as fetched; keys and values are raw bytes, timestamps epoch milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102 - see the class
    @property
    def timestamp(self) -> int: ...  # noqa: D102 - see the class
    @property
    def key(self) -> bytes | None: ...  # noqa: D102 - see the class
    @property
    def value(self) -> bytes | None: ...  # noqa: D102 - see the class
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102 - see the class


@dataclass(slots=True, eq=False)
class Batch:
    """Consecutive records of one topic-partition, in offset order.

    Whoever receives a batch owns it until ``ack()``: only then may its offsets be committed, so everything
    it caused must be durable before. Acknowledging twice, or a batch from before a rebalance, does nothing.
    """

    topic: str
    partition: int
    records: list[Record]
    generation: int
    on_ack: Callable[[Batch], None] = field(repr=False)
    acked: bool = False

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.records[-1].offset

    def __len__(self) -> int:
        return len(self.records)

    def ack(self) -> None:
        """Say that all this batch caused is durable."""
        self.on_ack(self)
