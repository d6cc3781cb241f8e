"""Traces by OpenTelemetry, where its standard variables ask for them.

Agents, API and delivery call the hooks of a `Tracing`. Off, which is the default, every hook hands back what it
was given, and nothing of OpenTelemetry is loaded for it.
"""

from .off import OFF, Asgi, Fetched, Handler, Outcome, R, Tracing
from .starting import problem, start

__all__ = ["OFF", "Asgi", "Fetched", "Handler", "Outcome", "R", "Tracing", "problem", "start"]
