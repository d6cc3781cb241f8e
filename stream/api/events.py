"""``/v1/events``: ingest for whoever has no Kafka client. Answered when Kafka has acknowledged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from msgspec import Raw
from starlette.responses import Response

from schemas import Reply, Touchpoint
from stream import topics
from stream.api.outbox import Outgoing
from stream.api.parts import INGEST, Served, json_response, problems
from stream.api.problems import Failed
from stream.api.shapes import Ingested
from stream.intake import Rejection, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.api.parts import Parts

router = APIRouter(prefix="/v1", tags=["ingest"], dependencies=INGEST)

MOST_EVENTS: Final = 5_000
"""Events of one request."""

_JSON: Final = "application/json"
_NDJSON: Final = frozenset({"application/x-ndjson", "application/jsonl", "application/ndjson"})
_CLOUDEVENT: Final = "application/cloudevents+json"
_CLOUDEVENTS: Final = "application/cloudevents-batch+json"
_TAKEN: Final = f"{_JSON}, application/x-ndjson, {_CLOUDEVENT}, {_CLOUDEVENTS}"
_items = msgspec.json.Decoder(list[Raw]).decode


def _content() -> dict[str, Any]:
    event = {"oneOf": [Touchpoint.model_json_schema(), Reply.model_json_schema()]}
    cloudevent = {
        "type": "object",
        "description": "CloudEvents 1.0; `data` is the event",
        "required": ["specversion", "id", "source", "type"],
    }
    return {
        _JSON: {"schema": {"anyOf": [event, {"type": "array", "items": event, "maxItems": MOST_EVENTS}]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "an event a line"}},
        _CLOUDEVENT: {"schema": cloudevent},
        _CLOUDEVENTS: {"schema": {"type": "array", "items": cloudevent, "maxItems": MOST_EVENTS}},
    }


@router.post(
    "/events",
    response_model=Ingested,
    responses={
        207: {"model": Ingested, "description": "Some were accepted, and some refused: `errors` says which"},
        **problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": _content()}},
)
async def events(parts: Served, request: Request) -> Response:
    """Take events in: one, an array, lines, or CloudEvents; touchpoints and replies, mixed as they come.

    200: Kafka has all of them. 207: it has those that were accepted. 422: none was accepted. 503: Kafka does not
    have all of them; send all again, as each `event_id` counts once. What counts as an event is what the workers
    take, by the same code.
    """
    content = await request.body()
    values, headers = _split(content, request)
    outgoing, errors = _judge(parts, values, headers)
    for reason, count in Counter(error["reason"] for error in errors).items():
        parts.telemetry.events(reason, count)
    try:
        await parts.outbox.publish(outgoing)
    except Failed:
        parts.telemetry.events("failed", len(outgoing))
        raise
    parts.telemetry.events("accepted", len(outgoing))
    body = {"accepted": len(outgoing), "refused": len(errors), "errors": errors}
    if errors and not outgoing:
        raise Failed(
            422,
            "events-refused",
            "each of `errors` says what does not fit the contract of events",
            errors=errors,
            more={"accepted": 0, "refused": len(errors)},
        )
    return json_response(body, 207 if errors else 200)


def _split(content: bytes, request: Request) -> tuple[Sequence[bytes], list[tuple[str, bytes]]]:
    """The events in a body, each as its own bytes; and the headers of a CloudEvent in binary mode."""
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type in _NDJSON:
        values: Sequence[bytes] = [line for line in content.splitlines() if line.strip()]
    elif media_type == _CLOUDEVENT:
        values = [content]
    elif media_type in {_JSON, _CLOUDEVENTS}:
        binary = [
            (f"ce_{name.removeprefix('ce-')}", value.encode("latin-1"))
            for name, value in request.headers.items()
            if name.startswith("ce-")
        ]
        if binary:
            return [content], [*binary, ("content-type", _JSON.encode())]
        values = _array(content) if content.lstrip()[:1] == b"[" else [content]
    else:
        raise Failed(415, "media-type", f"taken are {_TAKEN}", headers={"Accept-Post": _TAKEN})
    if not values:
        raise Failed(400, "bad-request", "there is no event in the body")
    if len(values) > MOST_EVENTS:
        raise Failed(413, "too-large", f"at most {MOST_EVENTS} events at once")
    return values, []


def _array(content: bytes) -> Sequence[bytes]:
    try:
        return [bytes(item) for item in _items(content)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failed(400, "bad-request", "the body is no JSON array") from None


def _judge(
    parts: Parts, values: Sequence[bytes], headers: list[tuple[str, bytes]]
) -> tuple[list[Outgoing], list[dict[str, Any]]]:
    """What may go to Kafka, as it came; and what is wrong with the rest."""
    limits, questions = parts.config.limits, parts.config.declared.questions
    pseudonyms = parts.pseudonyms
    outgoing, errors = [], []
    for number, value in enumerate(values):
        event = decode(value, headers, limits, questions)
        if isinstance(event, Rejection):
            errors.append({"index": number, "reason": str(event.reason), "detail": event.detail})
        else:
            topic = topics.TOUCHPOINTS if event.metric is None else topics.REPLIES
            customer = event.customer_id
            if pseudonyms is not None:
                customer, value = pseudonyms.of(customer), pseudonyms.record(value)  # noqa: PLW2901
            outgoing.append(Outgoing(topic, customer.encode(), value, headers))
    return outgoing, errors
