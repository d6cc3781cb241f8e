"""The same record bare and in either CloudEvents mode."""

import base64
import json
from typing import Any

import pytest

from stream.intake import Event, Limits, Rejection, decode

RECORD: dict[str, Any] = {
    "event_id": "e-1",
    "customer_id": "c-1",
    "occurred_at": "2026-03-01T12:00:00Z",
    "metric": "nps",
    "score": 9,
    "segment": "vip",
    "comment": 'f\u00fcr {alle} [gut] "ja"',
}
BARE = json.dumps(RECORD).encode()
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "cx.reply"}
HEADERS = [(f"ce_{name}", value.encode()) for name, value in ATTRIBUTES.items()]


def test_every_form_gives_the_same_event() -> None:
    """Bare, structured (data or data_base64) and binary records come out equal."""
    bare = decode(BARE, (), Limits())
    assert isinstance(bare, Event)
    structured = json.dumps(
        {**ATTRIBUTES, "time": "2026-03-01T12:00:01Z", "data": RECORD}, ensure_ascii=False
    )
    encoded = json.dumps({**ATTRIBUTES, "data_base64": base64.b64encode(BARE).decode()})
    forms: list[tuple[bytes, list[tuple[str, bytes]]]] = [
        (structured.encode(), []),
        (structured.encode(), [("content-type", b"application/cloudevents+json; charset=UTF-8")]),
        (encoded.encode(), []),
        (BARE, HEADERS),
        (BARE, [*HEADERS, ("content-type", b"application/json; charset=utf-8")]),
        (BARE, [*HEADERS, ("content-type", b"application/vnd.cx+json"), ("ce_traceparent", b"00-1-2-3")]),
        (BARE, [("content-type", b"text/plain"), ("traceparent", b"\xff")]),
        (BARE, [("ce_id", b"alone")]),
    ]
    forms.extend(
        (json.dumps({**ATTRIBUTES, "datacontenttype": content_type, "data": RECORD}).encode(), [])
        for content_type in ("application/json", "Application/JSON;charset=utf-8", "application/x+json")
    )
    for value, headers in forms:
        assert decode(value, headers, Limits()) == bare, (value, headers)


def test_a_record_in_binary_mode_is_not_unwrapped_again() -> None:
    """With ce_ headers the value is the record, whatever fields of an envelope it has."""
    value = json.dumps({**RECORD, **ATTRIBUTES, "data": {}}).encode()
    assert decode(value, HEADERS, Limits()) == decode(BARE, (), Limits())
    assert isinstance(decode(value, (), Limits()), Rejection)


def without(name: str) -> list[tuple[str, bytes]]:
    """The headers of a binary-mode event but for one."""
    return [(header, value) for header, value in HEADERS if header != name]


@pytest.mark.parametrize(
    ("headers", "reason", "detail"),
    [
        (without("ce_id"), "missing_field", "header ce_id: required"),
        (without("ce_source"), "missing_field", "header ce_source: required"),
        ([*without("ce_type"), ("ce_type", b"")], "missing_field", "header ce_type: required"),
        ([*without("ce_type"), ("ce_type", None)], "missing_field", "header ce_type: required"),
        ([*HEADERS, ("ce_specversion", b"0.3")], "bad_envelope", "header ce_specversion: must be 1.0"),
        ([*HEADERS, ("ce_specversion", b"\xff")], "bad_envelope", "header ce_specversion: must be 1.0"),
        ([*HEADERS, ("ce_specversion", None)], "bad_envelope", "header ce_specversion: must be 1.0"),
        ([*HEADERS, ("content-type", b"text/csv")], "bad_envelope", "header content-type: must be JSON"),
        ([*HEADERS, ("content-type", b"\xff\xfe")], "bad_envelope", "header content-type: must be JSON"),
        (
            [("content-type", b"application/cloudevents+avro")],
            "bad_envelope",
            "header content-type: must be application/cloudevents+json",
        ),
        (
            [("content-type", b"application/cloudevents-batch+json")],
            "bad_envelope",
            "header content-type: must be application/cloudevents+json",
        ),
    ],
)
def test_headers_that_do_not_fit_are_refused(headers: Any, reason: str, detail: str) -> None:
    """A binary-mode event needs its four attributes, version 1.0 and JSON content."""
    assert decode(BARE, headers, Limits()) == Rejection(reason, detail)
