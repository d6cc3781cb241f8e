"""The contract's word on a record that the fast path would not take: an Event, or the reason.

The pydantic models decide; their errors carry a stable type and a path, which is what reasons are
made of. The record's own text never gets into a detail: paths are cut at ``attributes``, whose keys
are the producer's, and rules are worded here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.deadletter import Reason
from schemas.record import Record
from schemas.reply import Reply
from schemas.times import to_ms
from schemas.touchpoint import Touchpoint
from stream.intake.event import Event, Limits, Rejection

# Raw keeps unknown fields unread, as the fast path does: only what the contract names is judged.
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode

_TYPES: Final = {
    "string_type": "must be a string",
    "float_type": "must be a number",
    "bool_type": "must be a boolean",
    "dict_type": "must be an object",
    "tuple_type": "must be an array",
}
_REASONS: Final = {reason.value for reason in Reason}


def judge(text: str, limits: Limits) -> Event | Rejection:
    """Decide on one bare record by the pydantic models; slower than the fast path, and complete.

    Args:
        text: JSON, already checked for size and depth.
        limits: of which only ``max_attributes`` matters here.
    """
    try:
        raw = _fields(text)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$: must be an object")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejection(Reason.NOT_JSON, "$: must be JSON")
    try:
        if "metric" in raw and _any(raw["metric"]) is not None:
            model: type[Record] = Reply
        elif "kind" in raw and _any(raw["kind"]) is not None:
            model = Touchpoint
        else:
            return Rejection(Reason.MISSING_FIELD, "$: metric or kind is required")
    except msgspec.ValidationError:  # a number beyond what a double holds
        return Rejection(Reason.BAD_TYPE, "$: metric and kind must be strings")
    known: dict[str, Any] = {}
    for name in model.model_fields.keys() & raw.keys():
        try:
            known[name] = _any(raw[name])
        except msgspec.ValidationError:
            reason = Reason.BAD_SCALE if name == "scale" else Reason.OUT_OF_RANGE
            return Rejection(reason, f"$.{name}: must be finite")
        except msgspec.DecodeError:
            return Rejection(Reason.NOT_JSON, f"$.{name}: must be JSON")
    try:
        record = model.model_validate(known)
    except ValidationError as error:
        return _rejection(error.errors(include_url=False, include_input=False)[0])
    if isinstance(record, Touchpoint) and len(record.attributes or ()) > limits.max_attributes:
        return Rejection(Reason.OUT_OF_RANGE, f"$.attributes: at most {limits.max_attributes} entries")
    return event_of(record)


def event_of(record: Record) -> Event:
    """The Event that a validated touchpoint or reply stands for."""
    fields = dict(record)
    fields["time_ms"] = to_ms(fields.pop("occurred_at"))
    due_at = fields.pop("due_at", None)
    fields["due_ms"] = None if due_at is None else to_ms(due_at)
    return Event(**fields)


def _rejection(error: ErrorDetails) -> Rejection:
    kind, context, location = error["type"], error.get("ctx", {}), error["loc"]
    path = _path(location)
    if location[0] == "scale" and kind not in _TYPES and kind != Reason.BAD_SCALE:
        return Rejection(Reason.BAD_SCALE, "$.scale: must be two finite numbers")
    if kind in _REASONS:  # raised by the models' own checks, which word the rule without values
        return Rejection(Reason(kind), f"{path}: {error['msg']}")
    if kind == "missing" and len(location) == 1:
        return Rejection(Reason.MISSING_FIELD, f"{path}: required")
    if kind in _TYPES:
        return Rejection(Reason.BAD_TYPE, f"{path}: {_TYPES[kind]}")
    if kind == "literal_error":
        return Rejection(Reason.OUT_OF_RANGE, f"{path}: must be {context['expected']}")
    if kind == "string_too_long":
        return Rejection(Reason.OUT_OF_RANGE, f"{path}: at most {context['max_length']} characters")
    if kind == "string_too_short":
        return Rejection(Reason.OUT_OF_RANGE, f"{path}: at least {context['min_length']} characters")
    if kind == "too_long":
        return Rejection(Reason.OUT_OF_RANGE, f"{path}: at most {context['max_length']} entries")
    if kind == "finite_number":
        return Rejection(Reason.OUT_OF_RANGE, f"{path}: must be finite")
    return Rejection(Reason.BAD_TYPE, f"{path}: must fit the schema")


def _path(location: tuple[int | str, ...]) -> str:
    head, *rest = location
    if not rest:
        return f"$.{head}"
    if head == "attributes":
        return "$.attributes[...]"
    return f"$.{head}" + "".join(f"[{part}]" for part in rest if isinstance(part, int))
