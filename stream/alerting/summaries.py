"""One alert in place of many: what a limit or a storm keeps back is told as a sum.

A summary is an alert like others: it fires when the first is kept back, fires again with new figures while more
come, and is resolved when it is over. That of a limit has the name and the labels of its rule.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.durations import duration_text
from stream.alerting.hygiene import Limit
from stream.alerting.model import Severity

STORM_ALERT: Final = "AlertStorm"

#: Rules named in a summary, those with most alerts first; the others are counted together.
MOST_RULES: Final = 20

_SEVERITIES: Final = {str(severity): rank for rank, severity in enumerate(Severity)}


class Flood(msgspec.Struct, array_like=True):
    """What a limit or a storm remembers.

    Attributes:
        times: of the newest alerts that count, ascending.
        begun_ms: since when alerts are kept back; None: none are.
        held: how many were kept back since then, by rule.
        severity: the highest of those.
        labels: of the rule.
        told_ms: when the summary was told last, None: not yet, and ``told_count``: of how many.
        silenced: the summary itself is kept back by a silence.
        over_ms: storms: when the number last exceeded the limit.
    """

    times: list[int] = []
    begun_ms: int | None = None
    held: dict[str, int] = {}
    severity: str = str(Severity.INFO)
    labels: dict[str, str] = {}
    told_ms: int | None = None
    told_count: int = 0
    silenced: bool = False
    over_ms: int = 0

    @property
    def count(self) -> int:
        """How many were kept back since it began."""
        return sum(self.held.values())

    def hold(self, claim: Claim, at_ms: int) -> None:
        """Keep a claim back."""
        if self.begun_ms is None:
            self.begun_ms = at_ms
        self.held[claim.alert] = self.held.get(claim.alert, 0) + 1
        if rank(claim.severity) < rank(self.severity):
            self.severity = claim.severity

    def end(self) -> None:
        """Nothing is kept back any more."""
        self.begun_ms = self.told_ms = None
        self.held, self.severity, self.told_count, self.silenced = {}, str(Severity.INFO), 0, False


def rank(severity: str) -> int:
    """0 for the most urgent."""
    return _SEVERITIES.get(severity, len(_SEVERITIES))


def summary(rule: str, flood: Flood, limit: Limit | None, firing: int, at_ms: int, *, over: bool) -> Claim:
    """The alert that tells of those kept back: of a rule's limit, or of a storm where ``rule`` is empty.

    ``limit`` None: the rules have none any more. ``firing``: how many of those kept back still fire. ``over``: it
    is the last word.
    """
    alert = rule or STORM_ALERT
    name = fingerprint(alert, flood.labels, "limit" if rule else "")
    most = sorted(flood.held.items(), key=lambda item: (-item[1], item[0]))
    figures: dict[str, Any] = {"withheld": flood.count, "firing": firing}
    why = ""
    if limit is not None:
        figures |= {"limit": limit.alerts, "per": duration_text(limit.per_ms)}
        why = f": more than {limit.alerts} in {figures['per']}"
    figures["rules"] = dict(most[:MOST_RULES])
    if most[MOST_RULES:]:
        figures["other_rules"] = sum(count for _, count in most[MOST_RULES:])
    begun_ms = at_ms if flood.begun_ms is None else flood.begun_ms
    of = rule or "all rules"
    text = f"{flood.count} alerts of {of} were not told one by one{why}; {firing} of them still fire"
    return Claim(
        id=claim_id(name, "resolved" if over else "firing", at_ms, str(begun_ms)),
        alert=alert,
        subject=f"rule:{rule}" if rule else "alerts",
        state="resolved" if over else "firing",
        reason="rate_limited_summary" if rule else "storm_summary",
        severity=flood.severity,
        fingerprint=name,
        labels=flood.labels,
        annotations={"summary": text},
        starts_at_ms=begun_ms,
        ends_at_ms=at_ms if over else None,
        as_of_ms=at_ms,
        figures=figures,
    )
