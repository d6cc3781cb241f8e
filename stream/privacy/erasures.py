"""Who is erased, and up to which place in each log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from schemas.erasure import ERASED_PREFIX, KEY_PREFIX, REWRITE, Erasure, PrivacyKey
from stream.privacy.finding import customers_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.privacy.fingerprints import Keys

NOTE_PREFIX: Final = b"erased|"
_NOWHERE: Final = -1
_MOST_OTHERS: Final = 100_000
_decode_note: Final = msgspec.json.Decoder(list[int]).decode


def source_of(topic: str, partition: int) -> str:
    """How ``Erasure.ends`` names a partition."""
    return f"{topic}/{partition}"


class Erasures:
    """What ``cx.erasures`` says, and the questions that workers ask of it.

    Args:
        keys: what fingerprints are made with.

    Attributes:
        version: rises when someone more is erased.
        rewriting: a rewrite of the logs is under way, or was cut short.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.version = 0
        self._held: dict[str, Erasure] = {}
        self._below: dict[str, int] = {}
        self._others: set[str] = set()  # customers known not to be erased: of those who are nothing is kept
        self._marks: set[str] = set()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held(self) -> Mapping[str, Erasure]:
        """Every erasure by its fingerprint."""
        return self._held

    @property
    def newest_s(self) -> float:
        """When the newest erasure was asked for, seconds since 1970; 0: there is none."""
        return max((each.at.timestamp() for each in self._held.values()), default=0.0)

    @property
    def rewriting(self) -> bool:
        """Whether a rewrite is under way, or was cut short."""
        return bool(self._marks)

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the topic; without a value it is no longer there.

        Raises:
            KeyUnknown: it was noted with a key that is not there.
            ValueError: it is no record of this topic.
        """
        name = key.decode()
        if name == REWRITE or name.startswith(f"{REWRITE}/"):
            if value is None:
                self._marks.discard(name)
            else:
                self._marks.add(name)
        elif name.startswith(KEY_PREFIX):
            if value is not None:
                self.keys.add(name.removeprefix(KEY_PREFIX), PrivacyKey.model_validate_json(value).salt)
        elif name.startswith(ERASED_PREFIX):
            self._take(name.removeprefix(ERASED_PREFIX), value)
        else:
            raise ValueError("the key is none of this topic's")

    def _take(self, mark: str, value: bytes | None) -> None:
        if value is None:
            self._held.pop(mark, None)
            return
        erasure = Erasure.model_validate_json(value)
        self._held[mark] = erasure
        self._others.clear()
        for source, end in erasure.ends.items():
            self._below[source] = max(self._below.get(source, _NOWHERE), end)
        self.version += 1

    def of(self, customer_id: str) -> Erasure | None:
        """The newest erasure of a customer; None: nobody has asked for one."""
        if customer_id in self._others:
            return None
        found = [self._held[mark] for mark in self.keys.all_of(customer_id) if mark in self._held]
        if found:
            return max(found, key=lambda each: each.at)
        if len(self._others) >= _MOST_OTHERS:
            self._others.clear()
        self._others.add(customer_id)
        return None

    def below(self, topic: str, partition: int) -> int:
        """No record of a partition from this offset on is erased; -1: none at all."""
        return self._below.get(f"{topic}/{partition}", _NOWHERE)

    def erased(self, customer_id: str, topic: str, partition: int, offset: int) -> bool:
        """Whether a record about a customer is erased, by where it stands."""
        erasure = self.of(customer_id)
        if erasure is None:
            return False
        # A partition that the erasure did not know of had nothing by then, or was not asked for yet.
        return offset < erasure.ends.get(f"{topic}/{partition}", 2**63)

    def refers(self, key: bytes | None, value: bytes | None, topic: str, partition: int, offset: int) -> bool:
        """Whether a record that cannot be read as an event is about someone erased, as far as can be told."""
        return any(self.erased(one, topic, partition, offset) for one in customers_in(key, value))

    def open_in(self, notes: Mapping[bytes, bytes], sources: tuple[str, str]) -> dict[str, Erasure]:
        """Erasures that a partition has not carried out, by what it has noted.

        Args:
            notes: entries of its table, those with other keys are not looked at.
            sources: of the partition.
        """
        return {
            mark: erasure
            for mark, erasure in self._held.items()
            if (held := notes.get(note_key(mark))) is None or _decode_note(held) != _ends(erasure, sources)
        }

    def among(self, names: Iterable[bytes], marks: Mapping[str, Erasure]) -> list[bytes]:
        """Those customers that some of ``marks`` stand for: 1.5 s for a million on one core."""
        found = []
        for name in names:
            customer_id = name.decode()
            if any(mark in marks for mark in self.keys.all_of(customer_id)):
                found.append(name)
        return found


def note_key(mark: str) -> bytes:
    """Where a partition's table notes that it has carried an erasure out."""
    return NOTE_PREFIX + mark.encode()


def note_of(erasure: Erasure, sources: tuple[str, str]) -> bytes:
    """What it notes: up to where the erasure reaches in each of its sources."""
    return msgspec.json.encode(_ends(erasure, sources))


def _ends(erasure: Erasure, sources: tuple[str, str]) -> list[int]:
    return [erasure.ends.get(source, _NOWHERE) for source in sources]
