"""The contracts as documents: JSON Schema (2020-12) of every model, and AsyncAPI 3 of the topics.

Both are generated from the models, committed under ``schemas/json`` and tested to match.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.action import ActionTaken
from schemas.alert import AlertEvent
from schemas.cloudevent import RecordEvent
from schemas.customer import CustomerProfile
from schemas.deadletter import DeadLetterHeaders
from schemas.decision import Decision
from schemas.metrics import Metrics
from schemas.model import ModelVersion
from schemas.reply import Reply
from schemas.rules import RulesVersion
from schemas.silence import Silence
from schemas.touchpoint import Touchpoint

VERSION: Final = "1.3.0"
"""Of the contracts, not of the program: additions raise the minor, anything else the major number."""

MODELS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType(
    {
        "touchpoint": Touchpoint,
        "reply": Reply,
        "cloudevent": RecordEvent,
        "metrics": Metrics,
        "alert": AlertEvent,
        "customer": CustomerProfile,
        "deadletter": DeadLetterHeaders,
        "decision": Decision,
        "action": ActionTaken,
        "rules": RulesVersion,
        "silence": Silence,
        "model": ModelVersion,
    }
)
"""Name of each document -> the model it is generated from."""

_JSON: Final = "application/json"
_CLOUDEVENT: Final = "application/cloudevents+json"
_INPUT: Final = ("touchpoint", "reply", "cloudevent")
# channel -> (address, action of this program, key, messages, description)
_CHANNELS: Final[dict[str, tuple[str, str, str, tuple[str, ...], str]]] = {
    "touchpoints": ("cx.touchpoints", "receive", "customer_id", _INPUT, "Input; replies are welcome too."),
    "replies": ("cx.replies", "receive", "customer_id", _INPUT, "Input; touchpoints are welcome too."),
    "metrics": ("cx.metrics", "send", "the slice, as JSON", ("metrics",), "Newest values, compacted."),
    "alerts": ("cx.alerts", "send", "the fingerprint", ("alert",), "Proactive-action events."),
    "customers": ("cx.customers", "send", "customer_id", ("customer",), "Profiles on change, compacted."),
    "deadletters": (
        "cx.deadletters",
        "send",
        "the record's own",
        ("deadletter",),
        "Refused records, unchanged; the headers say why. Without `reason`: one was redriven.",
    ),
    "decisions": (
        "cx.decisions",
        "send",
        "fingerprint|stage",
        ("decision",),
        "Why a rule did or did not lead to an alert, compacted.",
    ),
    "actions": ("cx.actions", "receive", "the fingerprint", ("action",), "What became of alerts."),
    "rules": ("cx.rules", "receive", "valid_from, in UTC", ("rules",), "Versions of the rules, compacted."),
    "silences": ("cx.silences", "receive", "the id", ("silence",), "Silences, compacted."),
    "models": (
        "cx.models",
        "send",
        "name|valid_from, in UTC",
        ("model",),
        "Versions of fitted and learned models, compacted.",
    ),
}


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one of ``MODELS``."""
    schema = MODELS[name].model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:cx-pulse:schema:cx.{name}.v{VERSION.partition('.')[0]}",
        **schema,
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of every public topic."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in MODELS.values()], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cx-pulse",
            "version": VERSION,
            "description": "Customer-experience events in, metrics and alerts out.",
        },
        "defaultContentType": _JSON,
        "channels": {
            channel: {
                "address": address,
                "description": description,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
            for channel, (address, _, _, messages, description) in _CHANNELS.items()
        },
        "operations": {
            f"{action}{channel.capitalize()}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
            }
            for channel, (_, action, _, messages, _) in _CHANNELS.items()
        },
        "components": {
            "messages": {name: _message(name) for name in MODELS},
            "schemas": _draft_7(definitions["$defs"]),
        },
    }


def documents() -> dict[str, str]:
    """File name -> text of every document, in a fixed order and layout."""
    contents = {f"{name}.json": json_schema(name) for name in MODELS}
    contents["asyncapi.json"] = asyncapi()
    return {
        name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in contents.items()
    }


def export(directory: str | Path) -> list[Path]:
    """Write every document into a directory, made where it is missing; returns the files written.

    Raises:
        OSError: the directory or a file cannot be written.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in documents().items():
        path = target / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _message(name: str) -> dict[str, Any]:
    key = next(key for _, _, key, messages, _ in _CHANNELS.values() if name in messages)
    reference = {"$ref": f"#/components/schemas/{MODELS[name].__name__}"}
    message: dict[str, Any] = {
        "name": name,
        "contentType": _CLOUDEVENT if name in {"cloudevent", "alert"} else _JSON,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}},
    }
    if name == "deadletter":  # any bytes at all: only its headers have a shape
        return {**message, "contentType": "application/octet-stream", "headers": reference}
    return {**message, "payload": reference}


def _draft_7(schema: Any) -> Any:
    """AsyncAPI's own schemas are of draft 7, which writes a tuple's parts as ``items``."""
    if isinstance(schema, dict):
        return {"items" if key == "prefixItems" else key: _draft_7(part) for key, part in schema.items()}
    if isinstance(schema, list):
        return [_draft_7(part) for part in schema]
    return schema
