"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much it matters."""

    ERROR = "error"  # it does not work, or records are lost
    WARNING = "warning"  # it works, and will bite
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: what is so, and the way out. Holds no secrets and nothing of customers."""

    check: str
    level: Level
    what: str
    cure: str
