"""``/v1/alerts``: what fires, what did, why, and what people do about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query
from msgspec import Raw
from starlette.responses import Response

from schemas import ActionTaken, format_ms
from stream import topics
from stream.accounts.words import headline, lines, rule_in_words
from stream.api.guard import Allowed
from stream.api.keys import Caller, Role
from stream.api.outbox import Outgoing
from stream.api.parts import READ, Followed, json_response, problems
from stream.api.problems import Failed
from stream.api.rulebooks import Rulebooks, rule_of
from stream.api.shapes import ActionAsked, AlertDetail, AlertEvents, AlertsPage, Explanation
from stream.feeds import silence_of

if TYPE_CHECKING:
    from stream.accounts.account import Account
    from stream.alerting.hygiene import Silence
    from stream.api.parts import Parts

router = APIRouter(prefix="/v1", tags=["alerts"])

_MOST: Final = 500
_WORDS_MS: Final = 1_000  # "3 minutes ago" is as old as this
State = Literal["firing", "held_back", "over", "all"]
Fingerprint = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Operator = Annotated[Caller, Depends(Allowed(Role.OPERATE))]
_CODES: Final = (401, 403, 422, 429, 503)


@router.get("/alerts", response_model=AlertsPage, responses=problems(*_CODES), dependencies=READ)
async def alerts(
    parts: Followed,
    state: Annotated[State, Query(description="`held_back`: fires and is not told")] = "firing",
    rule: Annotated[list[str] | None, Query(max_length=100, description="of these rules; repeatable")] = None,
    severity: Annotated[list[str] | None, Query(max_length=20)] = None,
    customers: Annotated[bool, Query(description="those about single customers as well")] = False,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    after: Annotated[str, Query(max_length=64, description="`next` of the page before")] = "",
) -> Response:
    """Alerts as they stand: what fires first, then by severity, the newest first."""
    held = parts.live.held
    now = int(time.time() * 1000)

    async def answer() -> bytes:
        found = [
            each
            for each in held.ordered(customers=customers)
            if (rule is None or each.alert in rule)
            and (severity is None or each.severity in severity)
            and _is(each, state)
        ]
        begin = 0
        if after:
            begin = next((at + 1 for at, each in enumerate(found) if each.fingerprint == after), len(found))
        page = found[begin : begin + limit]
        over, about = held.firing()
        silences = _silences(parts)
        body = {
            "alerts": [row(each, silences, now) for each in page],
            "firing": over,
            "firing_customers": about,
            "next": page[-1].fingerprint if begin + limit < len(found) else None,
        }
        return bytes(json_response(body).body)

    question = (
        "alerts", held.version, now // _WORDS_MS, state, tuple(rule or ()), tuple(severity or ()), customers,
        limit, after,
    )  # fmt: skip
    return Response(await parts.cache.get(question, 2.0, answer), media_type="application/json")


@router.get("/alerts/events", response_model=AlertEvents, responses=problems(*_CODES), dependencies=READ)
async def history(
    parts: Followed,
    rule: Annotated[list[str] | None, Query(max_length=100, description="of these rules; repeatable")] = None,
    customers: Annotated[bool, Query(description="those about single customers as well")] = False,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    before: Annotated[int | None, Query(ge=0, description="`next` of the page before")] = None,
) -> Response:
    """What was told, event by event, the newest first: the newest ten thousand of the retained."""
    found: list[Any] = []
    last = None
    for told in parts.live.alerts.newest():
        if before is not None and told.number >= before:
            continue
        account = parts.live.held.get(told.key)
        if account is None or (account.of_customer and not customers):
            continue
        if rule is not None and account.alert not in rule:
            continue
        if len(found) == limit:
            break
        found.append(Raw(told.value))
        last = told.number
    more = last is not None and len(found) == limit
    return json_response({"events": found, "next": str(last) if more else None})


@router.get(
    "/alerts/{fingerprint}", response_model=AlertDetail, responses=problems(404, *_CODES), dependencies=READ
)
async def alert(parts: Followed, fingerprint: Fingerprint) -> Response:
    """One alert with its events, the decisions about it, and what people did."""
    account = _account(parts, fingerprint)
    return json_response({"row": row(account, _silences(parts), _now()), **_parts_of(account)})


@router.get(
    "/alerts/{fingerprint}/explain",
    response_model=Explanation,
    responses=problems(404, *_CODES),
    dependencies=READ,
)
async def explain(parts: Followed, fingerprint: Fingerprint) -> Response:
    """Why it fired or did not: what happened, why, since when, and what it takes."""
    account = _account(parts, fingerprint)
    now = _now()
    books = await Rulebooks.of(parts)
    rule = rule_of(books.at(account.as_of_ms), account.alert)
    silences = _silences(parts)
    said = lines(account, rule, account.silenced_by(silences, max(now, account.as_of_ms)), now)
    return json_response(
        {
            "fingerprint": fingerprint,
            "alert": account.alert,
            "headline": headline(account, now),
            "lines": [{"heading": heading, "text": text} for heading, text in said],
            "rule": None if rule is None else [{"heading": h, "text": t} for h, t in rule_in_words(rule)],
            "row": row(account, silences, now),
            **_parts_of(account),
        }
    )


@router.post(
    "/alerts/{fingerprint}/actions",
    status_code=201,
    response_model=ActionTaken,
    responses=problems(400, 404, 413, *_CODES),
)
async def act(parts: Followed, caller: Operator, fingerprint: Fingerprint, asked: ActionAsked) -> Response:
    """Say what is done about an alert, or what came of it; it goes to `cx.actions`, and is shown with it."""
    account = _account(parts, fingerprint)
    action = ActionTaken.model_validate(
        {
            "fingerprint": fingerprint,
            "alert_id": account.events[-1]["id"] if account.events else None,
            "at": _now(),
            "by": asked.by or caller.name,
            "status": asked.status,
            "outcome": asked.outcome,
            "note": asked.note,
        }
    )
    value = action.model_dump_json(exclude_none=True).encode()
    await parts.outbox.publish([Outgoing(topics.ACTIONS, fingerprint.encode(), value)])
    return Response(value, 201, media_type="application/json")


def row(account: Account, silences: list[Silence], now_ms: int) -> dict[str, Any]:
    """One alert as lists show it."""
    last = account.last
    return {
        "fingerprint": account.fingerprint,
        "alert": account.alert,
        "subject": account.subject,
        "labels": account.labels,
        "severity": account.severity,
        "firing": account.firing,
        "state": None if last is None else last["state"],
        "held_back": account.held_back,
        "headline": headline(account, now_ms),
        "summary": "" if last is None else str(last.get("annotations", {}).get("summary", "")),
        "since": format_ms(account.since_ms),
        "as_of": format_ms(account.as_of_ms),
        "of_customer": account.of_customer,
        "silences": [each.id for each in account.silenced_by(silences, now_ms)],
        "action": account.actions[-1] if account.actions else None,
        "event": account.events[-1] if account.events else None,
    }


def _is(account: Account, state: State) -> bool:
    if state == "firing":
        return account.firing
    if state == "held_back":
        return account.held_back is not None
    return state == "all" or not (account.firing or account.held_back)


def _account(parts: Parts, fingerprint: str) -> Account:
    found = parts.live.held.get(fingerprint)
    if found is None:
        raise Failed(404, "not-found", "no alert has this fingerprint, among what the topics still hold")
    return found


def _parts_of(account: Account) -> dict[str, Any]:
    return {
        "events": account.events,
        "decisions": list(account.decisions.values()),
        "actions": account.actions,
    }


def _silences(parts: Parts) -> list[Silence]:
    return [silence_of(each) for each in parts.live.silences.values()]


def _now() -> int:
    return int(time.time() * 1000)
