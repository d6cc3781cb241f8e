"""``/v1/adapters/SENDER``: other products' webhooks, known by their signature and made into events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from stream import topics
from stream.adapters import Call, Refusal, verify
from stream.api.outbox import Outgoing
from stream.api.parts import Served, json_response, problems
from stream.api.problems import Failed
from stream.api.shapes import Converted
from stream.intake import Rejection, decode

if TYPE_CHECKING:
    from stream.adapters import Adapter
    from stream.api.parts import Parts

#: No key is asked for: the guard lets these by, and the sender's signature says who it is.
router = APIRouter(prefix="/v1", tags=["ingest"])

_read = msgspec.json.Decoder().decode
_WHY: Final = {
    Refusal.NO_SIGNATURE: "there is no signature",
    Refusal.WRONG_SIGNATURE: "the signature is not this body's, by the secret of CX_ADAPTER_SECRETS",
    Refusal.TOO_OLD: "what is signed is too old, or of the future: look at the clocks",
}


@router.post(
    "/adapters/{sender}",
    response_model=Converted,
    responses=problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object", "description": "as the sender has it"}}
            },
        }
    },
)
async def adapt(
    parts: Served, request: Request, sender: Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
) -> Response:
    """Take a sender's webhook, signed as the sender signs; docs/adapters.md has the senders.

    200: Kafka has every event made of it, which may be none. An event that does not fit the contract goes there as
    well, and becomes a dead letter with its reason: a sender could not mend it.
    """
    adapter = parts.adapters.get(sender)
    if adapter is None:
        raise Failed(404, "not-found", f"senders are {', '.join(sorted(parts.adapters))}")
    content = await request.body()
    _genuine(parts, adapter, request, content)
    try:
        payload = _read(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failed(400, "bad-request", "the body is no JSON") from None
    outgoing, refused = _events(parts, adapter, payload)
    parts.telemetry.events(f"adapter_{'accepted' if outgoing else 'none'}", len(outgoing) or 1)
    await parts.outbox.publish(outgoing)
    return json_response({"events": len(outgoing), "refused": refused})


def _genuine(parts: Parts, adapter: Adapter, request: Request, content: bytes) -> None:
    """The call comes from its sender.

    Raises:
        Failed: it does not, or nobody can know.
    """
    secret = parts.adapter_secrets.get(adapter.sender, "")
    if not secret:
        raise Failed(403, "forbidden", f"CX_ADAPTER_SECRETS has no secret for {adapter.sender}")
    if adapter.signature is None:
        raise Failed(403, "forbidden", f"the mapping of {adapter.sender} does not say how it signs")
    call = Call(request.method, str(request.url), dict(request.headers), content)
    refusal = verify(adapter.signature, secret, call, time.time())
    if refusal is not None:
        parts.telemetry.events(f"adapter_{refusal}", 1)
        raise Failed(401, "unauthorized", _WHY.get(refusal, refusal))


def _events(parts: Parts, adapter: Adapter, payload: Any) -> tuple[list[Outgoing], int]:
    """What goes to Kafka, and how much of it will be a dead letter."""
    outgoing, refused = [], 0
    for record in adapter.convert(payload):
        value = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        event = decode(value, (), parts.config.limits, parts.config.declared.questions)
        refused += isinstance(event, Rejection)
        customer = str(record.get("customer_id", ""))
        if parts.pseudonyms is not None and customer:
            customer, value = parts.pseudonyms.of(customer), parts.pseudonyms.record(value)
        topic = topics.REPLIES if "metric" in record else topics.TOUCHPOINTS
        outgoing.append(Outgoing(topic, customer.encode() or None, value))
    return outgoing, refused
