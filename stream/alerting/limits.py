"""At most so many alerts of a rule in so long, and a summary of the rest.

Time is cut into stretches of the rule's length, by event time; in each a partition tells its share, the first in
the order in which it works. A customer remembers what became of its alerts, so what was told before a crash
is known after it: of those told in a stretch none is ever told too many, and the same ones are told again. What
limits an alert is the rule of its own moment, whichever hold when it is worked on: so it counts the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import format_ms
from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.hygiene import Limit
    from stream.alerting.model import Rule
    from stream.alerting.watch import Watch

NEVER: Final = 2**62
SUMMARY: Final = "rate_limited_summary"

#: What became of an alert of a rule with a limit.
_TOLD, _LEFT_OUT, _LEFT_OUT_LATE = range(3)


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
        #: (rule, end of the stretch) -> told, left out.
        self._counts: dict[tuple[str, int], list[int]] = {}
        #: Each stretch in which something was left out, of which is not told yet: the last of that, and its rule.
        self._ends: dict[tuple[str, int], tuple[int, Rule]] = {}
        self.next_ms = NEVER

    def restore(self, watch: Watch, clock_ms: int) -> None:
        """Take in what a customer remembers, with all up to ``clock_ms`` known; before anything else."""
        for alert, at_ms, became in watch.limited:
            rule = self._rule_of(alert, at_ms)
            if rule is None or rule.limit is None or _end_ms(rule.limit, at_ms) <= self._floor_ms():
                continue
            self._count(rule, rule.limit, at_ms, became, clock_ms)

    def admits(self, alert: str, watch: Watch, at_ms: int, clock_ms: int) -> bool:
        """Whether an alert of ``at_ms`` may be told; it is counted as told, or as left out."""
        rule = self._rule_of(alert, at_ms)
        limit = None if rule is None else rule.limit
        if rule is None or limit is None:
            return True
        end_ms = _end_ms(limit, at_ms)
        told, _ = self._counts.get((rule.alert, end_ms), (0, 0))
        share = -(-limit.alerts // self._partitions)
        became = _TOLD if told < share else _LEFT_OUT if end_ms > clock_ms else _LEFT_OUT_LATE
        self._count(rule, limit, at_ms, became, clock_ms)
        kept_ms = self._floor_ms() - limit.per_ms
        watch.limited = [one for one in watch.limited if one[0] != rule.alert or one[1] >= kept_ms]
        watch.limited.append((rule.alert, at_ms, became))
        return became == _TOLD

    def summary(self) -> Claim | None:
        """The summary that is due at ``next_ms``, of the first rule by name; ``next_ms`` moves on.

        None where the rule is gone by then.
        """
        key = min((end_ms, alert) for alert, end_ms in self._ends)
        end_ms, alert = key
        _, rule = self._ends.pop((alert, end_ms))
        told, left_out = self._counts[alert, end_ms]
        self.next_ms = min((end for _, end in self._ends), default=NEVER)
        floor_ms = self._floor_ms()
        for old in [at for at in self._counts if at[1] <= min(floor_ms, end_ms)]:
            del self._counts[old]
        return None if self._rule_of(alert, end_ms) is None else self._claim(rule, end_ms, told, left_out)

    def _count(self, rule: Rule, limit: Limit, at_ms: int, became: int, clock_ms: int) -> None:
        end_ms = _end_ms(limit, at_ms)
        counts = self._counts.setdefault((rule.alert, end_ms), [0, 0])
        if became == _TOLD:
            counts[0] += 1
        elif became == _LEFT_OUT:
            counts[1] += 1
            if end_ms > clock_ms:
                was_ms, _ = self._ends.get((rule.alert, end_ms), (-1, rule))
                if at_ms >= was_ms:
                    self._ends[rule.alert, end_ms] = at_ms, rule
                self.next_ms = min(self.next_ms, end_ms)

    def _claim(self, rule: Rule, end_ms: int, told: int, left_out: int) -> Claim:
        """As the lane's summary of a limit, but of a partition and of a stretch that is over."""
        limit = rule.limit
        assert limit is not None  # noqa: S101 - only such rules are counted
        labels = dict(rule.labels)
        mark = fingerprint(rule.alert, labels, f"limit/{self._partition}")
        start_ms = end_ms - limit.per_ms
        per = duration_text(limit.per_ms)
        return Claim(
            id=claim_id(mark, "firing", end_ms, SUMMARY),
            alert=rule.alert,
            subject=f"rule:{rule.alert}",
            state="firing",
            reason=SUMMARY,
            severity=str(rule.severity),
            fingerprint=mark,
            labels=labels,
            annotations={
                "summary": f"{left_out} alerts of {rule.alert} were not told one by one: more than "
                f"{limit.alerts} in {per}"
            },
            starts_at_ms=start_ms,
            ends_at_ms=end_ms,
            as_of_ms=end_ms,
            figures={
                "withheld": left_out,
                "told": told,
                "limit": limit.alerts,
                "per": per,
                "since": format_ms(start_ms),
                "partition": self._partition,
            },
        )


def _end_ms(limit: Limit, at_ms: int) -> int:
    return (at_ms // limit.per_ms + 1) * limit.per_ms
