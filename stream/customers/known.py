"""What is known of a person besides activity, tickets and purchases: where they are, what of, how it went.

Like the rest of the state it depends on which events were applied, not on their order: what is kept are sums,
and the newest by event time, of two at one moment the greater. Bounds are the exception, as with currencies: a
name beyond them is only counted, under ``OTHER``.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from .identity import hash64
from .ids import Ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Dimensions whose newest value is kept; the segment has fields of its own.
NAMED: Final = ("stage", "channel", "region")
#: Stands for the touchpoints beyond those that are kept by name.
OTHER: Final = ""
PROMISE_MADE: Final = "promise_made"
PROMISE_KEPT: Final = "promise_kept"

#: Newest places kept of each metric: the newest, and those it is held against.
MAX_SCORES: Final = 3
_LONGEST: Final = 64
_COUNT_BITS: Final = 12
_HOUR_S: Final = 3600
#: Events of a touchpoint are counted up to this many.
MOST_COUNTED: Final = 2**_COUNT_BITS - 1
_SCORE: Final = Struct(">IH")
_pack: Final = _SCORE.pack
_SCORE_BYTES: Final = _SCORE.size
_SCORES_BYTES: Final = MAX_SCORES * _SCORE_BYTES
#: A byte for each metric.
_METRICS: Final = {"nps": "n", "csat": "s", "ces": "e", "loyalty": "l", "engagement": "g"}
_LAST_SECOND: Final = 2**32 - 1

#: A promise: its latest deadline (-1: none was made, 0: without one), and when it was last kept (-1: it was not).
Promise = tuple[int, int]


class Known(msgspec.Struct, array_like=True, gc=False):
    """Some 6 bytes and the name for each touchpoint, 6 and the value for each thing named, 6 for each score."""

    #: Touchpoint -> newest hour and how often (at most 4,095), packed: ``hour << 12 | count``.
    touchpoints: dict[str, int] = {}
    #: Newest value that was named, and the second in which it was.
    stage: str | None = None
    stage_s: int = 0
    channel: str | None = None
    channel_s: int = 0
    region: str | None = None
    region_s: int = 0
    #: Attribute -> the same, the value as text.
    attributes: dict[str, tuple[int, str]] = {}
    #: Code of a metric -> second and place (0..1000) of its newest replies, 6 bytes each, oldest first.
    scores: dict[str, bytes] = {}
    #: Reference ("" for one without) -> promise.
    promises: dict[str, Promise] = {}
    #: Promises that are over, and how many of them were kept only after their deadline.
    kept: int = 0
    late: int = 0
    #: Waits in queues that were served, and milliseconds of all of them.
    waits: int = 0
    waited_ms: int = 0
    #: The person's other ids; None: only this one is known.
    ids: Ids | None = None


class Happening(Protocol):
    """What is read of an event."""

    @property
    def touchpoint(self) -> str | None: ...  # noqa: D102 - names as in the contract
    @property
    def stage(self) -> str | None: ...  # noqa: D102
    @property
    def channel(self) -> str | None: ...  # noqa: D102
    @property
    def region(self) -> str | None: ...  # noqa: D102


class Promising(Protocol):
    """What is read of a promise's event."""

    @property
    def ref(self) -> str | None: ...  # noqa: D102 - names as in the contract
    @property
    def due_ms(self) -> int | None: ...  # noqa: D102


def note(known: Known, e: Happening, time_ms: int, max_touchpoints: int) -> None:
    """Take in where an event happened and what it names. Run per event: a loop would cost half as much again.

    Args:
        known: changed.
        e: applied just now.
        time_ms: its time.
        max_touchpoints: kept by name.
    """
    second = time_ms // 1000
    where = e.touchpoint
    if where is not None:
        if len(where) > _LONGEST:
            where = short(where)
        places = known.touchpoints
        held = places.get(where)
        if held is None and len(places) >= max_touchpoints:
            where = OTHER
            held = places.get(where)
        hour = second // _HOUR_S
        if held is None:
            places[where] = hour << _COUNT_BITS | 1
        else:
            count = held & MOST_COUNTED
            if count < MOST_COUNTED:
                held += 1
                count += 1
            places[where] = held if hour <= held >> _COUNT_BITS else hour << _COUNT_BITS | count
    value = e.stage
    if value is not None:
        held_s = known.stage_s
        if second > held_s or (second == held_s and value > (known.stage or "")):
            known.stage = value
            known.stage_s = second
    value = e.channel
    if value is not None:
        held_s = known.channel_s
        if second > held_s or (second == held_s and value > (known.channel or "")):
            known.channel = value
            known.channel_s = second
    value = e.region
    if value is not None:
        held_s = known.region_s
        if second > held_s or (second == held_s and value > (known.region or "")):
            known.region = value
            known.region_s = second


def attributes(
    known: Known, given: Mapping[str, str | float | bool | None], time_ms: int, wanted: frozenset[str]
) -> None:
    """Take in those of an event's attributes that are kept.

    Args:
        known: changed.
        given: by the event.
        time_ms: of the event.
        wanted: names of those that are kept.
    """
    second = time_ms // 1000
    for name, value in given.items():
        if name in wanted and value is not None:
            text = short(("true" if value else "false") if isinstance(value, bool) else str(value))
            was = known.attributes.get(name)
            if was is None or (second, text) > was:
                known.attributes[name] = (second, text)


