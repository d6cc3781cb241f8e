"""What is kept of one customer, and its bytes in the ``customers`` table.

The encoding is a MessagePack array: a third smaller than JSON, and twice as quick to read. New fields go at
the END with a default, so that every value ever written still decodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .journeys import Fact, Held, Moment
from .known import Known
from .learning_model import ChurnModel
from .value import ValueModel

DAY_MS: Final = 24 * 3600 * 1000
NEVER: Final = 2**62

#: Score kept per metric: event time, order of arrival, score as given, position on its scale (0..1000,
#: 1000 is best whichever way the question was asked).
Score = tuple[int, int, int | float, int]
#: Flags of a ticket: which of its events were seen, and whether the newest leaves it open.
OPENED, RESOLVED, REOPENED, OPEN = 1, 2, 4, 8
#: Ticket kept per reference: reference, time and order of its newest event, flags.
Ticket = tuple[str, int, int, int]


class Lessons(msgspec.Struct, frozen=True):
    """When customers with a contract are looked at, and after how long it counts who left.

    A customer's moments lie a horizon apart; which they are depends on the id, so that each multiple of
    ``every_ms`` is a moment for as many customers as any other.

    Attributes:
        every_ms: Moments are multiples of this since the epoch.
        horizon_ms: A multiple of it.

    Raises:
        ValueError: where there is no such schedule.
    """

    every_ms: int = 7 * DAY_MS
    horizon_ms: int = 28 * DAY_MS

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.every_ms < 1:
            raise ValueError("every_ms: must be at least 1")
        if self.horizon_ms < 1 or self.horizon_ms % self.every_ms:
            raise ValueError(f"horizon_ms: must be a multiple of every_ms, {self.every_ms}")


class CustomerConfig(msgspec.Struct, frozen=True):
    """Declared limits of a customer's state. Durations are milliseconds of event time.

    Raises:
        ValueError: where a limit makes no sense.
    """

    #: An event id is remembered this long behind the customer's newest event ...
    dedup_horizon_ms: int = DAY_MS
    #: ... and for this many applied events at most.
    dedup_per_customer: int = 64
    #: Duplicates are remembered for this many offsets behind the newest, so that a replay can name them.
    replay_offsets: int = 100_000
    #: ... and this many at most.
    max_duplicates: int = 1024
    #: Activity is counted in buckets of this length; 30 of a day by default.
    bucket_ms: int = DAY_MS
    buckets: int = 30
    #: An event half a life ago weighs half in the activity rate and in the own rhythm.
    half_life_ms: int = 7 * DAY_MS
    #: The own rhythm is not stated from fewer gaps between active buckets.
    min_gaps: int = 3
    #: Tickets held per customer; a resolved one is kept for ``ticket_memory_ms`` to catch stragglers.
    max_tickets: int = 16
    ticket_memory_ms: int = DAY_MS
    #: Days with purchases held per customer: one further back, come late, counts as a day of its own.
    max_purchase_days: int = 4
    #: Currencies held per customer; purchases in further ones are counted, their money is not.
    max_currencies: int = 8
    #: The currency of the ``spend`` signal; None: the customer's only one.
    currency: str | None = None
    #: Touchpoints held by name per customer, and promises; of further touchpoints only the sum is.
    max_touchpoints: int = 16
    max_promises: int = 16
    #: Attributes of touchpoints whose newest value is kept.
    attributes: frozenset[str] = frozenset()
    #: False: only what tells duplicates apart and pairs events is kept, nothing that only signals are made of.
    profile: bool = True
    #: False: without a profile, not what was spent either.
    spend: bool = True
    #: References of tickets and journeys held per customer ...
    max_refs: int = 32
    #: ... and moments of each; further back they are only summed up.
    max_moments: int = 16
    #: What came without its opening, held per family in case that is late.
    max_strays: int = 16
    #: A ticket that is resolved, or a support session, is forgotten this long behind the newest event;
    ticket_history_ms: int = 30 * DAY_MS
    #: a journey that is over, and what came without its opening, as soon as no straggler can reach it.
    stray_ms: int = 2 * DAY_MS
    #: Contributions remembered that may not have reached the panes yet; a batch with more of one customer
    #: loses those beyond.
    max_journal: int = 1000
    #: What customers are expected to buy and spend yet.
    value: ValueModel = ValueModel()
    #: Subscriptions held per customer.
    max_subscriptions: int = 8
    #: Who leaves a contract, as it was learned; None: by the declared prior of ``risk``.
    churn: ChurnModel | None = None
    #: When customers with a contract are looked at, to learn who leaves; None: never.
    lessons: Lessons | None = None

    def __post_init__(self) -> None:
        """Refuse limits that cannot work."""
        for name in (
            "dedup_per_customer",
            "max_duplicates",
            "bucket_ms",
            "buckets",
            "half_life_ms",
            "min_gaps",
            "max_tickets",
            "max_refs",
            "max_moments",
            "max_strays",
            "max_journal",
            "max_subscriptions",
            "max_touchpoints",
            "max_purchase_days",
            "max_promises",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        for name in (
            "dedup_horizon_ms",
            "replay_offsets",
            "ticket_memory_ms",
            "max_currencies",
            "ticket_history_ms",
            "stray_ms",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative")


class Thread(msgspec.Struct, array_like=True, gc=False):
    """The history of one reference: some 35 bytes with the first moment, and 12 with each further one."""

    #: Tickets, subscriptions or a journey, by name, and the reference's hash; 0 where there is none.
    family: str
    ref: int
    #: Ascending.
    moments: list[Moment]
    #: What moments were given up, and the time up to which they were; -1: none.
    held: Held | None = None
    floor_ms: int = -1
    #: It may be forgotten once the customer's newest event is later; 0: not as it is.
    until_ms: int = 0


Entry = tuple[int, str, list[Fact], list[Fact]]
"""Arrival of a record, family, and the facts that it made and unmade there: about 50 bytes a fact."""


class Unhappy(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A customer's newest unhappy reply: some 30 bytes."""

    time_ms: int
    #: Packed dimensions.
    place: str
    #: Currency -> what the customer had spent by then, in units of 1e-4.
    spend: dict[str, int]


