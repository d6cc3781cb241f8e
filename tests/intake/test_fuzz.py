"""Whatever the bytes and headers, decode answers with an Event or a Rejection."""

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Reason
from stream.intake import Event, Limits, Rejection, decode

SEEDS: list[dict[str, Any]] = [
    {
        "event_id": "e-1", "customer_id": "c-1", "occurred_at": "2026-03-01T12:00:00.5+01:00", "metric": "ces",
        "score": 4.5, "scale": [1, 7], "higher_is_better": False, "segment": "v\u00efp", "comment": "\u20ac \\ \n",
    },
    {
        "event_id": "e-2", "customer_id": "c-1", "occurred_at": 1772366400000, "kind": "promise_made",
        "value": 1e3, "due_at": "2026-03-02T12:00:00Z", "attributes": {"a": None, "b": [True], "c": -1.5},
    },
    {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"x": "e"}, "data_base64": "e30="},
]  # fmt: skip
PIECES = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xc3", b"\\u0000", b"\\ud800", b"1e999",
    b"NaN", b"-", b"null", b"true", b"0", b"9" * 400, b"[" * 40, b'{"a":' * 40, b'"metric"', b'"specversion"',
]  # fmt: skip


def check(value: bytes | None, headers: Any) -> None:
    """Decode twice, and hold the answer to what every answer must be."""
    result = decode(value, headers, Limits())
    assert result == decode(value, headers, Limits())
    if isinstance(result, Rejection):
        assert result.reason in set(Reason)
        assert result.detail.isascii()
        assert len(result.detail) < 100
        return
    assert isinstance(result, Event)
    assert (result.metric is None) != (result.kind is None)
    assert 1 <= len(result.event_id) <= 128
    assert 1 <= len(result.customer_id) <= 256
    assert type(result.time_ms) is int
    assert 0 <= result.time_ms < 253_402_300_800_000
    assert (result.metric is None) == (result.score is None) == (result.scale is None)
    if result.score is not None and result.scale is not None:
        assert result.scale[0] <= result.score <= result.scale[1]


@settings(max_examples=500, deadline=None)
@given(
    st.none() | st.binary(max_size=400), st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary()))
)
def test_raw_bytes_never_raise(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Random bytes under random headers are refused with a reason, the same each time."""
    check(value, headers)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_specversion", "content-type"]),
        st.none()
        | st.sampled_from([b"1.0", b"x", b"application/json", b"application/cloudevents+json"])
        | st.binary(max_size=20),
    ),
    st.sampled_from(SEEDS),
)
def test_headers_never_raise(headers: dict[str, bytes | None], document: dict[str, Any]) -> None:
    """Any mixture of CloudEvents headers is taken or refused."""
    check(json.dumps(document).encode(), list(headers.items()))


def test_mutated_records_never_raise() -> None:
    """Twenty thousand damaged records, from a fixed seed, are each taken or refused."""
    dice = random.Random(20260301)
    seeds = [json.dumps(seed, ensure_ascii=False).encode() for seed in SEEDS]
    for _ in range(20_000):
        value = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(value) + 1)
            match dice.randrange(4):
                case 0:
                    value[at : at + 1] = bytes([dice.randrange(256)])
                case 1:
                    value[at:at] = dice.choice(PIECES)
                case 2:
                    del value[at : at + dice.randint(1, 20)]
                case _:
                    value[at : at + dice.randint(1, 12)] = dice.choice(PIECES)
        check(bytes(value), ())
