"""A sender's mapping: which parts of its calls become records, and where each field comes from.

A path names a value of the payload: ``form_response.answers.0.number``; under ``each`` the item is ``item``. A
source is one of these:

==========================================  =======================================================================
``detail.id``                               the value at the path, as it is
``"zendesk:{id}:{detail.status}"``          text with values in it; absent when one of them is
``{value: csat}``                           that value itself
``{first: [a, b]}``                         the first source that has one
``{from: rating, map: {good: 5, bad: 1}}``  another value for each of some; absent for the rest
``{from: doneAt, time: true}``              a moment in any of the usual ways, as epoch milliseconds
``{from: answer, number: true}``            a number that may be written as text
==========================================  =======================================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from schemas import DIMENSIONS, Reply, Touchpoint, to_ms
from stream.adapters.signatures import Signature

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z0-9_$.\-]+)\}")
_SECONDS_BELOW: Final = 100_000_000_000  # an epoch below this is in seconds
_MOST_ITEMS: Final = 10_000
_FIELDS: Final = frozenset({*Touchpoint.model_fields, *Reply.model_fields})

Json = Any
Scalar = str | int | float | bool


class MappingError(ValueError):
    """A mapping is wrong; the text names the file, the place in it and what is allowed."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Value(_Model):
    """The value itself."""

    value: Scalar


class First(_Model):
    """The first source that has a value."""

    first: Annotated[list[Source], Field(min_length=1)]


class From(_Model):
    """A value, turned into another."""

    source: Annotated[str, Field(alias="from", min_length=1)]
    map: dict[Scalar, Scalar] | None = None
    time: bool = False
    number: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> From:
        if (self.map is not None) + self.time + self.number != 1:
            raise ValueError("one of map, time and number")
        return self


def _kind_of(source: Json) -> str:
    """Which kind of source something is meant to be, so that a refusal speaks of that kind."""
    if isinstance(source, dict):
        return next((kind for kind in ("value", "first") if kind in source), "from")
    kinds: dict[type, str] = {Value: "value", First: "first", From: "from"}
    return kinds.get(type(source), "path")


Source = Annotated[
    Annotated[str, Tag("path")]
    | Annotated[Value, Tag("value")]
    | Annotated[First, Tag("first")]
    | Annotated[From, Tag("from")],
    Discriminator(_kind_of),
]


class Test(_Model):
    """What the value at a path must be; absent fails every test but ``exists: false``."""

    __test__ = False  # not pytest's

    eq: Scalar | None = None
    any_of: Annotated[list[Scalar] | None, Field(alias="in")] = None
    exists: bool | None = None
    starts: str | None = None

    def holds(self, found: Json) -> bool:
        """Whether a value, None where there is none, passes."""
        if self.exists is not None and (found is not None) != self.exists:
            return False
        if self.eq is not None and (found is None or found != self.eq):
            return False
        if self.any_of is not None and (found is None or found not in self.any_of):
            return False
        return self.starts is None or (isinstance(found, str) and found.startswith(self.starts))


class Part(_Model):
    """Records of one kind: made from the whole payload, or from each item of a list in it."""

    each: str | None = None
    when: dict[str, Scalar | Test] = {}
    fields: Annotated[dict[str, Source], Field(min_length=1)]
    attributes: dict[str, Source] = {}

    @model_validator(mode="after")
    def _known_fields(self) -> Part:
        for name in self.fields:
            if name not in _FIELDS:
                raise ValueError(f"{name!r} is no field of a record; there are {', '.join(sorted(_FIELDS))}")
        for name in ("event_id", "customer_id", "occurred_at"):
            if name not in self.fields:
                raise ValueError(f"{name!r} is missing: every record has one")
        if ("kind" in self.fields) == ("metric" in self.fields):
            raise ValueError("one of 'kind' (a touchpoint) and 'metric' (a reply)")
        return self


