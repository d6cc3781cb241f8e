"""Distinct customers in sliding windows: counted exactly up to a size, estimated above it.

Distinct sampling over sliding windows [Gibbons & Tirthapura, "Distributed streams algorithms for sliding
windows", SPAA 2002]. Customers come as 64-bit hashes. Level l samples the hashes that begin with at least l
zero bits, a share of 2^-l, and keeps the ``capacity`` of them that were seen most recently. A window is answered
by the lowest level that has lost nothing the window covers: the number kept there, times 2^l.

That level is the lowest at which at most ``capacity`` hashes of the window qualify. So an answer depends on the
set of customers in the window and on nothing else: not on order, repeats, sources, restarts, or on how finely
the panes were known. At level 0 it is exact; above, it is the estimator of adaptive sampling [Flajolet, "On
adaptive sampling", Computing 43, 1990]: unbiased, with a relative standard error of about 1.20/sqrt(capacity).

Only the newest pane of a customer is kept. That suffices for windows that end after everything that was added,
which is to say at the frontier: whoever was there in an older pane of such a window and came again later is in
the window by the later pane too. Late data older than a customer's newest pane therefore changes nothing. What
cannot be answered is a window that ended in the past; ``count`` refuses it. Customers cannot be taken back.

Memory: about 190 bytes for each customer kept in CPython. A slice of n customers keeps all of them up to
``capacity``, and about capacity * (1 + log2(n / capacity)) above, never more than 64 times ``capacity``.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

BITS: Final = 64
_MASK: Final = (1 << BITS) - 1


class Count(NamedTuple):
    """Distinct customers of a window.

    Attributes:
        n: How many; estimated where not ``exact``.
        exact: Whether it is the true number.
        relative_error: Standard error as a fraction of ``n``; 0 where exact.
    """

    n: int
    exact: bool
    relative_error: float

    def vector(self) -> list[int]:
        """[n, 1 if exact, relative error in 1e-4]: the part ``customers`` of a window's sums."""
        return [self.n, int(self.exact), round(10_000 * self.relative_error)]


class _Level:
    """The sample of one level.

    Attributes:
        keys: ``pane << 64 | hash`` of the customers kept, sorted: the least recent first.
        lost: The newest pane of one that had to make room; -1 for none.
    """

    __slots__ = ("keys", "lost")

    def __init__(self, keys: list[int]) -> None:
        self.keys = keys
        self.lost = -1


def needed(panes: Mapping[int, int], capacity: int) -> dict[int, int]:
    """What of customers and their newest panes ``Distinct`` needs, here or put together with other such parts.

    Args:
        panes: Hash -> newest pane.
        capacity: As of the ``Distinct``.
    """
    if len(panes) <= capacity:
        return dict(panes)
    kept: dict[int, int] = {}
    keys = sorted([pane << BITS | customer for customer, pane in panes.items()])
    number = 0
    while True:
        # One more than a level keeps, for the level to know what it has lost.
        kept.update((key & _MASK, key >> BITS) for key in keys[-capacity - 1 :])
        if len(keys) <= capacity:
            return kept
        number += 1
        keys = _qualified(keys, number)


def _qualified(keys: list[int], number: int) -> list[int]:
    """Those of the hashes that begin with ``number`` zero bits."""
    below = 1 << (BITS - number)
    return [key for key in keys if key & _MASK < below]


