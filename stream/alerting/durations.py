"""Durations as rules write them: ``90s``, ``5m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_FORM: Final = re.compile(
    r"(?:(?P<w>\d{1,9})w)?(?:(?P<d>\d{1,9})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m)?"
    r"(?:(?P<s>\d{1,9})s)?(?:(?P<ms>\d{1,9})ms)?",
    re.ASCII,
)

MAX_MS: Final = 366 * 86_400_000


def parse_duration(text: str) -> int | None:
    """Milliseconds of ``text``, in Prometheus' form (largest unit first); None where it is not one."""
    found = _FORM.fullmatch(text)
    if found is None or not text:
        return None
    return sum(int(count) * _UNITS[unit] for unit, count in found.groupdict().items() if count)


def duration_text(ms: int) -> str:
    """The shortest form of a duration: 5400000 -> ``1h30m``; 0 -> ``0s``."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def in_words(at_ms: int, now_ms: int) -> str:
    """``in 2h``, ``3d ago``; a minute more or less does not matter beyond an hour, an hour beyond a day."""
    distance = abs(at_ms - now_ms)
    text = roughly(distance)
    return f"in {text}" if at_ms > now_ms else f"{text} ago"


def roughly(ms: int) -> str:
    """A length of time, to two figures that matter: ``45s``, ``2h5m``, ``3d4h``."""
    unit = 1000 if ms < 60 * _UNITS["m"] else _UNITS["m"] if ms < _UNITS["d"] else 60 * _UNITS["m"]
    return duration_text(ms // unit * unit)
