"""What is known of one alert, put together: what was told, decided and done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from schemas import ActionTaken, format_ms, to_ms
from schemas.times import parse
from stream import topics
from stream.accounts.records import newest
from stream.alerting.matching import matches

if TYPE_CHECKING:
    from stream.accounts.records import Found
    from stream.alerting.hygiene import Silence
    from stream.alerting.model import RuleBook

FIRING: Final = frozenset({"firing", "amended", "no_data"})
#: Of decisions about what is told: it fires, and is kept back.
HELD_BACK: Final = frozenset({"silenced", "inhibited", "grouped", "rate_limited", "storm"})
_CUSTOMER: Final = "customer:"
_RANKS: Final = {"critical": 0, "warning": 1, "info": 2}


@dataclass(slots=True)
class Account:
    """One fingerprint. ``events`` as they were told, ``decisions`` by stage, all as on their topics."""

    fingerprint: str
    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: list[dict[str, Any]] = field(default_factory=list)
    #: When the broker got the newest event, by the wall clock; None where that is not known.
    told_ms: int | None = None

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest event's data."""
        return self.events[-1]["data"] if self.events else None

    @property
    def alert(self) -> str:
        """Name of the rule."""
        return str(self._newest["alert"])

    @property
    def labels(self) -> dict[str, str]:
        """The alert's own."""
        return dict(self._newest["labels"])

    @property
    def severity(self) -> str:
        """Of the newest event; empty where nothing was told."""
        return str(self.events[-1].get("severitytext", "")) if self.events else ""

    @property
    def subject(self) -> str:
        """``nps{segment=vip}``, ``customer:ID``, or the labels where nothing was told."""
        if self.events:
            return str(self.events[-1].get("subject", ""))
        return ", ".join(f"{name}={value}" for name, value in self.labels.items())

    @property
    def of_customer(self) -> bool:
        """Whether it is about a single customer."""
        return self.subject.startswith(_CUSTOMER) or "customer" in self.decisions

    @property
    def firing(self) -> bool:
        """Told, and not yet over as far as was told."""
        return self.last is not None and self.last["state"] in FIRING

    @property
    def held_back(self) -> str | None:
        """Why it fires and is not told."""
        reason = self.decisions.get("lane", {}).get("reason")
        return reason if reason in HELD_BACK else None

    @property
    def since_ms(self) -> int:
        """When what is so now began: the alert, or the reason why there is none."""
        if self.last is not None and (self.firing or not self.decisions):
            return moment(self.last["starts_at"])
        return max(
            (moment(each["since"]) for each in self.decisions.values()),
            default=moment(self._newest["as_of"]),
        )

    @property
    def as_of_ms(self) -> int:
        """Event time of the newest thing that is known."""
        known = [self.last] if self.last is not None else []
        return max(moment(each["as_of"]) for each in [*known, *self.decisions.values()])

    @property
    def rank(self) -> tuple[bool, bool, int, int, str]:
        """What fires first, single customers last of it, then by severity, the newest first."""
        return (
            not self.firing,
            self.of_customer,
            _RANKS.get(self.severity, 3),
            -self.as_of_ms,
            self.fingerprint,
        )

    @property
    def _newest(self) -> dict[str, Any]:
        known = [self.last] if self.last is not None else []
        return max([*known, *self.decisions.values()], key=lambda each: moment(each["as_of"]))

    def behind_ms(self) -> int:
        """How far the newest event was behind the wall clock when it was told: a replay is, and an old log."""
        if self.last is None or self.told_ms is None:
            return 0
        return self.told_ms - moment(self.last["as_of"])

    def silenced_by(self, silences: list[Silence], at_ms: int) -> list[Silence]:
        """Silences that would keep it back at a moment."""
        labels = {**self.labels, "alertname": self.alert, "severity": self.severity}
        return [
            each
            for each in silences
            if each.starts_at_ms <= at_ms < each.ends_at_ms and matches(each.matchers, labels)
        ]


def accounts(found: dict[str, list[Found]]) -> list[Account]:
    """Everything of each fingerprint, from ``cx.alerts``, ``cx.decisions`` and ``cx.actions``, as read.

    What is no record of its topic is left out. An event told twice (after a crash) counts once.
    """
    by_mark: dict[str, Account] = {}
    seen: set[str] = set()
    for record in found.get(topics.ALERTS, ()):
        event = _object(record.value)
        if event is None or event.get("id") in seen or not isinstance(event.get("data"), dict):
            continue
        seen.add(str(event.get("id")))
        mark = str(event["data"].get("fingerprint"))
        account = by_mark.setdefault(mark, Account(mark))
        account.events.append(event)
        account.told_ms = record.at_ms
    for value in newest(found.get(topics.DECISIONS, [])).values():
        decision = _object(value)
        if decision is not None and {"fingerprint", "stage", "reason"} <= decision.keys():
            mark = str(decision["fingerprint"])
            by_mark.setdefault(mark, Account(mark)).decisions[str(decision["stage"])] = decision
    for record in found.get(topics.ACTIONS, ()):
        try:
            action = ActionTaken.model_validate_json(record.value or b"")
        except ValidationError:
            continue
        if action.fingerprint in by_mark:
            by_mark[action.fingerprint].actions.append(json.loads(action.model_dump_json(exclude_none=True)))
    return sorted(by_mark.values(), key=lambda each: each.rank)


def moment(text: Any) -> int:
    """Epoch milliseconds of a time as it is written on topics."""
    return to_ms(parse(text))


def in_force(versions: list[tuple[int, RuleBook]], kept: RuleBook, at_ms: int) -> RuleBook:
    """The rules that judge at a moment of event time."""
    book = kept
    for from_ms, version in versions:
        if from_ms <= at_ms:
            book = version
    return book


def clock(ms: int) -> str:
    """A moment without what nobody reads: ``2026-03-01 12:00:00Z``."""
    return format_ms(ms // 1000 * 1000).replace("T", " ")


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(value or b"null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
