"""At most so many alerts of a rule in so long, and a summary of the rest.

Time is cut into stretches of the rule's length, by event time; in each a partition tells its share, the first in
the order in which it works. A customer remembers what became of its alerts, so what was told before a crash
is known after it: of those told in a stretch none is ever told too many, and the same ones are told again. What
limits an alert is the rule of its own moment, whichever hold when it is worked on: so it counts the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import format_ms
from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.model import Rule
    from stream.alerting.watch import Watch

NEVER: Final = 2**62
SUMMARY: Final = "rate_limited_summary"

#: What became of an alert of a rule with a limit.
_TOLD, _LEFT_OUT, _LEFT_OUT_LATE = range(3)


class _Stretch(NamedTuple):
    """What is counted together: alerts of a rule's name under one limit, however else the rules have changed."""

    end_ms: int
    alert: str
    alerts: int
    per_ms: int


class RateLimits:
    """How many alerts of each rule a partition has told.

    Args:
        partition: its number.
        partitions: how many share a limit.
        floor_ms: before which moment no event will come any more, as of now.
        rule_of: the rule of a name at a moment.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        floor_ms: Callable[[], int],
        rule_of: Callable[[str, int], Rule | None],
    ) -> None:
        self._partition = partition
        self._partitions = partitions
        self._floor_ms = floor_ms
        self._rule_of = rule_of
        self._counts: dict[_Stretch, list[int]] = {}  # told, left out
        #: Each stretch in which something was left out, of which is not told yet: the last of that, and its rule.
        self._ends: dict[_Stretch, tuple[int, Rule]] = {}
        self.next_ms = NEVER

    def restore(self, watch: Watch, clock_ms: int) -> None:
        """Take in what a customer remembers, with all up to ``clock_ms`` known; before anything else."""
        for alert, at_ms, became in watch.limited:
            stretch, rule = self._stretch(alert, at_ms)
            if rule is not None and stretch.end_ms > self._floor_ms():
                self._count(stretch, rule, at_ms, became, clock_ms)

    def admits(self, alert: str, watch: Watch, at_ms: int, clock_ms: int) -> bool:
        """Whether an alert of ``at_ms`` may be told; it is counted as told, or as left out."""
        stretch, rule = self._stretch(alert, at_ms)
        if rule is None:
            return True
        told, _ = self._counts.get(stretch, (0, 0))
        share = -(-stretch.alerts // self._partitions)
        became = _TOLD if told < share else _LEFT_OUT if stretch.end_ms > clock_ms else _LEFT_OUT_LATE
        self._count(stretch, rule, at_ms, became, clock_ms)
        floor_ms = self._floor_ms()
        watch.limited = [
            one for one in watch.limited if one[0] != alert or self._stretch(*one[:2])[0].end_ms > floor_ms
        ]
        watch.limited.append((alert, at_ms, became))
        return became == _TOLD

    def summary(self) -> Claim | None:
        """The summary that is due at ``next_ms``, of the first rule by name; ``next_ms`` moves on.

        None where the rule is gone by then.
        """
        stretch = min(self._ends)
        _, rule = self._ends.pop(stretch)
        told, left_out = self._counts[stretch]
        self.next_ms = min((each.end_ms for each in self._ends), default=NEVER)
        floor_ms = min(self._floor_ms(), stretch.end_ms)
        for old in [each for each in self._counts if each.end_ms <= floor_ms]:
            del self._counts[old]
        gone = self._rule_of(stretch.alert, stretch.end_ms) is None
        return None if gone else self._claim(rule, stretch, told, left_out)

    def _stretch(self, alert: str, at_ms: int) -> tuple[_Stretch, Rule | None]:
        """What an alert counts for, and its rule; None: no rule limits it."""
        rule = self._rule_of(alert, at_ms)
        if rule is None or rule.limit is None:
            return _Stretch(0, alert, 0, 0), None
        alerts, per_ms = rule.limit.alerts, rule.limit.per_ms
        return _Stretch((at_ms // per_ms + 1) * per_ms, alert, alerts, per_ms), rule

    def _count(self, stretch: _Stretch, rule: Rule, at_ms: int, became: int, clock_ms: int) -> None:
        counts = self._counts.setdefault(stretch, [0, 0])
        if became == _TOLD:
            counts[0] += 1
        elif became == _LEFT_OUT:
            counts[1] += 1
            if stretch.end_ms > clock_ms:
                if at_ms >= self._ends.get(stretch, (-1, rule))[0]:
                    self._ends[stretch] = at_ms, rule
                self.next_ms = min(self.next_ms, stretch.end_ms)

    def _claim(self, rule: Rule, stretch: _Stretch, told: int, left_out: int) -> Claim:
        """As the lane's summary of a limit, but of a partition and of a stretch that is over."""
        end_ms, _, alerts, per_ms = stretch
        labels = dict(rule.labels)
        mark = fingerprint(rule.alert, labels, f"limit/{self._partition}")
        start_ms = end_ms - per_ms
        per = duration_text(per_ms)
        return Claim(
            id=claim_id(mark, "firing", end_ms, f"{SUMMARY}/{alerts}/{per_ms}"),
            alert=rule.alert,
            subject=f"rule:{rule.alert}",
            state="firing",
            reason=SUMMARY,
            severity=str(rule.severity),
            fingerprint=mark,
            labels=labels,
            annotations={
                "summary": f"{left_out} alerts of {rule.alert} were not told one by one: more than "
                f"{alerts} in {per}"
            },
            starts_at_ms=start_ms,
            ends_at_ms=end_ms,
            as_of_ms=end_ms,
            figures={
                "withheld": left_out,
                "told": told,
                "limit": alerts,
                "per": per,
                "since": format_ms(start_ms),
                "partition": self._partition,
            },
        )
