"""``/v1/metrics`` and ``/v1/series``: values by slice and window, from the read model."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from msgspec import UNSET, Raw, UnsetType
from starlette.responses import Response

from schemas import format_ms, to_ms
from stream.api.parts import READ, Parts, Served, Slices, Where, json_response, problems
from stream.api.shapes import MetricsPage, Series
from stream.api.times import Moment
from stream.measures import slice_key
from stream.measures.slices import parse_slice

router = APIRouter(prefix="/v1", tags=["metrics"], dependencies=READ)

_MOST: Final = 1_000
_KEYS_S: Final = 1.0  # new slices are seen within this
_VALUES_S: Final = 0.2
_LONGEST_MS: Final = 366 * 24 * 3600 * 1000
_NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
_WINDOW: Final = r"^[A-Za-z0-9_.-]{1,64}$"


@router.get("/metrics", response_model=MetricsPage, responses=problems(401, 403, 422, 429, 503))
async def metrics(
    parts: Served,
    where: Slices,
    metric: Annotated[list[str] | None, Query(max_length=50, description="only these; repeatable")] = None,
    window: Annotated[list[str] | None, Query(max_length=50, description="only these; repeatable")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 200,
    after: Annotated[str, Query(max_length=4_000, description="`next` of the page before")] = "",
) -> Response:
    """The newest values of slices: of the whole (`by=whole`), of a grouping (`by=segment`), of one member."""

    async def ask() -> dict[str, Any]:
        keys = [key for key in await _keys(parts, where) if key > after]
        found = await parts.reader.metrics_raw(keys[:limit])
        raw = [found[key] for key in keys[:limit] if key in found]
        newest = max((_moment(each).as_of for each in raw), default=None)
        return {
            "as_of": None if newest is None else format_ms(to_ms(newest)),
            "slices": [_only(each, metric, window) for each in raw],
            "next": keys[limit - 1] if len(keys) > limit else None,
        }

    async def answer() -> bytes:
        return json_response(await ask()).body  # type: ignore[return-value]

    question = ("metrics", where.key, tuple(metric or ()), tuple(window or ()), limit, after)
    return Response(await parts.cache.get(question, _VALUES_S, answer), media_type="application/json")


@router.get("/series", response_model=Series, responses=problems(401, 403, 422, 429, 503))
async def series(
    parts: Served,
    where: Slices,
    metric: Annotated[str, Query(pattern=_NAME)],
    window: Annotated[str, Query(pattern=_WINDOW, description="`5m`, `1h`, …")] = "1h",
    since: Annotated[Moment, Query(alias="from", description="event time, RFC 3339")] = None,
    until: Annotated[Moment, Query(alias="to", description="event time, RFC 3339")] = None,
) -> Response:
    """How a metric of one slice was over time: final values, as far back as the read model keeps them.

    The slice is what the dimensions given say; none given is the whole.
    """
    key = slice_key(where.members)

    async def answer() -> bytes:
        points = await parts.reader.series(key, metric, window, since, until)
        told = [
            {
                "at": format_ms(point.at_ms),
                "value": point.value,
                "n": point.n,
                "interval": None
                if point.lower is None or point.upper is None
                else (point.lower, point.upper),
            }
            for point in points
        ]
        body = {"metric": metric, "window": window, "slice": where.members, "points": told}
        return json_response(body).body  # type: ignore[return-value]

    question = ("series", key, metric, window, since, until)
    return Response(await parts.cache.get(question, _VALUES_S, answer), media_type="application/json")


async def _keys(parts: Parts, where: Where) -> list[str]:
    """Keys of the slices asked for, sorted."""
    if where.by is not None and tuple(sorted(where.members)) == where.by:
        return [slice_key(where.members)]

    async def ask() -> list[tuple[str, dict[str, str]]]:
        return [(key, parse_slice(key)) for key in sorted(await parts.reader.slices())]

    known = await parts.cache.get("slices", _KEYS_S, ask)
    return [key for key, members in known if where.holds(members)]


class _Moment(msgspec.Struct):
    """Of a ``cx.metrics`` object, what it takes to know the newest."""

    as_of: datetime


class _Slice(msgspec.Struct, omit_defaults=True):
    """A ``cx.metrics`` object of which only some metrics are looked into."""

    slice: Raw
    as_of: Raw
    final: Raw
    metrics: dict[str, Raw]
    corrected_from: Raw | UnsetType = UNSET


_moment: Final = msgspec.json.Decoder(_Moment).decode
_slice: Final = msgspec.json.Decoder(_Slice).decode
_windows: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def _only(raw: bytes, metrics: list[str] | None, windows: list[str] | None) -> Raw | _Slice:
    """The object with some metrics and windows only; as it was published where all are wanted.

    What is not looked into is passed on as it is: most of an answer's time would go into taking values apart and
    putting them together again.
    """
    if metrics is None and windows is None:
        return Raw(raw)
    found = _slice(raw)
    found.metrics = {
        name: values for name, values in found.metrics.items() if metrics is None or name in metrics
    }
    if windows is not None:
        chosen = {
            name: {each: value for each, value in _windows(values).items() if each in windows}
            for name, values in found.metrics.items()
        }
        found.metrics = {name: Raw(msgspec.json.encode(values)) for name, values in chosen.items() if values}
    return found
