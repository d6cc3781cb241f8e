"""``cx.erasures``: who must be forgotten, and how far a rewrite of the logs has got. Nobody is named there."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.record import Wire
from schemas.times import Time

KEY_PREFIX: Final = "key/"
ERASED_PREFIX: Final = "erased/"
REWRITE: Final = "rewrite"
"""What keys begin with: `key/CHECK`, `erased/FINGERPRINT`, `rewrite`, `rewrite/TOPIC/PARTITION`."""

Offset = Annotated[int, Field(ge=0)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]*$", max_length=128)]


class PrivacyKey(Wire):
    """What fingerprints are made with; the key of its record is a value that the key itself gives."""

    salt: Hex | None = Field(description="made once, by the first erasure; null: CX_PRIVACY_KEY")


class Erasure(Wire):
    """Someone who must be forgotten; the key of the record is a keyed fingerprint of the customer's id."""

    at: Time = Field(description="when it was asked for")
    key: Hex = Field(description="which key made the fingerprint")
    ends: dict[str, Offset] = Field(
        description="`topic/partition` -> its end by then: what is about the person below it is erased"
    )


class RewriteMark(Wire):
    """A rewrite of the logs that is under way, or was cut short: no worker starts while it is there."""

    run: Hex = Field(description="which run; its copies carry it as the header `cx-rewrite`")
    started_at: Time
    configs: dict[str, dict[str, str | None]] = Field(
        {}, description="topic -> settings lowered for the time, as they were; null: the broker's default"
    )
    ends: dict[str, Offset] = Field(
        {},
        description="`topic/partition` -> its end when all had been worked on; what came since has not been",
    )
    clean: list[str] = Field([], description="`topic/partition` of compacted topics that have to be cleaned")


class RewritePart(Wire):
    """How far the rewrite of one partition has got."""

    state: Literal["copying", "copied"]
    end: Offset = Field(description="records from here on are copies, or came while it was under way")
    begin: Offset = Field(0, description="once copied: the first copy; what is before it goes")
    moves: dict[str, Offset] = Field({}, description="once copied: consumer group -> where it goes on")
    after: Offset = Field(0, description="once copied: behind the last copy; what follows came later")
    old_bytes: int = Field(0, ge=0, description="once copied: size on disk of what goes")
    new_bytes: int = Field(0, ge=0, description="once copied: size on disk of the copies")
