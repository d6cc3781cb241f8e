"""Events as producers make them, requests made of them, and what an answer asks for. No I/O."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from schemas import Reply, Touchpoint

Event = Touchpoint | Reply | Mapping[str, Any]
"""An event: a model of the contract, or its fields."""

ReplyMetric = Literal["nps", "csat", "ces", "loyalty", "engagement"]

AT_ONCE: Final = 500
"""Events of one request at most; a tenth of what the API takes."""
AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same may be sent again."""
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 30.0
_ACCEPTED: Final = frozenset({200, 202, 207})
_UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that does not fit the contract.

    Attributes:
        index: its place in what was given to ``send``, from 0.
        reason: stable code, as in ``cx.deadletters``.
        detail: path and rule; no value of the event.
    """

    index: int
    reason: str
    detail: str


class EventsRefused(ValueError):  # noqa: N818 - reads as what happened
    """Some events do not fit the contract; all others were taken.

    Attributes:
        accepted: how many were taken.
        errors: those that were not, in order.
    """

    def __init__(self, accepted: int, errors: Sequence[RefusedEvent]) -> None:
        first = errors[0]
        super().__init__(
            f"{len(errors)} of {accepted + len(errors)} events refused; the first is number {first.index}: "
            f"{first.reason}, {first.detail}"
        )
        self.accepted = accepted
        self.errors = tuple(errors)


class SendFailed(RuntimeError):  # noqa: N818
    """Events did not get there, or nobody knows; sending the same again does no harm.

    Attributes:
        status: of the last answer; None where there was none.
        sent: how many from the front of what was given to ``send`` are known to be there.
    """

    def __init__(self, message: str, status: int | None, sent: int) -> None:
        super().__init__(message)
        self.status = status
        self.sent = sent


def touchpoint(customer_id: str, kind: str, **fields: Any) -> dict[str, Any]:
    """A touchpoint of now, unless ``occurred_at`` says otherwise."""
    return {"customer_id": customer_id, "kind": kind, **fields}


def reply(customer_id: str, metric: ReplyMetric, score: float, **fields: Any) -> dict[str, Any]:
    """A reply of now, unless ``occurred_at`` says otherwise."""
    return {"customer_id": customer_id, "metric": metric, "score": score, **fields}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: where its first event stands in what was given, how many there are, and the body."""

    first: int
    count: int
    body: bytes


def requests(events: Event | Iterable[Event], now: datetime) -> list[Request]:
    """The requests that carry events.

    Each event gets an id and a time where it has none, once: what is sent again is the same event.
    """
    given = [events] if isinstance(events, (Touchpoint, Reply, Mapping)) else list(events)
    found = []
    for first in range(0, len(given), AT_ONCE):
        chunk = [_whole(event, now) for event in given[first : first + AT_ONCE]]
        body = json.dumps(chunk, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        found.append(Request(first, len(chunk), body))
    return found


def _whole(event: Event, now: datetime) -> dict[str, Any]:
    if isinstance(event, (Touchpoint, Reply)):
        return event.model_dump(mode="json", exclude_none=True)
    fields = {"event_id": str(uuid.uuid4()), "occurred_at": now, **event}
    return {name: _wire(value) for name, value in fields.items() if value is not None}


def _wire(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("occurred_at and due_at need an offset: datetime.now(UTC)")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


@dataclass(frozen=True, slots=True)
class Taken:
    """What an answer says of one request: how many events are in, and which are not."""

    accepted: int
    errors: tuple[RefusedEvent, ...]


def read_answer(request: Request, status: int, body: bytes) -> Taken | str:
    """What became of a request's events; the text of the problem where none of it is said."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return f"HTTP {status}"
    if "accepted" in found and (status in _ACCEPTED or status == _UNPROCESSABLE):
        errors = tuple(
            RefusedEvent(request.first + int(each["index"]), str(each["reason"]), str(each["detail"]))
            for each in cast("list[dict[str, Any]]", found.get("errors") or [])
        )
        return Taken(int(found["accepted"]), errors)
    return ": ".join([f"HTTP {status}", *(str(found[name]) for name in ("title", "detail") if name in found)])


def pause_s(attempt: int, retry_after: str | None, dice: random.Random) -> float:
    """Seconds until the next try: what the answer asks for, else twice as long each time, with jitter.

    Full jitter, as in Brooker, "Exponential Backoff And Jitter" (2015).
    """
    asked = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdecimal() else 0.0
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
    return min(_LONGEST_PAUSE_S, asked) + dice.uniform(0, longest)
