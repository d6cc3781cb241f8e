"""Records to alerts by the agents' own cores, over lines in memory. Pure: lines in, alerts out.

Between the cores nothing is encoded, and nothing is made durable: sources hand their sums over as they are,
added up over all sources, as soon as every source has closed the panes. That they may be added up is what makes
the agents' outcome independent of how logs are cut.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from stream.alerting.customer_rules import CustomerRules
from stream.alerting.drivers import together
from stream.alerting.lane import Lane
from stream.backtest.sources import Homes, Kept, News
from stream.compute.share import Intake, Part
from stream.measures.partials import Owners
from stream.pipeline import MetricsPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.alerting.claims import Claim
    from stream.alerting.rules import RuleBook
    from stream.backtest.needs import Needs
    from stream.pipeline import CustomersChanges


class Customers(Intake[Kept]):
    """Some partitions of the inputs: lines to claims on customers, and to what becomes known of slices.

    Args:
        partitions: their numbers.
        needs: what is computed.
        strays: whether lines of no customer are counted here; exactly one of all does.
        now_ms: what the events' times are compared with, to find those too early; None: with nothing.

    Attributes:
        claims: by partition, in the order in which the agents publish them.
        decisions: on customers, by reason.
    """

    def __init__(
        self, partitions: Iterable[int], needs: Needs, *, strays: bool, now_ms: int | None = None
    ) -> None:
        config, book = needs.config, needs.book
        rules = CustomerRules.of(book)
        parts = {number: Part(number, config, Kept, rules) for number in partitions}
        super().__init__(parts, config, strays=strays, now_ms=now_ms)
        self._sources = [source for part in parts.values() for source in part.sources]
        self._homes = Homes(config.partitions, Owners(together(book.metric_rules)))
        self.claims: dict[int, list[Claim]] = {number: [] for number in parts}
        self.decisions: Counter[str] = Counter()

    @property
    def closed(self) -> int:
        """Number of panes that every source has closed; -1 while one had no event."""
        return min(source.panes_closed for source in self._sources)

    @property
    def newest(self) -> int:
        """Pane of the newest event; -1 before the first."""
        return max(source.newest for source in self._sources)

    @property
    def oldest_ms(self) -> int | None:
        """Time of the first event of a source; None without events."""
        return min((s.oldest_ms for s in self._sources if s.oldest_ms is not None), default=None)

    def hand_over(self, news: News) -> None:
        """Add what became known since last asked to ``news``."""
        for source in self._sources:
            source.hand_over(news, self._homes)

    def finish(self, until_ms: int | None) -> None:
        """All lines were taken: every source is idle at last, and time goes on up to a moment, or not at all."""
        for part in self._parts.values():
            self._run(part, ())
            for topic in self._config.topics:
                part.core.idle(topic)
            if until_ms is not None:
                part.core.tick(until_ms)
            self._run(part, ())  # what is due once nothing is waited for any more
            while part.core.overdue:
                self._run(part, ())

    def _run(self, part: Part[Kept], waiting: Sequence[str]) -> CustomersChanges:
        changes = super()._run(part, waiting)
        self.claims[part.core.partition] += changes.claims
        self.decisions += changes.decisions
        return changes


class Judges:
    """Metrics partitions: what becomes known to claims.

    Args:
        partitions: their numbers.
        needs: what is computed.

    Attributes:
        decisions: on slices, by reason.
    """

    def __init__(self, partitions: Iterable[int], needs: Needs) -> None:
        self._parts: dict[int, MetricsPartition] = {}
        if needs.book.metric_rules:
            for number in partitions:
                self._parts[number] = MetricsPartition(number, needs.config, needs.book, {})
        self.decisions: Counter[str] = Counter()

    def close(self, news: News, instant: int) -> Iterable[tuple[int, list[Claim], int | None]]:
        """Judge up to an instant.

        Args:
            news: what becomes known in the slices of each partition; those of ours are emptied up to ``instant``.
            instant: number of panes that are final.

        Returns:
            Partition, its claims in their order, and the lane's mark in milliseconds, if it moved.
        """
        for number, part in self._parts.items():
            cells = news[number]
            due = {known: cells.pop(known) for known in sorted(cells) if known < instant}
            changes = part.closed(due, instant)
            self.decisions += changes.decisions
            yield number, changes.claims, changes.mark_ms


class Ordered:
    """The lane: claims of metrics partitions to alerts in their order.

    Args:
        partitions: of the metrics.
        book: the rules.

    Attributes:
        alerts: those that came out, in their order.
        decisions: on what is told, by reason.
    """

    def __init__(self, partitions: int, book: RuleBook) -> None:
        self._lane = Lane(range(partitions), book)
        self.alerts: list[Claim] = []
        self.decisions: Counter[str] = Counter()

    def take(self, partition: int, claims: Iterable[Claim], mark_ms: int | None) -> None:
        """Take a partition's claims, and up to when these are all."""
        for claim in claims:
            self._lane.offer(partition, claim)
        if mark_ms is not None:
            self._lane.mark(partition, mark_ms)

    def release(self) -> None:
        """Let out the alerts whose time has come."""
        self.alerts += self._lane.release()
        self.decisions.update(str(decision.reason) for decision in self._lane.changes().decided)


def in_order(alerts: Iterable[Claim]) -> list[Claim]:
    """All alerts by time, then fingerprint, then id."""
    return sorted(alerts, key=lambda claim: claim.order)


def empty_news(partitions: int) -> News:
    """Nothing for each metrics partition."""
    return [{} for _ in range(partitions)]
