"""Every kind of bad input, and the reason it is refused for."""

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest

from schemas import Reason
from stream.intake import Event, Limits, Rejection, decode

REPLY: dict[str, Any] = {
    "event_id": "e-1",
    "customer_id": "c-1",
    "occurred_at": "2026-03-01T12:00:00Z",
    "metric": "ces",
    "score": 5,
}
TOUCHPOINT: dict[str, Any] = {
    "event_id": "e-2",
    "customer_id": "c-1",
    "occurred_at": 1_772_366_400_000,
    "kind": "purchase",
}
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "reply"}
DECLARED = {"effort": SimpleNamespace(metric="ces", scale=(1.0, 10.0), higher_is_better=False)}
GONE = object()


def reply(**changes: Any) -> bytes:
    """A reply that fits, changed."""
    return text({**REPLY, **changes})


def touchpoint(**changes: Any) -> bytes:
    """A touchpoint that fits, changed."""
    return text({**TOUCHPOINT, **changes})


def envelope(**changes: Any) -> bytes:
    """A structured CloudEvent that fits, changed."""
    return text({**ENVELOPE, "data": REPLY, **changes})


def text(document: dict[str, Any]) -> bytes:
    """JSON of a document without the fields that are gone."""
    return json.dumps({name: value for name, value in document.items() if value is not GONE}).encode()


def nested(levels: int, inside: bytes = b"") -> bytes:
    """A reply with an unknown field that makes it so many levels deep."""
    return reply()[:-1] + b', "x": ' + b"[" * (levels - 1) + inside + b"]" * (levels - 1) + b"}"


