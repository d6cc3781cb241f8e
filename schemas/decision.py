"""``cx.decisions``: why a rule did, or did not, lead to an alert; the newest of each, compacted."""

from typing import Any, Literal

from pydantic import Field

from schemas.cloudevent import NonEmpty
from schemas.record import Wire
from schemas.times import Time


class Decision(Wire):
    """The value of a ``cx.decisions`` record. No customer is named, for it is kept for good."""

    alert: NonEmpty = Field(description="name of the rule")
    fingerprint: NonEmpty = Field(description="of the alert; with the stage the record's key")
    labels: dict[str, str]
    stage: Literal["judge", "customer", "lane"] = Field(
        description="who decided: a rule over a window, one over a customer, or what is told of alerts"
    )
    reason: NonEmpty = Field(description="e.g. `not_enough_replies`; docs/why.md lists them")
    since: Time = Field(description="event time from which on the reason has been the same")
    as_of: Time = Field(description="event time of the decision")
    figures: dict[str, Any] = Field(default_factory=dict, description="what was looked at")
