"""The committed JSON Schema and AsyncAPI documents."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import schemas
from schemas.export import MODELS, asyncapi, documents, json_schema
from stream import topics

COMMITTED = Path(schemas.__file__).parent / "json"
FIXTURES = Path(__file__).parent / "fixtures"


def fixtures() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the model, message) of every message ever promised to parse."""
    for path in sorted(FIXTURES.glob("*.json")):
        for message in json.loads(path.read_text(encoding="utf-8")):
            yield path.name.split(".")[0], message


def test_committed_documents_match_the_models() -> None:
    """What is committed is what the models generate; `cx schemas export schemas/json` renews it."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in COMMITTED.iterdir()}
    assert committed == documents()


def test_export_writes_every_document(tmp_path: Path) -> None:
    """Export makes the directory and answers with the files it wrote."""
    written = schemas.export(tmp_path / "new" / "place")
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == documents()


@pytest.mark.parametrize("name", MODELS)
def test_documents_are_json_schemas(name: str) -> None:
    """Every document is itself valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(json_schema(name))


def test_every_model_has_old_messages() -> None:
    """No model is without a fixture."""
    assert {name for name, _ in fixtures()} == set(MODELS)


@pytest.mark.parametrize(("name", "message"), list(fixtures()))
def test_old_messages_still_parse(name: str, message: dict[str, Any]) -> None:
    """A message of an earlier version fits the model and its JSON Schema, and comes back unharmed."""
    model = MODELS[name]
    record = model.model_validate_json(json.dumps(message))
    assert model.model_validate(message) == record
    assert model.model_validate_json(record.model_dump_json()) == record
    jsonschema.validate(message, json_schema(name), cls=jsonschema.Draft202012Validator)
    shown = json.loads(record.model_dump_json(exclude_unset=True))
    jsonschema.validate(shown, json_schema(name), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("touchpoint", {"customer_id": ""}),
        ("touchpoint", {"stage": "leave"}),
        ("touchpoint", {"attributes": {"a": []}}),
        ("touchpoint", {"attributes": {str(n): n for n in range(33)}}),
        ("reply", {"metric": "NPS"}),
        ("reply", {"score": "9"}),
        ("reply", {"scale": [1]}),
        ("reply", {"event_id": "x" * 129}),
        ("metrics", {"slice": {"shoe_size": "44"}}),
        ("alert", {"type": "cx.alert.shouted.v1"}),
        ("customer", {"churn_probability": 1.5}),
        ("deadletter", {"reason": "because"}),
        ("decision", {"stage": "elsewhere"}),
        ("action", {"status": "thought about"}),
        ("rules", {"rules": ""}),
        ("silence", {"matchers": []}),
        ("silence", {"id": "not an id"}),
    ],
)
def test_schema_and_model_refuse_alike(name: str, change: dict[str, Any]) -> None:
    """What the document refuses, the model refuses too."""
    message = {**next(message for other, message in fixtures() if other == name), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(message, json_schema(name), cls=jsonschema.Draft202012Validator)
    with pytest.raises(ValueError, match="validation error"):
        MODELS[name].model_validate(message)


def test_asyncapi_names_the_topics_of_the_program() -> None:
    """Every public topic is a channel of the AsyncAPI document, and no other."""
    addresses = {channel["address"] for channel in asyncapi()["channels"].values()}
    assert addresses == {
        *topics.INPUTS,
        topics.ACTIONS,
        topics.RULES,
        topics.SILENCES,
        topics.MODELS,
        topics.METRICS,
        topics.ALERTS,
        topics.DECISIONS,
        topics.CUSTOMERS,
        topics.DEADLETTERS,
    }


def test_asyncapi_references_resolve() -> None:
    """No reference of the AsyncAPI document leads nowhere."""
    document = asyncapi()
    found = 0
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        found += 1
    assert found > 20


def references(node: Any) -> Iterator[str]:
    """Every ``$ref`` below a node."""
    if isinstance(node, dict):
        for key, part in node.items():
            if key == "$ref":
                yield part
            else:
                yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)
