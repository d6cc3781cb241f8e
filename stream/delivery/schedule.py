"""When a failed delivery is tried again: twice as long each time, up to a quarter of an hour, with jitter."""

from __future__ import annotations

import hashlib
from typing import Final

FIRST_MS: Final = 5_000
LONGEST_MS: Final = 15 * 60_000
LONGEST_ASKED_MS: Final = 3_600_000
"""A receiver that asks for a longer pause (``Retry-After``) gets this one."""


def delay_ms(failures: int, seed: str) -> int:
    """How long to wait after so many failures in a row, milliseconds.

    The step is ``FIRST_MS * 2**(failures - 1)``, at most ``LONGEST_MS``; the wait is between half of it and all
    of it, so that what failed together does not come back together. The same seed gives the same wait.
    """
    step = min(LONGEST_MS, FIRST_MS << min(failures - 1, 20))
    draw = int.from_bytes(hashlib.sha256(f"{seed}\0{failures}".encode()).digest()[:4])
    return step // 2 + (step - step // 2) * draw // 2**32
