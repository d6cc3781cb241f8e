"""The sums of a slice as one integer, so that adding and taking away are one operation whatever the metrics.

A dict of lists is a dozen objects scattered over memory, and an hour of 5,000 slices has 1.8 million of them.
Every number of a slice has a field of 128 bits instead, at a place that the slice's layout assigns when its part
key is first met, and never changes: layouts only grow. Negative numbers borrow from the field above, which sums
and differences take into account by themselves. So ``pack`` is linear: the sum of packed sums is the packed sum.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.measures.stats import Stats

_FIELD: Final = 128
_HALF: Final = 1 << (_FIELD - 1)
_FULL: Final = 1 << _FIELD


class Layout:
    """Where the vectors of some part keys lie. Immutable, and shared by slices that met the same keys in order.

    Attributes:
        places: Part key -> (first field, field after the last).
        parts: The same as (part key, slice of the fields).
        grown: Layouts with one more key, by key and length.
    """

    __slots__ = ("_bias", "_high", "_read", "_size", "grown", "parts", "places")

    def __init__(self, places: dict[str, tuple[int, int]]) -> None:
        self.places: Final = places
        self.parts: Final = tuple((key, slice(first, end)) for key, (first, end) in places.items())
        self.grown: Final[dict[tuple[str, int], Layout]] = {}
        fields = max((end for _, end in places.values()), default=0)
        ones = sum(1 << (_FIELD * field) for field in range(fields))
        self._size: Final = fields * _FIELD // 8
        self._bias: Final = ones << 63
        self._high: Final = ones * ((1 << _FIELD) - (1 << 64))
        self._read: Final[Callable[[bytes], tuple[int, ...]]] = Struct("<" + "q8x" * fields).unpack

    def numbers(self, packed: int) -> list[int]:
        """All fields in order."""
        raised = packed + self._bias  # 0 <= field < 2^64 where it was a signed number of 64 bits
        if raised < 0 or raised & self._high:
            return self._wide(packed)
        return [*self._read((raised ^ self._bias).to_bytes(self._size, "little"))]

    def _wide(self, packed: int) -> list[int]:
        """As ``numbers``, of fields that do not fit 64 bits."""
        found = []
        for _ in range(self._size * 8 // _FIELD):
            number = (packed + _HALF) % _FULL - _HALF
            found.append(number)
            packed = (packed - number) >> _FIELD
        return found


class Packing:
    """The layouts of all slices of an owner."""

    def __init__(self) -> None:
        self._empty: Final = Layout({})
        self._layouts: dict[str, Layout] = {}

    def pack(self, slice_key: str, stats: Stats) -> int:
        """The sums as one integer; 0 for none.

        Raises:
            ValueError: A vector has not the length that it had before.
        """
        layout = self._layouts.get(slice_key, self._empty)
        packed = 0
        for key, vec in stats.items():
            place = layout.places.get(key)
            if place is None:
                layout = self._layouts[slice_key] = _grown(layout, key, len(vec))
                place = layout.places[key]
            first, end = place
            if end - first != len(vec):
                raise ValueError(f"the vector of {key} had {end - first} numbers, not {len(vec)}")
            shift = first * _FIELD
            for number in vec:
                packed += number << shift
                shift += _FIELD
        return packed

    def unpack(self, slice_key: str, packed: int) -> Stats:
        """The sums again, as a new dict; vectors of zeros are left out."""
        if not packed:
            return {}
        layout = self._layouts[slice_key]
        numbers = layout.numbers(packed)
        if 0 not in numbers:  # the hot path of windows
            return {key: numbers[part] for key, part in layout.parts}
        return {key: vec for key, part in layout.parts if any(vec := numbers[part])}


def _grown(layout: Layout, key: str, length: int) -> Layout:
    found = layout.grown.get((key, length))
    if found is None:
        first = max((end for _, end in layout.places.values()), default=0)
        found = layout.grown[key, length] = Layout(layout.places | {key: (first, first + length)})
    return found
