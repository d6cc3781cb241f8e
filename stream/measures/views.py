"""The windows of one slice at one instant, formed when they are asked for.

Whoever catches up closes many panes for one publication, and a rule looks at one window only; so a closing
takes hold of the parts, which never change, and adds them up later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stream.measures.stats import CUSTOMERS, Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.measures.packing import Packing


class WindowSums(Mapping[str, Stats]):
    """Window name -> sums; {} for a window without observations. Do not change them.

    Args:
        slice_key: The slice.
        packing: The layouts of the owner's slices.
        windows: Window name -> (place of its base in ``bases``, how many of ``opens`` go on top).
        bases: Packed sums of a window without its open panes.
        opens: Packed sums of the open panes, the finest first.
        customers: Window name -> summary of its customers.
    """

    __slots__ = ("_bases", "_customers", "_formed", "_opens", "_packing", "_slice", "_windows")

    def __init__(
        self,
        slice_key: str,
        packing: Packing,
        windows: Mapping[str, tuple[int, int]],
        bases: Sequence[int],
        opens: Sequence[int],
        customers: Mapping[str, list[int]],
    ) -> None:
        self._slice = slice_key
        self._packing = packing
        self._windows = windows
        self._bases = bases
        self._opens = opens
        self._customers = customers
        self._formed: dict[str, Stats] = {}

    def __getitem__(self, name: str) -> Stats:
        formed = self._formed.get(name)
        if formed is None:
            formed = self._formed[name] = self._form(name)
        return formed

    def __iter__(self) -> Iterator[str]:
        return iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _form(self, name: str) -> Stats:
        place, depth = self._windows[name]
        sums = self._packing.unpack(self._slice, self._bases[place] + sum(self._opens[:depth]))
        counted = self._customers.get(name)
        if counted is not None:
            sums[CUSTOMERS] = counted
        return sums
