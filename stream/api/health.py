"""``/health``, ``/metrics``, ``/v1``: of this process."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from schemas import DIMENSIONS
from stream.api.guard import Allowed
from stream.api.keys import Caller, Role
from stream.api.parts import READ, Served, json_response, problems
from stream.api.shapes import About, Ready
from stream.measures.registry import METRICS
from stream.serving.reader import ReadModelAway

router = APIRouter()
_PING_S = 1.0


@router.get("/health/live", tags=["health"], response_model=dict[str, bool])
async def live() -> Response:
    """Whether the process answers."""
    return json_response({"live": True})


@router.get(
    "/health/ready",
    tags=["health"],
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Something is not well"}},
)
async def ready(parts: Served) -> Response:
    """Whether it can answer for Kafka and the read model, and what is not well."""
    ok, why = parts.live.check()
    checks: dict[str, Any] = {"kafka": {"ok": ok, "reason": why}}
    if parts.has_reader:

        async def ping() -> dict[str, Any]:
            try:
                await parts.reader.ping()
            except ReadModelAway as error:
                return {"ok": False, "reason": str(error)}
            return {"ok": True, "reason": "answers"}

        checks["redis"] = await parts.cache.get("ping", _PING_S, ping)
    well = all(check["ok"] for check in checks.values())
    return json_response({"ready": well, "checks": checks}, 200 if well else 503)


@router.get(
    "/metrics",
    tags=["health"],
    dependencies=READ,
    response_class=PlainTextResponse,
    responses=problems(401, 403, 429),
)
async def prometheus(parts: Served) -> Response:
    """What Prometheus scrapes of this process."""
    return Response(parts.telemetry.render(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/about", tags=["health"], response_model=About, responses=problems(401, 403, 429))
async def about(parts: Served, caller: Annotated[Caller, Depends(Allowed(*Role))]) -> Response:
    """What serves here, and what the caller's key allows."""
    return json_response(
        {
            "name": "cx-pulse",
            "version": metadata.version("cx-pulse"),
            "key": caller.name,
            "roles": sorted(caller.roles),
            "windows": parts.settings.window_names,
            "metrics": sorted(METRICS),
            "dimensions": DIMENSIONS,
        }
    )
