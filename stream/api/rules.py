"""``/v1/rules``: which rules judge, whether a file is right, and what it would have led to."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from schemas import format_ms, to_ms
from stream.alerting.described import fires_when, over_when, where_of
from stream.alerting.durations import parse_duration
from stream.alerting.kept import not_kept
from stream.alerting.lint import remarks
from stream.alerting.model import CustomerRule, MetricRule, Rule, RuleBook
from stream.alerting.rules import RuleError
from stream.api.backtests import backtest as run_backtest
from stream.api.parts import READ, Followed, Parts, Served, json_response, problems
from stream.api.problems import Failed
from stream.api.rulebooks import Rulebooks
from stream.api.shapes import Backtest, BacktestAsked, Rules, RulesAsked, RulesChecked
from stream.api.times import Moment
from stream.deployment import read_rules, silent_book

router = APIRouter(prefix="/v1/rules", tags=["rules"], dependencies=READ)
_CODES: Final = (401, 403, 422, 429, 503)
_AT_ONCE: Final = asyncio.Semaphore(2)  # a large file takes a processor for seconds
_PLACE: Final = ("line", "rule", "field", "problem")


@router.get("", response_model=Rules, responses=problems(*_CODES))
async def rules(
    parts: Followed,
    at: Annotated[Moment, Query(description="moment of event time; without it: now")] = None,
) -> Response:
    """The rules in force, in words, and every version of them."""
    at_ms = int(time.time() * 1000) if at is None else at
    books = await Rulebooks.of(parts)
    current = books.in_force(at_ms)
    book = books.at(at_ms)
    start: dict[str, Any] = {
        "valid_from": None,
        "name": str(parts.settings.rules or ""),
        "rules": len(_all(books.kept)),
        "in_force": current is None,
    }
    versions = [start]
    for each in books.known:
        record = each.record
        versions.append(
            {
                "valid_from": format_ms(each.from_ms),
                "name": "" if record is None else record.name,
                "rules": 0 if each.book is None else len(_all(each.book)),
                "author": None if record is None else record.author,
                "comment": None if record is None else record.comment,
                "refused": each.problem or None,
                "in_force": each is current,
            }
        )
    return json_response(
        {"at": format_ms(at_ms), "rules": [_row(rule) for rule in _all(book)], "versions": versions}
    )


@router.post("/check", response_model=RulesChecked, responses=problems(400, 413, *_CODES))
async def check(parts: Served, asked: RulesAsked) -> Response:
    """Whether workers would take a rules file; nothing is put in force."""
    async with _AT_ONCE:
        return json_response(await asyncio.to_thread(_checked, parts, asked))


@router.post("/backtest", response_model=Backtest, responses=problems(400, 413, *_CODES))
async def backtest(parts: Served, asked: BacktestAsked) -> Response:
    """Which alerts a rules file would have led to over a history, and how good they would have been.

    The alerts are those that workers publish for the same events. One runs at a time, and no longer than a minute;
    for more there is `cx rules test`.
    """
    grace_ms = parse_duration(asked.grace)
    if not grace_ms:
        error = {"field": "body.grace", "reason": "value_error", "detail": "a duration, as 10m or 2h"}
        raise Failed(422, "not-fitting", "1 thing to put right", errors=[error])
    now_ms = int(time.time() * 1000) if asked.now is None else to_ms(asked.now)
    until_ms = None if asked.until is None else to_ms(asked.until)
    found = await run_backtest(
        parts.settings,
        {
            "rules": asked.rules,
            "name": asked.name,
            "events": asked.events,
            "outcomes": asked.outcomes,
            "grace_ms": grace_ms,
            "now_ms": now_ms,
            "until_ms": until_ms,
        },
    )
    return Response(found, media_type="application/json")


def _checked(parts: Parts, asked: RulesAsked) -> dict[str, Any]:
    found: dict[str, Any] = {"error": None, "warnings": []}
    try:
        book = read_rules(asked.rules, asked.name, parts.settings)
    except RuleError as error:
        found |= {"ok": False, "error": {name: getattr(error, name) for name in _PLACE}}
        return found | {"window_rules": [], "customer_rules": [], "groupings": [], "windows": []}
    lacking = not_kept(book, parts.book, silent_book(parts.settings))
    found["warnings"] = [
        {
            "line": 1,
            "rule": None,
            "field": "",
            "problem": f"{each} by workers that started with the rules here",
        }
        for each in lacking
    ]
    now = int(time.time() * 1000)
    found["warnings"] += [{name: getattr(each, name) for name in _PLACE} for each in remarks(book, now)]
    of_customers = sorted((*book.customer_rules, *book.history_rules), key=lambda rule: rule.line)
    return found | {
        "ok": True,
        "window_rules": [rule.alert for rule in book.metric_rules],
        "customer_rules": [rule.alert for rule in of_customers],
        "groupings": [",".join(grouping) for grouping in book.groupings],
        "windows": list(book.windows),
    }


def _all(book: RuleBook) -> list[Rule]:
    return sorted((*book.metric_rules, *book.customer_rules, *book.history_rules), key=lambda rule: rule.line)


def _row(rule: Rule) -> dict[str, Any]:
    kind = (
        "window"
        if isinstance(rule, MetricRule)
        else "record"
        if isinstance(rule, CustomerRule)
        else "customer"
    )
    return {
        "alert": rule.alert,
        "kind": kind,
        "severity": rule.severity,
        "line": rule.line,
        "fires_when": fires_when(rule),
        "over_when": over_when(rule),
        "about": where_of(rule),
    }
