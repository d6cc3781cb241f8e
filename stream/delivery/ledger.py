"""The state of one partition's deliveries, as it is in memory and in the table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from stream.delivery.line import Line
from stream.delivery.records import (
    ALERT,
    HELD,
    ID,
    OWED,
    PARKED,
    SEEN,
    TARGET,
    Entry,
    Fate,
    Try,
    alert_key,
    encode,
    entry_of,
    held_of,
    trouble_of,
)

if TYPE_CHECKING:
    from stream.delivery.model import DeliveryPlan


class Ledger:
    """Entries, lines and ids, and which of them have to be written.

    Args:
        plan: the delivery file.
        seed: what makes waits differ from partition to partition.
    """

    def __init__(self, plan: DeliveryPlan, seed: str) -> None:
        self.plan = plan
        self.lines = {key: Line(target) for key, target in plan.targets.items()}
        self.fates: Counter[tuple[str, str]] = Counter()  # (target, Fate): taken away by who counts
        self._seed = seed
        self._entries: dict[int, Entry] = {}
        self._parked: dict[tuple[int, str], None] = {}  # the longest parked first
        self._ids: dict[str, int] = {}
        self._ring: dict[int, str] = {}
        self._seen = {"alerts": -1, "redrives": -1}
        self._dirty: dict[str, None] = {}

    def restore(self, key: str, value: bytes) -> None:
        """Take back one value of the table; ``ready`` when all are."""
        if key.startswith(ALERT):
            self._entries[int(key.removeprefix(ALERT))] = entry_of(value)
        elif key.startswith(SEEN):
            self._seen[key.removeprefix(SEEN)] = int(value)
        elif key.startswith(ID):
            self._ring[int(key.removeprefix(ID))] = value.decode()
        elif key.startswith(TARGET):
            line, trouble = self.lines.get(key.removeprefix(TARGET)), trouble_of(value)
            if line is not None and trouble.of == line.mark:
                line.trouble = trouble
            else:
                self._dirty[key] = None  # it is another now, or none at all
        elif key.startswith(HELD):
            target, fingerprint = _held(key)
            if target in self.lines:
                self.lines[target].held[fingerprint] = held_of(value)
            else:
                self._dirty[key] = None

    def ready(self, now_ms: int) -> None:
        """All values are back."""
        self._ids = {name: slot for slot, name in self._ring.items()}
        tries = [
            (tried.since_ms, offset, key, tried)
            for offset, entry in self._entries.items()
            for key, tried in entry.to.items()
        ]
        for _, offset, key, tried in sorted(tries, key=lambda each: each[:3]):
            line = self.lines.get(key)
            if tried.state == PARKED:
                continue
            if line is None:
                self._park(offset, key, tried, "receiver_removed", now_ms)
            elif line.trouble is not None and line.trouble.gone:
                self._park(offset, key, tried, "gone", now_ms)
            else:
                line.add(offset, self._entries[offset].fingerprint, tried.next_ms, alone=tried.refusals > 0)
        parked = [
            (tried.at_ms, offset, key)
            for offset, entry in self._entries.items()
            for key, tried in entry.to.items()
            if tried.state == PARKED
        ]
        self._parked = {(offset, key): None for _, offset, key in sorted(parked)}

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """What has to be written since the last time, in an order in which any prefix is sound."""
        dirty, self._dirty = self._dirty, {}
        # What is owed comes before the word that its alert was seen: else a crash in between would lose it.
        return [
            (key.encode(), self._value(key))
            for key in sorted(dirty, key=lambda key: key.startswith((ID, SEEN)))
        ]

    def _value(self, key: str) -> bytes | None:
        if key.startswith(ALERT):
            entry = self._entries.get(int(key.removeprefix(ALERT)))
            return None if entry is None else encode(entry)
        if key.startswith(SEEN):
            return str(self._seen[key.removeprefix(SEEN)]).encode()
        if key.startswith(ID):
            return self._ring[int(key.removeprefix(ID))].encode()
        if key.startswith(TARGET):
            line = self.lines.get(key.removeprefix(TARGET))
            return None if line is None or line.trouble is None else encode(line.trouble)
        target, fingerprint = _held(key)
        held = self.lines[target].held.get(fingerprint) if target in self.lines else None
        return None if held is None else encode(held)

    def _owed(self, offset: int, key: str) -> Try | None:
        entry = self._entries.get(offset)
        tried = None if entry is None else entry.to.get(key)
        return tried if tried is not None and tried.state == OWED else None

    def _park(self, offset: int, key: str, tried: Try, why: str, now_ms: int) -> None:
        tried.state, tried.why, tried.at_ms, tried.next_ms = PARKED, why, now_ms, 0
        self._parked[offset, key] = None
        self._dirty[alert_key(offset)] = None
        self.fates[key, Fate.PARKED] += 1
        if key in self.lines:
            self.lines[key].remove(offset)

    def _drop(self, offset: int, key: str) -> None:
        entry = self._entries[offset]
        del entry.to[key]
        self._parked.pop((offset, key), None)
        if key in self.lines:
            self.lines[key].remove(offset)
        if not entry.to:
            del self._entries[offset]
        self._dirty[alert_key(offset)] = None


def _held(key: str) -> tuple[str, str]:
    """Target and fingerprint of a key; of these only a fingerprint may have a stroke in it."""
    receiver, kind, fingerprint = key.removeprefix(HELD).split("/", 2)
    return f"{receiver}/{kind}", fingerprint
