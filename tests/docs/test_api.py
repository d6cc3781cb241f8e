"""docs/api.md, docs/ingest.md and docs/operations.md say what the API does."""

from __future__ import annotations

import re

from stream.api.app import described, routed
from stream.api.keys import Role
from stream.api.problems import TITLES
from stream.api.telemetry import ApiTelemetry
from stream.intake import Limits, Rejection, decode
from tests.docs.pages import ROOT, code, rows, section

PAGE = ROOT / "docs" / "api.md"
API = PAGE.read_text(encoding="utf-8")
INGEST = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")


def test_every_kind_of_problem_has_a_heading() -> None:
    """The address in a problem's type leads somewhere, and no heading is of a problem that there is not."""
    headings = set(re.findall(r"^### (.+)$", API, re.MULTILINE))
    assert headings == set(TITLES)


def test_every_route_is_on_the_page() -> None:
    """Each path of the description is named."""
    app = routed()
    for path in app.openapi()["paths"]:
        named = re.sub(r"\{(customer|silence)_id\}", "{id}", path)
        assert f"{named}`" in API or f" {named} " in API, path
    assert "/v1/events" in described(app)


def test_every_role_is_on_the_page() -> None:
    """The roles of keys are those of the table."""
    assert [code(row[0])[0] for row in rows(section(PAGE, "Keys"))] == list(Role)


def test_every_series_is_on_the_page() -> None:
    """What `cx serve` shows on /metrics is what operations.md lists."""
    told = {code(row[0])[0]: row[1] for row in rows(section(ROOT / "docs" / "operations.md", "HTTP API"))}
    text = ApiTelemetry().render().decode()
    shown = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert told == {name: kind for name, kind in shown.items() if not name.endswith("_created")}


def test_the_example_of_a_refusal_is_true() -> None:
    """Reason and detail of the page are those of the intake."""
    event = (
        b'{"event_id":"r","customer_id":"a","occurred_at":"2026-01-12T07:40:00Z","metric":"nps","score":13}'
    )
    judged = decode(event, (), Limits())
    assert isinstance(judged, Rejection)
    assert f'"reason": "{judged.reason}", "detail": "{judged.detail}"' in INGEST
