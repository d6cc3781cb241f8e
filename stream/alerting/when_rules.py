"""Reads rules over one reply or touchpoint: the tests under ``when``, and those of other rules over customers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schemas.record import REPLY_DIMENSIONS
from stream.alerting.model import (
    REPLY_METRICS,
    STAGES,
    Check,
    CustomerRule,
    On,
    Op,
    Pattern,
    Scalar,
)
from stream.alerting.parts import COMMON_FIELDS, common
from stream.alerting.reading import Place, suggest
from stream.measures.slices import DIMENSIONS

if TYPE_CHECKING:
    from stream.alerting.parts import Draft, Limits

CUSTOMER_FIELDS: Final = ("alert", "on", "when", *COMMON_FIELDS)

_REPLY: Final = ("metric", "score", "question", "pillar", "survey", "in_reply_to", "comment")
_TOUCHPOINT: Final = ("kind", "ref", "value", "currency")
_SLICES: Final = tuple(name for name in DIMENSIONS if name not in REPLY_DIMENSIONS)
_CUSTOMER: Final = "customer."
_NUMBERS: Final = frozenset({"score", "value"})
_ORDER: Final = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)

FIELDS: Final = {On.REPLY: (*_REPLY, *_SLICES), On.TOUCHPOINT: (*_TOUCHPOINT, *_SLICES)}
# comment is personal data: it can be asked for (exists), never shown
SHOWN: Final = {on: frozenset(fields) - {"comment", "in_reply_to"} for on, fields in FIELDS.items()}
PLACEHOLDERS: Final = frozenset({"alert", "customer", "severity", "as_of"})


def customer_rule(draft: Draft, fields: dict[str, Place], limits: Limits) -> CustomerRule:
    """One customer rule, checked."""
    if "on" not in fields:
        raise draft.place.missing("on", "missing; reply or touchpoint")
    if "when" not in fields:
        raise draft.place.missing("when", "missing; the tests a record must pass")
    on = fields["on"].choice(On, "kind of record")
    tests = _tests(fields["when"].mapping(None, what="a mapping of tests"), fields["when"], on, limits)
    signals = {test.field for test in tests if test.field.startswith(_CUSTOMER)}
    placeholders = PLACEHOLDERS | SHOWN[on] | signals
    return CustomerRule(on=on, tests=tests, **common(draft, fields, placeholders, limits.language))


def pattern_of(place: Place) -> Pattern:
    """A sort of record, by its own fields; ``metric`` in it means a reply, ``kind`` a touchpoint."""
    fields = place.mapping(None, what="a mapping of tests such as {kind: ticket_opened}")
    said = fields.pop("on", None)
    if said is not None:
        on = said.choice(On, "kind of record")
    elif ("metric" in fields) == ("kind" in fields):
        raise place.missing("on", "missing; reply or touchpoint, where neither metric nor kind alone says it")
    else:
        on = On.REPLY if "metric" in fields else On.TOUCHPOINT
    return Pattern(on, _tests(fields, place, on, None))


def signals_of(place: Place, limits: Limits) -> tuple[Check, ...]:
    """``{churn_probability: {gte: 0.7}}``: tests of signals, by their names alone."""
    fields = place.mapping(None, what="a mapping of signals to tests")
    return _tests({f"{_CUSTOMER}{name}": value for name, value in fields.items()}, place, None, limits)


def _tests(fields: dict[str, Place], place: Place, on: On | None, limits: Limits | None) -> tuple[Check, ...]:
    """Tests of a record (``on``), its customer (``limits``), or both."""
    if not fields:
        raise place.error("has no test; it would match every record")
    tests: list[Check] = []
    for name, value in fields.items():
        _known(name, value, on, limits)
        if value.is_scalar:
            tests.append(Check(name, Op.EQ, _operand(name, value, Op.EQ)))
            continue
        ops = value.mapping(list(Op), what="a value, or tests such as {lte: 6}")
        if not ops:
            raise value.error("has no test; name a value, or tests such as {lte: 6}")
        here = [_test(name, Op(op), operand) for op, operand in ops.items()]
        _possible(here, value)
        tests += here
    return tuple(tests)


def _known(name: str, place: Place, on: On | None, limits: Limits | None) -> None:
    head, dot, rest = name.partition(".")
    if dot and head == "customer" and limits is not None and _NAME.fullmatch(rest):
        if limits.signals is not None and rest not in limits.signals:
            raise place.error(f"unknown customer signal {rest!r}" + suggest(rest, limits.signals))
        return
    if on is None:
        raise place.error("no name of a signal" + suggest(rest, (limits and limits.signals) or ()))
    if dot and head == "customer":
        raise place.error(
            "only the record's own fields are tested here; signals go under `when` or `customer`"
        )
    if dot and head == "attributes" and on is On.TOUCHPOINT and rest.isprintable() and 1 <= len(rest) <= 128:  # noqa: PLR2004
        return
    if name in FIELDS[on]:
        return
    other = On.TOUCHPOINT if on is On.REPLY else On.REPLY
    if name in FIELDS[other] or head == "attributes":
        raise place.error(f"a {on} has no such field, a {other} has")
    raise place.error("unknown field" + suggest(name, [*FIELDS[on], "customer.<signal>"]))


def _test(name: str, op: Op, place: Place) -> Check:
    if op is Op.EXISTS:
        return Check(name, op, place.boolean())
    if name == "comment":
        raise place.error("what people wrote is not tested, only whether they did: {exists: true}")
    if op is not Op.IN:
        return Check(name, op, _operand(name, place, op))
    values = tuple(_operand(name, item, op) for item in place.items("a list of values"))
    if not values:
        raise place.error("is an empty list; it would never match")
    return Check(name, op, values)


def _operand(name: str, place: Place, op: Op) -> Scalar:
    if name == "comment":
        raise place.error("what people wrote is not tested, only whether they did: {exists: true}")
    free = name.startswith((_CUSTOMER, "attributes."))
    if name in _NUMBERS or op in _ORDER:
        if name not in _NUMBERS and not free:
            raise place.error(f"{name} is text and has no order; use eq, ne or in")
        return place.number()
    if free:
        return place.scalar()
    if name == "metric":
        return place.choice(REPLY_METRICS, "metric")
    if name == "stage":
        return place.choice(STAGES, "stage")
    return place.text()


def _possible(tests: list[Check], place: Place) -> None:
    """Bounds that exclude each other are a slip of the pen."""
    bounds = {test.op: test.operand for test in tests if test.op in _ORDER}
    for low in (Op.GT, Op.GTE):
        for high in (Op.LT, Op.LTE):
            least, most = bounds.get(low), bounds.get(high)
            if isinstance(least, int | float) and isinstance(most, int | float):
                strict = low is Op.GT or high is Op.LT
                if least > most or (strict and least == most):
                    raise place.error(f"can never match: {low} {least} and {high} {most} exclude each other")