BAD: list[tuple[bytes | None, str, str]] = [
    # not JSON
    (None, "not_json", "$: no value"),
    (b"", "not_json", "$: must be JSON"),
    (b" ", "not_json", "$: must be JSON"),
    (b"hello", "not_json", "$: must be JSON"),
    (reply()[:-1], "not_json", "$: must be JSON"),
    (reply() + b"{}", "not_json", "$: must be JSON"),
    (reply()[:-1] + b",}", "not_json", "$: must be JSON"),
    (b"\xef\xbb\xbf" + reply(), "not_json", "$: must be JSON"),
    (reply(segment="GAP").replace(b"GAP", b"\xff"), "not_json", "$: must be UTF-8"),
    (reply(segment="GAP").replace(b"GAP", b"\xed\xa0\x80"), "not_json", "$: must be UTF-8"),
    (reply(x="GAP").replace(b"GAP", b"\xff"), "not_json", "$: must be UTF-8"),
    (reply().decode().encode("utf-16"), "not_json", "$: must be UTF-8"),
    (reply(segment="\ud800"), "not_json", "$: must be JSON"),
    (reply(segment="\ud800tail and more"), "not_json", "$: must be JSON"),
    (reply(segment="GAP").replace(b"GAP", b"\n"), "not_json", "$: must be JSON"),
    (reply(segment="GAP").replace(b"GAP", b"\x00"), "not_json", "$: must be JSON"),
    (reply(score=float("nan")), "not_json", "$: must be JSON"),
    (reply(score=float("-inf")), "not_json", "$: must be JSON"),
    (reply(x=float("nan")), "not_json", "$: must be JSON"),
    (reply(score="GAP").replace(b'"GAP"', b"05"), "not_json", "$: must be JSON"),
    (reply().replace(b'"', b"'"), "not_json", "$: must be JSON"),
    # no object
    (b"null", "bad_type", "$: must be an object"),
    (b"[]", "bad_type", "$: must be an object"),
    (b"17", "bad_type", "$: must be an object"),
    (b'"{}"', "bad_type", "$: must be an object"),
    (b"[" + reply() + b"]", "bad_type", "$: must be an object"),
    # size and depth
    (reply(x="y" * 65_536), "too_large", "$: at most 65536 bytes"),
    (b"\xff" * 65_537, "too_large", "$: at most 65536 bytes"),
    (nested(33), "too_deep", "$: at most 32 levels"),
    (nested(20_000), "too_deep", "$: at most 32 levels"),
    (b"[" * 60_000, "too_deep", "$: at most 32 levels"),
    (b'{"x":' * 10_000, "too_deep", "$: at most 32 levels"),
    (touchpoint(attributes=json.loads('{"x":' * 40 + "1" + "}" * 40)), "too_deep", "$: at most 32 levels"),
    # fields that must be there
    (b"{}", "missing_field", "$: metric or kind is required"),
    (reply(metric=GONE), "missing_field", "$: metric or kind is required"),
    (reply(metric=None), "missing_field", "$: metric or kind is required"),
    (reply(event_id=GONE), "missing_field", "$.event_id: required"),
    (reply(customer_id=GONE), "missing_field", "$.customer_id: required"),
    (reply(occurred_at=GONE), "missing_field", "$.occurred_at: required"),
    (reply(score=GONE), "missing_field", "$.score: required"),
    (touchpoint(customer_id=GONE), "missing_field", "$.customer_id: required"),
    # types
    (reply(event_id=5), "bad_type", "$.event_id: must be a string"),
    (reply(event_id=None), "bad_type", "$.event_id: must be a string"),
    (reply(customer_id=["c-1"]), "bad_type", "$.customer_id: must be a string"),
    (reply(metric=5), "bad_type", "$.metric: must be a string"),
    (reply(metric=True, kind="purchase"), "bad_type", "$.metric: must be a string"),
    (reply(score="5"), "bad_type", "$.score: must be a number"),
    (reply(score=True), "bad_type", "$.score: must be a number"),
    (reply(score=None), "bad_type", "$.score: must be a number"),
    (reply(score=[5]), "bad_type", "$.score: must be a number"),
    (reply(scale="1-7"), "bad_type", "$.scale: must be an array"),
    (reply(scale={"min": 1, "max": 7}), "bad_type", "$.scale: must be an array"),
    (reply(scale=["1", 7]), "bad_type", "$.scale[0]: must be a number"),
    (reply(scale=[1, True]), "bad_type", "$.scale[1]: must be a number"),
    (reply(higher_is_better="no"), "bad_type", "$.higher_is_better: must be a boolean"),
    (reply(higher_is_better=0), "bad_type", "$.higher_is_better: must be a boolean"),
    (reply(comment=5), "bad_type", "$.comment: must be a string"),
    (reply(segment=False), "bad_type", "$.segment: must be a string"),
    (touchpoint(kind=5), "bad_type", "$.kind: must be a string"),
    (touchpoint(value="5.00"), "bad_type", "$.value: must be a number"),
    (touchpoint(value=True), "bad_type", "$.value: must be a number"),
    (touchpoint(ref=4711), "bad_type", "$.ref: must be a string"),
    (touchpoint(stage=1), "bad_type", "$.stage: must be a string"),
    (touchpoint(attributes=[]), "bad_type", "$.attributes: must be an object"),
    (
        touchpoint(attributes={"street": {}}),
        "bad_type",
        "$.attributes[...]: must be a string, number, boolean or null",
    ),
    # text
    (reply(customer_id="c\x00"), "bad_text", "$.customer_id: must not hold a NUL character"),
    (reply(comment="a\x00b"), "bad_text", "$.comment: must not hold a NUL character"),
    (touchpoint(attributes={"a": "\x00"}), "bad_text", "$.attributes[...]: must not hold a NUL character"),
    (touchpoint(attributes={"\x00": "a"}), "bad_text", "$.attributes[...]: must not hold a NUL character"),
    # times
    (reply(occurred_at="2026-03-01T12:00:00"), "bad_time", "$.occurred_at: must have an offset"),
    (reply(occurred_at=""), "bad_time", "$.occurred_at: must be RFC 3339 or integer epoch milliseconds"),
    (reply(occurred_at="now"), "bad_time", "$.occurred_at: must be RFC 3339 or integer epoch milliseconds"),
    (
        reply(occurred_at="1772366400000"),
        "bad_time",
        "$.occurred_at: must be RFC 3339 or integer epoch milliseconds",
    ),
    (
        reply(occurred_at="2026-02-29T00:00:00Z"),
        "bad_time",
        "$.occurred_at: must be RFC 3339 or integer epoch milliseconds",
    ),
    (
        reply(occurred_at="2026-03-01"),
        "bad_time",
        "$.occurred_at: must be RFC 3339 or integer epoch milliseconds",
    ),
    (
        reply(occurred_at="1969-12-31T23:59:59.999Z"),
        "bad_time",
        "$.occurred_at: must lie in the years 1970 to 9999",
    ),
    (
        reply(occurred_at="0001-01-01T00:00:00+23:59"),
        "bad_time",
        "$.occurred_at: must lie in the years 1970 to 9999",
    ),
    (
        reply(occurred_at="9999-12-31T23:59:59-01:00"),
        "bad_time",
        "$.occurred_at: must lie in the years 1970 to 9999",
    ),
    (reply(occurred_at=-1), "bad_time", "$.occurred_at: must lie in the years 1970 to 9999"),
    (reply(occurred_at=253_402_300_800_000), "bad_time", "$.occurred_at: must lie in the years 1970 to 9999"),
    (reply(occurred_at=10**30), "bad_time", "$.occurred_at: must lie in the years 1970 to 9999"),
    (
        reply(occurred_at=1.5e12),
        "bad_type",
        "$.occurred_at: must be RFC 3339 or integer epoch milliseconds",
    ),
    (reply(occurred_at=True), "bad_type", "$.occurred_at: must be RFC 3339 or integer epoch milliseconds"),
    (reply(occurred_at=None), "bad_type", "$.occurred_at: must be RFC 3339 or integer epoch milliseconds"),
    (touchpoint(due_at="2026-03-01T12:00:00"), "bad_time", "$.due_at: must have an offset"),
    (touchpoint(due_at=-1), "bad_time", "$.due_at: must lie in the years 1970 to 9999"),
    (touchpoint(due_at={}), "bad_type", "$.due_at: must be RFC 3339 or integer epoch milliseconds"),
    # ranges
    (reply(event_id=""), "out_of_range", "$.event_id: must not be empty"),
    (reply(event_id="x" * 129), "out_of_range", "$.event_id: at most 128 characters"),
    (reply(customer_id=""), "out_of_range", "$.customer_id: must not be empty"),
    (reply(customer_id="x" * 257), "out_of_range", "$.customer_id: at most 256 characters"),
    (reply(channel="x" * 129), "out_of_range", "$.channel: at most 128 characters"),
    (reply(comment="x" * 10_001), "out_of_range", "$.comment: at most 10000 characters"),
    (reply(in_reply_to=""), "out_of_range", "$.in_reply_to: must not be empty"),
    (
        reply(metric="NPS"),
        "out_of_range",
        "$.metric: must be 'nps', 'csat', 'ces', 'loyalty' or 'engagement'",
    ),
    (
        reply(metric="", kind="purchase"),
        "out_of_range",
        "$.metric: must be 'nps', 'csat', 'ces', 'loyalty' or 'engagement'",
    ),
    (
        reply(stage="leave"),
        "out_of_range",
        "$.stage: must be 'entice', 'enter', 'engage', 'exit' or 'extend'",
    ),
    (reply(score=8), "out_of_range", "$.score: must lie within the scale"),
    (reply(score=0.99), "out_of_range", "$.score: must lie within the scale"),
    (reply(score=6, scale=[1, 5]), "out_of_range", "$.score: must lie within the scale"),
    (reply(metric="nps", score=11), "out_of_range", "$.score: must lie within the scale"),
    (reply(metric="nps", score=-1), "out_of_range", "$.score: must lie within the scale"),
    (reply(metric="csat", score=0), "out_of_range", "$.score: must lie within the scale"),
    (reply(metric="loyalty", score=0), "out_of_range", "$.score: must lie within the scale"),
    (reply(metric="engagement", score=11), "out_of_range", "$.score: must lie within the scale"),
    (reply(score="GAP").replace(b'"GAP"', b"1e999"), "out_of_range", "$.score: must be finite"),
    (reply(score="GAP").replace(b'"GAP"', b"-1e999"), "out_of_range", "$.score: must be finite"),
    (reply(score=10**400), "out_of_range", "$.score: must be finite"),
    (reply(score="GAP").replace(b'"GAP"', b"9" * 5000), "out_of_range", "$.score: must be finite"),
    (touchpoint(kind="x" * 65), "out_of_range", "$.kind: at most 64 characters"),
    (touchpoint(value="GAP").replace(b'"GAP"', b"1e999"), "out_of_range", "$.value: must be finite"),
    (
        touchpoint(attributes={str(n): n for n in range(33)}),
        "out_of_range",
        "$.attributes: at most 32 entries",
    ),
    (touchpoint(attributes={"a": 2**63}), "out_of_range", "$.attributes[...]: must fit 64 bits"),
    (touchpoint(attributes={"a": -(2**63) - 1}), "out_of_range", "$.attributes[...]: must fit 64 bits"),
    (
        touchpoint(attributes={"a": "GAP"}).replace(b'"GAP"', b"1e999"),
        "out_of_range",
        "$.attributes: must be finite",
    ),
    # scales
    (reply(scale=[]), "bad_scale", "$.scale: must be two finite numbers"),
    (reply(scale=[1]), "bad_scale", "$.scale: must be two finite numbers"),
    (reply(scale=[1, 5, 10]), "bad_scale", "$.scale: must be two finite numbers"),
    (reply(scale=[7, 1]), "bad_scale", "$.scale: minimum must be below maximum"),
    (reply(scale=[5, 5]), "bad_scale", "$.scale: minimum must be below maximum"),
    (reply(scale=[1, 10**400]), "bad_scale", "$.scale: must be two finite numbers"),
    (reply(scale=[1, 7]).replace(b"7", b"1e999"), "bad_scale", "$.scale: must be finite"),
    (reply(metric="nps", scale=[1, 10]), "bad_scale", "$.scale: must be [0, 10] for nps"),
    # declared questions
    (reply(question="effort", score=11), "out_of_range", "$.score: must lie within the scale"),
    (reply(question="effort", scale=[10, 1]), "bad_scale", "$.scale: minimum must be below maximum"),
    (
        reply(question="effort", scale=[1, 7]),
        "scale_conflict",
        "$.scale: must be as declared for its question",
    ),
    (
        reply(question="effort", metric="csat"),
        "scale_conflict",
        "$.metric: must be as declared for its question",
    ),
    (
        reply(question="effort", higher_is_better=True),
        "scale_conflict",
        "$.higher_is_better: must be as declared for its question",
    ),
    (
        envelope(data={**REPLY, "question": "effort", "scale": [1, 7]}),
        "scale_conflict",
        "$.data.scale: must be as declared for its question",
    ),
    # CloudEvents, structured
    (envelope(specversion="0.3"), "bad_envelope", "$.specversion: must be 1.0"),
    (envelope(specversion=1.0), "bad_type", "$.specversion: must be a string"),
    (envelope(id=GONE), "missing_field", "$.id: required"),
    (envelope(source=""), "missing_field", "$.source: required"),
    (envelope(type=None), "missing_field", "$.type: required"),
    (envelope(type=7), "bad_type", "$.type: must be a string"),
    (envelope(type="\ud800"), "not_json", "$: must be JSON"),
    (envelope(datacontenttype="text/csv"), "bad_envelope", "$.datacontenttype: must be JSON"),
    (envelope(data=None), "bad_type", "$.data: must be an object"),
    (envelope(data="{}"), "bad_type", "$.data: must be an object"),
    (envelope(data={**REPLY, "score": 8}), "out_of_range", "$.data.score: must lie within the scale"),
    (envelope(data_base64="e30="), "bad_envelope", "$: data or data_base64, not both"),
    (envelope(data=GONE, data_base64="%%%"), "bad_envelope", "$.data_base64: must be base64"),
    (envelope(data=GONE, data_base64="\u00e9\u00e9"), "bad_envelope", "$.data_base64: must be base64"),
    (envelope(data=GONE, data_base64=5), "bad_type", "$.data_base64: must be a string"),
    (envelope(data=GONE, data_base64="/w=="), "not_json", "$.data_base64: must be UTF-8"),
    (envelope(data=GONE, data_base64=""), "not_json", "$.data: must be JSON"),
    (
        envelope(data=GONE, data_base64=base64.b64encode(nested(40)).decode()),
        "too_deep",
        "$: at most 32 levels",
    ),
    (envelope(data=GONE), "missing_field", "$: metric or kind is required"),
    (envelope()[:-1], "not_json", "$: must be JSON"),
    (b'["specversion"]', "bad_type", "$: must be an object"),
]


