"""The real Prometheus and its tool; a missing one is said loudly, and fails in CI."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import without


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool; Prometheus itself comes with it."""
    path = shutil.which("promtool")
    if path is None or shutil.which("prometheus") is None:
        without("Prometheus", "not installed (Debian: prometheus). Tests with it were LEFT OUT")
    return str(path)
