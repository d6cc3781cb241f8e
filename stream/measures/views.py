"""The windows of one slice at one instant, formed when they are asked for.

Whoever catches up closes many panes for one publication, and a rule looks at one window only; so a closing
keeps the packed sums, which never change, and unpacks them later.
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
        places: Window name -> place in ``sums``.
        sums: Packed sums.
        customers: Window name -> summary of its customers.
    """

    __slots__ = ("_customers", "_formed", "_packing", "_places", "_slice", "_sums")

    def __init__(
        self,
        slice_key: str,
        packing: Packing,
        places: Mapping[str, int],
        sums: Sequence[int],
        customers: Mapping[str, list[int]],
    ) -> None:
        self._slice = slice_key
        self._packing = packing
        self._places = places
        self._sums = sums
        self._customers = customers
        self._formed: dict[str, Stats] = {}

    def __getitem__(self, name: str) -> Stats:
        formed = self._formed.get(name)
        if formed is None:
            formed = self._formed[name] = self._form(name)
        return formed

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _form(self, name: str) -> Stats:
        sums = self._packing.unpack(self._slice, self._sums[self._places[name]])
        counted = self._customers.get(name)
        if counted is not None:
            sums[CUSTOMERS] = counted
        return sums