class Distinct:
    """The customers of one slice, for all its windows.

    An addition is O(log capacity) comparisons and a move of at most ``8 * capacity`` bytes at each level its
    hash qualifies for (two on average); a count is one bisection and a glance at each level.

    Args:
        capacity: Customers up to which a window is counted exactly, at least 1.

    Raises:
        ValueError: A capacity below 1.
    """

    __slots__ = ("_capacity", "_forgotten", "_levels", "_panes")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"the capacity must be at least 1, not {capacity}")
        self._capacity: Final = capacity
        self._levels = [_Level([])]  # one more than have lost anything
        self._panes: dict[int, int] = {}  # hash -> newest pane, of all that some level keeps
        self._forgotten = 0

    @classmethod
    def of(cls, capacity: int, panes: Mapping[int, int]) -> Self:
        """All at once: the same as adding every customer with its newest pane, at a fraction of the cost."""
        self = cls(capacity)
        self._levels.clear()
        keys = sorted([pane << BITS | customer for customer, pane in panes.items()])
        while True:
            level = _Level(keys[-capacity:])
            self._levels.append(level)
            self._panes.update((key & _MASK, key >> BITS) for key in level.keys)
            if len(keys) <= capacity:
                return self
            level.lost = keys[-capacity - 1] >> BITS
            keys = _qualified(keys, len(self._levels))

    def __len__(self) -> int:
        """Customers kept; 0 exactly when no pane that was not forgotten has any."""
        return len(self._panes)

    def add(self, customer: int, pane: int) -> None:
        """Note that a customer was seen in a pane; panes in any order, repeats do no harm.

        Args:
            customer: Uniform hash, 0 <= customer < 2^64.
            pane: Index of the pane, at least 0. One that was forgotten is ignored.

        Raises:
            ValueError: The hash has more than 64 bits.
        """
        zeros = BITS - customer.bit_length()
        if zeros < 0:
            raise ValueError("a customer must be a hash of 64 bits")
        old = self._panes.get(customer, -1)
        if pane <= old or pane < self._forgotten:
            return
        self._panes[customer] = pane
        key = pane << BITS | customer
        was = old << BITS | customer  # negative, and in no level, when the customer is new
        # The slice is taken beforehand: a level that is made on the way has the customer already.
        for number, level in enumerate(self._levels[: zeros + 1]):
            keys = level.keys
            if was >= 0 and keys and was >= keys[0]:
                del keys[bisect_left(keys, was)]
            insort(keys, key)
            if len(keys) > self._capacity:
                self._make_room(number, level)

    def lose(self, level: int, pane: int) -> None:
        """Note that of a pane only the customers that qualify for ``level`` were told, for there were too many.

        Of every window that covers the pane more than ``capacity`` must qualify for each lower level.
        """
        if pane < self._forgotten:
            return
        while len(self._levels) <= level:
            highest = BITS - len(self._levels)
            self._levels.append(
                _Level([key for key in self._levels[-1].keys if (key & _MASK) >> highest == 0])
            )
        for each in self._levels[:level]:
            each.lost = max(each.lost, pane)

    def count(self, first: int, end: int, also: Collection[int] = ()) -> Count:
        """Customers seen in the panes from ``first`` up to but without ``end``.

        Args:
            first: Pane at which the window starts.
            end: Pane at which it ends, beyond every pane that was added.
            also: Hashes of customers seen in the window that are not to be added yet: repeats, and customers
                the window has already, are not counted twice.

        Raises:
            ValueError: The window ends before the newest pane, or starts in one that was forgotten.
        """
        lowest = self._levels[0].keys
        if first < self._forgotten:
            raise ValueError(f"panes before {self._forgotten} are forgotten; the window starts at {first}")
        if lowest and lowest[-1] >> BITS >= end:
            raise ValueError(f"customers up to pane {lowest[-1] >> BITS} are in; the window ends at {end}")
        if self._levels[0].lost < first and not also:  # nearly always: one bisection
            return Count(len(lowest) - bisect_left(lowest, first << BITS), exact=True, relative_error=0.0)
        number = next(number for number, level in enumerate(self._levels) if level.lost < first)
        keys = self._levels[number].keys
        start = bisect_left(keys, first << BITS)
        kept = len(keys) - start
        more = {each for each in also if self._panes.get(each, -1) < first and each >> (BITS - number) == 0}
        while kept + len(more) > self._capacity:
            number += 1
            more = {each for each in more if each >> (BITS - number) == 0}
            kept = sum((key & _MASK) >> (BITS - number) == 0 for key in keys[start:])
        return self._counted(number, kept + len(more))

    def forget(self, before: int) -> None:
        """Let go of panes that no window will ask for any more: those before ``before``."""
        if before <= self._forgotten:
            return
        self._forgotten = before
        start = before << BITS
        whole = len(self._levels)
        for number, level in enumerate(self._levels):
            gone = bisect_left(level.keys, start)
            for key in level.keys[:gone]:
                self._panes.pop(key & _MASK, None)
            del level.keys[:gone]
            if level.lost < before:
                whole = min(whole, number + 1)
        del self._levels[whole:]  # the lowest that misses nothing has all that the higher ones have

    def _counted(self, number: int, kept: int) -> Count:
        """What ``kept`` customers at the level ``number`` stand for."""
        if number == 0:
            return Count(kept, exact=True, relative_error=0.0)
        # Above level 0 there are known to be more than ``capacity``, whatever the sample says.
        estimate = max(kept << number, self._capacity + 1)
        return Count(estimate, exact=False, relative_error=sqrt((1 - 0.5**number) / max(kept, 1)))

    def _make_room(self, number: int, level: _Level) -> None:
        """Let the least recent customer of a level go; the levels above keep it if it qualifies there."""
        if number + 1 == len(self._levels):
            above = _Level([key for key in level.keys if (key & _MASK) >> (BITS - number - 1) == 0])
            self._levels.append(above)
            if len(above.keys) > self._capacity:
                self._make_room(number + 1, above)
        key = level.keys.pop(0)
        level.lost = max(level.lost, key >> BITS)
        customer = key & _MASK
        if customer >> (BITS - number - 1):  # it does not qualify above
            del self._panes[customer]
