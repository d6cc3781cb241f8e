"""Tests that go on over time, as one rule on one slice has them at one instant: what came, what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from stream.alerting.detectors import began, mean_before, pursued, watched
from stream.alerting.fdr import needed
from stream.alerting.model import Evidence, Kind
from stream.measures.stats import Stats, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream.alerting import fdr
    from stream.alerting.detectors import Episode
    from stream.alerting.life import State
    from stream.alerting.model import MetricRule


def goes_on(rule: MetricRule) -> bool:
    """Whether the rule has such a test."""
    return rule.change is not None or rule.evidence is Evidence.ANYTIME


class Asked:
    """Implements ``Inquiry``.

    Args:
        rule: with such a test.
        sums: of the slice's windows.
        news: what became known of the slice, by pane.
        counts: how often the rule's window counts a pane.
        window: whose value is shown of a change.
        ledger: of a rule with ``fdr``.
        partitions: over which its slices are spread.
    """

    def __init__(
        self,
        rule: MetricRule,
        sums: Mapping[str, Stats],
        news: Sequence[tuple[int, Stats]],
        counts: Callable[[int], int],
        window: str | None,
        ledger: fdr.Ledger,
        partitions: int,
    ) -> None:
        self.window = window
        self.ledger = ledger
        self._rule = rule
        self._sums = sums
        self._news = news
        self._counts = counts
        self._partitions = partitions

    def taken_in(self, state: State) -> State:
        """The state with what became known."""
        rule = self._rule
        if not self._news:
            return state
        if rule.change is not None:
            come = _together(stats for _, stats in self._news)
            watch = watched(rule.change, rule.metric, rule.confidence, state.watch, come, self._before())
            return state if watch is state.watch else replace(state, watch=watch)
        if state.episode is None:
            return state
        come = _together(stats for _, stats in self._news)
        episode = pursued(rule.metric, rule.kind is Kind.BELOW, rule.threshold, state.episode, come)
        return state if episode is state.episode else replace(state, episode=episode)

    def began(self) -> Episode | None:
        """A new episode, counted where the rule counts them."""
        rule = self._rule
        ledger = self.ledger if rule.fdr is None else self.ledger.begin()
        found = began(rule.metric, self._sums.get(rule.window, {}), ledger.begun)
        if found is not None:
            self.ledger = ledger
        return found

    def needed(self, episode: Episode) -> float:
        """What its evidence must come to."""
        rule = self._rule
        if rule.fdr is None:
            return 1 / (1 - rule.confidence)
        return needed(rule.fdr, self._partitions, self.ledger, episode.number)

    def figures(self, state: State) -> dict[str, Any]:
        """The evidence, what was asked for, and on how many replies it rests."""
        rule = self._rule
        if rule.change is not None:
            reference = self._sums.get(rule.change.reference, {})
            return {
                "before": mean_before(rule.change, rule.metric, rule.confidence, reference),
                "e_value": None if state.watch is None else state.watch.evidence,
                "e_needed": rule.change.one_false_alarm_per,
                "since_n": 0 if state.watch is None else state.watch.n,
            }
        episode = state.episode
        if episode is None:
            return {}
        found = {"e_value": episode.evidence, "e_needed": self.needed(episode), "since_n": episode.n}
        return found if rule.fdr is None else found | {"fdr": rule.fdr}

    def _before(self) -> Stats:
        """The window of the mean before, without what came now: a bet must not know how it ends."""
        change = self._rule.change
        sums = self._sums.get(change.reference, {}) if change is not None else {}
        before = {key: list(vec) for key, vec in sums.items()}
        for pane, stats in self._news:
            for _ in range(self._counts(pane)):
                subtract(before, stats)
        return before


def _together(parts: Iterable[Stats]) -> Stats:
    found: Stats = {}
    for stats in parts:
        merge(found, stats)
    return found
