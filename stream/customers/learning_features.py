"""What a customer with a contract looks like at a moment, as figures that a model can learn from.

Each is 0 where nothing is known or nothing is out of the ordinary, and of the order of 1 where something is: then
the declared weights of ``risk`` are a model over the same figures, and what was learned can take their place.
"""

from __future__ import annotations

from math import log2
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from .known import broken, trend
from .rhythm import activity_rate, own_gap_ms
from .risk import PRIOR, SCORE_DAYS
from .state import DAY_MS, OPEN

if TYPE_CHECKING:
    from .state import Customer, CustomerConfig

Vector = tuple[float, ...]
"""A figure for each of ``FEATURES``, in their order."""


class Example(NamedTuple):
    """What was known of somebody at a moment, and whether they had left a horizon later."""

    x: Vector
    left: bool


#: Name -> what it is. The first seven are the reasons of the declared prior.
FEATURES: Final[dict[str, str]] = {
    "silence": "doublings of the present silence beyond the own rhythm, 4 at most",
    "detractor": "1 where the newest nps is 0 to 6",
    "promoter": "1 where the newest nps is 9 or 10",
    "dissatisfied": "1 where the newest csat is below three quarters of its scale",
    "effort": "1 where the newest ces is below half of its scale",
    "open_tickets": "tickets open, 3 at most",
    "reopened_tickets": "tickets reopened, 2 at most",
    "ticket_age": "log2(1 + days since the longest open ticket was opened), 7 at most",
    "mood": "mean place of the newest scores: -1 best, 1 worst",
    "falling": "mean of how far the newest scores lie below those before: half the scale is 1; -2 to 2",
    "broken_promises": "promises kept late or past their deadline, 3 at most",
    "waits": "log2(1 + minutes of a mean wait in a queue), 8 at most",
    "quiet": "log2(1 + days since the newest event), 8 at most",
    "activity": "log2(1 + events a day), decayed with the half-life of the rhythm, 6 at most",
    "fading": "log2 of the events a week in the three weeks before the last, over those in the last; -8 to 8",
    "tenure": "log2(1 + weeks under contract), 10 at most",
    "late_purchase": "doublings of the time since the last purchase beyond the usual, of three or more; 4 at most",
}
#: The declared weights: the base, then one for each figure.
DECLARED: Final[Vector] = (PRIOR["base"], *(PRIOR.get(name, 0.0) for name in FEATURES))

_DOUBLINGS: Final = 4.0
_DETRACTOR: Final = 6
_PROMOTER: Final = 9
_SATISFIED: Final = 750
_EFFORT: Final = 500
_MIDDLE: Final = 500.0
_HALF: Final = 50.0
_MINUTE_MS: Final = 60_000
_WEEK_MS: Final = 7 * DAY_MS
_FEW_PURCHASES: Final = 3
_EXACT: Final = 1000.0  # figures are kept in thousandths
_PACKED: Final = Struct(f"<{len(FEATURES)}h")


def features(c: Customer, now_ms: int, since_ms: int, config: CustomerConfig) -> Vector:
    """The figures of a customer at a moment, in thousandths, so that what is kept is what was seen.

    Args:
        c: With at least one event, none of them after ``now_ms``.
        now_ms: The moment.
        since_ms: Since when there is a contract.
        config: As in ``fold``.
    """
    detractor = promoter = dissatisfied = effort = 0.0
    known = c.known
    places, falls = [], []
    fresh_ms = now_ms - SCORE_DAYS * DAY_MS
    for metric, (at_ms, _, score, place) in c.scores.items():
        if at_ms < fresh_ms:
            continue
        places.append(place)
        fallen = trend(known, metric)
        if fallen is not None:
            falls.append(-fallen / _HALF)
        if metric == "nps":
            detractor, promoter = float(score <= _DETRACTOR), float(score >= _PROMOTER)
        elif metric == "csat":
            dissatisfied = float(place < _SATISFIED)
        elif metric == "ces":
            effort = float(place < _EFFORT)
    mood = (_MIDDLE - sum(places) / len(places)) / _MIDDLE if places else 0.0
    opened = [ticket[1] for ticket in c.tickets if ticket[3] & OPEN]
    quiet_ms = max(0, now_ms - c.last_ms)
    found = (
        _silence(c, now_ms, config),
        detractor,
        promoter,
        dissatisfied,
        effort,
        float(min(3, len(opened) + max(0, c.loose_tickets))),
        float(min(2, c.tickets_reopened)),
        min(7.0, log2(1.0 + max(0, now_ms - min(opened)) / DAY_MS)) if opened else 0.0,
        mood,
        max(-2.0, min(2.0, sum(falls) / len(falls))) if falls else 0.0,
        float(min(3, broken(known, now_ms))) if known.promises or known.late else 0.0,
        min(8.0, log2(1.0 + max(0, known.waited_ms) / known.waits / _MINUTE_MS)) if known.waits > 0 else 0.0,
        min(8.0, log2(1.0 + quiet_ms / DAY_MS)),
        min(6.0, log2(1.0 + activity_rate(c, max(now_ms, c.last_ms), config))),
        _fading(c, now_ms, config),
        min(10.0, log2(1.0 + max(0, now_ms - since_ms) / _WEEK_MS)),
        _late(c, now_ms),
    )
    return tuple([round(figure * _EXACT) / _EXACT for figure in found])


def pack(x: Vector) -> bytes:
    """A vector in two bytes a figure."""
    return _PACKED.pack(*[round(figure * _EXACT) for figure in x])


def unpack(data: bytes) -> Vector | None:
    """What ``pack`` was given; None where that was a version with other figures."""
    if len(data) != _PACKED.size:
        return None
    return tuple([units / _EXACT for units in _PACKED.unpack(data)])


def _silence(c: Customer, now_ms: int, config: CustomerConfig) -> float:
    if now_ms // config.bucket_ms <= c.last_ms // config.bucket_ms:
        return 0.0
    gap_ms = own_gap_ms(c, config)
    return 0.0 if gap_ms is None else _doublings(now_ms - c.last_ms, gap_ms)


def _doublings(time_ms: float, usual_ms: float) -> float:
    return min(_DOUBLINGS, log2(time_ms / usual_ms)) if time_ms > usual_ms > 0 else 0.0


def _fading(c: Customer, now_ms: int, config: CustomerConfig) -> float:
    """Nothing for who is too new to have faded, or has not been heard of for as long as buckets reach."""
    week = max(1, _WEEK_MS // config.bucket_ms)
    ago = now_ms // config.bucket_ms - c.last_ms // config.bucket_ms
    counts = c.counts
    newer = sum(counts[: max(0, week - ago)])
    older = sum(counts[max(0, week - ago) : max(0, 4 * week - ago)])
    known = min(4 * week, max(0, now_ms - c.first_ms) // config.bucket_ms + 1) - week
    if known < week:
        return 0.0
    return max(-8.0, min(8.0, log2((1.0 + older * week / known) / (1.0 + newer))))


def _late(c: Customer, now_ms: int) -> float:
    if c.purchases < _FEW_PURCHASES or c.first_purchase_ms is None or c.last_purchase_ms is None:
        return 0.0
    usual_ms = (c.last_purchase_ms - c.first_purchase_ms) / (c.purchases - 1)
    return _doublings(now_ms - c.last_purchase_ms, usual_ms)
