"""The windows of one slice at one instant, formed when they are asked for.

Whoever catches up closes many panes for one publication, and a rule looks at one window only; so a closing
takes hold of the parts, which are frozen, and adds them up later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from stream.measures.stats import CUSTOMERS, Stats, bare, plus

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING: Final[Stats] = {}


class WindowSums(Mapping[str, Stats]):
    """Window name -> sums; {} for a window without observations. The sums are frozen: do not change them.

    Args:
        windows: Window name -> (place of its base in ``bases``, how many of ``opens`` go on top).
        bases: Sums of a window without its open panes, None for none.
        opens: Sums of the open panes, the finest first, None for none.
        customers: Window name -> summary of its customers.
    """

    __slots__ = ("_bases", "_customers", "_formed", "_opens", "_windows")

    def __init__(
        self,
        windows: Mapping[str, tuple[int, int]],
        bases: Sequence[Stats | None],
        opens: Sequence[Stats | None],
        customers: Mapping[str, list[int]],
    ) -> None:
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
        sums = self._bases[place] or _NOTHING
        for opened in self._opens[:depth]:
            if opened is not None:
                sums = plus(sums, bare(opened)) if sums else bare(opened)
        counted = self._customers.get(name)
        return sums if counted is None else sums | {CUSTOMERS: counted}
