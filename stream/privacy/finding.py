"""Whom a record is about, also where it cannot be read as an event."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from stream.intake import route

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBJECT: Final = "customer:"
#: Every string of a broken JSON text, and every bare word: what could have been meant as an id.
_WORDS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,:{}\[\]"]+')
_MOST_WORDS: Final = 10_000


def customers_in(key: bytes | None, value: bytes | None) -> Iterator[str]:
    """Whom a record of an input, or a dead letter, may be about; the likeliest first, some of them twice.

    What names a customer is about that one, and about whom its key names. Where it names none, everything in it
    that could be an id might be one.
    """
    if key:
        with suppress(UnicodeDecodeError):
            yield key.decode()
    if not value:
        return
    named = None
    with suppress(ValueError, RecursionError):  # msgspec's errors are of the former
        named = route(value).customer
    if named is not None:
        yield named
    else:
        yield from words_in(value)


def words_in(value: bytes) -> Iterator[str]:
    """Everything in a text that could have been meant as an id: strings and bare words, however broken."""
    for number, found in enumerate(_WORDS.finditer(value)):
        if number >= _MOST_WORDS:
            return
        word = found.group()
        with suppress(ValueError):
            yield json.loads(word) if word.startswith(b'"') else word.decode()


def subject_of(value: bytes | None) -> str | None:
    """The customer that an alert event is about; None: it is about none, or is no alert event."""
    with suppress(ValueError, RecursionError):
        event = msgspec.json.decode(value or b"null")
        if isinstance(event, dict):
            subject = event.get("subject")
            if isinstance(subject, str) and subject.startswith(_SUBJECT):
                return subject.removeprefix(_SUBJECT)
    return None


def fingerprint_of(value: bytes | None) -> str | None:
    """The fingerprint that an alert event, a decision or an action says."""
    with suppress(ValueError, RecursionError):
        found = msgspec.json.decode(value or b"null")
        if isinstance(found, dict):
            inner = found.get("data")
            mark = (inner if isinstance(inner, dict) else found).get("fingerprint")
            return mark if isinstance(mark, str) else None
    return None


def needles(customer_id: str) -> tuple[bytes, ...]:
    """The bytes under which an id may stand in a log: as it is, and as JSON may spell it."""
    plain = customer_id.encode("utf-8", "surrogatepass")
    spelt = json.dumps(customer_id)[1:-1].encode()
    return (plain,) if spelt == plain else (plain, spelt)
