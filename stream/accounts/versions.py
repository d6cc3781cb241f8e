"""The versions of the rules on ``cx.rules``, as workers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import PydanticCustomError

from schemas import RulesVersion, to_ms
from schemas.times import parse
from stream.feeds import Refused, decode_version

if TYPE_CHECKING:
    from stream.alerting.model import RuleBook
    from stream.settings import Settings


class Known(NamedTuple):
    """A version on ``cx.rules``: where workers refuse it, ``book`` is None and ``problem`` says why."""

    from_ms: int
    record: RulesVersion | None
    book: RuleBook | None
    problem: str


def known_versions(settings: Settings, values: dict[bytes, bytes], kept: RuleBook) -> list[Known]:
    """What is on ``cx.rules``, the earliest first, as workers see it."""
    found = []
    for key, value in values.items():
        record, book, problem = None, None, ""
        try:
            version = decode_version(key, value, settings, kept)
            record, book = RulesVersion.model_validate_json(value), version.book
            from_ms = version.from_ms
        except Refused as refused:
            problem = str(refused)
            from_ms = _moment(key)
        found.append(Known(from_ms, record, book, problem))
    return sorted(found, key=lambda each: each.from_ms)


def _moment(key: bytes) -> int:
    try:
        return to_ms(parse(key.decode(errors="replace")))
    except PydanticCustomError:
        return 0
