"""Raw record in, Event or Rejection out.

The fast path is msgspec straight into ``Event`` and a few comparisons. Whatever it does not take is
put before the contract (``contract.judge``), which accepts it after all or names the reason. So the
fast path may be stricter than the contract, never laxer; ``tests/intake/test_parity.py`` holds it to that.

====================  =========================================================================
reason                of a record that
====================  =========================================================================
``not_json``          is not UTF-8, not JSON (NaN and lone surrogates included), or a tombstone
``too_large``         has more bytes than ``Limits.max_bytes``
``too_deep``          nests deeper than ``Limits.max_depth``
``bad_envelope``      is a CloudEvent whose own attributes do not fit
``missing_field``     lacks a required field, or both of ``metric`` and ``kind``
``bad_type``          is no object, or has a field of another JSON type
``bad_text``          has a NUL character in a field of the contract
``bad_time``          has a time that is naive, no RFC 3339, or outside 1970..9999
``out_of_range``      has a text, number or object beyond its bounds, or an unknown word
``bad_scale``         has a scale that is no two rising finite numbers, or not NPS's [0, 10]
``too_late``          (decided later, on the watermark: not by this room)
``too_early``         (the same)
====================  =========================================================================

Of a key given twice the last counts. Fields unknown to the record's kind are skipped unread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from schemas.deadletter import Reason
from schemas.reply import SCALES
from schemas.times import EPOCH, MAX_MS, MILLISECOND, MIN_MS
from stream.intake import cloudevent
from stream.intake.contract import judge
from stream.intake.event import Event, Limits, Rejection

_read = msgspec.json.Decoder(Event).decode
_NPS: Final = SCALES["nps"]
_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_NOT_UTF8: Final = Rejection(Reason.NOT_JSON, "$: must be UTF-8")


def decode(value: bytes | None, headers: Sequence[tuple[str, bytes]], limits: Limits) -> Event | Rejection:
    """Read one Kafka record: bare JSON, or a CloudEvent in structured or binary mode.

    Pure; never raises, whatever the bytes.

    Args:
        value: the record's value; None is a tombstone and is refused.
        headers: the record's headers; only ``content-type`` and ``ce_*`` are looked at.
        limits: how much a record may ask for.
    """
    if value is None:
        return Rejection(Reason.NOT_JSON, "$: no value")
    if len(value) > limits.max_bytes:
        return Rejection(Reason.TOO_LARGE, f"$: at most {limits.max_bytes} bytes")
    try:
        text = str(value, "utf-8")
    except UnicodeDecodeError:
        return _NOT_UTF8
    in_binary_mode = cloudevent.binary(headers) if headers else False
    if isinstance(in_binary_mode, Rejection):
        return in_binary_mode
    # A flat object, the usual case, has no further bracket; only the others are measured.
    if ("[" in text or text.find("{", 1) > 0) and _too_deep(text, limits.max_depth):
        return Rejection(Reason.TOO_DEEP, f"$: at most {limits.max_depth} levels")
    if not in_binary_mode and '"specversion"' in text:
        return _structured(text, limits)
    return _record(text, limits)


def _structured(text: str, limits: Limits) -> Event | Rejection:
    inner = cloudevent.unwrap(text)
    if isinstance(inner, Rejection):
        return inner
    if isinstance(inner, bytes):
        try:
            inner = str(inner, "utf-8")
        except UnicodeDecodeError:
            return _NOT_UTF8
        if _too_deep(inner, limits.max_depth):  # what came in as base64 was not measured yet
            return Rejection(Reason.TOO_DEEP, f"$: at most {limits.max_depth} levels")
    result = _record(inner, limits)
    if isinstance(result, Rejection):
        return Rejection(result.reason, result.detail.replace("$", "$.data", 1))
    return result


def _record(text: str, limits: Limits) -> Event | Rejection:  # noqa: C901, PLR0911, PLR0912 -- the hot path, in one frame
    if "\\u0000" in text:  # perhaps a NUL character
        return judge(text, limits)
    try:
        event = _read(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return judge(text, limits)

    # The event is this function's own until it is returned: what the reader left in wire form is
    # put right in place, at a third of the cost of building a second one.
    time = event.time_ms
    if type(time) is not int:
        time = (time - EPOCH) // MILLISECOND
        force_setattr(event, "time_ms", time)
    if not MIN_MS <= time <= MAX_MS:
        return judge(text, limits)

    metric = event.metric
    if metric is not None:
        score = event.score
        if score is None:
            return judge(text, limits)
        scale = event.scale
        if scale is None:
            scale = SCALES[metric]
            force_setattr(event, "scale", scale)
        elif scale[0] >= scale[1] or (metric == "nps" and scale != _NPS):
            return judge(text, limits)
        if not scale[0] <= score <= scale[1]:
            return judge(text, limits)
        if event.higher_is_better is None:
            force_setattr(event, "higher_is_better", True)
        if event.kind is not None:
            force_setattr(event, "kind", None)
        if event.ref is not None:
            force_setattr(event, "ref", None)
        if event.value is not None:
            force_setattr(event, "value", None)
        if event.currency is not None:
            force_setattr(event, "currency", None)
        if event.due_ms is not None:
            force_setattr(event, "due_ms", None)
        if event.attributes is not None:
            force_setattr(event, "attributes", None)
        return event

    if event.kind is None:
        return judge(text, limits)
    due = event.due_ms
    if due is not None:
        if type(due) is not int:
            due = (due - EPOCH) // MILLISECOND
            force_setattr(event, "due_ms", due)
        if not MIN_MS <= due <= MAX_MS:
            return judge(text, limits)
    attributes = event.attributes
    if attributes is not None and len(attributes) > limits.max_attributes:
        return judge(text, limits)
    if event.score is not None:
        force_setattr(event, "score", None)
    if event.scale is not None:
        force_setattr(event, "scale", None)
    if event.higher_is_better is not True:
        force_setattr(event, "higher_is_better", True)
    if event.question is not None:
        force_setattr(event, "question", None)
    if event.pillar is not None:
        force_setattr(event, "pillar", None)
    if event.survey is not None:
        force_setattr(event, "survey", None)
    if event.comment is not None:
        force_setattr(event, "comment", None)
    if event.in_reply_to is not None:
        force_setattr(event, "in_reply_to", None)
    return event


def _too_deep(text: str, limit: int) -> bool:
    if text.count("{") + text.count("[") <= limit:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        match token.group():
            case "{" | "[":
                depth += 1
                if depth > limit:
                    return True
            case "}" | "]":
                depth -= 1
    return False
