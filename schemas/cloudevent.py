"""CloudEvents 1.0 as JSON (structured mode): what the alerts are, and a form the input may have."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.record import Text, Wire
from schemas.reply import Reply
from schemas.times import Time
from schemas.touchpoint import Touchpoint

NonEmpty = Annotated[str, Field(min_length=1)]


class CloudEvent(Wire):
    """The context attributes; a subclass adds its ``data``."""

    specversion: Literal["1.0"]
    id: NonEmpty = Field(description="with `source` unique to the event; derived from what caused it")
    source: NonEmpty
    type: NonEmpty
    time: Time | None = None
    subject: NonEmpty | None = None
    datacontenttype: NonEmpty | None = None
    dataschema: NonEmpty | None = None


class RecordEvent(CloudEvent):
    """An input record in an envelope.

    The decoder also takes the record as ``data_base64``; ``datacontenttype``, where given, is JSON.
    """

    data: Annotated[Reply | Touchpoint, Field(union_mode="left_to_right")] | None = Field(
        None, description="a record with `metric` is a reply, one with `kind` a touchpoint"
    )
    data_base64: Text | None = Field(None, description="the same, base64; instead of `data`")
