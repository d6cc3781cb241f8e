"""``cx.models``: versions of fitted and learned models, each with the moment from which it holds; compacted."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.record import Number, Text, Wire
from schemas.times import Time

ModelName = Literal["bgnbd", "gamma_gamma", "churn"]


class ModelVersion(Wire):
    """The value of a ``cx.models`` record. Its key is ``name|valid_from``, the moment in UTC.

    Whoever looks at a moment of event time takes, of each name, the version with the latest ``valid_from`` not
    after it; before the first one the declared parameters hold.
    """

    name: ModelName = Field(
        description="`bgnbd`: purchases to come, `gamma_gamma`: what they are worth, `churn`: who cancels"
    )
    valid_from: Time = Field(description="event time from which on it holds, until the next version")
    as_of: Time = Field(description="event time up to which data were looked at")
    outcome: Literal["fitted", "kept"] = Field(
        "fitted", description="`kept`: nothing could be fitted, the parameters are those from before"
    )
    reason: Annotated[Text, Field(max_length=500)] = Field("", description="why they were kept")
    parameters: dict[Annotated[Text, Field(min_length=1, max_length=100)], Number] = Field(
        description="by name; none: the declared ones"
    )
    n: int = Field(0, ge=0, description="customers, or labels, that were looked at")
    of: Number = Field(0.0, ge=0, description="how many those stand for, where a sample was looked at")
    log_likelihood: Number | None = Field(None, description="of the data, each weighing what it stands for")
    currency: Annotated[Text, Field(max_length=16)] | None = Field(
        None, description="of the amounts of `gamma_gamma`; empty where purchases name none"
    )
    figures: dict[Annotated[Text, Field(min_length=1, max_length=100)], Number] = Field(
        default_factory=dict, description="how good it is, by name, such as `auc`"
    )
