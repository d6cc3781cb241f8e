"""Health of the worker: liveness touches nothing, readiness asks every named check for its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Check = Callable[[], tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check said."""

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """What all checks said; ready only when every one is ok, and never before the first is registered."""

    checks: dict[str, Finding]

    @property
    def ready(self) -> bool:
        """Whether traffic and operators may count on this worker."""
        return bool(self.checks) and all(finding.ok for finding in self.checks.values())

    def as_json(self) -> dict[str, object]:
        """The body of ``/health/ready``."""
        return {
            "ready": self.ready,
            "checks": {
                name: {"ok": finding.ok, "reason": finding.reason} for name, finding in self.checks.items()
            },
        }


class Health:
    """Named checks. A check is a quick callable without I/O that returns ``(ok, reason)``."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def register(self, name: str, check: Check) -> None:
        """Add a check, or replace the one of that name."""
        self._checks[name] = check

    def unregister(self, name: str) -> None:
        """Remove a check; one that is not there is no error."""
        self._checks.pop(name, None)

    def readiness(self) -> Readiness:
        """Ask every check; one that raises counts as failed, by its exception's name."""
        return Readiness({name: _asked(check) for name, check in list(self._checks.items())})


def _asked(check: Check) -> Finding:
    try:
        ok, reason = check()
    except Exception as error:  # noqa: BLE001 - a broken check must not break the answer about the others
        return Finding(ok=False, reason=f"the check failed: {type(error).__name__}")
    return Finding(bool(ok), reason)
