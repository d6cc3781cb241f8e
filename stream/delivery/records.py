"""What the table ``deliveries`` holds: alerts that are owed or parked, targets in trouble, what fires there."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

ALERT: Final = "alert/"
TARGET: Final = "target/"
HELD: Final = "held/"
ID: Final = "id/"
SEEN: Final = "seen/"

OWED: Final = "owed"
PARKED: Final = "parked"


class Verdict(StrEnum):
    """What became of an alert event that was read."""

    ROUTED = "routed"
    UNROUTED = "unrouted"
    REPEATED = "repeated"
    STALE = "stale"
    TOO_OLD = "too_old"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    ERASED = "erased"


class Fate(StrEnum):
    """What became of an alert that was owed to a target."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"
    LOST = "lost"


class Try(msgspec.Struct, array_like=True):
    """One alert on its way to one target.

    Attributes:
        since_ms: owed since then.
        state: ``owed`` or ``parked``.
        tries: attempts so far, and ``refusals``: those that the target refused for what they were.
        next_ms: not before.
        why: what came of the last attempt, in a word.
        at_ms: when that was; of what is parked, since when.
    """

    since_ms: int
    state: str = OWED
    tries: int = 0
    refusals: int = 0
    next_ms: int = 0
    why: str = ""
    at_ms: int = 0


class Entry(msgspec.Struct, array_like=True):
    """An alert event, byte for byte, and where it has yet to go."""

    id: str
    fingerprint: str
    told_ms: int
    event: bytes
    to: dict[str, Try]


class Trouble(msgspec.Struct, array_like=True):
    """A target that does not take what it is sent.

    Attributes:
        of: which target, exactly: another address is not in the same trouble.
        failures: in a row.
        next_ms: nothing is sent to it before.
        since_ms: since when, and ``why``.
        failed_ms: the last failure.
        gone: it has said that it is there no more (410): nothing is sent to it.
    """

    of: str
    failures: int
    next_ms: int
    since_ms: int
    why: str
    failed_ms: int
    gone: bool = False


class Held(msgspec.Struct, array_like=True):
    """An alert that fires in an Alertmanager, and has to be pushed again."""

    event: bytes
    since_ms: int
    offset: int = -1


class Redrive(msgspec.Struct, omit_defaults=True):
    """A record of ``cx.redrives``: what is parked there is to be tried again.

    ``target`` None: every target's; ``ids`` None: every alert.
    """

    target: str | None = None
    ids: list[str] | None = None
    author: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What came of an attempt.

    ``failed``: the target is in trouble; ``refused``: it does not want this one; ``gone``: it is there no more.
    ``why`` is a word or two, without anything of the content; ``detail`` is for a person who tests a target.
    """

    kind: Literal["delivered", "failed", "refused", "gone"]
    why: str = ""
    retry_after_ms: int | None = None
    detail: str = ""


encode: Final = msgspec.msgpack.Encoder().encode
entry_of: Final = msgspec.msgpack.Decoder(Entry).decode
trouble_of: Final = msgspec.msgpack.Decoder(Trouble).decode
held_of: Final = msgspec.msgpack.Decoder(Held).decode
redrive_of: Final = msgspec.json.Decoder(Redrive).decode


def alert_key(offset: int) -> str:
    """Key of an entry: the place of its alert on its partition of ``cx.alerts``."""
    return f"{ALERT}{offset:019d}"


def entries_in(table: Mapping[bytes, bytes]) -> dict[int, Entry]:
    """The entries among a table's keys and values, by offset."""
    mark = ALERT.encode()
    return {int(key[len(mark) :]): entry_of(value) for key, value in table.items() if key.startswith(mark)}
