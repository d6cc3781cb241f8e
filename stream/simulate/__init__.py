"""A plausible customer base in full: seeded events, declared incidents, and bad input that says so."""

from __future__ import annotations

from .incidents import Incident, default_incidents, outcomes
from .people import Person, population
from .simulation import DEFAULT_START_MS, Simulated, Simulation, to_json

__all__ = [
    "DEFAULT_START_MS",
    "Incident",
    "Person",
    "Simulated",
    "Simulation",
    "default_incidents",
    "outcomes",
    "population",
    "to_json",
]