def scored(known: Known, metric: str, time_ms: int, place: int) -> None:
    """Take in a reply's place on its scale, 0..1000, 1000 is best."""
    second = time_ms // 1000
    entry = _pack(min(second, _LAST_SECOND), place)
    scores = known.scores
    metric = _METRICS[metric]
    held = scores.get(metric)
    if held is None:
        scores[metric] = entry
    elif entry >= held[-_SCORE_BYTES:]:
        scores[metric] = (held + entry)[-_SCORES_BYTES:]
    else:  # late; big-endian, so bytes sort as what they stand for
        size = _SCORE_BYTES
        entries = sorted([entry, *(held[at : at + size] for at in range(0, len(held), size))])
        scores[metric] = b"".join(entries[-MAX_SCORES:])


def newest_scores(one: bytes, other: bytes) -> bytes:
    """The newest replies of two runs of them."""
    size = _SCORE_BYTES
    entries = sorted(held[at : at + size] for held in (one, other) for at in range(0, len(held), size))
    return b"".join(entries[-MAX_SCORES:])


def add_touchpoint(known: Known, where: str, packed: int, most: int) -> None:
    """Add what another id has of a touchpoint; beyond ``most`` by name it counts under ``OTHER``."""
    places = known.touchpoints
    if where not in places and len(places) - (OTHER in places) >= most:
        where = OTHER
    held = places.get(where, 0)
    count = min((held & MOST_COUNTED) + (packed & MOST_COUNTED), MOST_COUNTED)
    places[where] = max(held, packed) >> _COUNT_BITS << _COUNT_BITS | count


def promised(known: Known, e: Promising, time_ms: int, *, kept: bool) -> None:
    """Take in that something was promised, or a promise kept. A newer promise of a reference takes its place."""
    ref = short(e.ref or "")
    due_ms, kept_ms = known.promises.get(ref, (-1, -1))
    if kept:
        kept_ms = max(kept_ms, time_ms)
    else:
        due_ms = max(due_ms, e.due_ms or 0)
    known.promises[ref] = (due_ms, kept_ms)


def forget(known: Known, floor_ms: int, max_promises: int) -> None:
    """Count promises that were kept before ``floor_ms`` and let them go; beyond the bound the oldest ones."""
    promises = known.promises
    over = [ref for ref, (_, kept_ms) in promises.items() if 0 <= kept_ms < floor_ms]
    excess = len(promises) - len(over) - max_promises
    if excess > 0:
        rest = [ref for ref in promises if ref not in over]
        over += sorted(rest, key=lambda ref: (promises[ref][1] < 0, promises[ref], ref))[:excess]
    for ref in over:
        due_ms, kept_ms = promises.pop(ref)
        if due_ms >= 0 and kept_ms >= 0:
            known.kept += 1
            known.late += _is_late(due_ms, kept_ms)


def trend(known: Known, metric: str) -> float | None:
    """Newest place (0..100) less the mean of up to two before it; None with fewer than two replies."""
    places = list(places_of(known, metric))
    if len(places) < 2:  # noqa: PLR2004 - one and what it is held against
        return None
    return (places[-1] - sum(places[:-1]) / (len(places) - 1)) / 10


def places_of(known: Known, metric: str) -> Iterator[int]:
    """Places of the newest replies, 0..1000, oldest first."""
    return (place for _, place in _SCORE.iter_unpack(known.scores.get(_METRICS[metric], b"")))


def touched(held: int) -> tuple[int, int]:
    """Count and newest hour, in epoch milliseconds, of a packed touchpoint."""
    return held & MOST_COUNTED, (held >> _COUNT_BITS) * _HOUR_S * 1000


def open_promises(known: Known) -> list[tuple[str, int | None]]:
    """Reference and deadline of each promise that was made and not kept, the nearest deadline first."""
    waiting = [
        (ref, due_ms or None) for ref, (due_ms, kept_ms) in known.promises.items() if due_ms >= 0 > kept_ms
    ]
    return sorted(waiting, key=lambda each: (each[1] is None, each[1] or 0, each[0]))


def broken(known: Known, at_ms: int) -> int:
    """Promises that were kept too late, or are past their deadline by ``at_ms``."""
    missed = sum(
        _is_late(due_ms, kept_ms) if kept_ms >= 0 else 0 < due_ms < at_ms
        for due_ms, kept_ms in known.promises.values()
    )
    return known.late + missed


def kept_in_all(known: Known) -> int:
    """Promises that were made and kept, in time or not."""
    return known.kept + sum(due_ms >= 0 and kept_ms >= 0 for due_ms, kept_ms in known.promises.values())


def short(text: str) -> str:
    """Stand in for a text that is too long to keep."""
    return text if len(text) <= _LONGEST else f"{hash64(text):016x}"


def _is_late(due_ms: int, kept_ms: int) -> bool:
    return 0 < due_ms < kept_ms
