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
``scale_conflict``    gives another scale, direction or metric than declared for its question
``too_late``          (decided later, on the watermark: not by this room)
``too_early``         (the same)
====================  =========================================================================

Of a key given twice the last counts. Fields unknown to the record's kind are skipped unread.

A declared question lends its scale and direction to replies that give none; with its scale, a score outside it
is ``out_of_range``. Of several reasons that about the record by itself is named, then ``scale_conflict``. Two
scales for one question that is not declared are no error: what is measured on each is kept apart.

Any finite ``value`` is taken, also a negative one: money given back, such as a refund.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import force_setattr

from schemas.deadletter import Reason
from schemas.reply import SCALES
from schemas.times import EPOCH, MAX_MS, MIN_MS, to_ms
from stream.intake import cloudevent
from stream.intake.contract import judge
from stream.intake.event import NONE_DECLARED, Event, Limits, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream.intake.event import Asked

_read = msgspec.json.Decoder(Event).decode
_SCALES: Final = dict(SCALES)  # a plain dict is looked up faster than a read-only view
_NPS: Final = SCALES["nps"]
_DAY_MS: Final = 86_400_000
_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_LETTER: Final = re.compile(r"\\u00[567]")  # an escape that may spell a letter of a field's name
_NOT_UTF8: Final = Rejection(Reason.NOT_JSON, "$: must be UTF-8")


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    limits: Limits,
    questions: Mapping[str, Asked] = NONE_DECLARED,
) -> Event | Rejection:
    """Read one Kafka record: bare JSON, or a CloudEvent in structured or binary mode.

    Pure; never raises, whatever the bytes.

    Args:
        value: the record's value; None is a tombstone and is refused.
        headers: the record's headers; only ``content-type`` and ``ce_*`` are looked at.
        limits: how much a record may ask for.
        questions: what is declared of the replies to a question.
    """
    if value is None:
        return Rejection(Reason.NOT_JSON, "$: no value")
    if len(value) > limits.max_bytes:
        return Rejection(Reason.TOO_LARGE, f"$: at most {limits.max_bytes} bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8
    in_binary_mode = cloudevent.binary(headers) if headers else False
    if isinstance(in_binary_mode, Rejection):
        return in_binary_mode
    # A flat object, the usual case, has no second bracket; only the others are measured.
    if ("[" in text or text.rfind("{") > 0) and _too_deep(text, limits.max_depth):
        return _deeper_than(limits)
    if '"specversion"' in text and not in_binary_mode:
        return _structured(text, limits, questions)
    return _record(text, limits, questions)


def _structured(text: str, limits: Limits, questions: Mapping[str, Asked]) -> Event | Rejection:
    inner = cloudevent.unwrap(text)
    if inner is None:
        return _record(text, limits, questions)
    if isinstance(inner, Rejection):
        return inner
    try:
        data = str(inner, "utf-8")
    except UnicodeDecodeError:
        return Rejection(Reason.NOT_JSON, "$.data_base64: must be UTF-8")
    if isinstance(inner, bytes) and _too_deep(data, limits.max_depth):
        return _deeper_than(limits)
    result = _record(data, limits, questions)
    if isinstance(result, Rejection):
        return Rejection(result.reason, result.detail.replace("$", "$.data", 1))
    return result


def _record(text: str, limits: Limits, questions: Mapping[str, Asked] = NONE_DECLARED) -> Event | Rejection:
    if "\\" in text and "\\u0000" in text:  # perhaps a NUL character
        return judge(text, limits, questions)
    try:
        event = _read(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return judge(text, limits, questions)
    # The event is this function's own until it is returned: what the reader left in wire form is
    # put right in place, at a third of the cost of building a second one.
    moment: Any = event.time_ms
    if type(moment) is not int:
        since = moment - EPOCH
        moment = since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000
        force_setattr(event, "time_ms", moment)
    if MIN_MS <= moment <= MAX_MS:
        if event.metric is not None:
            asked = questions.get(event.question) if questions and event.question is not None else None
            if (asked is None or _as_asked(event, asked, text)) and _is_reply(event):
                return event
        elif event.kind is not None and _is_touchpoint(event, limits):
            return event
    return judge(text, limits, questions)


def _as_asked(event: Event, asked: Asked, text: str) -> bool:
    """Fill in what is declared of a reply's question; False where the reply may say otherwise."""
    if asked.metric is not None and asked.metric != event.metric:
        return False
    if asked.scale is not None:
        if event.scale is None:
            force_setattr(event, "scale", asked.scale)
        elif event.scale != asked.scale:
            return False
    better, given = asked.higher_is_better, event.higher_is_better
    if better is None or given is better:
        return True
    # True is also what a reply reads as that does not say.
    if given is False or '"higher_is_better"' in text or _LETTER.search(text):
        return False
    force_setattr(event, "higher_is_better", better)
    return True


def _is_reply(event: Event) -> bool:
    """Finish a reply in place; False where something does not fit."""
    metric, score, scale = event.metric, event.score, event.scale
    if score is None or metric is None:
        return False
    if scale is None:
        scale = _SCALES[metric]
        force_setattr(event, "scale", scale)
    elif scale[0] >= scale[1] or (metric == "nps" and scale != _NPS):
        return False
    if not scale[0] <= score <= scale[1]:
        return False
    if event.higher_is_better is None:
        force_setattr(event, "higher_is_better", True)
    if (
        event.kind is not None
        or event.ref is not None
        or event.value is not None
        or event.currency is not None
        or event.due_ms is not None
        or event.attributes is not None
    ):
        for name in ("kind", "ref", "value", "currency", "due_ms", "attributes"):
            force_setattr(event, name, None)
    return True


def _is_touchpoint(event: Event, limits: Limits) -> bool:
    """Finish a touchpoint in place; False where something does not fit."""
    due: Any = event.due_ms
    if due is not None:
        if type(due) is not int:
            due = to_ms(due)
            force_setattr(event, "due_ms", due)
        if not MIN_MS <= due <= MAX_MS:
            return False
    attributes = event.attributes
    if attributes is not None and len(attributes) > limits.max_attributes:
        return False
    if event.higher_is_better is not True:
        force_setattr(event, "higher_is_better", True)
    if (
        event.score is not None
        or event.scale is not None
        or event.question is not None
        or event.pillar is not None
        or event.survey is not None
        or event.comment is not None
        or event.in_reply_to is not None
    ):
        for name in ("score", "scale", "question", "pillar", "survey", "comment", "in_reply_to"):
            force_setattr(event, name, None)
    return True


def _deeper_than(limits: Limits) -> Rejection:
    return Rejection(Reason.TOO_DEEP, f"$: at most {limits.max_depth} levels")


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
