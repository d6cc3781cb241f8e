"""The stream of a whole customer base, endless, in event-time order, the same for the same seed."""

from __future__ import annotations

import hashlib
from heapq import heappop, heappush
from itertools import accumulate, count
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stream.topics import REPLIES, TOUCHPOINTS

from .defects import spoil
from .incidents import default_incidents
from .journeys import HOUR_MS, MINUTE_MS, SECOND_MS, Journeys, Record, Step
from .people import population

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .incidents import Incident

#: Monday 12 January 2026, 08:00 UTC.
DEFAULT_START_MS: Final = 1_768_204_800_000

#: How busy each hour of the simulated day is; it begins at eight in the morning.
_RHYTHM: Final = (
    0.90, 1.00, 1.05, 1.05, 1.00, 0.95, 0.95, 1.00, 1.00, 1.00, 1.05, 1.15,
    1.10, 0.90, 0.60, 0.35, 0.20, 0.10, 0.06, 0.05, 0.06, 0.12, 0.35, 0.65,
)  # fmt: skip
#: Events of a journey on average; tested.
_EVENTS_PER_JOURNEY: Final = 4.9

_LATE_MS: Final = (3 * MINUTE_MS, 20 * MINUTE_MS)
_AGAIN_MS: Final = (SECOND_MS, 5 * MINUTE_MS)

OK: Final = "ok"
DUPLICATE: Final = "duplicate"
LATE: Final = "late"
BAD: Final = "bad:"

#: JSON of a record as bytes.
to_json = msgspec.json.Encoder().encode


class Simulated(NamedTuple):
    """A record for Kafka, and the truth about it.

    Attributes:
        record: a record of the contract, or the bytes of one that must be refused.
        truth: ``ok``; ``late``, accepted though minutes behind its time; ``duplicate``, an id sent before;
            or ``bad:`` and the reason it must be refused for.
        topic: the input topic.
        key: its Kafka key, the customer's id.
        time_ms: when it occurred; for a bad record, when what it was made of did.
    """

    record: Record | bytes
    truth: str
    topic: str
    key: str
    time_ms: int

    @property
    def value(self) -> bytes:
        """The record's bytes."""
        return self.record if isinstance(self.record, bytes) else to_json(self.record)


class Simulation:
    """A customer base and what it does. Iterating again begins again.

    The simulated place has its morning, eight o'clock, at ``start_ms``, whatever that is elsewhere. At the
    usual density 20,000 events are six hours and all of ``default_incidents``.

    Args:
        seed: all that is random. The options below do not change the events underneath them.
        customers: how many.
        start_ms: time of the first event, about; epoch milliseconds.
        incidents: None stands for ``default_incidents(start_ms)``.
        events_per_hour: at a usual hour.
        disorder_ms: records arrive in an order that is off by so much at most.
        bad: bad records per good one, 0..1.
        duplicates: share of good records sent a second time, up to five minutes later.
        late: share of good records sent 3 to 20 minutes behind their time.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        seed: int,
        *,
        customers: int = 2000,
        start_ms: int = DEFAULT_START_MS,
        incidents: Sequence[Incident] | None = None,
        events_per_hour: float = 3400.0,
        disorder_ms: int = 0,
        bad: float = 0.0,
        duplicates: float = 0.0,
        late: float = 0.0,
    ) -> None:
        if customers < 1:
            raise ValueError("customers: at least 1")
        if events_per_hour <= 0:
            raise ValueError("events_per_hour: above 0")
        if disorder_ms < 0:
            raise ValueError("disorder_ms: not negative")
        for name, share in (("bad", bad), ("duplicates", duplicates), ("late", late)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name}: a share, 0 to 1")
        self.seed = seed
        self.start_ms = start_ms
        self.incidents = default_incidents(start_ms) if incidents is None else tuple(incidents)
        self._customers = customers
        self._journeys_per_ms = events_per_hour / _EVENTS_PER_JOURNEY / HOUR_MS
        self._disorder_ms = disorder_ms
        self._bad = bad
        self._duplicates = duplicates
        self._late = late

    def events(self) -> Iterator[Record]:
        """Good records alone, each once, in event-time order; endless."""
        return (record for _, record in self._steps())

    def records(self) -> Iterator[Simulated]:
        """Everything as it arrives, the declared bad, late and repeated records among it; endless."""
        rng = self._rng("defects")
        waiting: list[tuple[int, int, Simulated]] = []
        order = count()

        def put(at_ms: int, simulated: Simulated) -> None:
            heappush(waiting, (at_ms, next(order), simulated))

        for time_ms, record in self._steps():
            while waiting and waiting[0][0] <= time_ms:
                yield heappop(waiting)[2]
            topic = REPLIES if "metric" in record else TOUCHPOINTS
            key: str = record["customer_id"]
            at_ms, truth = time_ms + rng.randrange(self._disorder_ms + 1), OK
            if rng.random() < self._late:
                at_ms, truth = time_ms + rng.randrange(*_LATE_MS), LATE
            put(at_ms, Simulated(record, truth, topic, key, time_ms))
            if rng.random() < self._duplicates:
                put(at_ms + rng.randrange(*_AGAIN_MS), Simulated(record, DUPLICATE, topic, key, time_ms))
            if rng.random() < self._bad:
                value, reason = spoil(rng, record)
                put(time_ms, Simulated(value, BAD + reason, topic, key, time_ms))

    def _rng(self, what: str) -> Random:
        return Random(f"{what} of {self.seed}")  # noqa: S311 - a simulation, and it must repeat itself

    def _steps(self) -> Iterator[Step]:
        rng = self._rng("events")
        people = population(self._rng("people"), self._customers)
        weights = list(accumulate(person.weight for person in people))
        # Ids differ between simulations, so that two into the same topics are not each other's duplicates.
        prefix = hashlib.blake2b(f"{self.seed}/{self.start_ms}".encode(), digest_size=4).hexdigest()
        journeys = Journeys(rng, prefix, self.incidents)
        waiting: list[tuple[int, int, Record]] = []
        order = count()
        time_ms = float(self.start_ms)
        while True:
            busy = _RHYTHM[int(time_ms - self.start_ms) // HOUR_MS % len(_RHYTHM)]
            time_ms += rng.expovariate(self._journeys_per_ms * busy)
            while waiting and waiting[0][0] <= time_ms:
                at_ms, _, record = heappop(waiting)
                yield at_ms, record
            person = rng.choices(people, cum_weights=weights)[0]
            for at_ms, record in journeys.journey(person, int(time_ms)):
                heappush(waiting, (at_ms, next(order), record))
