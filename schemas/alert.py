"""``cx.alerts``: a claim with its evidence, as a CloudEvent."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.cloudevent import CloudEvent, NonEmpty
from schemas.metrics import Interval
from schemas.record import DimensionName, Number, Wire
from schemas.times import Time

State = Literal["firing", "resolved", "amended", "withdrawn", "no_data"]
"""``amended``: late data changed the claim. ``withdrawn``: late data removed it. ``no_data``: it fired, and
nothing is heard any more."""


class Claim(Wire):
    """What is claimed, on what evidence.

    A metric's claim names metric, window and line; a customer's names the signal and its reasons.
    Kinds of rules add figures of their own, so unknown fields are kept here.
    """

    model_config = ConfigDict(extra="allow")

    metric: NonEmpty | None = None
    window: NonEmpty | None = None
    value: Number | None = None
    n: Annotated[int, Field(ge=0)] | None = None
    currency: str | None = None
    interval: Interval | None = None
    below: Number | None = None
    above: Number | None = None
    evidence: Literal["none", "interval", "anytime"] | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    signal: NonEmpty | None = None


class Baseline(Wire):
    """What the value is compared with."""

    window: NonEmpty
    value: Number | None


class Driver(Wire):
    """A slice's share in the change: ``service`` got worse, or the ``mix`` of customers shifted."""

    slice: dict[DimensionName, str]
    service: Number
    mix: Number


class AtRisk(Wire):
    """What the claim puts at risk."""

    customers: int = Field(ge=0)
    value: Number | None = None
    currency: str | None = None


class Action(Wire):
    """What to do, who does it, and by when."""

    type: NonEmpty
    owner: str | None = None
    due_by: Time | None = None


class Alert(Wire):
    """The ``data`` of an alert event. Labels are its identity, annotations its text."""

    alert: NonEmpty = Field(description="name of the rule")
    state: State
    reason: NonEmpty = Field(description="why this event was sent, e.g. `first_crossing`")
    fingerprint: NonEmpty = Field(description="of alert and labels; also the key of the Kafka record")
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Time
    ends_at: Time | None = None
    as_of: Time = Field(description="event time of the decision")
    claim: Claim
    baseline: Baseline | None = None
    drivers: Annotated[tuple[Driver, ...], Field(strict=False)] = ()
    at_risk: AtRisk | None = None
    action: Action | None = None
    hold_out: bool = Field(default=False, description="true where acting is withheld, to measure its worth")
    links: dict[str, str] = Field(default_factory=dict, description="name -> address, e.g. of a dashboard")
    group: str | None = Field(None, description="alerts of one group are told together")


class AlertEvent(CloudEvent):
    """The value of a ``cx.alerts`` record."""

    type: Annotated[str, Field(pattern=r"^cx\.alert\.(firing|resolved|amended|withdrawn|no_data)\.v1$")]
    time: Time
    subject: NonEmpty = Field(description="`nps{segment=vip}`, or `customer:ID`")
    severitytext: str = Field(description="the rule's severity")
    data: Alert

    @model_validator(mode="after")
    def _type_names_state(self) -> Self:
        if self.type != f"cx.alert.{self.data.state}.v1":
            raise PydanticCustomError("bad_envelope", "type must name the state")
        return self
