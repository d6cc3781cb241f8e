"""The contract's word on a record that the fast path would not take: an Event, or the reason.

The pydantic models decide; their errors carry a stable type and a path, which is what reasons are
made of. The record's own text never gets into a detail: paths are cut at ``attributes``, whose keys
are the producer's, and rules are worded here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import ValidationError

from schemas.deadletter import Reason
from schemas.reply import Reply
from schemas.times import to_ms
from schemas.touchpoint import Touchpoint
from stream.intake.event import NONE_DECLARED, Event, Limits, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from schemas.record import Record
    from stream.intake.event import Asked

# Raw keeps unknown fields unread, as the fast path does: only what the contract names is judged.
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode

# pydantic's error type -> (reason, rule); the names in braces come from the model, not the record
_RULES: Final = {
    "missing": (Reason.MISSING_FIELD, "required"),
    "string_type": (Reason.BAD_TYPE, "must be a string"),
    "float_type": (Reason.BAD_TYPE, "must be a number"),
    "bool_type": (Reason.BAD_TYPE, "must be a boolean"),
    "dict_type": (Reason.BAD_TYPE, "must be an object"),
    "tuple_type": (Reason.BAD_TYPE, "must be an array"),
    "literal_error": (Reason.OUT_OF_RANGE, "must be {expected}"),
    "string_too_short": (Reason.OUT_OF_RANGE, "must not be empty"),
    "string_too_long": (Reason.OUT_OF_RANGE, "at most {max_length} characters"),
    "too_long": (Reason.OUT_OF_RANGE, "at most {max_length} entries"),
    "finite_number": (Reason.OUT_OF_RANGE, "must be finite"),
}
_OWN: Final = {reason.value: reason for reason in Reason}


def judge(text: str, limits: Limits, questions: Mapping[str, Asked] = NONE_DECLARED) -> Event | Rejection:
    """Decide on one bare record by the pydantic models; slower than the fast path, and complete.

    Args:
        text: JSON, already checked for size and depth.
        limits: of which only ``max_attributes`` matters here.
        questions: what is declared of the replies to a question.
    """
    try:
        return _judge(text, limits, questions)
    except RecursionError:  # the caller is deep itself: the limit on depth is far below the parsers'
        return Rejection(Reason.TOO_DEEP, "$: too many levels")


def _judge(text: str, limits: Limits, questions: Mapping[str, Asked]) -> Event | Rejection:
    try:
        raw = _fields(text)
    except msgspec.ValidationError:
        return Rejection(Reason.BAD_TYPE, "$: must be an object")
    except msgspec.DecodeError:
        return Rejection(Reason.NOT_JSON, "$: must be JSON")
    model = _sort(raw)
    if isinstance(model, Rejection):
        return model
    known = _values(raw, model)
    if isinstance(known, Rejection):
        return known
    asked = _asked(known, questions) if model is Reply else None
    try:
        record = model.model_validate(known)
    except ValidationError as error:
        return _rejection(error.errors(include_url=False)[0])
    if isinstance(record, Touchpoint) and len(record.attributes or ()) > limits.max_attributes:
        return Rejection(Reason.OUT_OF_RANGE, f"$.attributes: at most {limits.max_attributes} entries")
    for name in () if asked is None else ("metric", "scale", "higher_is_better"):
        if getattr(asked, name) not in {None, getattr(record, name)}:
            return Rejection(Reason.SCALE_CONFLICT, f"$.{name}: must be as declared for its question")
    return event_of(record)


def _asked(known: dict[str, Any], questions: Mapping[str, Asked]) -> Asked | None:
    """What is declared of a reply's question; what the reply does not say is filled in from it."""
    question = known.get("question")
    asked = questions.get(question) if isinstance(question, str) else None
    if asked is not None and asked.metric in (None, known["metric"]):
        for name in ("scale", "higher_is_better"):
            if known.get(name) is None:
                known[name] = getattr(asked, name)
    return asked


def event_of(record: Record) -> Event:
    """The Event that a validated touchpoint or reply stands for."""
    fields = dict(record)
    fields["time_ms"] = to_ms(fields.pop("occurred_at"))
    due_at = fields.pop("due_at", None)
    fields["due_ms"] = None if due_at is None else to_ms(due_at)
    return Event(**fields)


def _sort(raw: dict[str, msgspec.Raw]) -> type[Record] | Rejection:
    """A record with ``metric`` is a reply, one with ``kind`` a touchpoint; null counts as absent."""
    if bytes(raw.get("metric", b"null")) != b"null":
        return Reply
    if bytes(raw.get("kind", b"null")) != b"null":
        return Touchpoint
    return Rejection(Reason.MISSING_FIELD, "$: metric or kind is required")


def _values(raw: dict[str, msgspec.Raw], model: type[Record]) -> dict[str, Any] | Rejection:
    known: dict[str, Any] = {}
    for name in model.model_fields:
        if name in raw:
            try:
                known[name] = _any(raw[name])
            except msgspec.ValidationError:  # a number beyond what Python's own hold
                reason = Reason.BAD_SCALE if name == "scale" else Reason.OUT_OF_RANGE
                return Rejection(reason, f"$.{name}: must be finite")
            except msgspec.DecodeError:
                return Rejection(Reason.NOT_JSON, f"$.{name}: must be JSON")
    return known


def _rejection(error: ErrorDetails) -> Rejection:
    kind, path = error["type"], _path(error["loc"])
    if kind == "literal_error" and not isinstance(error["input"], str):
        kind = "string_type"  # of a word that is none, pydantic says only that it is not in the list
    if kind in _OWN:  # raised by the models' own checks, which word their rules without values
        reason, rule = _OWN[kind], error["msg"]
    else:
        reason, rule = _RULES.get(kind, (Reason.BAD_TYPE, "must fit the schema"))
        rule = rule.format_map(error.get("ctx", {}))
    if error["loc"][0] == "scale" and reason not in {Reason.BAD_TYPE, Reason.BAD_SCALE}:
        return Rejection(Reason.BAD_SCALE, "$.scale: must be two finite numbers")
    return Rejection(reason, f"{path}: {rule}")


def _path(location: tuple[int | str, ...]) -> str:
    head, *rest = location
    if not rest:
        return f"$.{head}"
    if head == "attributes":
        return "$.attributes[...]"
    return f"$.{head}" + "".join(f"[{part}]" for part in rest if isinstance(part, int))
