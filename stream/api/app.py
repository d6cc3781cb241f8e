"""The HTTP API as an ASGI app: routes, guard and page put together."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from stream.api import adapters, alerts, customers, events, health, metrics, problems, rules, silences, stream
from stream.api.guard import Guard
from stream.api.parts import READ, Parts, known_query
from stream.api.shapes import ItemError, Problem
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream.settings import Settings

PAGE: Final = Path(__file__).with_name("page")
_UPLOADS: Final = frozenset({"/v1/rules/backtest"})


def create_app(settings: Settings, tracing: Tracing = OFF) -> FastAPI:
    """The app of a deployment; it connects to Kafka and Redis when it is started.

    Raises:
        RuleError, ValueError: rules or settings are wrong; the message names the setting.
    """
    parts = Parts(settings, tracing)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.start()
        yield
        await parts.stop()

    app = routed(lifespan)
    app.state.parts = parts
    app.add_middleware(
        Guard,
        keys=parts.keys,
        rate=settings.api_rate,
        most_bytes=lambda path: (
            settings.api_max_upload_bytes if path in _UPLOADS else settings.api_max_body_bytes
        ),
        telemetry=parts.telemetry,
    )
    app.mount("/", StaticFiles(directory=PAGE, html=True, check_dir=False), name="page")
    return app


def routed(lifespan: Any = None) -> FastAPI:
    """The routes, and how their failures are told; without parts nothing can be asked of them."""
    app = FastAPI(
        title="cx-pulse",
        version=metadata.version("cx-pulse"),
        description="Customer experience as it is: metrics, alerts, customers and rules; and events in.",
        lifespan=lifespan,
        dependencies=[Depends(known_query)],
        docs_url=None,  # they fetch scripts from elsewhere; /openapi.json is what tools need
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        # FastAPI's own spans and logs hold paths, and what did not fit: ids of customers. Ours: stream.tracing.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    problems.install(app)
    for room in (metrics, alerts, silences, customers, rules, events, adapters, stream, health):
        app.include_router(room.router)

    @app.get("/openapi.json", include_in_schema=False, dependencies=READ)
    async def openapi() -> Response:
        """This API, described."""
        return Response(described(app), media_type="application/json")

    return app


def described(app: FastAPI) -> str:
    """OpenAPI of an app, as text."""
    found = app.openapi()
    schemas = found["components"]["schemas"]
    for shape in (Problem, ItemError):  # routes refer to them, and none returns them
        schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[shape.__name__] = schema
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
