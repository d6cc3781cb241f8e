"""Moments on the wire: RFC 3339 text with an offset, or integer epoch milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
MIN_MS: Final = 0
"""1970-01-01T00:00:00Z: the earliest moment accepted."""
MAX_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the latest moment accepted."""


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime; digits below the millisecond are cut off."""
    return (moment - EPOCH) // MILLISECOND


def format_ms(ms: int) -> str:
    """RFC 3339 in UTC with ``Z``; millisecond digits only where they are not zero."""
    moment = EPOCH + timedelta(milliseconds=ms)
    text = moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def parse(value: Any) -> datetime:
    """The moment that a wire value names, as an aware datetime.

    Raises:
        PydanticCustomError: ``bad_type`` for anything but text, an integer or an aware datetime;
            ``bad_time`` for text that is no RFC 3339, has no offset, or lies outside 1970..9999.
    """
    if isinstance(value, datetime):
        moment = value
        if moment.tzinfo is None:
            raise PydanticCustomError("bad_time", "must have an offset")
    elif isinstance(value, str):
        try:
            # msgspec's parser, because the hot path uses it too: one reading of RFC 3339, not two.
            moment = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            raise PydanticCustomError("bad_time", "must be RFC 3339 or integer epoch milliseconds") from None
        if moment.tzinfo is None:
            raise PydanticCustomError("bad_time", "must have an offset")
    elif isinstance(value, int) and not isinstance(value, bool):
        if not MIN_MS <= value <= MAX_MS:
            raise PydanticCustomError("bad_time", "must lie in the years 1970 to 9999")
        return EPOCH + timedelta(milliseconds=value)
    else:
        raise PydanticCustomError("bad_type", "must be RFC 3339 or integer epoch milliseconds")
    if not MIN_MS <= to_ms(moment) <= MAX_MS:
        raise PydanticCustomError("bad_time", "must lie in the years 1970 to 9999")
    return moment


Time = Annotated[
    datetime,
    BeforeValidator(parse),
    PlainSerializer(lambda moment: format_ms(to_ms(moment)), return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": MIN_MS, "maximum": MAX_MS},
            ],
            "description": "RFC 3339 with an offset, or integer epoch milliseconds; years 1970 to 9999",
        }
    ),
]
"""A moment: an aware ``datetime`` in Python, either form accepted on the wire, RFC 3339 written."""