@pytest.mark.parametrize(
    ("value", "reason", "detail"), BAD, ids=[f"{n}-{reason}" for n, (_, reason, _) in enumerate(BAD)]
)
def test_bad_input_is_refused_with_its_reason_and_path(value: bytes | None, reason: str, detail: str) -> None:
    """What does not fit comes back as its stable reason, with path and rule in the detail."""
    assert decode(value, (), Limits(), DECLARED) == Rejection(reason, detail)


def test_every_reason_of_this_room_is_in_the_table() -> None:
    """The table covers every reason but the two that are decided on the watermark."""
    assert {reason for _, reason, _ in BAD} == {str(r) for r in Reason} - {"too_late", "too_early"}


GOOD: list[tuple[bytes, str, object]] = [
    (reply(), "time_ms", 1_772_366_400_000),
    (reply(occurred_at="2026-03-01T13:30:00.789999+01:30"), "time_ms", 1_772_366_400_789),
    (reply(occurred_at="2026-03-01T12:00:00.000000Z"), "time_ms", 1_772_366_400_000),
    (reply(occurred_at=0), "time_ms", 0),
    (reply(occurred_at="9999-12-31T23:59:59.999Z"), "time_ms", 253_402_300_799_999),
    (reply(), "scale", (1.0, 7.0)),
    (reply(scale=None), "scale", (1.0, 7.0)),
    (reply(scale=[0, 100], score=100), "scale", (0.0, 100.0)),
    (reply(metric="nps", score=0), "scale", (0.0, 10.0)),
    (reply(metric="nps", score=10, scale=[0, 10]), "scale", (0.0, 10.0)),
    (reply(metric="csat"), "scale", (1.0, 5.0)),
    (reply(metric="loyalty"), "scale", (1.0, 10.0)),
    (reply(metric="engagement"), "scale", (1.0, 10.0)),
    (reply(question="effort", score=9), "scale", (1.0, 10.0)),
    (reply(question="effort", score=9), "higher_is_better", False),
    (reply(question="effort", scale=[1, 10], higher_is_better=False), "scale", (1.0, 10.0)),
    (reply(question="effort", scale=None, higher_is_better=None), "higher_is_better", False),
    (touchpoint(question="effort", scale=[1, 7]), "scale", None),
    (reply(question="not declared", scale=[1, 5]), "scale", (1.0, 5.0)),
    (reply(question="not declared", scale=[1, 10]), "scale", (1.0, 10.0)),
    (reply(score=4.5), "score", 4.5),
    (touchpoint(value=-12.5, currency="EUR"), "value", -12.5),
    (reply(higher_is_better=None), "higher_is_better", True),
    (reply(higher_is_better=False), "higher_is_better", False),
    (reply(kind="purchase"), "kind", None),
    (reply(kind=5, value="1 EUR", attributes=[], due_at="soon", ref={}), "metric", "ces"),
    (reply(ref="t-1", value=1, currency="EUR", due_at=5, attributes={}), "ref", None),
    (reply(value=1), "value", None),
    (reply(comment="GAP").replace(b"GAP", "\U0001f600".encode() * 10_000), "comment", "\U0001f600" * 10_000),
    (reply(comment="\\u0000"), "comment", "\\u0000"),
    (reply(x="\x00"), "metric", "ces"),
    (reply(x="GAP").replace(b'"GAP"', b"1e999"), "metric", "ces"),
    (reply(x={"y": [1, {"z": None}]}), "metric", "ces"),
    (nested(32), "metric", "ces"),
    (reply(comment="[{" * 100 + '"]"'), "comment", "[{" * 100 + '"]"'),
    (reply(comment="GAP").replace(b"GAP", b"a\\u00e9\\ud83d\\ude00"), "comment", "a\u00e9\U0001f600"),
    (reply(segment="a")[:-1] + b', "segment": "b"}', "segment", "b"),
    (reply(segment=5)[:-1] + b', "segment": "b"}', "segment", "b"),
    (b"\n\t " + reply() + b" \r\n", "metric", "ces"),
    (reply(specversion="1.0"), "metric", "ces"),
    (touchpoint(metric=None), "kind", "purchase"),
    (touchpoint(kind=""), "kind", ""),
    (touchpoint(due_at="2026-03-01T12:00:00Z"), "due_ms", 1_772_366_400_000),
    (touchpoint(due_at=7), "due_ms", 7),
    (touchpoint(value=-3), "value", -3.0),
    (touchpoint(score="high", scale=7, comment=["x"], higher_is_better="y"), "score", None),
    (touchpoint(score=5, scale=[1, 2], comment="x", higher_is_better=False, survey="s"), "comment", None),
    (touchpoint(higher_is_better=False), "higher_is_better", True),
    (
        touchpoint(attributes={"a": None, "b": True, "c": 2**63 - 1}),
        "attributes",
        {"a": None, "b": True, "c": 2**63 - 1},
    ),
    (touchpoint(attributes={str(n): n for n in range(32)}), "attributes", {str(n): n for n in range(32)}),
]


