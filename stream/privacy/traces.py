"""Where else someone leaves a trace: the keys of decisions about a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.alerting.claims import fingerprint
from stream.alerting.watch import read_watch
from stream.customers import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.model import RuleBook

#: Who decides about a single customer.
_STAGE: Final = "customer"


def decision_keys(customer_id: str, refs: Iterable[str], books: Iterable[RuleBook]) -> list[bytes]:
    """The keys on ``cx.decisions`` under which something may be kept about a customer.

    Args:
        customer_id: whom.
        refs: what rules may have told about apart from each other: ``refs_of`` its state.
        books: every version of the rules.
    """
    subject = f"customer:{customer_id}"
    subjects = [subject, *(f"{subject}\0{ref}" for ref in refs)]
    rules = [rule for book in books for rule in (*book.customer_rules, *book.history_rules)]
    marks = {fingerprint(rule.alert, dict(rule.labels), each) for rule in rules for each in subjects}
    return [f"{mark}|{_STAGE}".encode() for mark in sorted(marks)]


def refs_of(state: bytes) -> set[str]:
    """What the state of a customer, as in the table, ties records together by."""
    try:
        customer = decode(state)
        held = customer.watch
        watch = read_watch(held) if isinstance(held, msgspec.Raw) else None
    except msgspec.DecodeError:  # by another version: it is erased all the same
        return set()
    refs = {ticket[0] for ticket in customer.tickets}
    if watch is not None:
        refs |= {trail.ref for trail in watch.trails} | {told.ref for told in watch.told}
    return refs - {""}
