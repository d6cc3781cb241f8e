"""``cx.rules``: versions of the rules, each with the moment from which it holds; compacted by that."""

from typing import Annotated

from pydantic import Field

from schemas.record import Text, Wire
from schemas.times import Time


class RulesVersion(Wire):
    """The value of a ``cx.rules`` record. Its key is ``valid_from`` in UTC."""

    valid_from: Time = Field(description="event time from which on these rules judge, until the next version")
    rules: Annotated[Text, Field(min_length=1)] = Field(description="the text of a rules file")
    name: Annotated[Text, Field(min_length=1, max_length=500)] = Field(description="how errors call the file")
    author: Annotated[Text, Field(max_length=200)] = Field("", description="who applied it")
    comment: Annotated[Text, Field(max_length=2_000)] = Field("", description="why")
