"""What touchpoints and replies have in common: who, when, and where in the journey."""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from schemas.times import Time

MAX_EVENT_ID: Final = 128
MAX_CUSTOMER_ID: Final = 256
MAX_DIMENSION: Final = 128


class Wire(BaseModel):
    """Base of every model: strict types, frozen, unknown fields kept out rather than refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


def no_nul(text: str) -> str:
    """The text itself; refused as ``bad_text`` where it holds a NUL character."""
    if "\x00" in text:
        raise PydanticCustomError("bad_text", "must not hold a NUL character")
    return text


def _as_float(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise PydanticCustomError("out_of_range", "must be finite") from None
    return value


Number = Annotated[float, BeforeValidator(_as_float)]
"""A finite number; booleans are none."""
Text = Annotated[str, AfterValidator(no_nul)]
EventId = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID), AfterValidator(no_nul)]
CustomerId = Annotated[str, Field(min_length=1, max_length=MAX_CUSTOMER_ID), AfterValidator(no_nul)]
Dimension = Annotated[str, Field(max_length=MAX_DIMENSION), AfterValidator(no_nul)]
Stage = Literal["entice", "enter", "engage", "exit", "extend"]
DimensionName = Literal[
    "segment",
    "stage",
    "touchpoint",
    "channel",
    "product",
    "variant",
    "region",
    "pillar",
    "question",
    "survey",
    "topic",
]
DIMENSIONS: Final[tuple[str, ...]] = get_args(DimensionName)
"""What an event can be sliced by."""
REPLY_DIMENSIONS: Final = ("pillar", "question", "survey", "topic")
"""Those of ``DIMENSIONS`` that only replies have; ``topic`` is found in the comment."""


class Record(Wire):
    """The fields of either kind of input record."""

    event_id: EventId = Field(description="the producer's id; duplicates within the horizon count once")
    customer_id: CustomerId = Field(description="also the key of the Kafka record")
    occurred_at: Time = Field(description="event time")
    channel: Dimension | None = None
    touchpoint: Dimension | None = None
    segment: Dimension | None = None
    product: Dimension | None = None
    variant: Dimension | None = None
    region: Dimension | None = None
    stage: Stage | None = Field(None, description="stage of the journey")
