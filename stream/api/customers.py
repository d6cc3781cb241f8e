"""``/v1/customers``: who is worth keeping, what is known of one, and what the law lets one ask for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from schemas import format_ms
from stream import topics
from stream.alerting.watch import read_watch
from stream.api.parts import PRIVACY, READ, Served, json_response, problems
from stream.api.problems import Failed
from stream.api.reading import newest_of
from stream.api.shapes import CustomerExport, ErasureAsked, ErasureDone, TopCustomers
from stream.customers import decode, stamp_of
from stream.customers.profile import everything, plain, profile
from stream.privacy import erasing
from stream.privacy.entries import Refused
from stream.privacy.fingerprints import KeyUnknown
from stream.privacy.pseudonyms import all_names

if TYPE_CHECKING:
    from stream.api.parts import Parts
    from stream.customers import Customer


class _Id(Convertor[str]):
    """Ids as producers have them, also with a slash."""

    regex = ".+?"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("id", _Id())

router = APIRouter(prefix="/v1/customers", tags=["customers"])
_CODES: Final = (401, 403, 422, 429, 503)
_TOP_S: Final = 1.0
_CARRY_OUT_S: Final = 30.0
_erasures: Final = asyncio.Semaphore(2)
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
        name, customer = await _held(parts, customer_id)
    known = profile(name, customer, int(time.time() * 1000), parts.config.customers)
    watch: Any = customer.watch
    held = {**everything(customer), "watch": plain(read_watch(watch))}
    return json_response({"customer_id": name, "profile": known, "held": held})


@router.post(
    "/{customer_id:id}/erase",
    status_code=202,
    response_model=ErasureDone,
    responses=problems(400, 409, 413, *_CODES),
    dependencies=PRIVACY,
)
async def erase(parts: Served, customer_id: CustomerId, asked: ErasureAsked) -> Response:
    """Forget a person, everywhere, as `cx customers erase` does. What is erased does not come back.

    Answered when workers have carried it out, or half a minute later; `bytes_until` says how long bytes stay in
    logs that nobody reads any more.
    """
    if asked.confirm != customer_id:
        error = {"field": "body.confirm", "reason": "value_error", "detail": "must be the customer's id"}
        raise Failed(422, "not-fitting", "1 thing to put right", errors=[error])
    if _erasures.locked():
        raise Failed(429, "busy", "other erasures are carried out", retry_after=5)
    names = all_names(parts.settings, [customer_id])
    async with _erasures:
        try:
            done = await asyncio.to_thread(erasing.erase, parts.settings, names, wait_s=_CARRY_OUT_S)
        except Refused as refused:
            raise Failed(503, "kafka", str(refused), retry_after=10) from None
        except KeyUnknown as unknown:
            raise Failed(409, "conflict", str(unknown)) from None
    until = {
        left.topic: None if left.until_ms is None else format_ms(left.until_ms // 1000 * 1000)
        for left in done.left
    }
    body = {"carried_out": done.carried_out, "read_model": done.read_model, "bytes_until": until}
    return json_response(body, 202)


@router.get(
    "/{customer_id:id}",
    response_model=dict[str, Any],
    responses=problems(404, *_CODES),
    dependencies=READ,
)
async def show(parts: Served, customer_id: CustomerId) -> Response:
    """What is known of a customer: scores, tickets, spend, value, churn with its reasons."""
    for name in all_names(parts.settings, [customer_id])[::-1]:
        found = await parts.reader.profile(name)
        if found is not None:
            return json_response(found)
    raise _unknown()


async def _held(parts: Parts, customer_id: str) -> tuple[str, Customer]:
    """What a customer is called, and the state that the table holds."""
    changelog = topics.changelog(parts.settings.app_id, topics.CUSTOMERS_TABLE)
    for name in all_names(parts.settings, [customer_id])[::-1]:
        value = await newest_of(parts.settings, changelog, name.encode(), stamp_of)
        customer = None if value is None else decode(value)
        if customer is not None and customer.events:
            return name, customer
    raise _unknown()


def _unknown() -> Failed:
    return Failed(
        404, "not-found", "nothing is known of this customer; ids are as in the events, case and all"
    )
