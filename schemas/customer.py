"""``cx.customers``: the profile of one customer, compacted by customer."""

from typing import Annotated

from pydantic import Field

from schemas.record import Number, Stage, Wire
from schemas.times import Time

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class ChurnReason(Wire):
    """Why the churn probability is what it is."""

    reason: str
    adds: Number = Field(description="to the log-odds")


class VisitedTouchpoint(Wire):
    """One touchpoint."""

    events: Count = Field(description="at most 4095")
    last: Time = Field(description="the hour of the newest event")


class NewestScore(Wire):
    """The newest reply to one metric."""

    score: Number
    place: Number = Field(description="0..100, 100 is best whichever way it was asked")
    at: Time
    trend: Number | None = Field(description="newest place less the mean of up to two before it")


class HeldTicket(Wire):
    """A ticket that is open, or was resolved lately."""

    ref: str
    open: bool
    newest: Time


class OpenPromise(Wire):
    """A promise that was not kept yet."""

    ref: str
    due: Time | None


class DueItem(Wire):
    """What a rule expects of the customer, or for them."""

    at: Time
    ref: str


class CustomerProfile(Wire):
    """The value of a ``cx.customers`` record; null removes the customer. What is not known is null."""

    customer_id: str
    as_of: Time = Field(description="event time; the newer of two profiles is the one that holds")
    segment: str | None
    stage: Stage | None = Field(description="newest one named")
    channel: str | None
    region: str | None
    attributes: dict[str, str] = Field(description="those that CX_PROFILE_ATTRIBUTES names, as text")
    events: Count
    replies: Count
    first_event: Time
    last_event: Time
    touchpoints: dict[str, VisitedTouchpoint] = Field(description='"" stands for those beyond sixteen')
    scores: dict[str, NewestScore]
    tickets: Annotated[tuple[HeldTicket, ...], Field(strict=False)]
    promises: Annotated[tuple[OpenPromise, ...], Field(strict=False)]
    promises_kept: Count
    promises_broken: Count = Field(description="kept too late, or past their deadline")
    waits: Count = Field(description="in queues, until served; where `waiting_time` is measured")
    mean_wait_seconds: Number | None
    purchases: Count
    first_purchase: Time | None
    last_purchase: Time | None
    days_since_last_purchase: Number | None
    spend: Number | None = Field(description="null with several currencies")
    spend_by_currency: dict[str, Number]
    currency: str | None = Field(description="of the expected value and the value at risk")
    frequency: Count | None = Field(description="x of the model of purchases")
    recency: Number | None = Field(description="t_x, weeks")
    age: Number | None = Field(description="T, weeks")
    expected_purchases: Number | None
    expected_value: Number | None
    p_alive: Probability | None
    churn_probability: Probability
    reasons: Annotated[tuple[ChurnReason, ...], Field(strict=False)]
    value_at_risk: Number | None = Field(description="expected value times churn probability")
    contacted: Annotated[tuple[Time, ...], Field(strict=False)]
    alerts_last_fired: dict[str, Time]
    due: Annotated[tuple[DueItem, ...], Field(strict=False)]
