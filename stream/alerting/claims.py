"""A claim: everything one alert event says, and how it travels on ``cx.claims``.

Identities are derived from what caused the claim and never from a clock or a counter, so a claim made
again after a crash is recognised as the same one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE: Final = "cx-pulse"


class Action(msgspec.Struct, frozen=True):
    """What to do about an alert; ``due_by_ms`` is when it started plus the rule's ``within``."""

    type: str
    owner: str | None = None
    due_by_ms: int | None = None


AlertState = Literal["firing", "resolved", "amended", "withdrawn", "no_data"]
"""``amended``: late data changed the claim. ``withdrawn``: late data removed it. ``no_data``: it fired, and
nothing is heard any more."""

_LIFE: Final = ("firing", "no_data", "amended", "resolved", "withdrawn")


class AtRisk(msgspec.Struct, frozen=True):
    """What a claim puts at risk: unhappy customers in it, and what they spent so far in one currency."""

    customers: int
    value: float | None = None
    currency: str | None = None


class Driver(msgspec.Struct, frozen=True):
    """One member's part in a change: it got worse itself, or there is more or less of it."""

    slice: dict[str, str]
    service: float
    mix: float


class Claim(msgspec.Struct, frozen=True):
    """One transition of one alert, in event time.

    ``figures`` is the event's ``claim`` object, in the order it is shown; ``labels`` are the alert's
    identity, ``annotations`` its text. ``ends_at_ms`` is None while it fires.
    """

    id: str
    alert: str
    subject: str
    state: AlertState
    reason: str
    severity: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at_ms: int
    ends_at_ms: int | None
    as_of_ms: int
    figures: dict[str, Any]
    baseline: dict[str, Any] | None = None
    action: Action | None = None
    drivers: tuple[Driver, ...] = ()
    at_risk: AtRisk | None = None
    hold_out: bool = False
    links: dict[str, str] = {}
    #: The labels that it has in common with the alerts it is told with, where alerts are grouped.
    group: str | None = None

    @property
    def order(self) -> tuple[int, str, int, int, str]:
        """The one order of claims: by time, then fingerprint, then what comes first in an alert's life.

        At one instant an alert may be withdrawn, for late data, and begin afresh: the older one goes first.
        """
        return (self.as_of_ms, self.fingerprint, self.starts_at_ms, _LIFE.index(self.state), self.id)


class ClaimRecord(msgspec.Struct, frozen=True, tag_field="t", tag="claim"):
    """A claim of the producer that owns metrics partition ``partition``."""

    partition: int
    claim: Claim


class MarkRecord(msgspec.Struct, frozen=True, tag_field="t", tag="mark"):
    """Every claim of ``partition`` up to and including ``instant_ms`` has been sent."""

    partition: int
    instant_ms: int


LaneRecord = ClaimRecord | MarkRecord


class Decision(msgspec.Struct, frozen=True):
    """Why a rule did, or did not, lead to an alert: the newest per fingerprint and stage.

    ``stage``: who decided (``judge`` a window's rule, ``customer`` a customer's, ``lane`` what is told).
    ``since_ms``: from when on the reason has been the same. No customer's id, for it is kept on a topic.
    """

    stage: Literal["judge", "customer", "lane"]
    alert: str
    fingerprint: str
    labels: dict[str, str]
    reason: str
    as_of_ms: int
    since_ms: int
    figures: dict[str, Any] = {}


_encoder: Final = msgspec.json.Encoder()
_claims: Final = msgspec.json.Decoder(Claim)
_records: Final[msgspec.json.Decoder[LaneRecord]] = msgspec.json.Decoder(LaneRecord)


def encode_claim(claim: Claim) -> bytes:
    """A claim alone, as the lane's table keeps it."""
    return _encoder.encode(claim)


def decode_claim(value: bytes) -> Claim:
    """The inverse of encode_claim.

    Raises:
        msgspec.DecodeError: not a claim.
    """
    return _claims.decode(value)


def encode_record(record: LaneRecord) -> bytes:
    """A value for ``cx.claims``."""
    return _encoder.encode(record)


def decode_record(value: bytes) -> LaneRecord:
    """The inverse of encode_record.

    Raises:
        msgspec.DecodeError: neither a claim nor a mark.
    """
    return _records.decode(value)


def fingerprint(alert: str, labels: Mapping[str, str], subject: str = "") -> str:
    """The identity of an alert: 16 hex digits of SHA-256 over its name, labels and customer, if any."""
    return _digest([alert, sorted(labels.items()), subject])[:16]


def claim_id(fingerprint: str, state: str, as_of_ms: int, cause: str) -> str:
    """The id of one transition: 32 hex digits of SHA-256 over the alert, what happened, when and why.

    ``cause`` is the id of the event behind a customer's alert, and the start of a window's alert.
    """
    return _digest([fingerprint, state, as_of_ms, cause])[:32]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(_encoder.encode(parts)).hexdigest()