class Adapter(_Model):
    """One sender: how it signs, and what its calls become."""

    sender: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    about: str
    docs: str | None = None
    signature: Signature | None = None
    body: Literal["object", "list"] = "object"
    records: Annotated[list[Part], Field(min_length=1)]

    def convert(self, payload: Json) -> list[dict[str, Json]]:
        """The records of a payload, in its order; fields without a value are left out.

        What comes out is of the contract's shape and not yet judged by it: a field the sender left out is missing
        here too.
        A payload that nothing matches gives no records; most senders send more kinds of calls than anyone wants.
        """
        calls = payload if self.body == "list" and isinstance(payload, list) else [payload]
        return [record for call in calls for part in self.records for record in _records(part, call)]


def read_adapter(text: str, filename: str) -> Adapter:
    """The adapter of a mapping file.

    Raises:
        MappingError: it is none; the text names file, place and rule.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise MappingError(f"{filename}{line}: not YAML: {getattr(error, 'problem', 'unreadable')}") from None
    try:
        return Adapter.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"] if not _is_type(step))
        raise MappingError(f"{filename}: {place or 'the file'}: {first['msg']}") from None


def read_file(path: Path) -> Adapter:
    """As `read_adapter`, from a file.

    Raises:
        MappingError: it cannot be read, or is no mapping.
    """
    try:
        return read_adapter(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: {type(error).__name__}") from None


def _is_type(step: str | int) -> bool:
    """Pydantic puts the member of a union it tried into the place."""
    return isinstance(step, str) and step in {"str", "int", "float", "bool", "path", "value", "first", "Test"}


def _records(part: Part, call: Json) -> Iterator[dict[str, Json]]:
    for scope in _scopes(part.each, call):
        if not all(_passes(test, _at(scope, path)) for path, test in part.when.items()):
            continue
        record = dict(_filled(part.fields.items(), scope))
        attributes = dict(_filled(part.attributes.items(), scope))
        if attributes:
            record["attributes"] = attributes
        yield record


def _scopes(each: str | None, call: Json) -> Iterator[Json]:
    if each is None:
        yield call
        return
    items = _at(call, each)
    if isinstance(items, list):
        around = call if isinstance(call, dict) else {}
        for item in items[:_MOST_ITEMS]:
            yield {**around, "item": item}


def _passes(test: Scalar | Test, found: Json) -> bool:
    return test.holds(found) if isinstance(test, Test) else found is not None and found == test


def _filled(sources: Iterable[tuple[str, Source]], scope: Json) -> Iterator[tuple[str, Json]]:
    for name, source in sources:
        found = _value(source, scope)
        if found is None or isinstance(found, (dict, list)):
            continue
        yield name, str(found) if name in _TEXTS and not isinstance(found, bool) else found


#: Fields that are text in the contract and often numbers elsewhere, such as a ticket's id.
_TEXTS: Final = frozenset(
    {"event_id", "customer_id", "ref", "in_reply_to", "survey", "question", *DIMENSIONS}
)


def _value(source: Source, scope: Json) -> Json:
    match source:
        case Value(value=value):
            return value
        case First(first=sources):
            return next((found for each in sources if (found := _value(each, scope)) is not None), None)
        case From():
            return _turned(source, _text(source.source, scope))
    return _text(source, scope)


def _text(source: str, scope: Json) -> Json:
    if "{" not in source:
        return _at(scope, source)
    values = {path: _at(scope, path) for path in _PLACEHOLDER.findall(source)}
    if any(value is None or isinstance(value, (dict, list)) for value in values.values()):
        return None
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), source)


def _turned(source: From, found: Json) -> Json:
    if found is None or isinstance(found, (dict, list)):
        return None
    if source.map is not None:
        return source.map.get(found)
    return _moment(found) if source.time else _number(found)


def _at(scope: Json, path: str) -> Json:
    """The value at a path; None where there is none."""
    found = scope
    for step in path.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def _number(found: Json) -> int | float | None:
    if isinstance(found, bool):
        return None
    try:
        number = float(found)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _moment(found: Json) -> Json:
    """Epoch milliseconds of a moment; what is none is left for the contract to refuse.

    Without an offset it is UTC: senders that leave it out mean that.
    """
    number = _number(found)
    if number is not None:
        return round(number * 1000 if abs(number) < _SECONDS_BELOW else number)
    try:
        moment = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return found
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


First.model_rebuild()
Part.model_rebuild()
