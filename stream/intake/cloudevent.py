"""CloudEvents 1.0 on Kafka: the record is the ``data`` of the event (structured) or the value (binary)."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw

from schemas.deadletter import Reason
from stream.intake.event import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUIRED: Final = ("id", "source", "specversion", "type")
_VERSION: Final = "1.0"
_STRUCTURED: Final = "application/cloudevents+json"

_NonEmpty = Annotated[str, Meta(min_length=1)]


class _Envelope(msgspec.Struct, gc=False):
    """The usual structured event; any other goes through ``_careful``."""

    id: _NonEmpty
    source: _NonEmpty
    specversion: Literal["1.0"]
    type: _NonEmpty
    data: Raw
    datacontenttype: Literal["application/json"] | None = None
    data_base64: Raw | None = None


_usual = msgspec.json.Decoder(_Envelope).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str | None).decode


def binary(headers: Sequence[tuple[str, bytes | None]]) -> bool | Rejection:
    """Whether the headers make the value the data of a binary-mode CloudEvent.

    False also for structured mode and for bare records. A Rejection where there are CloudEvents
    headers that do not fit. Of a header given twice the last counts.
    """
    found = dict(headers)
    content_type = found.get("content-type")
    if content_type and content_type != b"application/json":
        media_type = _media_type(content_type)
        if media_type.startswith("application/cloudevents"):
            if media_type == _STRUCTURED:
                return False
            return _bad("header content-type", f"must be {_STRUCTURED}")
        if "ce_specversion" in found and not _is_json(media_type):
            return _bad("header content-type", "must be JSON")
    if "ce_specversion" not in found:
        return False
    for name in ("ce_id", "ce_source", "ce_type"):
        if not found.get(name):
            return Rejection(Reason.MISSING_FIELD, f"header {name}: required")
    if found["ce_specversion"] != b"1.0":
        return _bad("header ce_specversion", f"must be {_VERSION}")
    return True


def unwrap(text: str) -> Raw | bytes | Rejection | None:
    """The record inside a structured CloudEvent; None where it is none.

    A CloudEvent is an object with ``specversion`` and ``data`` or ``data_base64``. Raw for the former,
    a piece of the text; bytes for the latter, which nobody has looked at yet.
    """
    try:
        envelope = _usual(text)
    except (msgspec.MsgspecError, UnicodeError):
        return _careful(text)
    if envelope.data_base64 is not None:
        return _careful(text)
    return envelope.data


def _careful(text: str) -> Raw | bytes | Rejection | None:
    try:
        raw = _fields(text)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$: must be an object")
    except msgspec.DecodeError:
        return Rejection(Reason.NOT_JSON, "$: must be JSON")
    if "specversion" not in raw or not ("data" in raw or "data_base64" in raw):
        return None
    refused = _attributes(raw)
    if refused is not None:
        return refused
    if "data_base64" not in raw:
        return raw["data"]
    if "data" in raw:
        return _bad("$", "data or data_base64, not both")
    return _from_base64(raw["data_base64"])


def _from_base64(raw: Raw) -> bytes | Rejection:
    try:
        return b64decode(_text(raw) or "", validate=True)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$.data_base64: must be a string")
    except ValueError:  # no base64, no ASCII at all, or what JSON cannot read
        return _bad("$.data_base64", "must be base64")


def _attributes(raw: dict[str, Raw]) -> Rejection | None:
    found: dict[str, str | None] = {}
    for name in (*REQUIRED, "datacontenttype"):
        if name not in raw:
            continue
        try:
            found[name] = _text(raw[name])
        except msgspec.ValidationError:
            return Rejection(Reason.BAD_TYPE, f"$.{name}: must be a string")
        except msgspec.DecodeError:
            return Rejection(Reason.NOT_JSON, f"$.{name}: must be JSON")
    for name in REQUIRED:
        if not found.get(name):
            return Rejection(Reason.MISSING_FIELD, f"$.{name}: required")
    if found["specversion"] != _VERSION:
        return _bad("$.specversion", f"must be {_VERSION}")
    content_type = found.get("datacontenttype")
    if content_type is not None and not _is_json(_media_type(content_type.encode())):
        return _bad("$.datacontenttype", "must be JSON")
    return None


def _bad(path: str, rule: str) -> Rejection:
    return Rejection(Reason.BAD_ENVELOPE, f"{path}: {rule}")


def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode(errors="replace")


def _is_json(media_type: str) -> bool:
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")
