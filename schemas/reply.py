"""``cx.replies``: a customer's answer to one question."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from schemas.record import EventId, Number, Record, Text, no_nul

Metric = Literal["nps", "csat", "ces", "loyalty", "engagement"]
Scale = tuple[float, float]

SCALES: Final[Mapping[str, Scale]] = MappingProxyType(
    {
        "nps": (0.0, 10.0),
        "csat": (1.0, 5.0),
        "ces": (1.0, 7.0),
        "loyalty": (1.0, 10.0),
        "engagement": (1.0, 10.0),
    }
)
"""The scale of each metric where a reply declares none."""

MAX_COMMENT: Final = 10_000


def _true_if_null(value: Any) -> Any:
    return True if value is None else value


class Reply(Record):
    """A survey reply. ``scale`` is always filled: the metric's own where none was declared."""

    metric: Metric
    # Before `score`, whose check needs it. An array is a list to Python, a tuple only once checked.
    scale: Annotated[tuple[Number, Number], Field(strict=False)] | None = Field(
        None,
        validate_default=True,
        description="[min, max]; default nps [0,10], csat [1,5], ces [1,7], loyalty and engagement [1,10]",
    )
    score: Number = Field(description="within the scale")
    higher_is_better: Annotated[
        bool, BeforeValidator(_true_if_null), WithJsonSchema({"type": ["boolean", "null"]})
    ] = Field(default=True, description="false for ces asked the other way round")
    question: Text | None = None
    pillar: Text | None = None
    survey: Text | None = None
    comment: Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(no_nul)] | None = Field(
        None, description="personal data: never logged, never in a label"
    )
    in_reply_to: EventId | None = Field(None, description="event id of the touchpoint asked about")

    @field_validator("scale", mode="after")
    @classmethod
    def _scale_fits(cls, scale: Scale | None, info: ValidationInfo) -> Scale | None:
        metric = info.data.get("metric")
        if scale is None:
            return None if metric is None else SCALES[metric]
        if scale[0] >= scale[1]:
            raise PydanticCustomError("bad_scale", "minimum must be below maximum")
        if metric == "nps" and scale != SCALES["nps"]:
            raise PydanticCustomError("bad_scale", "must be [0, 10] for nps")
        return scale

    @field_validator("score", mode="after")
    @classmethod
    def _score_within(cls, score: float, info: ValidationInfo) -> float:
        scale = info.data.get("scale")
        if scale is not None and not scale[0] <= score <= scale[1]:
            raise PydanticCustomError("out_of_range", "must lie within the scale")
        return score
