"""Silences: made from what somebody asks for, and how they stand."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from schemas import Silence, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence


def new_silence(matchers: Sequence[str], starts_ms: int, ends_ms: int, author: str, comment: str) -> Silence:
    """A silence, whose id is made from what it says.

    Raises:
        ValueError: it cannot be meant; the text says which part and why.
    """
    from stream.alerting.matching import parse_matcher, show_matcher  # noqa: PLC0415 - slow to import
    from stream.feeds import silence_of  # noqa: PLC0415

    written = [show_matcher(parse_matcher(text)) for text in matchers]
    said = {"matchers": written, "starts_at": starts_ms, "ends_at": ends_ms}
    said |= {"author": author, "comment": comment}
    name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
    try:
        silence = Silence.model_validate({"id": name, **said})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in wrong["loc"])
        raise ValueError(f"{where}: {wrong['msg']}" if where else str(wrong["msg"])) from None
    silence_of(silence)
    return silence


def ended(silence: Silence, now_ms: int) -> Silence:
    """The silence, over now; one that has not begun was never in force."""
    ends = max(now_ms // 1000 * 1000, to_ms(silence.starts_at))
    return Silence.model_validate({**silence.model_dump(), "ends_at": ends})


def state_of(silence: Silence, now_ms: int) -> Literal["active", "pending", "expired"]:
    """``active``, ``pending`` or ``expired``, as Alertmanager has it."""
    if to_ms(silence.ends_at) <= now_ms:
        return "expired"
    return "pending" if to_ms(silence.starts_at) > now_ms else "active"
