"""``cx.deadletters``: the record unchanged, with headers saying why it was refused."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field

from schemas.record import Wire

REDRIVEN: Final = "cx-redriven"
"""Header: how often ``cx deadletters redrive`` has sent the record again. In decimal.

A record of ``cx.deadletters`` that has it beside ``topic``, ``partition`` and ``offset``, and no ``reason``, is
no dead letter. It notes that the letter of that place was sent again, so that it is not sent twice.
"""


class Reason(StrEnum):
    """Why a record was refused. The codes are a contract: they are added to, never renamed."""

    NOT_JSON = "not_json"
    """Not UTF-8, not JSON, or no value at all (a tombstone)."""
    TOO_LARGE = "too_large"
    """More bytes than ``CX_MAX_RECORD_BYTES``."""
    TOO_DEEP = "too_deep"
    """Objects and arrays nested deeper than the limit."""
    BAD_ENVELOPE = "bad_envelope"
    """A CloudEvent whose own attributes do not fit: version, content type, both or no data."""
    MISSING_FIELD = "missing_field"
    """A required field is absent."""
    BAD_TYPE = "bad_type"
    """A field, or the whole record, has another JSON type than the contract's."""
    BAD_TEXT = "bad_text"
    """Text holds a NUL character."""
    BAD_TIME = "bad_time"
    """A time is not RFC 3339, has no offset, or lies outside the years 1970 to 9999."""
    OUT_OF_RANGE = "out_of_range"
    """Too long, too short, too many, not finite, outside its scale or its vocabulary."""
    BAD_SCALE = "bad_scale"
    """A scale is not two finite numbers in rising order, or not the metric's only one."""
    SCALE_CONFLICT = "scale_conflict"
    """A reply gives another scale, direction or metric than its question is declared with."""
    TOO_LATE = "too_late"
    """The event is older than the late horizon allows behind its partition's watermark."""
    TOO_EARLY = "too_early"
    """The event claims a time too far ahead of its record's."""


class DeadLetterHeaders(Wire):
    """The headers of a dead letter. ``detail`` names a path and a rule, never a value."""

    reason: Annotated[Reason, Field(strict=False)]
    detail: str
    topic: str = Field(description="where the record was read")
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)

    def to_kafka(self) -> list[tuple[str, bytes]]:
        """As Kafka headers: every value as UTF-8 text, numbers in decimal."""
        return [(name, str(value).encode()) for name, value in self]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes | None]]) -> Self:
        """From Kafka headers; of a name given twice the last counts.

        Raises:
            pydantic.ValidationError: a header is missing or does not fit.
        """
        known = {name: (value or b"").decode(errors="replace") for name, value in headers}
        return cls.model_validate_strings(known, strict=False)
