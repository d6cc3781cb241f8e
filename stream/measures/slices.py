"""Slices: which parts of the whole an event belongs to, with a cap on how many there can be.

A grouping is a set of dimensions, e.g. (segment,) or (channel, touchpoint); a member is one combination of
their values; the slice of a member is its canonical JSON text, ``{"channel":"chat","touchpoint":"pay"}``.
The whole is ``{}``. A comment may have several topics: in a grouping with ``topic`` its reply is a member
once for each of them, so such slices overlap and do not add up to the whole.

Each source partition admits the first ``max_members`` members of a grouping that it meets; every later one
is counted in the member ``other``. Which are first depends on the log alone, so a replay admits the same.
A member once admitted stays: under a vocabulary that is replaced over time (order numbers, say) the cap
fills for good, which is what ``PaneChanges.overflow`` is there to show.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from schemas import record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

DIMENSIONS: Final = record.DIMENSIONS
"""The order of ``Dims``."""

Dims: TypeAlias = tuple[
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
]
"""An event's value in each of ``DIMENSIONS``; None where it has none. ``topic`` may hold several."""

NO_DIMS: Final[Dims] = (None, None, None, None, None, None, None, None, None, None, None)
TOPIC_SEPARATOR: Final = "\x1f"
"""Between the topics of one event in the last place of ``Dims``. No topic's name holds it."""

_TOPIC: Final = DIMENSIONS.index("topic")

WHOLE: Final = "{}"
OTHER: Final = "other"
_CACHED: Final = 50_000


class Placed(Protocol):
    """What an event is sliced by. A touchpoint has None in ``pillar``, ``question`` and ``survey``."""

    @property
    def segment(self) -> str | None: ...  # noqa: D102
    @property
    def stage(self) -> str | None: ...  # noqa: D102
    @property
    def touchpoint(self) -> str | None: ...  # noqa: D102
    @property
    def channel(self) -> str | None: ...  # noqa: D102
    @property
    def product(self) -> str | None: ...  # noqa: D102
    @property
    def variant(self) -> str | None: ...  # noqa: D102
    @property
    def region(self) -> str | None: ...  # noqa: D102
    @property
    def pillar(self) -> str | None: ...  # noqa: D102
    @property
    def question(self) -> str | None: ...  # noqa: D102
    @property
    def survey(self) -> str | None: ...  # noqa: D102


class DimsOf(Protocol):
    """From an event to its dimensions."""

    def __call__(self, event: Placed, topics: Sequence[str] = ()) -> Dims:
        """Values of an event, and of the topics found in its comment, in the order of ``DIMENSIONS``."""


def _reader(kept: Collection[str]) -> DimsOf:
    """An event's values in the order of ``DIMENSIONS``; None in those not kept: fewer combinations to add up."""
    segment, stage, touchpoint, channel, product, variant, region, pillar, question, survey, topic = (
        name in kept for name in DIMENSIONS
    )

    def read(event: Placed, topics: Sequence[str] = ()) -> Dims:
        return (
            event.segment if segment else None,
            event.stage if stage else None,
            event.touchpoint if touchpoint else None,
            event.channel if channel else None,
            event.product if product else None,
            event.variant if variant else None,
            event.region if region else None,
            event.pillar if pillar else None,
            event.question if question else None,
            event.survey if survey else None,
            TOPIC_SEPARATOR.join(topics) if topic and topics else None,
        )

    return read


def _noting(read: DimsOf, noted: set[Dims]) -> DimsOf:
    """The same reader, which notes what it reads."""
    note = noted.add

    def reading(event: Placed, topics: Sequence[str] = ()) -> Dims:
        dims = read(event, topics)
        note(dims)
        return dims

    return reading


dims_of: Final = _reader(DIMENSIONS)
"""(event, topics found in its comment) -> its values in the order of ``DIMENSIONS``."""


def slice_key(members: Mapping[str, str]) -> str:
    """Canonical text of a slice: compact JSON, dimensions in alphabetical order, not escaped to ASCII."""
    return json.dumps(dict(sorted(members.items())), ensure_ascii=False, separators=(",", ":"))


def parse_slice(key: str) -> dict[str, str]:
    """The dimensions and values of a slice key."""
    return {str(dimension): str(value) for dimension, value in json.loads(key).items()}


