"""Records of people who were erased: refused, as if they had never come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from stream.intake import Event

if TYPE_CHECKING:
    from stream.intake import Rejection
    from stream.pipeline.merging import Inlet, SourceRecord

#: Entries of the panes table that begin so note which erasures a partition has carried out.
NOTE: Final = "erased|"
_NOWHERE: Final = -1


class Erased(Protocol):
    """Who is erased, as ``stream.privacy`` knows it."""

    def below(self, topic: str, partition: int) -> int:
        """No record from this offset on is erased."""

    def erased(self, customer_id: str, topic: str, partition: int, offset: int) -> bool:
        """Whether a record about a customer is."""

    def refers(self, key: bytes | None, value: bytes | None, topic: str, partition: int, offset: int) -> bool:
        """Whether one that is no event is about someone erased, as far as can be told."""


class Forgetting:
    """What a partition refuses.

    Args:
        partition: its number.
        erasures: who is erased; None: nobody.
    """

    def __init__(self, partition: int, erasures: Erased | None) -> None:
        self._partition = partition
        self._erasures = erasures

    def below(self, topic: str) -> int:
        """Records from this offset on need not be asked about: all of them, as long as all is live."""
        return _NOWHERE if self._erasures is None else self._erasures.below(topic, self._partition)

    def gone(self, event: Event | Rejection, record: SourceRecord, topic: str) -> bool:
        """Whether a record is about someone who was erased."""
        erasures = self._erasures
        if erasures is None:
            return False
        if isinstance(event, Event) and record.key == event.customer_id.encode():
            return erasures.erased(event.customer_id, topic, self._partition, record.offset)
        return erasures.refers(record.key, record.value, topic, self._partition, record.offset)

    def thin(self, inlet: Inlet) -> None:
        """Refuse what was decoded before the erasure was known, and is still kept back."""
        below = self.below(inlet.topic)
        kept = [
            each for each in inlet.left if each[1].offset >= below or not self.gone(*each[:2], inlet.topic)
        ]
        inlet.erased += len(inlet.left) - len(kept)
        inlet.left = kept
