"""When whom to look at again: a million moments in little memory.

Moments lie in buckets of a minute, as plain numbers beside the names they are of; only the bucket that time has
reached is put in order. One alone cannot be taken out: whoever is named looks whether it still holds.
"""

from __future__ import annotations

from array import array
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

NEVER: Final = 2**62
BUCKET_MS: Final = 60_000


class Timers:
    """Moments in epoch milliseconds, each with a name.

    Attributes:
        next_ms: Nothing is due before; ``NEVER`` where nothing is.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, tuple[array[int], list[bytes]]] = {}
        self._order: list[int] = []  # a heap of the buckets there are
        self._near: list[tuple[int, bytes]] = []  # a heap: what lies up to the bucket that was reached
        self._reached = -1
        self.next_ms = NEVER

    def __len__(self) -> int:
        return len(self._near) + sum(len(names) for _, names in self._buckets.values())

    def add(self, due_ms: int, name: bytes) -> None:
        """Note a moment."""
        number = due_ms // BUCKET_MS
        if number <= self._reached:
            heappush(self._near, (due_ms, name))
            self.next_ms = min(self.next_ms, due_ms)
            return
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = (array("q"), [])
            heappush(self._order, number)
            self.next_ms = min(self.next_ms, number * BUCKET_MS)
        bucket[0].append(due_ms)
        bucket[1].append(name)

    def first(self, clock_ms: int) -> int:
        """The earliest moment, if it is not after ``clock_ms``; else something that is."""
        while (
            self._order
            and self._order[0] * BUCKET_MS <= clock_ms
            and (not self._near or self._near[0][0] >= self._order[0] * BUCKET_MS)
        ):
            self._reached = heappop(self._order)
            dues, names = self._buckets.pop(self._reached)
            self._near += zip(dues, names, strict=True)
            heapify(self._near)
        self._look()
        return self.next_ms

    def pop(self) -> tuple[int, bytes]:
        """Take out the earliest moment, after ``first`` has found it; of equal ones by name."""
        found = heappop(self._near)
        self._look()
        return found

    def forget(self, names: Collection[bytes]) -> None:
        """Take out every moment of some names: it goes through all of them."""
        gone = frozenset(names)
        for number, (dues, held) in list(self._buckets.items()):
            if gone.isdisjoint(held):
                continue
            kept = [(due, name) for due, name in zip(dues, held, strict=True) if name not in gone]
            self._buckets[number] = (array("q", [due for due, _ in kept]), [name for _, name in kept])
        self._near = [each for each in self._near if each[1] not in gone]
        heapify(self._near)
        self._look()

    def _look(self) -> None:
        near = self._near[0][0] if self._near else NEVER
        far = self._order[0] * BUCKET_MS if self._order else NEVER
        self.next_ms = min(near, far)
