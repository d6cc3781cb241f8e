"""Every check there is, in the order in which findings are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from stream.doctor import broker, records, settings, stores
from stream.doctor.findings import Finding, Level

if TYPE_CHECKING:
    from stream.doctor.facts import Facts

Found = tuple[Level, str, str]
Check = Callable[["Facts"], Iterator[Found]]

CHECKS: Final[dict[str, Check]] = {
    check.__name__.replace("_", "-"): check
    for room in (settings, broker, records, stores)
    for check in room.CHECKS
}
"""Name -> check."""


def examine(facts: Facts) -> list[Finding]:
    """What all checks find, the gravest first, then in the order of `CHECKS`."""
    found = [Finding(name, *each) for name, check in CHECKS.items() for each in check(facts)]
    return sorted(found, key=lambda finding: list(Level).index(finding.level))
