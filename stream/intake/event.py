"""The hot path's record: one frozen struct for touchpoints and replies alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta, field

from schemas.record import MAX_CUSTOMER_ID, MAX_DIMENSION, MAX_EVENT_ID
from schemas.reply import MAX_COMMENT
from schemas.touchpoint import MAX_ATTRIBUTES, MAX_INT, MAX_KIND, MIN_INT

# What a program sees (left) and what msgspec checks while it reads the JSON (right). `decode` turns
# the second into the first, so every `Event` outside this room is of the first kind.
if TYPE_CHECKING:
    from collections.abc import Mapping

    _Time = int
    _EventId = str
    _CustomerId = str
    _Dimension = str
    _Kind = str
    _Metric = str
    _Stage = str
    _Comment = str
    _Flag = bool
    _Attributes = dict[str, str | int | float | bool | None]
else:
    _Time = Annotated[datetime, Meta(tz=True)] | int
    _EventId = Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID)]
    _CustomerId = Annotated[str, Meta(min_length=1, max_length=MAX_CUSTOMER_ID)]
    _Dimension = Annotated[str, Meta(max_length=MAX_DIMENSION)]
    _Kind = Annotated[str, Meta(max_length=MAX_KIND)]
    _Metric = Literal["nps", "csat", "ces", "loyalty", "engagement"]
    _Stage = Literal["entice", "enter", "engage", "exit", "extend"]
    _Comment = Annotated[str, Meta(max_length=MAX_COMMENT)]
    _Flag = bool | None
    _Attributes = Annotated[
        dict[str, str | Annotated[int, Meta(ge=MIN_INT, le=MAX_INT)] | float | bool | None],
        Meta(max_length=MAX_ATTRIBUTES),
    ]


class Event(msgspec.Struct, frozen=True, gc=False):
    """One touchpoint or reply that fits the contract.

    Exactly one of ``metric`` (a reply) and ``kind`` (a touchpoint) is set; fields of the other sort
    are None. Times are epoch milliseconds UTC. A reply's ``score`` and ``scale`` are always set.
    """

    event_id: _EventId
    customer_id: _CustomerId
    time_ms: _Time = field(name="occurred_at")
    metric: _Metric | None = None
    kind: _Kind | None = None
    channel: _Dimension | None = None
    touchpoint: _Dimension | None = None
    segment: _Dimension | None = None
    product: _Dimension | None = None
    variant: _Dimension | None = None
    region: _Dimension | None = None
    stage: _Stage | None = None
    ref: str | None = None
    value: float | None = None
    currency: str | None = None
    due_ms: _Time | None = field(name="due_at", default=None)
    attributes: _Attributes | None = None
    score: float | None = None
    scale: tuple[float, float] | None = None
    higher_is_better: _Flag = True
    question: str | None = None
    pillar: str | None = None
    survey: str | None = None
    comment: _Comment | None = None
    in_reply_to: _EventId | None = None


class Asked(Protocol):
    """What is declared of all replies to a question; None: as the reply says."""

    @property
    def metric(self) -> str | None: ...  # noqa: D102
    @property
    def scale(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def higher_is_better(self) -> bool | None: ...  # noqa: D102


NONE_DECLARED: Final[Mapping[str, Asked]] = MappingProxyType({})


class Rejection(msgspec.Struct, frozen=True):
    """Why a record was refused: a ``schemas.Reason`` and a detail of path and rule, never a value."""

    reason: str
    detail: str


_DEEPEST: Final = 100  # below what any JSON parser in use can follow


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one record may ask for.

    Attributes:
        max_bytes: longest record value, in bytes.
        max_depth: deepest nesting of objects and arrays in the value, the outermost counting 1;
            a CloudEvent's own object counts too.
        max_attributes: most entries of ``attributes``; the contract's 32 at most.
    """

    max_bytes: int = 64 * 1024
    max_depth: int = 32
    max_attributes: int = MAX_ATTRIBUTES

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError("max_bytes: at least 1")
        if not 1 <= self.max_depth <= _DEEPEST:
            raise ValueError(f"max_depth: 1 to {_DEEPEST}")
        if not 0 <= self.max_attributes <= MAX_ATTRIBUTES:
            raise ValueError(f"max_attributes: 0 to {MAX_ATTRIBUTES}")
