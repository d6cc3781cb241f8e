"""Sums as one integer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import add, merge, subtract
from stream.measures.packing import Packing

numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 0, 1, -1, 2**63 - 1, -(2**63)])
stats = st.fixed_dictionaries(
    {},
    optional={
        "nps": st.tuples(numbers, numbers, numbers),
        "csat": st.tuples(numbers, numbers),
        "resolution_time|7": st.tuples(numbers),
    },
).map(lambda found: {key: list(vec) for key, vec in found.items() if any(vec)})


@given(st.lists(st.tuples(stats, st.sampled_from([1, -1])), max_size=6))
def test_packed_sums_are_the_sums(parts):
    """Adding and taking away packed is adding and taking away each number, beyond 64 bits too."""
    packing = Packing()
    total, expected = 0, {}
    for part, sign in parts:
        total += sign * packing.pack("{}", part)
        (merge if sign > 0 else subtract)(expected, part)
    assert packing.unpack("{}", total) == expected
    assert (total == 0) == (expected == {})


def test_slices_have_layouts_of_their_own():
    """What was packed before a key was met is read right afterwards; slices do not disturb each other."""
    packing = Packing()
    early = packing.pack("a", {"nps": [1, 0, -2]})
    packing.pack("b", {"csat": [3, 4]})
    late = packing.pack("a", {"csat": [5, -6], "nps": [0, 7, 0]})
    assert packing.unpack("a", early) == {"nps": [1, 0, -2]}
    assert packing.unpack("a", early + late) == {"nps": [1, 7, -2], "csat": [5, -6]}
    assert packing.unpack("never seen", 0) == {}


def test_a_vector_keeps_its_length():
    """A key whose vector has another length than before is refused, and named."""
    packing = Packing()
    packing.pack("{}", {"nps": [1, 0, 0]})
    with pytest.raises(ValueError, match="vector of nps had 3 numbers, not 2"):
        packing.pack("{}", {"nps": [1, 0]})


def test_numbers_of_more_than_64_bits():
    """A sum may grow beyond 64 bits without touching its neighbours."""
    packing = Packing()
    great = packing.pack("{}", {"nps": [2**63 - 1, -1, -(2**63)]})
    stats: dict[str, list[int]] = {}
    add(stats, "nps", (2**63 - 1, -1, -(2**63)), 1000)
    assert packing.unpack("{}", 1000 * great) == stats
