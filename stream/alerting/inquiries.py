"""Tests that go on over time, as one rule on one slice has them at one instant: what came, what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from stream.alerting.detectors import began, mean_before, pursued, watched
from stream.alerting.fdr import needed
from stream.alerting.model import Evidence, Kind
from stream.measures.registry import METRICS
from stream.measures.stats import Stats, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream.alerting import fdr
    from stream.alerting.detectors import Episode
    from stream.alerting.life import State
    from stream.alerting.model import MetricRule

    Times = Callable[[str, int, int], int]


def goes_on(rule: MetricRule) -> bool:
    """Whether the rule has such a test."""
    return rule.change is not None or rule.evidence is Evidence.ANYTIME


class News:
    """What became known of a slice at an instant, as its rules share it.

    Args:
        sums: of its windows.
        panes: what became known, by pane.
        instant: which.
        times: how often a window counts a pane at an instant.
    """

    def __init__(
        self, sums: Mapping[str, Stats], panes: Sequence[tuple[int, Stats]], instant: int, times: Times
    ) -> None:
        self.sums = sums
        self.panes = panes
        self._instant = instant
        self._times = times
        self._come: dict[str, Stats] = {}
        self._before: dict[tuple[str, str], Stats] = {}

    def come(self, metric: str) -> Stats:
        """All that a metric reads of it."""
        found = self._come.get(metric)
        if found is None:
            found = self._come[metric] = {}
            for _, stats in self.panes:
                merge(found, _of(metric, stats))
        return found

    def before(self, metric: str, window: str) -> Stats:
        """A window without what came now: a bet must not know how it ends."""
        found = self._before.get((metric, window))
        if found is None:
            held = _of(metric, self.sums.get(window, {}))
            found = self._before[metric, window] = {key: list(vec) for key, vec in held.items()}
            for pane, stats in self.panes:
                for _ in range(self._times(window, pane, self._instant)):
                    subtract(found, _of(metric, stats))
        return found


class Asked:
    """Implements ``Inquiry``.

    Args:
        rule: with such a test.
        news: what became known of the slice.
        window: whose value is shown of a change.
        ledger: of a rule with ``fdr``.
        partitions: over which its slices are spread.
    """

    def __init__(
        self, rule: MetricRule, news: News, window: str | None, ledger: fdr.Ledger, partitions: int
    ) -> None:
        self.window = window
        self.ledger = ledger
        self._rule = rule
        self._news = news
        self._partitions = partitions

    def taken_in(self, state: State) -> State:
        """The state with what became known."""
        rule, news = self._rule, self._news
        if not news.panes:
            return state
        if rule.change is not None:
            come, before = news.come(rule.metric), news.before(rule.metric, rule.change.reference)
            watch = watched(rule.change, rule.metric, rule.confidence, state.watch, come, before)
            return state if watch is state.watch else replace(state, watch=watch)
        if state.episode is None:
            return state
        come = news.come(rule.metric)
        episode = pursued(rule.metric, rule.kind is Kind.BELOW, rule.threshold, state.episode, come)
        return state if episode is state.episode else replace(state, episode=episode)

    def began(self) -> Episode | None:
        """A new episode, counted where the rule counts them."""
        rule = self._rule
        ledger = self.ledger if rule.fdr is None else self.ledger.begin()
        found = began(rule.metric, self._news.sums.get(rule.window, {}), ledger.begun)
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
            reference = self._news.sums.get(rule.change.reference, {})
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


def _of(metric: str, stats: Stats) -> Stats:
    stems = METRICS[metric].stems
    return {key: vec for key, vec in stats.items() if key.partition("|")[0] in stems}
