"""``/v1/customers``: who is worth keeping, what is known of one, and what the law lets one ask for."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from stream import topics
from stream.alerting.watch import read_watch
from stream.api.parts import PRIVACY, READ, Served, json_response, problems
from stream.api.problems import Failed
from stream.api.reading import newest_of
from stream.api.shapes import CustomerExport, ErasureAsked, ErasureDone, TopCustomers
from stream.customers import decode, stamp_of
from stream.customers.profile import everything, plain, profile

router = APIRouter(prefix="/v1/customers", tags=["customers"])
_CODES: Final = (401, 403, 422, 429, 503)
_TOP_S: Final = 1.0
_exports: Final = asyncio.Semaphore(2)  # each reads a partition of the table
CustomerId = Annotated[str, Path(min_length=1, max_length=256, description="as in the events, case and all")]


@router.get("", response_model=TopCustomers, responses=problems(*_CODES), dependencies=READ)
async def top(
    parts: Served,
    n: Annotated[int, Query(ge=1, le=500, description="so many")] = 20,
    currency: Annotated[str | None, Query(pattern=r"^[A-Za-z]{3}$")] = None,
) -> Response:
    """Customers with the largest value at risk, most first."""

    async def answer() -> bytes:
        found = await parts.reader.top(n, currency=currency)
        ranked = [{"rank": place, **each} for place, each in enumerate(found, 1)]
        return bytes(json_response({"customers": ranked}).body)

    return Response(
        await parts.cache.get(("top", n, currency), _TOP_S, answer), media_type="application/json"
    )


@router.get(
    "/{customer_id:id}/export",
    response_model=CustomerExport,
    responses=problems(404, *_CODES),
    dependencies=PRIVACY,
)
async def export(parts: Served, customer_id: CustomerId) -> Response:
    """All that the customers table holds of a person: the profile, and the state as stored. Takes seconds."""
    if _exports.locked():
        raise Failed(429, "busy", "other exports run", retry_after=2)
    async with _exports:
        changelog = topics.changelog(parts.settings.app_id, topics.CUSTOMERS_TABLE)
        value = await newest_of(parts.settings, changelog, customer_id.encode(), stamp_of)
    if value is None:
        raise _unknown()
    customer = decode(value)
    if not customer.events:
        raise _unknown()
    known = profile(customer_id, customer, int(time.time() * 1000), parts.config.customers)
    watch: Any = customer.watch
    held = {**everything(customer), "watch": plain(read_watch(watch))}
    return json_response({"customer_id": customer_id, "profile": known, "held": held})


@router.post(
    "/{customer_id:id}/erase",
    status_code=202,
    response_model=ErasureDone,
    responses=problems(400, 404, 413, *_CODES),
    dependencies=PRIVACY,
)
async def erase(_: Served, customer_id: CustomerId, asked: ErasureAsked) -> Response:
    """Forget a person, everywhere, as `cx customers erase` does. What is erased does not come back."""
    if asked.confirm != customer_id:
        error = {"field": "body.confirm", "reason": "value_error", "detail": "must be the customer's id"}
        raise Failed(422, "not-fitting", "1 thing to put right", errors=[error])
    raise Failed(503, "busy", "not yet")


@router.get(
    "/{customer_id:id}",
    response_model=dict[str, Any],
    responses=problems(404, *_CODES),
    dependencies=READ,
)
async def show(parts: Served, customer_id: CustomerId) -> Response:
    """What is known of a customer: scores, tickets, spend, value, churn with its reasons."""
    found = await parts.reader.profile(customer_id)
    if found is None:
        raise _unknown()
    return json_response(found)


def _unknown() -> Failed:
    return Failed(
        404, "not-found", "nothing is known of this customer; ids are as in the events, case and all"
    )
