"""Which profiles are owed to ``cx.customers`` and Redis, and what they say. Pure.

A customer is owed a profile from the moment their state changes until one was published that has the change.
Rounds begin at most every so often in event time; a round takes everybody who is owed one. So a customer with many
events is told of once a round, and never later than the round after the last of them. Every so often a round takes
all customers: time goes on for those of whom nothing is heard, and how likely they are to leave changes with it.

How far rounds have got is kept with the partition's tables. After a crash those are owed a profile whose state has
seen more than that; what was published of a round that did not end is published again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.alerting.watch import Watch, read_watch
from stream.customers import decode
from stream.customers.profile import moment, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stream.customers import Customer, CustomerConfig

#: Key of the progress among the entries of a partition's panes.
PROGRESS_KEY: Final = b"profiles"
_LEFT_OUT: Final = "signals"
_encode: Final = msgspec.json.Encoder().encode
_NEVER: Final = -(2**62)


class Progress(msgspec.Struct, array_like=True, frozen=True):
    """Offsets up to which everybody was told of, of both topics, and when a round last took all."""

    first: int = -1
    second: int = -1
    all_ms: int = _NEVER


class _Stamps(msgspec.Struct, array_like=True, gc=False):
    stamp_t: int
    stamp_r: int


_progress: Final = msgspec.msgpack.Decoder(Progress).decode
_stamps: Final = msgspec.msgpack.Decoder(_Stamps).decode
_pack: Final = msgspec.msgpack.Encoder().encode


def packed(progress: Progress) -> bytes:
    """As the table keeps it."""
    return _pack(progress)


@dataclass(frozen=True, slots=True)
class Profiled:
    """A profile to publish; without a payload the customer is to be removed."""

    name: bytes
    as_of_ms: int
    payload: bytes | None
    value_at_risk: float | None = None
    currency: str | None = None


class Owed:
    """Who is owed a profile, in one partition.

    Args:
        customers: the partition of the customers table; read only.
        progress: what was kept under ``PROGRESS_KEY``, or None.
        every_ms: rounds begin at most this often.
        all_every_ms: everybody is looked at this often.
    """

    def __init__(
        self, customers: Mapping[bytes, bytes], progress: bytes | None, every_ms: int, all_every_ms: int
    ) -> None:
        self._customers = customers
        self._kept = Progress() if progress is None else _progress(progress)
        self._every_ms = every_ms
        self._all_every_ms = all_every_ms
        self._changed: dict[bytes, None] = {}
        self._round: Iterator[bytes] | None = None
        self._after = self._kept  # what the progress is once the round is over
        self._ends = (self._kept.first, self._kept.second)
        self._began_ms = _NEVER
        self._missed_yet = True  # whether those whom the worker before has not told of are still to be found
        self._all_asked = False
        self._told = True

    @property
    def waiting(self) -> int:
        """Customers who have changed and are in no round yet."""
        return len(self._changed)

    def changed(self, names: Iterable[bytes], ends: tuple[int, int]) -> None:
        """Note whose state has changed; quick, it is called for each batch.

        Args:
            names: keys of the table.
            ends: offsets up to which the table has seen both topics; -1: nothing new.
        """
        self._changed.update(dict.fromkeys(names))
        first, second = self._ends
        self._ends = (max(first, ends[0]), max(second, ends[1]))

    def take(self, most: int, at_ms: int | None, *, patience_over: bool = False) -> list[bytes]:
        """Whom to tell of now, at most so many; none: nobody, or the next round is not due.

        Args:
            most: how many.
            at_ms: watermark; None: there is none yet.
            patience_over: a round is due even though event time has not got so far.
        """
        if self._round is None:
            self._begin(_NEVER if at_ms is None else at_ms, patience_over=patience_over)
        taken = list(islice(self._round or (), most))
        if len(taken) < most:
            self._round = None
        return taken

    def over(self) -> bytes | None:
        """What to keep as progress, once after each round whose profiles are out; None: nothing new."""
        if self._round is not None or self._told:
            return None
        self._told = True
        self._kept = self._after
        return packed(self._kept)

    def all_again(self) -> None:
        """Let a round take everybody, at once: whoever has the profiles has lost them."""
        self._all_asked = True
        self._round = None

    def _begin(self, at_ms: int, *, patience_over: bool) -> None:
        everybody = self._all_asked or (at_ms != _NEVER and at_ms >= self._kept.all_ms + self._all_every_ms)
        at_once = self._all_asked or self._missed_yet
        if not (at_once or patience_over or at_ms >= self._began_ms + self._every_ms):
            return
        if everybody:
            names: Iterable[bytes] = chain(self._names(), self._others(self._changed))  # who left as well
        elif self._missed_yet:
            names = dict.fromkeys([*self._missed(), *self._changed])
        elif self._changed:
            names = self._changed
        else:
            return
        self._missed_yet = self._all_asked = False
        self._changed = {}
        self._began_ms = at_ms
        self._round = iter(names)
        self._after = Progress(*self._ends, at_ms if everybody else self._kept.all_ms)
        self._told = False

    def _names(self) -> Iterator[bytes]:
        """All customers, while some come and go: a dict does not allow that, a table on disk does."""
        held = self._customers
        return iter(list(held) if isinstance(held, dict) else held)

    def _others(self, names: Iterable[bytes]) -> Iterator[bytes]:
        """Those who are not customers any more."""
        return (name for name in names if name not in self._customers)

    def _missed(self) -> Iterator[bytes]:
        """Who has seen more than rounds had got to before this worker had the partition."""
        first, second = self._kept.first, self._kept.second
        for name, value in self._customers.items():
            stamps = _stamps(value)
            if stamps.stamp_t > first or stamps.stamp_r > second:
                yield name


def about(fired: Mapping[str, int], watch: Watch) -> dict[str, Any]:
    """What rules know of a customer: contacts, when alerts last fired, and what is due."""
    return {
        "contacted": [moment(at_ms) for at_ms in sorted(watch.contacts)],
        "alerts_last_fired": {
            name: moment(at_ms) for name, at_ms in sorted({**fired, **watch.fired}.items())
        },
        "due": [
            {"at": moment(due_ms), "ref": ref}
            for due_ms, ref in sorted((trail.due_ms, trail.ref) for trail in watch.trails if trail.due_ms)
        ],
    }


def profiled(
    name: bytes, value: bytes | None, at_ms: int, config_at: Callable[[int], CustomerConfig]
) -> Profiled:
    """The profile of a customer as it goes out.

    Args:
        name: key of the table.
        value: the state; None: there is none any more.
        at_ms: the moment, moved to the newest event if it is before that.
        config_at: what holds at a moment.
    """
    customer = None if value is None else decode(value)
    if customer is None or not customer.events:
        return Profiled(name, at_ms, None)
    at_ms = max(at_ms, customer.last_ms)
    known = shown(name.decode(), customer, at_ms, config_at(at_ms))
    return Profiled(name, at_ms, _encode(known), known["value_at_risk"], known["currency"])


def shown(customer_id: str, customer: Customer, at_ms: int, config: CustomerConfig) -> dict[str, Any]:
    """The value of a ``cx.customers`` record."""
    known = profile(customer_id, customer, at_ms, config)
    del known[_LEFT_OUT]
    watch: Any = customer.watch
    return {**known, **about(customer.fired, watch if isinstance(watch, Watch) else read_watch(watch))}
