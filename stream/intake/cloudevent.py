"""CloudEvents 1.0 on Kafka: the record is the ``data`` of the event (structured) or the value (binary)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.deadletter import Reason
from stream.intake.event import Rejection

REQUIRED: Final = ("id", "source", "specversion", "type")
_VERSION: Final = "1.0"
_STRUCTURED: Final = "application/cloudevents+json"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


def binary(headers: Sequence[tuple[str, bytes | None]]) -> bool | Rejection:
    """Whether the headers make the value the data of a binary-mode CloudEvent.

    False also for structured mode and for bare records. A Rejection where there are CloudEvents
    headers that do not fit.
    """
    found = {name: value for name, value in headers if name == "content-type" or name[:3] == "ce_"}
    content_type = found.pop("content-type", None)
    if content_type is not None and (mode := _media_type(content_type)).startswith("application/cloudevents"):
        if mode != _STRUCTURED:
            return Rejection(Reason.BAD_ENVELOPE, f"header content-type: must be {_STRUCTURED}")
        return False
    if "ce_specversion" not in found:
        return False
    for name in REQUIRED:
        if not found.get(f"ce_{name}"):
            return Rejection(Reason.MISSING_FIELD, f"header ce_{name}: required")
    if found["ce_specversion"] != _VERSION.encode():
        return Rejection(Reason.BAD_ENVELOPE, f"header ce_specversion: must be {_VERSION}")
    if content_type is not None and not _is_json(_media_type(content_type)):
        return Rejection(Reason.BAD_ENVELOPE, "header content-type: must be JSON")
    return True


def unwrap(text: str) -> bytes | str | Rejection:
    """The record inside a structured CloudEvent; the text itself where it is none.

    A CloudEvent is an object with ``specversion`` and ``data`` or ``data_base64``.
    """
    try:
        raw = _fields(text)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$: must be an object")
    except msgspec.DecodeError:
        return Rejection(Reason.NOT_JSON, "$: must be JSON")
    if "specversion" not in raw or not ("data" in raw or "data_base64" in raw):
        return text
    attributes: dict[str, str] = {}
    for name in (*REQUIRED, "datacontenttype"):
        if name in raw:
            try:
                attributes[name] = _text(raw[name])
            except msgspec.ValidationError:
                return Rejection(Reason.BAD_TYPE, f"$.{name}: must be a string")
            except msgspec.DecodeError:
                return Rejection(Reason.NOT_JSON, f"$.{name}: must be JSON")
            if not attributes[name]:
                return Rejection(Reason.BAD_ENVELOPE, f"$.{name}: must not be empty")
        elif name in REQUIRED:
            return Rejection(Reason.MISSING_FIELD, f"$.{name}: required")
    if attributes["specversion"] != _VERSION:
        return Rejection(Reason.BAD_ENVELOPE, f"$.specversion: must be {_VERSION}")
    if "datacontenttype" in attributes and not _is_json(_media_type(attributes["datacontenttype"].encode())):
        return Rejection(Reason.BAD_ENVELOPE, "$.datacontenttype: must be JSON")
    if "data_base64" not in raw:
        return bytes(raw["data"])
    if "data" in raw:
        return Rejection(Reason.BAD_ENVELOPE, "$: data or data_base64, not both")
    try:
        return b64decode(_text(raw["data_base64"]), validate=True)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$.data_base64: must be a string")
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return Rejection(Reason.BAD_ENVELOPE, "$.data_base64: must be base64")


def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode(errors="replace")


def _is_json(media_type: str) -> bool:
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")
