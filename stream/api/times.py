"""Moments in queries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.times import parse, to_ms


def _moment(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    try:
        return to_ms(parse(value))
    except PydanticCustomError:
        raise ValueError("must be a time with an offset, as 2026-03-01T12:00:00Z") from None


Moment = Annotated[
    int | None, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""RFC 3339 with an offset; becomes epoch milliseconds."""
