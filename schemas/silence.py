"""``cx.silences``: from one moment to another, alerts that match are not told; compacted by id."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.record import Text, Wire
from schemas.times import Time

MAX_MATCHERS = 20


class Silence(Wire):
    """The value of a ``cx.silences`` record. Its id is the record's key."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    matchers: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2_000)], ...],
        Field(strict=False, min_length=1, max_length=MAX_MATCHERS),
    ] = Field(description='all must hold, as in Alertmanager: `segment="vip"`, `channel=~"chat|web"`')
    starts_at: Time
    ends_at: Time = Field(description="from here on alerts are told again; not before `starts_at`")
    author: Annotated[Text, Field(min_length=1, max_length=200)] = Field(description="who asks")
    comment: Annotated[Text, Field(min_length=1, max_length=2_000)] = Field(description="why")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ends_at < self.starts_at:
            raise PydanticCustomError("out_of_range", "ends_at must not be before starts_at")
        return self