class Groupings:
    """The groupings that are kept, in canonical form, and the cap. Immutable; the whole is always first.

    Args:
        groupings: Tuples of dimension names in any order; repeats are dropped.
        max_members: Members kept per grouping and source partition, at least 1.
        noted: Where ``dims_of`` notes all that it reads; None: nowhere.

    Attributes:
        dims_of: (event, topics) -> its values in the dimensions that some grouping has, None in the others.

    Raises:
        ValueError: An unknown dimension, one named twice in a grouping, or a cap below 1.
    """

    def __init__(
        self, groupings: Iterable[Sequence[str]], max_members: int, noted: set[Dims] | None = None
    ) -> None:
        if max_members < 1:
            raise ValueError(f"max_members must be at least 1, not {max_members}")
        canonical: dict[tuple[str, ...], None] = {(): None}
        for grouping in groupings:
            if unknown := [name for name in grouping if name not in DIMENSIONS]:
                raise ValueError(f"{unknown[0]!r} is no dimension: {', '.join(DIMENSIONS)}")
            if len(set(grouping)) != len(grouping):
                raise ValueError(f"a grouping names a dimension twice: {', '.join(grouping)}")
            canonical[tuple(sorted(grouping))] = None
        self.groupings: Final = tuple(canonical)
        kept = {name for grouping in canonical for name in grouping}
        self.dims_of: Final = _reader(kept) if noted is None else _noting(_reader(kept), noted)
        self._kept = tuple(name in kept for name in DIMENSIONS)
        self._narrowed: dict[Dims, Dims] = {}
        self.max_members: Final = max_members

    def narrow(self, dims: Dims) -> Dims:
        """These values in the dimensions that some grouping has, None in the others; equal ones are one object."""
        found = self._narrowed.get(dims)
        if found is None:
            if len(self._narrowed) >= _CACHED:
                self._narrowed.clear()
            values = [value if kept else None for value, kept in zip(dims, self._kept, strict=True)]
            found = self._narrowed[dims] = cast("Dims", tuple(values))
        return found

    def tracker(self) -> Members:
        """A fresh set of members, for one source partition."""
        return Members(self)


class Members:
    """The members one source partition has admitted so far. Memory is bounded by the cap.

    Attributes:
        full: Whether any grouping has reached the cap, so that ``other`` may be in use.
        others: The slice keys of all the ``other`` members -> their grouping, as ``channel,touchpoint``.
    """

    def __init__(self, groupings: Groupings) -> None:
        self._max = groupings.max_members
        self._plans = tuple(
            (grouping, tuple(DIMENSIONS.index(name) for name in grouping))
            for grouping in groupings.groupings
            if grouping
        )
        # Per grouping: values -> slice key. Values, not keys, so that a cache miss builds no JSON.
        self._known: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {g: {} for g, _ in self._plans}
        self._others = {grouping: slice_key(dict.fromkeys(grouping, OTHER)) for grouping, _ in self._plans}
        self._cache: dict[Dims, tuple[str, ...]] = {}
        self._new: list[str] = []
        self.full = False
        self.others: Final = {key: ",".join(grouping) for grouping, key in self._others.items()}

    def of(self, dims: Dims) -> tuple[str, ...]:
        """Slice keys of an event, the whole first. Admits new members while there is room.

        A grouping of which the event lacks a dimension is left out. No key comes twice, also where several
        topics of the event are all beyond the cap.
        """
        known = self._cache.get(dims)
        return self._look_up(dims) if known is None else known

    def restore(self, key: str) -> None:
        """Take back a member admitted before; one of a grouping no longer kept is ignored."""
        members = parse_slice(key)
        grouping = tuple(members)
        if grouping in self._known:
            self._known[grouping][tuple(members.values())] = key
            self.full = self.full or len(self._known[grouping]) >= self._max

    def take_new(self) -> list[str]:
        """Slice keys admitted since last asked, in the order of admission."""
        new, self._new = self._new, []
        return new

    def _look_up(self, dims: Dims) -> tuple[str, ...]:
        keys = {WHOLE: None}
        topics = dims[_TOPIC]
        several = topics is not None and TOPIC_SEPARATOR in topics
        for grouping, places in self._plans:
            values = tuple([value for place in places if (value := dims[place]) is not None])
            if len(values) < len(places):
                continue
            if several and _TOPIC in places:
                choices = [
                    value.split(TOPIC_SEPARATOR) if place == _TOPIC else (value,)
                    for place, value in zip(places, values, strict=True)
                ]
                for combination in product(*choices):
                    keys[self._member(grouping, combination)] = None
            else:
                keys[self._member(grouping, values)] = None
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        found = tuple(keys)
        self._cache[dims] = found
        return found

    def _member(self, grouping: tuple[str, ...], values: tuple[str, ...]) -> str:
        known = self._known[grouping]
        key = known.get(values)
        if key is not None:
            return key
        other = self._others[grouping]
        if len(known) >= self._max:
            return other
        key = slice_key(dict(zip(grouping, values, strict=True)))
        if key != other:  # somebody's real member of that name shares it and takes no place
            known[values] = key
            self._new.append(key)
            self.full = self.full or len(known) >= self._max
        return key
