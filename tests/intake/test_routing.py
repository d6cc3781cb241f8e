"""Where a record goes, told from a few of its fields."""

from __future__ import annotations

import json
from base64 import b64encode

import msgspec
import pytest
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given
from hypothesis import strategies as st

from stream.intake import Event, Limits, decode, partition_of, route
from stream.intake.routing import murmur2

REPLY = {"event_id": "r", "customer_id": "c", "occurred_at": 1, "metric": "nps", "score": 9}
TOUCH = {"event_id": "t", "customer_id": "c", "occurred_at": 1, "kind": "purchase"}
HEAD = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}


@pytest.mark.parametrize(
    ("value", "reply", "customer"),
    [
        (json.dumps(REPLY), True, "c"),
        (json.dumps(TOUCH), False, "c"),
        (json.dumps({**TOUCH, "metric": None}), False, "c"),
        ('{"customer_id":"a","customer_id" :  "J\\u00fcrgen \\"\\\\"}', False, 'Jürgen "\\'),
        ('{"comment": "\\"customer_id\\":\\"x\\"", "customer_id": "c"}', False, "c"),
        ('{"attributes": {"customer_id": "x", "metric": "nps"}, "customer_id": "c"}', False, "c"),
        ('{"customer_id": 7, "metric": "nps"}', True, None),
        ('{"customer_id": {"a": [1]}}', False, None),
        ('{"unknown": 1e999, "customer_id": "c"}', False, "c"),
        ("{}", False, None),
        (json.dumps({**HEAD, "data": REPLY}), True, "c"),
        (json.dumps({**HEAD, "data": [1], "customer_id": "c"}), False, "c"),
        (json.dumps({**HEAD, "data_base64": b64encode(json.dumps(REPLY).encode()).decode()}), True, "c"),
        (json.dumps({**HEAD, "data_base64": "!", "customer_id": "c"}), False, "c"),
        (json.dumps({**TOUCH, "data": REPLY, "customer_id": "d"}), False, "d"),
    ],
)
def test_topic_and_customer(value: str, reply: bool, customer: str | None) -> None:
    """The last of a repeated key counts, text is text however it is escaped, a CloudEvent is opened."""
    assert route(value.encode()) == (reply, customer)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b"My name is Jane", b'{"customer_id": "\\ud800"}'])
def test_what_is_no_json(value: bytes) -> None:
    """It goes nowhere, and is told from what is JSON."""
    with pytest.raises(msgspec.DecodeError) as caught:
        route(value)
    assert not isinstance(caught.value, msgspec.ValidationError)


@pytest.mark.parametrize("value", [b"[1]", b"1", b"null", b'"x"'])
def test_what_is_no_object(value: bytes) -> None:
    """It is told from what is no JSON."""
    with pytest.raises(msgspec.ValidationError):
        route(value)


@given(st.dictionaries(st.text(max_size=3), st.integers()), st.text(min_size=1, max_size=30), st.booleans())
def test_every_event_is_routed_by_its_own_customer(
    more: dict[str, int], customer: str, wrapped: bool
) -> None:
    """The route of whatever the intake takes is the customer and the kind that the intake reads."""
    record = {**more, **REPLY, "customer_id": customer}
    value = json.dumps({**HEAD, "data": record} if wrapped else record).encode()
    event = decode(value, (), Limits())
    if isinstance(event, Event):
        assert route(value) == (event.metric is not None, event.customer_id)


@given(st.binary(max_size=70))
def test_the_hash_is_kafkas(key: bytes) -> None:
    """It agrees with another client's at every length, whichever bytes."""
    assert murmur2(key) == theirs(key) & 0xFFFFFFFF
    assert partition_of(key, 7) == (theirs(key) & 0x7FFFFFFF) % 7
