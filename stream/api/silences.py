"""``/v1/silences``: for some time, alerts that match are not told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from schemas import format_ms, to_ms
from stream import topics
from stream.accounts.silences import ended, new_silence, state_of
from stream.alerting.durations import parse_duration
from stream.api.guard import Allowed
from stream.api.keys import Caller, Role
from stream.api.outbox import Outgoing
from stream.api.parts import READ, Followed, json_response, problems
from stream.api.problems import Failed
from stream.api.shapes import SilenceAsked, SilenceRow, Silences

if TYPE_CHECKING:
    from schemas import Silence
    from stream.api.parts import Parts

router = APIRouter(prefix="/v1", tags=["alerts"])
Operator = Annotated[Caller, Depends(Allowed(Role.OPERATE))]
_CODES: Final = (401, 403, 422, 429, 503)


@router.get("/silences", response_model=Silences, responses=problems(*_CODES), dependencies=READ)
async def silences(
    parts: Followed,
    everything: Annotated[bool, Query(alias="all", description="those that are over as well")] = False,
) -> Response:
    """Silences in force or to come, the one that ends first at the top. Those of rules files are in the files."""
    now = int(time.time() * 1000)
    found = sorted(parts.live.silences.values(), key=lambda each: (each.ends_at, each.id))
    shown = [_row(each, now) for each in found if everything or to_ms(each.ends_at) > now]
    return json_response({"silences": shown})


@router.post(
    "/silences",
    status_code=201,
    response_model=SilenceRow,
    responses=problems(400, 413, *_CODES),
)
async def add(parts: Followed, caller: Operator, asked: SilenceAsked) -> Response:
    """Keep back alerts of which every matcher holds; one that still fires when it ends is told then."""
    now = int(time.time() * 1000)
    starts = now // 1000 * 1000 if asked.starts_at is None else to_ms(asked.starts_at)
    if (asked.ends_at is None) == (asked.lasts is None):
        raise _unfit("ends_at", "either `ends_at` or `for` says how long")
    ends = _ends(asked, starts)
    author = asked.author or caller.name
    if author is None:
        raise _unfit("author", "who asks, where no key says it")
    try:
        silence = new_silence(asked.matchers, starts, ends, author, asked.comment)
    except ValueError as error:
        raise _unfit("matchers", str(error)) from None
    await _put(parts, silence)
    return json_response(_row(silence, now), 201)


@router.post(
    "/silences/{silence_id}/expire", response_model=SilenceRow, responses=problems(404, 409, *_CODES)
)
async def expire(
    parts: Followed, _: Operator, silence_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
) -> Response:
    """End a silence now; what still fires is told."""
    now = int(time.time() * 1000)
    silence = parts.live.silences.get(silence_id)
    if silence is None:
        raise Failed(404, "not-found", "no silence has this id")
    if state_of(silence, now) == "expired":
        raise Failed(409, "conflict", "it is over already")
    silence = ended(silence, now)
    await _put(parts, silence)
    return json_response(_row(silence, now))


async def _put(parts: Parts, silence: Silence) -> None:
    value = silence.model_dump_json().encode()
    await parts.outbox.publish([Outgoing(topics.SILENCES, silence.id.encode(), value)])


def _ends(asked: SilenceAsked, starts_ms: int) -> int:
    if asked.ends_at is not None:
        return to_ms(asked.ends_at)
    length = parse_duration(asked.lasts or "")
    if not length:
        raise _unfit("for", "a duration, as 30m, 2h or 1d")
    return starts_ms + length


def _row(silence: Silence, now_ms: int) -> dict[str, Any]:
    return {
        "id": silence.id,
        "matchers": list(silence.matchers),
        "starts_at": format_ms(to_ms(silence.starts_at)),
        "ends_at": format_ms(to_ms(silence.ends_at)),
        "author": silence.author,
        "comment": silence.comment,
        "state": state_of(silence, now_ms),
    }


def _unfit(field: str, detail: str) -> Failed:
    error = {"field": f"body.{field}", "reason": "value_error", "detail": detail}
    return Failed(422, "not-fitting", "1 thing to put right", errors=[error])
