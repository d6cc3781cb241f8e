"""``cx.actions``: what was done about an alert, and what came of it; from those who act."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.cloudevent import NonEmpty
from schemas.record import Text, Wire
from schemas.times import Time


class ActionTaken(Wire):
    """The value of a ``cx.actions`` record; its key is the fingerprint."""

    fingerprint: NonEmpty = Field(description="of the alert")
    alert_id: NonEmpty | None = Field(None, description="the alert event that was acted on")
    at: Time
    by: Text | None = None
    status: Literal["acknowledged", "started", "done", "dismissed"]
    outcome: Text | None = Field(
        None, description="`useful`, `not_useful`, `customer_kept`, `customer_lost`, …"
    )
    note: Annotated[Text, Field(max_length=10_000)] | None = None
