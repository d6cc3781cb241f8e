"""Claims, rules and a table for tests of the lane."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from stream.alerting.claims import AlertState, Claim, claim_id
from stream.alerting.hygiene import Hygiene, Inhibition, Limit, Silence
from stream.alerting.lane import Lane, LaneChanges
from stream.alerting.matching import parse_matcher
from stream.alerting.model import Evidence, Kind, MetricRule, RuleBook, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

Table = dict[str, bytes]


def claim_of(
    alert: str,
    as_of_ms: int,
    state: AlertState = "firing",
    *,
    starts_at_ms: int | None = None,
    labels: dict[str, str] | None = None,
    severity: str = "warning",
    reason: str | None = None,
    figures: dict[str, Any] | None = None,
) -> Claim:
    """A claim; alerts of other labels are other alerts."""
    labels = {} if labels is None else labels
    name = f"f-{alert}-{'-'.join(labels.values())}" if labels else f"f-{alert}"
    starts_at_ms = as_of_ms if starts_at_ms is None else starts_at_ms
    return Claim(
        id=claim_id(name, state, as_of_ms, str(starts_at_ms)),
        alert=alert,
        subject=f"nps{{segment={alert}}}",
        state=state,
        reason=reason or {"firing": "first_crossing"}.get(state, state),
        severity=severity,
        fingerprint=name,
        labels=labels,
        annotations={},
        starts_at_ms=starts_at_ms,
        ends_at_ms=as_of_ms if state in ("resolved", "withdrawn") else None,
        as_of_ms=as_of_ms,
        figures={"metric": "nps", "value": 12.5, "below": 30} if figures is None else figures,
    )


def rule_of(alert: str, limit: Limit | None = None, labels: tuple[tuple[str, str], ...] = ()) -> MetricRule:
    """A rule; all the lane asks of it is its name, labels and limit."""
    return MetricRule(
        alert=alert,
        group="g",
        cooldown_ms=0,
        severity=Severity.WARNING,
        labels=labels,
        annotations=(),
        action=None,
        line=1,
        limit=limit,
        metric="nps",
        grouping=(),
        where=(),
        window="1h",
        kind=Kind.BELOW,
        threshold=30.0,
        baseline=None,
        evidence=Evidence.NONE,
        confidence=0.95,
        min_n=1,
        for_ms=0,
        resolve_at=None,
    )


def book_of(*rules: MetricRule, **hygiene: Any) -> RuleBook:
    """A rules file."""
    return RuleBook("rules.yml", metric_rules=rules, hygiene=Hygiene(**hygiene))


def silence_of(matcher: str, starts_at_ms: int, ends_at_ms: int, name: str = "s1") -> Silence:
    """A silence of what one matcher says."""
    return Silence(name, (parse_matcher(matcher),), starts_at_ms, ends_at_ms, "ann", "planned")


def inhibition_of(source: str, target: str, *equal: str) -> Inhibition:
    """While one fires, the other is not told."""
    return Inhibition((parse_matcher(source),), (parse_matcher(target),), equal)


def store(table: Table, changes: LaneChanges, writes: int | None = None) -> None:
    """Write a round, or only its first writes, in the order the lane wants them written."""
    steps: list[tuple[str, bytes | None]] = [*changes.entries]
    if changes.progress is not None:
        steps.append(changes.progress)
    steps += [(key, None) for key in changes.tombstones]
    for key, value in steps[:writes]:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


def restored(table: Table, partitions: Iterable[int], book: RuleBook | None = None) -> Lane:
    """A lane from its table, read in any order."""
    lane = Lane(partitions, book)
    keys = sorted(table)
    random.Random(len(keys)).shuffle(keys)
    for key in keys:
        lane.restore(key, table[key])
    lane.ready()
    return lane


def played(lane: Lane, claims: Iterable[Claim], until_ms: int) -> list[Claim]:
    """What is told with these claims, up to a moment."""
    for claim in claims:
        lane.offer(0, claim)
    lane.mark(0, until_ms)
    return lane.release()


def lines(claims: Iterable[Claim]) -> list[str]:
    """Claims, one a line."""
    return [f"{claim.as_of_ms} {claim.alert} {claim.state} {claim.reason}" for claim in claims]
