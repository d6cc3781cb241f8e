"""The limits of rules and the storm, with what they remember and the summaries they are told by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream.alerting import room, storm
from stream.alerting.summaries import Flood, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.alerting.claims import Claim
    from stream.alerting.hygiene import Limit
    from stream.alerting.model import RuleBook

LIMITED: Final = "rate_limited"
STORM: Final = "storm"

_encoder: Final = msgspec.json.Encoder()
_flood: Final = msgspec.json.Decoder(Flood)


def queue_of(rule: str) -> str:
    """What the alerts wait in that a rule's limit keeps back, or with an empty name the storm."""
    return f"{LIMITED}/{rule}" if rule else STORM


class Floods:
    """One flood for each rule with a limit, and one of an empty name for the storm.

    Args:
        waiting: how many alerts that fire wait in a queue.
        silenced: whether a silence keeps a summary back.
    """

    def __init__(self, waiting: Callable[[str], int], silenced: Callable[[Claim], bool]) -> None:
        self._waiting = waiting
        self._silenced = silenced
        self._limits: Mapping[str, Limit] = {}
        self._labels: Mapping[str, dict[str, str]] = {}
        self._floods: dict[str, Flood] = {}
        self._calm_ms: int | None = None  # when a storm was over last
        self.dirty: set[str] = set()

    def rules(self, book: RuleBook) -> None:
        """These rules hold."""
        found = {rule.alert: rule.limit for rule in book.metric_rules if rule.limit is not None}
        self._labels = {rule.alert: dict(rule.labels) for rule in book.metric_rules if rule.alert in found}
        self._limits = found if book.hygiene.storm is None else {**found, "": book.hygiene.storm}

    def restore(self, rule: str, value: bytes) -> None:
        """Take back what a flood remembers."""
        self._floods[rule] = _flood.decode(value)

    def written(self, rule: str) -> bytes | None:
        """What a flood remembers; None: nothing."""
        flood = self._floods.get(rule)
        return None if flood is None else _encoder.encode(flood)

    @property
    def queues(self) -> list[str]:
        """What alerts may wait in because of limits."""
        return [queue_of(rule) for rule in self._floods if rule]

    def keeps_back(self, claim: Claim, waited: str, at_ms: int) -> tuple[str, int | None] | None:
        """Whether an alert that would be told has to wait: why, and until when. If not, it counts as told.

        ``waited``: what it has waited for; it is counted among those kept back once.
        """
        limit = self._limits.get(claim.alert)
        if limit is not None:
            flood = self._flood(claim.alert)
            room_ms = room.room_at(flood, limit, at_ms)
            if room_ms > at_ms:
                if waited != LIMITED:
                    if flood.begun_ms is None:
                        flood.labels = self._labels[claim.alert]
                    flood.hold(claim, at_ms)
                return LIMITED, room_ms
        most = self._limits.get("")
        if most is not None and not storm.admit(self._flood(""), most, at_ms):
            if waited != STORM or self._calm_ms == at_ms:  # or it begins again with what the last one left
                self._flood("").hold(claim, at_ms)
            return STORM, None
        if limit is not None:
            room.take(self._flood(claim.alert), limit, at_ms)
        return None

    def calm(self, at_ms: int) -> list[Claim] | None:
        """End the storm if it is over, with its last summary; None if it is not, or there is none."""
        flood, limit = self._floods.get(""), self._limits.get("")
        if flood is None or flood.begun_ms is None:
            return None
        if limit is not None and not storm.may_end(flood, limit, self._waiting(STORM), at_ms):
            return None
        last = self._summary("", flood, at_ms, over=True)
        storm.end(flood)
        self._calm_ms = at_ms
        return last

    def times(self, after_ms: int) -> list[int]:
        """When a storm may be over and a summary is told again, after a moment."""
        times = []
        for rule, flood in self._floods.items():
            limit = self._limits.get(rule)
            if limit is None or flood.begun_ms is None:
                continue
            if not rule:
                times.append(storm.calm_at(flood, limit))
            if flood.told_ms is not None and flood.count != flood.told_count:
                times.append(flood.told_ms + limit.per_ms)
        return [at_ms for at_ms in times if at_ms > after_ms]

    def sum_up(self, at_ms: int) -> list[Claim]:
        """The summaries that are due, at the end of an instant."""
        told: list[Claim] = []
        for rule in sorted(self._floods):
            flood, limit = self._floods[rule], self._limits.get(rule)
            if flood.begun_ms is None:
                if limit is None or not flood.times or flood.times[-1] <= at_ms - limit.per_ms:
                    del self._floods[rule]  # there is nothing to remember
                    self.dirty.add(rule)
            elif rule and not self._waiting(queue_of(rule)):
                told += self._summary(rule, flood, at_ms, over=True)
                flood.end()
            elif limit is not None and (
                flood.told_ms is None
                or (flood.count != flood.told_count and at_ms >= flood.told_ms + limit.per_ms)
            ):
                told += self._summary(rule, flood, at_ms, over=False)
        return told

    def _flood(self, rule: str) -> Flood:
        self.dirty.add(rule)
        return self._floods.setdefault(rule, Flood())

    def _summary(self, rule: str, flood: Flood, at_ms: int, *, over: bool) -> list[Claim]:
        """The summary, unless a silence kept it back when it began: then all of it is kept back."""
        self.dirty.add(rule)
        claim = summary(rule, flood, self._limits.get(rule), self._waiting(queue_of(rule)), at_ms, over=over)
        if flood.told_ms is None:
            flood.silenced = self._silenced(claim)
        flood.told_ms, flood.told_count = at_ms, flood.count
        return [] if flood.silenced else [claim]