class Story(msgspec.Struct, array_like=True, gc=False):
    """What is kept of a customer for measures that pair events: 45 bytes for an open ticket."""

    threads: list[Thread] = []
    #: What records have contributed, in the order of their arrival, as long as it is not known to be durable
    #: in the panes. After a crash those records come again, and then the threads are ahead of them.
    journal: list[Entry] = []
    #: Family -> what came without an opening, in the order of arrival, 17 bytes each (``histories.py``).
    strays: dict[str, bytes] = {}
    #: For the value at risk (``at_risk.py``): topic -> the newest unhappy reply, and what was bought in the hours
    #: of the last days: hour, currency as in ``spend``, money; about 15 bytes each.
    unhappy: dict[int, Unhappy] = {}
    bought: list[tuple[int, str, int]] = []


Subscription = tuple[int, int, bool]
"""Of one reference: its hash (0: none), time of its newest event, whether that leaves it running."""


class Frozen(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a customer looked like at a moment, as ``learning_features.pack`` writes it; some 40 bytes."""

    at_ms: int
    figures: bytes
    #: Whether the customer had left a horizon later; as long as that is not known it says nothing.
    left: bool = False


class Contract(msgspec.Struct, array_like=True, gc=False):
    """The subscriptions of a customer who has had one: 15 bytes each, and 40 more for each look at them."""

    subscriptions: list[Subscription] = []
    #: Since when at least one has been running; 0: none is.
    since_ms: int = 0
    #: The next moment at which the customer is looked at; ``NEVER`` where none is in sight.
    due_ms: int = NEVER
    #: The newest look, of which it is not known yet who left.
    frozen: Frozen | None = None
    #: Looks of which it is known, the newest last: until the partition has gathered them, and a crash is past.
    known: list[Frozen] = []


#: A story that was not read yet, as written; or, in memory, one that was.
if TYPE_CHECKING:
    MaybeRead = msgspec.Raw | Story
else:
    MaybeRead = msgspec.Raw
_NO_STORY: Final = msgspec.Raw(b"\xc0")
#: What others keep here, as written or, in memory, as their object.
if TYPE_CHECKING:
    Opaque = msgspec.Raw | msgspec.Struct
else:
    Opaque = msgspec.Raw


class Customer(msgspec.Struct, array_like=True, gc=False):
    """One customer. ``Customer()`` is one nothing is known about; ``fold`` changes it in place.

    Everything but the duplicate memory depends on WHICH events were applied, not on their order, for events
    no further behind the newest than the buckets and the ticket memory reach.
    """

    #: Last source offset folded in, of ``cx.touchpoints`` and of ``cx.replies``; -1 before any.
    stamp_t: int = -1
    stamp_r: int = -1
    #: Applied events of either kind, and how many of them were replies.
    events: int = 0
    replies: int = 0
    #: Oldest and newest event time; 0 while ``events`` is 0.
    first_ms: int = 0
    last_ms: int = 0
    #: Newest event time in an earlier bucket than the newest event's.
    prev_ms: int | None = None
    #: Events per bucket, the newest event's first, at most 255 each; trailing zeros are left out.
    counts: bytes = b""
    #: Buckets in which there was anything, since the first.
    active_buckets: int = 0
    #: Remembered event ids, oldest first, and known duplicates (``identity.py``).
    seen: bytes = b""
    duplicates: bytes = b""
    #: Rule -> event time it last fired at: for cooldowns.
    fired: dict[str, int] = {}
    #: Segment of the newest event that named one, and that event's time.
    segment: str | None = None
    segment_ms: int = 0
    scores: dict[str, Score] = {}
    tickets: list[Ticket] = []
    tickets_opened: int = 0
    tickets_resolved: int = 0
    tickets_reopened: int = 0
    #: Opened and reopened less resolved, of ticket events without a reference.
    loose_tickets: int = 0
    #: Tickets resolved without having been opened, among those no longer held.
    unopened: int = 0
    purchases: int = 0
    first_purchase_ms: int | None = None
    last_purchase_ms: int | None = None
    #: Currency ("" where none was given) -> money in units of 1e-4.
    spend: dict[str, int] = {}
    #: Arrival of the purchase or subscription that won the customer; -1: not won yet, or it was not noted.
    acquired: int = -1
    #: One byte for a customer without tickets, journeys and subscriptions. It is read (``story_of``) only when
    #: one of their events comes, so that it costs next to nothing with all others.
    story: MaybeRead = _NO_STORY
    #: What rules over time know of the customer, as ``stream.alerting.watch`` writes it: one byte where no rule
    #: has been about the customer. Here nobody looks into it.
    watch: Opaque = _NO_STORY
    #: Subscriptions, and what is to be learned from them; None for a customer who never had one.
    contract: Contract | None = None
    #: Where the person is in the journey, and what was named, promised and waited for (``known.py``).
    known: Known = msgspec.field(default_factory=Known)
    #: Days since 1970 on which something was bought, the newest few, ascending; and purchases on a day that had
    #: one already: together they are one occasion to buy, as the model of purchases counts them.
    bought_on: list[int] = []
    same_day: int = 0
    #: Always the last field, set by ``encode``: see ``UNTOLD``.
    told: bool | None = None

    @property
    def purchase_days(self) -> int:
        """Days on which the customer bought."""
        return self.purchases - self.same_day


#: An encoded customer that ends like this has neither watch nor contract; it need not be decoded to find out.
UNTOLD: Final = b"\xc0"


class _Stamps(msgspec.Struct, array_like=True, gc=False):
    stamp_t: int
    stamp_r: int


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Customer)
_story: Final = msgspec.msgpack.Decoder(Story | None)
_stamps: Final = msgspec.msgpack.Decoder(_Stamps)


def encode(c: Customer) -> bytes:
    """Bytes of a customer."""
    c.told = True if c.contract is not None or c.watch != _NO_STORY else None
    return _encoder.encode(c)


def decode(data: bytes) -> Customer:
    """Read what ``encode`` wrote, by this version or an earlier one.

    Raises:
        msgspec.DecodeError: the bytes are not a customer.
    """
    return _decoder.decode(data)


def story_of(c: Customer, durable: tuple[int, int]) -> Story:
    """The story of a customer, which from now on is written with it.

    Args:
        c: changed where its story was not read yet.
        durable: offset up to which either topic is durable in the panes: what came up to there is taken out of
            the journal, once in the life of the object.

    Raises:
        msgspec.DecodeError: what was written is no story.
    """
    held = c.story
    if isinstance(held, Story):
        return held
    story = c.story = _story.decode(held) or Story()
    if story.journal:
        story.journal = [entry for entry in story.journal if entry[0] >> 1 > durable[entry[0] & 1]]
    return story


def stamp_of(data: bytes) -> int:
    """How far encoded state has seen its input; of two values for a customer the higher is the newer.

    The sum of both topics' offsets: a fold moves one of them up and never one down.
    """
    stamps = _stamps.decode(data)
    return stamps.stamp_t + stamps.stamp_r
