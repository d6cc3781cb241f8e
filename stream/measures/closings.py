"""What the owner of slices tells: what changed at an instant, and what is to be made durable."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stream.measures.stats import Stats


class Closing(msgspec.Struct, frozen=True):
    """The final sums of the slices that changed, or were asked for, at one instant; perhaps of none.

    Attributes:
        instant: Number of panes that are final, F.
        as_of_ms: The same as a time: the end of the last final pane.
        changed: Slice key (in alphabetical order) -> window name -> sums; {} for a window without
            observations. The sums are shared and frozen: do not change them. A shifted window is there as well,
            but that it moves on is no change.
        corrected: Slice key -> the first finest pane before the instant's own of which late data changed the
            sums: what was published from there on would be different now.
        news: Slice key -> (finest pane, sums) of all that became known, on time or late, in the order of the
            panes; without customers. What is too old for every window is there as well.
    """

    instant: int
    as_of_ms: int
    changed: dict[str, Mapping[str, Stats]]
    corrected: dict[str, int] = {}
    news: dict[str, list[tuple[int, Stats]]] = {}


class WindowChanges(msgspec.Struct, frozen=True):
    """What is to be made durable.

    Attributes:
        entries: Table (key, value) to write first, in any order.
        progress: Table (key, value) to write when the entries are acknowledged; None when nothing changed.
        tombstones: Table keys to delete, at any moment: an earlier progress has made them needless.
    """

    entries: list[tuple[str, bytes]]
    progress: tuple[str, bytes] | None
    tombstones: list[str]
