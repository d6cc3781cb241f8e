"""The description of the API: committed, true, and no wild input gets a 5xx out of what it describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stream.api.app import described, routed
from stream.brokers.embedded import EmbeddedKafka
from stream.topics import layout
from tests.api.conftest import READ, ServeProcess, bearer
from tests.api.test_stream import Publisher, alert_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
EVERY = f"all:read+operate+privacy+ingest:{READ}"


def test_the_committed_description_is_this_api() -> None:
    """docs/openapi.json is what `cx serve --openapi` prints."""
    assert json.loads(COMMITTED.read_text()) == json.loads(described(routed()))


def test_every_operation_says_which_problems_it_answers_with() -> None:
    """Each operation with a key names 401, 403 and 429 as problem+json, and each has words of its own."""
    for path, operations in json.loads(described(routed()))["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            if path.startswith("/health/"):
                continue
            for status in ("401", "403", "429"):
                assert "application/problem+json" in operation["responses"][status]["content"], (method, path)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server with something to tell, which takes as many requests as come; in a process of its own."""
    folder = tmp_path_factory.mktemp("openapi")
    with EmbeddedKafka(layout("cx-pulse", 4)) as kafka:
        publish = Publisher(kafka.bootstrap)
        publish.alerts(*(alert_of(number, customer=number % 3 == 0) for number in range(30)))
        env = {"CX_BROKERS": kafka.bootstrap, "CX_API_KEYS": EVERY, "CX_API_RATE": "1000000"}
        with ServeProcess(folder, **env) as serving:
            yield serving.wait_ready()


schemathesis.serializer.alias("application/x-ndjson", "text/plain")
schema = schemathesis.openapi.from_dict(json.loads(COMMITTED.read_text()))
#: It never ends, reads logs for a minute without workers, or has a page without a read model: seen elsewhere.
LEFT_OUT = ["/v1/stream", "/v1/customers/{customer_id}/erase", "/v1/rules/backtest"]


@schema.exclude(path=LEFT_OUT).parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_wild_gets_a_5xx(case: Any, everything: ServeProcess) -> None:
    """Whatever the description allows or forbids, answers are those that it names, in the form that it names."""
    answer = case.call(base_url=everything.url, headers=bearer(READ))
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    if answer.status_code == 503 and b"#readmodel" in answer.content:
        checks.remove(not_a_server_error)  # there is none here, and that is said
    case.validate_response(answer, checks=checks)
