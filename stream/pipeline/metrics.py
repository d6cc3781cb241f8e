"""One partition of ``cx.partials``: partials into windows, windows into metrics and claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream.alerting.judge import EPISODES, STATES, Judge
from stream.measures import Shown, decode_partial_or_mark, encode_metrics
from stream.measures.wanted import window_config
from stream.measures.windows import Windows
from stream.pipeline.finals import Final, Finals
from stream.pipeline.trials import Trials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream.alerting.claims import Claim, Decision
    from stream.alerting.rules import RuleBook
    from stream.measures import MetricValue, Stats
    from stream.measures.windows import Closing
    from stream.pipeline.customers import Entry, PipelineConfig


@dataclass(frozen=True, slots=True)
class MetricsRecord:
    """One value of ``cx.metrics``; ``values`` are the same as objects, by metric and window."""

    slice_key: str
    as_of_ms: int
    final: bool
    payload: bytes
    values: dict[str, dict[str, MetricValue]]


@dataclass(slots=True)
class MetricsChanges:
    """What a batch came to, in the order in which it is made durable.

    First ``metrics``, ``claims`` and then the lane's mark (``mark_ms``, None: not moved) are published and
    awaited; then ``entries`` are written, and when they are acknowledged ``progress``. For telling: ``decisions``
    by reason, and in ``decided`` those of rules and slices that were decided otherwise than before.
    """

    metrics: list[MetricsRecord] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    mark_ms: int | None = None
    entries: list[Entry] = field(default_factory=list)
    progress: list[Entry] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    decided: list[Decision] = field(default_factory=list)


class MetricsPartition:
    """The windows and the alert conditions of the slices of one partition.

    Args:
        partition: its number.
        config: what decides the outcome.
        book: the rules.
        table: the partition of the windows table, to restore from.
    """

    def __init__(
        self, partition: int, config: PipelineConfig, book: RuleBook, table: Mapping[bytes, bytes]
    ) -> None:
        self.partition = partition
        self._config = config
        self._windows = Windows(
            partition, window_config(config.declared, config.panes.pane_ms, book.windows), config.sources
        )
        self._shown = Shown(config.declared, config.confidence)
        self._pane_ms = config.panes.pane_ms
        horizon_ms = config.panes.late_horizon_ms
        self._judge = Judge(book, self._windows, horizon_ms=horizon_ms, partitions=config.partitions)
        for key, value in table.items():
            text = key.decode()
            if text.startswith((STATES, EPISODES)):
                self._judge.restore(text, value)
            else:
                self._windows.restore(text, value)
        self._windows.ready()
        self._judge.ready()
        self._trials = Trials(self._shown, self._windows)

    def swap(self, book: RuleBook, from_ms: int) -> None:
        """Judge by these rules at all instants from ``from_ms`` (event time) on; several may wait.

        Those that are known at a start are given before the first ``run``. What the rules look at must be kept:
        the windows and slices are those of the rules that the partition was made with.
        """
        self._judge.swap(book, from_ms)

    @property
    def final_ms(self) -> int | None:
        """Up to which instant (epoch ms) everything is final; None before the first pane."""
        frontier = self._windows.frontier
        return frontier * self._pane_ms if frontier > 0 else None

    def run(self, values: Iterable[bytes | None]) -> MetricsChanges:
        """Take the records' values in, in log order.

        The state moves on: what is returned has to become durable, or the object thrown away.
        """
        changes = MetricsChanges()
        before = self._windows.frontier
        self._judge.begin()
        for value in values:
            if value is not None:
                self._windows.apply(decode_partial_or_mark(value))
        finals = Finals()
        for closing in self._windows.close():
            self._take(closing, finals)
            self._decide(closing, changes)
        changes.metrics = [self._final(slice_key, final) for slice_key, final in finals]
        if self._windows.frontier > before:
            changes.mark_ms = self._windows.frontier * self._pane_ms
        self._take_changes(changes)
        return changes

    def closed(self, cells: Mapping[int, dict[int, dict[str, Stats]]], instant: int) -> MetricsChanges:
        """Judge everything up to ``instant``: for files, as ``run``, with arguments as of ``Windows.closed``.

        Of the changes there are the claims, the decisions and the lane's mark; nothing is published or written.
        """
        changes = MetricsChanges()
        before = self._windows.frontier
        self._judge.begin()
        for closing in self._windows.closed(cells, instant):
            self._decide(closing, changes)
        if self._windows.frontier > before:
            changes.mark_ms = self._windows.frontier * self._pane_ms
        return changes

    def provisional(self) -> Iterator[MetricsRecord]:
        """Values so far of the slices of which something was heard since last asked, one by one."""
        windows = self._windows
        for key in sorted(windows.touched()):
            sums = windows.provisional(key)
            at_ms = windows.newest * self._pane_ms
            values = self._shown.values(key, sums, self._trials.controls(key, windows.provisional))
            payload = encode_metrics(key, at_ms, False, values)
            yield MetricsRecord(key, at_ms, False, payload, values)

    def settled(self, cells: Iterable[tuple[str, int, Stats]], instant: int) -> Iterator[MetricsRecord]:
        """Final values of every slice at an instant, from all cells at once; only while nothing was taken in.

        Args:
            cells: (slice key, pane, sums), in any order; of a slice and pane perhaps more than once.
            instant: number of panes that are final.
        """
        windows = self._windows
        windows.settle(cells, instant)
        as_of_ms = instant * self._pane_ms
        for key in windows.slices():
            controls = self._trials.controls(key, windows.values)
            yield self._final(key, Final(as_of_ms, windows.values(key), controls, None))

    def _take(self, closing: Closing, finals: Finals) -> None:
        changed = closing.changed
        for slice_key in (*changed, *self._trials.beside(changed)):
            sums = changed.get(slice_key) or self._windows.values(slice_key)
            corrected = closing.corrected.get(slice_key)
            before = finals.corrected(slice_key)
            if before is not None:
                corrected = before if corrected is None else min(corrected, before)
            controls = self._trials.controls(slice_key, self._windows.values)
            finals.take(slice_key, Final(closing.as_of_ms, sums, controls, corrected))

    def _decide(self, closing: Closing, changes: MetricsChanges) -> None:
        judged = self._judge.judge(closing)
        changes.claims += judged.claims
        changes.decisions += judged.counts
        changes.decided += judged.decided

    def _take_changes(self, changes: MetricsChanges) -> None:
        done = self._windows.changes()
        states, gone = self._judge.changes()
        changes.entries = [(key.encode(), value) for key, value in (*done.entries, *states)]
        if done.progress is not None:
            changes.progress.append((done.progress[0].encode(), done.progress[1]))
        changes.progress += [(key.encode(), None) for key in (*done.tombstones, *gone)]

    def _final(self, slice_key: str, final: Final) -> MetricsRecord:
        values = self._shown.values(slice_key, final.sums, final.controls)
        corrected_from_ms = None if final.corrected is None else final.corrected * self._pane_ms
        payload = encode_metrics(slice_key, final.as_of_ms, True, values, corrected_from_ms)
        return MetricsRecord(slice_key, final.as_of_ms, True, payload, values)
