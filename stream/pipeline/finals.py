"""Which values are published of panes that close at once: the newest of each slice, and some on the way there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream.measures import Stats

#: On the way, values of a slice lie this far apart at least (milliseconds).
STEP_MS = 300_000
#: They are at most this share of all that was worked out on the way, of which ten cost as much as telling one; or
#: these few, and never more than these many.
SHARE, FEW, MANY = 0.02, 50, 2_000
_LONGEST_MS = 2**42  # a hundred years: slices too many for even one value each on the way


@dataclass(frozen=True, slots=True)
class Final:
    """Final sums of a slice, by window, and what late data changed on the way there.

    Attributes:
        as_of_ms: the instant (epoch milliseconds).
        sums: of each window.
        controls: of each experiment the sums of the control.
        corrected: the earliest pane that counted late data in what closes at once, up to here; None: none did.
    """

    as_of_ms: int
    sums: Mapping[str, Stats]
    controls: Mapping[str, Stats]
    corrected: int | None


@dataclass(slots=True)
class Finals:
    """Of the panes that close at once: live it is one, of a time that is caught up with it may be thousands.

    The newest value of each slice is what counts. Those on the way are for charts, which would have a single point
    of all that time: a value for each step, of steps that double while there would be too many.
    """

    _newest: dict[str, Final] = field(default_factory=dict)
    _way: dict[tuple[str, int], Final] = field(default_factory=dict)
    _step_ms: int = STEP_MS
    _seen: int = 0

    def take(self, slice_key: str, final: Final) -> None:
        """Note a slice's value at the next instant; instants never go back."""
        before = self._newest.get(slice_key)
        self._newest[slice_key] = final
        self._seen += 1
        if before is None:
            return
        step = before.as_of_ms // self._step_ms
        if final.as_of_ms // self._step_ms == step:
            return
        self._way[slice_key, step] = before
        if len(self._way) > MANY:
            self._thin()

    def corrected(self, slice_key: str) -> int | None:
        """The earliest pane that counted late data so far; None: none did."""
        before = self._newest.get(slice_key)
        return None if before is None else before.corrected

    def __iter__(self) -> Iterator[tuple[str, Final]]:
        """What to publish, of each slice the newest last."""
        while len(self._way) > max(FEW, self._seen * SHARE):
            self._thin()
        for (slice_key, _), final in self._way.items():
            yield slice_key, final
        yield from self._newest.items()

    def _thin(self) -> None:
        self._step_ms *= 2
        thinned = {(key, final.as_of_ms // self._step_ms): final for (key, _), final in self._way.items()}
        self._way = thinned if self._step_ms < _LONGEST_MS else {}