@pytest.mark.parametrize(("value", "field", "expected"), GOOD, ids=range(len(GOOD)))
def test_good_input_is_accepted(value: bytes, field: str, expected: object) -> None:
    """Defaults are filled, the other kind's and unknown fields are kept out, of equal keys the last counts."""
    event = decode(value, (), Limits(), DECLARED)
    assert isinstance(event, Event), event
    assert getattr(event, field) == expected


def test_limits_are_the_callers() -> None:
    """Bytes, depth and attributes are bounded by the limits given, exactly."""
    value = touchpoint(attributes={"a": 1, "b": 2})
    assert isinstance(decode(value, (), Limits(len(value), 2, 2)), Event)
    assert decode(value, (), Limits(len(value) - 1, 2, 2)) == Rejection(
        "too_large", f"$: at most {len(value) - 1} bytes"
    )
    assert decode(value, (), Limits(len(value), 1, 2)) == Rejection("too_deep", "$: at most 1 levels")
    assert decode(value, (), Limits(len(value), 2, 1)) == Rejection(
        "out_of_range", "$.attributes: at most 1 entries"
    )


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"max_depth": 0}, {"max_depth": 101}, {"max_attributes": 33}]
)
def test_limits_beyond_the_contract_are_refused(wrong: dict[str, int]) -> None:
    """Limits may be lower than the contract allows, not higher, and never nothing."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
