"""One comparison of ``when`` as a function of the value. Nothing is evaluated from text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream.alerting.model import Op

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.model import Check, Scalar

    Passes = Callable[[Any], bool]


def check_of(test: Check) -> Passes:
    """The function of a test. None (an absent field) passes ``ne`` and ``exists: false`` only.

    Values of another sort are unequal and have no order: text is never below a number, and true is
    not 1.
    """
    operand = test.operand
    if test.op is Op.EXISTS:
        return (lambda value: value is not None) if operand else (lambda value: value is None)
    if isinstance(operand, tuple):
        members = frozenset(_typed(one) for one in operand)
        return lambda value: _typed(value) in members
    if test.op is Op.EQ:
        return _equal(operand)
    if test.op is Op.NE:
        equal = _equal(operand)
        return lambda value: not equal(value)
    if not isinstance(operand, int | float):
        raise TypeError(f"{test.op} needs a number")
    return _ordered(test.op, operand)


def _equal(operand: Scalar) -> Passes:
    if isinstance(operand, str):
        return lambda value: bool(value == operand)
    wanted = _typed(operand)
    return lambda value: _typed(value) == wanted


def _ordered(op: Op, bound: float) -> Passes:
    if op is Op.LT:
        return lambda value: _is_number(value) and value < bound
    if op is Op.LTE:
        return lambda value: _is_number(value) and value <= bound
    if op is Op.GT:
        return lambda value: _is_number(value) and value > bound
    return lambda value: _is_number(value) and value >= bound


def _is_number(value: Any) -> bool:
    sort = value.__class__
    return sort is float or sort is int


def _typed(value: Any) -> tuple[bool, Any]:
    """Tells true from 1, which Python holds equal."""
    return (isinstance(value, bool), value)
