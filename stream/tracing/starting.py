"""Whether traces are asked for, and what stands in the way: by OpenTelemetry's variables, and none of our own.

Traces never keep work from being done: what is wrong with them is a warning, and the process goes on without.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from os import environ as _environ
from typing import TYPE_CHECKING, Final

from stream.tracing.off import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

#: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"
_MODULES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def asked(environ: Mapping[str, str]) -> bool:
    """Whether somebody wants traces.

    An empty variable is as one that is not set:
    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and "none" not in _exporters(environ) and _first(environ, ENDPOINTS) is not None


def problem(environ: Mapping[str, str]) -> str | None:
    """Why there are no traces although they are asked for, and the way out; None: nothing is in the way."""
    if not asked(environ):
        return None
    exporters = _exporters(environ)
    if "otlp" not in exporters:
        return (
            f"OTEL_TRACES_EXPORTER={','.join(exporters)[:80]}: only otlp is spoken here; set it, or unset it"
        )
    protocol = _first(environ, _PROTOCOLS)
    if protocol is not None and environ[protocol].strip() != _SPOKEN:
        return (
            f"{protocol}={environ[protocol].strip()[:80]}: only {_SPOKEN} is spoken here; set it, and the "
            "collector's port for it (4318 as a rule)"
        )
    endpoint = _first(environ, ENDPOINTS)
    if endpoint is not None and not environ[endpoint].strip().startswith(("http://", "https://")):
        return f"{endpoint}: begins with http:// or https://, as http://collector:4318"
    if not _installed():
        return f"{endpoint} is set, and the extra otel is not installed: pip install 'cx-pulse[otel]', or unset it"
    return None


def start(service: str, environ: Mapping[str, str] = _environ) -> Tracing:
    """Start to trace where it is asked for; the caller stops it.

    Args:
        service: the name of the service where OTEL_SERVICE_NAME does not say another.
        environ: says whether; how is read from the process' own by the SDK.
    """
    if not asked(environ):
        return OFF
    if (why := problem(environ)) is not None:
        logger.warning("no traces: %s", why)
        return OFF
    from stream.tracing.sending import sending  # noqa: PLC0415 - an extra, and slow to import

    try:
        tracing = sending(service)
    except Exception:  # whatever the SDK does not like in its variables
        logger.exception("no traces: OpenTelemetry does not start; look at its OTEL_* variables")
        return OFF
    logger.info("traces are sent to the collector of %s", _first(environ, ENDPOINTS))
    return tracing


def _exporters(environ: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in (environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp").split(",")]


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if environ.get(name, "").strip()), None)


def _installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in _MODULES)
    except ModuleNotFoundError:  # of a package above it
        return False
