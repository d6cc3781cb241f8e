"""What the models add to their documents."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import schemas
from schemas import (
    SCALES,
    AlertEvent,
    DeadLetterHeaders,
    Metrics,
    Reason,
    Reply,
    Silence,
    Touchpoint,
    format_ms,
    to_ms,
)
from schemas.reply import Metric

BASE: dict[str, Any] = {"event_id": "e", "customer_id": "c", "occurred_at": "2026-03-01T13:00:00+01:00"}


def test_the_public_names_are_there() -> None:
    """Everything in `__all__` can be had."""
    for name in schemas.__all__:
        assert hasattr(schemas, name)


def test_every_metric_has_a_default_scale() -> None:
    """The scales are those of the metrics, no more and no fewer."""
    assert set(SCALES) == set(get_args(Metric))


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_772_366_400_000, "2026-03-01T12:00:00Z"),
        (1_772_366_400_120, "2026-03-01T12:00:00.120Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_in_utc(ms: int, text: str) -> None:
    """RFC 3339 with Z; millisecond digits only where they are not zero."""
    assert format_ms(ms) == text


@given(st.integers(0, 253_402_300_799_999))
def test_times_come_back(ms: int) -> None:
    """A moment written out and read again is the same millisecond."""
    assert to_ms(Touchpoint(**{**BASE, "occurred_at": format_ms(ms)}, kind="k").occurred_at) == ms


def test_python_values_are_taken_too() -> None:
    """An aware datetime is a time, a tuple a scale; a naive datetime is refused."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    reply = Reply.model_validate(
        {**BASE, "occurred_at": moment, "metric": "ces", "score": 5, "scale": (1, 5)}
    )
    assert reply == Reply.model_validate({**BASE, "metric": "ces", "score": 5.0, "scale": [1, 5]})
    with pytest.raises(ValidationError, match="offset"):
        Touchpoint.model_validate({**BASE, "occurred_at": moment.replace(tzinfo=None), "kind": "k"})


def test_models_are_frozen() -> None:
    """A record cannot be changed after it was checked."""
    touchpoint = Touchpoint.model_validate({**BASE, "kind": "purchase"})
    with pytest.raises(ValidationError, match="frozen"):
        touchpoint.kind = "refund"  # type: ignore[misc]


def test_unknown_fields_are_kept_out() -> None:
    """A field the contract does not know is no error, and is not kept."""
    touchpoint = Touchpoint.model_validate({**BASE, "kind": "purchase", "shoe_size": 44})
    assert "shoe_size" not in touchpoint.model_dump()


def test_a_reply_without_a_scale_has_its_metrics() -> None:
    """The default scale is filled in, from JSON and from Python alike."""
    for metric, scale in SCALES.items():
        assert Reply.model_validate({**BASE, "metric": metric, "score": scale[0]}).scale == scale


def test_times_are_dumped_as_text() -> None:
    """JSON of a model has RFC 3339 in UTC, whatever form came in."""
    dumped = Touchpoint.model_validate({**BASE, "kind": "k", "due_at": 5}).model_dump(mode="json")
    assert (dumped["occurred_at"], dumped["due_at"]) == ("2026-03-01T12:00:00Z", "1970-01-01T00:00:00.005Z")


def test_an_alerts_type_names_its_state() -> None:
    """A resolved alert under the type of a firing one is refused."""
    data = {
        "alert": "A", "state": "resolved", "reason": "resolved", "fingerprint": "f", "labels": {},
        "starts_at": 0, "as_of": 5, "claim": {},
    }  # fmt: skip
    event = {
        "specversion": "1.0", "id": "1", "source": "cx-pulse", "time": 5, "subject": "nps",
        "severitytext": "warning", "type": "cx.alert.resolved.v1", "data": data,
    }  # fmt: skip
    assert AlertEvent.model_validate(event).data.state == "resolved"
    with pytest.raises(ValidationError, match="name the state"):
        AlertEvent.model_validate({**event, "type": "cx.alert.firing.v1"})


def test_a_window_without_observations_has_no_value() -> None:
    """Null, not 0, and never NaN."""
    window: dict[str, Any] = {"value": None, "n": 0}
    message = {"slice": {}, "as_of": 0, "final": True, "metrics": {"nps": {"1h": window}}}
    assert Metrics.model_validate(message).metrics["nps"]["1h"].value is None
    window["value"] = float("nan")
    with pytest.raises(ValidationError, match="finite"):
        Metrics.model_validate(message)


def test_dead_letter_headers_go_through_kafka() -> None:
    """The headers written are the headers read; others beside them do not matter."""
    headers = DeadLetterHeaders(
        reason=Reason.BAD_TIME,
        detail="$.occurred_at: must have an offset",
        topic="cx.replies",
        partition=3,
        offset=10**12,
    )
    written = headers.to_kafka()
    assert dict(written)["offset"] == b"1000000000000"
    assert DeadLetterHeaders.from_kafka([("reason", b"not_json"), *written, ("x", None)]) == headers
    with pytest.raises(ValidationError, match="offset"):
        DeadLetterHeaders.from_kafka(written[:-1])


def test_reasons_are_documented() -> None:
    """Every reason is explained where it is defined, and its code is a plain word."""
    source = (__import__("pathlib").Path(schemas.deadletter.__file__)).read_text(encoding="utf-8")
    for reason in Reason:
        assert reason.value.replace("_", "").isalpha()
        assert f'    {reason.name} = "{reason.value}"\n    """' in source


def test_a_silence_does_not_end_before_it_starts() -> None:
    """Times the wrong way round are refused; one that ends as it starts is one that was called off."""
    at = 1_772_366_400_000
    silence = {"id": "s", "matchers": ['a="b"'], "starts_at": at, "author": "ada", "comment": "why"}
    assert Silence.model_validate({**silence, "ends_at": at}).matchers == ('a="b"',)
    with pytest.raises(ValueError, match="must not be before"):
        Silence.model_validate({**silence, "ends_at": at - 1})
