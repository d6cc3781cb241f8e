"""The HTTP API as an ASGI app: routes, guard and page put together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.staticfiles import StaticFiles

from stream.api import problems
from stream.api.guard import Guard
from stream.api.parts import Parts, known_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream.settings import Settings

PAGE: Final = Path(__file__).with_name("page")
_UPLOADS: Final = frozenset({"/v1/rules/backtest"})


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


def create_app(settings: Settings) -> FastAPI:
    """The app of a deployment; it connects to Kafka and Redis when it is started.

    Raises:
        RuleError, ValueError: rules or settings are wrong; the message names the setting.
    """
    # Those that read `settings` here may be slow to import.
    from stream.api import alerts, customers, events, health, metrics, rules, silences, stream  # noqa: PLC0415

    parts = Parts(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.start()
        yield
        await parts.stop()

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
    )
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
    problems.install(app)
    for room in (metrics, alerts, silences, customers, rules, events, stream, health):
        app.include_router(room.router)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        """This API, described."""
        return app.openapi()

    app.mount("/", StaticFiles(directory=PAGE, html=True, check_dir=False), name="page")
    return app
