"""``cx.touchpoints``: something a customer did, or that was done for them."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.record import Number, Record, Text, no_nul
from schemas.times import Time

MAX_KIND: Final = 64
MAX_ATTRIBUTES: Final = 32
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        no_nul(value)
    elif isinstance(value, float):
        if value - value != 0:  # infinite or not a number
            raise PydanticCustomError("out_of_range", "must be finite")
    elif isinstance(value, int):  # a bool is an int within the range
        if not MIN_INT <= value <= MAX_INT:
            raise PydanticCustomError("out_of_range", "must fit 64 bits")
    elif value is not None:
        raise PydanticCustomError("bad_type", "must be a string, number, boolean or null")
    return value


Scalar = Annotated[
    str | int | float | bool | None,
    PlainValidator(_scalar),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "integer", "minimum": MIN_INT, "maximum": MAX_INT},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]
"""A value of ``attributes``: text, 64-bit integer, finite number, boolean or null."""


class Touchpoint(Record):
    """A touchpoint event. Money is in units of ``currency``."""

    kind: Annotated[str, Field(max_length=MAX_KIND), AfterValidator(no_nul)] = Field(
        description="any; `purchase`, `ticket_opened` and some others have a meaning"
    )
    ref: Text | None = Field(None, description="ties events together: ticket, cart, order, queue")
    value: Number | None = Field(None, description="money of the event")
    currency: Text | None = None
    due_at: Time | None = Field(None, description="a promise's deadline")
    attributes: Annotated[dict[Text, Scalar], Field(max_length=MAX_ATTRIBUTES)] | None = None
