"""One partition of ``cx.partials``: partials into windows, windows into metrics and claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from stream.alerting.conditions import decode_state, disposable, encode_state, step, wake_at
from stream.measures import decode_partial_or_mark, encode_metrics, metric_values, value_of
from stream.measures.windows import Windows, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stream.alerting.claims import Claim
    from stream.alerting.conditions import MetricLike, State
    from stream.alerting.model import MetricRule
    from stream.alerting.rules import RuleBook
    from stream.measures import MetricValue, Stats
    from stream.measures.windows import Closing
    from stream.pipeline.customers import Entry, PipelineConfig

_RULE: Final = "rule|"


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
    awaited; then ``entries`` are written, and when they are acknowledged ``progress``.
    """

    metrics: list[MetricsRecord] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    mark_ms: int | None = None
    entries: list[Entry] = field(default_factory=list)
    progress: list[Entry] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)


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
        self._book = book
        self._windows = Windows(partition, plan(config.panes.pane_ms), config.sources)
        self._pane_ms = config.panes.pane_ms
        self._states: dict[tuple[str, str], State] = {}
        self._gone: list[bytes] = []
        for key, value in table.items():
            text = key.decode()
            if text.startswith(_RULE):
                _, alert, slice_key = text.split("|", 2)
                self._states[alert, slice_key] = decode_state(value)
            else:
                self._windows.restore(text, value)
        self._windows.ready()
        self._rules_as_they_are_now()

    def run(self, values: Iterable[bytes | None]) -> MetricsChanges:
        """Take the records' values in, in log order.

        The state moves on: what is returned has to become durable, or the object thrown away.
        """
        changes = MetricsChanges()
        before = self._windows.frontier
        for value in values:
            if value is not None:
                self._windows.apply(decode_partial_or_mark(value))
        newest: dict[str, tuple[int, dict[str, Stats]]] = {}
        written: dict[tuple[str, str], State] = {}
        ended: dict[tuple[str, str], None] = {}
        for closing in self._windows.close():
            for slice_key, sums in closing.changed.items():
                newest[slice_key] = (closing.as_of_ms, sums)
            self._judge(closing, changes, written, ended)
        # Several panes may close at once: what is published is the newest final value of each slice.
        changes.metrics = [self._record(key, at, sums, final=True) for key, (at, sums) in newest.items()]
        if self._windows.frontier > before:
            changes.mark_ms = self._windows.frontier * self._pane_ms
        self._take_changes(changes, written, ended)
        return changes

    def provisional(self) -> Iterator[MetricsRecord]:
        """Values so far of the slices of which something was heard since last asked, one by one."""
        windows = self._windows
        for key in sorted(windows.touched()):
            yield self._record(key, windows.newest * self._pane_ms, windows.provisional(key), final=False)

    def _judge(
        self,
        closing: Closing,
        changes: MetricsChanges,
        written: dict[tuple[str, str], State],
        ended: dict[tuple[str, str], None],
    ) -> None:
        for slice_key, sums in closing.changed.items():
            for rule in self._book.rules_for(slice_key):
                at = (rule.alert, slice_key)
                state = self._states.get(at)

                done = step(
                    rule,
                    slice_key,
                    state,
                    _reader(rule, sums),
                    instant=closing.instant,
                    t_ms=closing.as_of_ms,
                )
                changes.decisions[done.reason] += 1
                if done.claim is not None:
                    changes.claims.append(done.claim)
                if done.changed and done.state is not None:
                    self._states[at] = written[at] = done.state
                    ended.pop(at, None)
                elif (
                    state is not None
                    # In a replay a state that is ahead stays, or the instants before it would be judged anew.
                    and closing.instant > state.instant
                    and disposable(state, closing.as_of_ms)
                ):
                    del self._states[at]
                    ended[at] = None
                if done.wake_at_ms is not None:
                    self._windows.wake(-(-done.wake_at_ms // self._pane_ms), slice_key)

    def _take_changes(
        self,
        changes: MetricsChanges,
        written: dict[tuple[str, str], State],
        ended: dict[tuple[str, str], None],
    ) -> None:
        done = self._windows.changes()
        changes.entries = [(key.encode(), value) for key, value in done.entries]
        # A state that ended in this round is still written: until its tombstone is durable, and that comes after
        # the progress that covers it, the table must not hold the state before, which would end once more.
        changes.entries += [(_state_key(at), encode_state(state)) for at, state in written.items()]
        dropped, self._gone = self._gone, [_state_key(at) for at in ended]
        if done.progress is not None:
            changes.progress.append((done.progress[0].encode(), done.progress[1]))
        changes.progress += [(key.encode(), None) for key in done.tombstones]
        rewritten = {key for key, _ in changes.entries}
        changes.progress += [(key, None) for key in dropped if key not in rewritten]

    def _record(self, slice_key: str, at_ms: int, sums: Mapping[str, Stats], *, final: bool) -> MetricsRecord:
        values = metric_values(sums, self._config.confidence)
        payload = encode_metrics(slice_key, at_ms, final, values)
        return MetricsRecord(slice_key, at_ms, final, payload, values)

    def _rules_as_they_are_now(self) -> None:
        """After a restart: forget states of rules that are gone, and ask again for the pending ones' turn."""
        by_name = {rule.alert: rule for rule in self._book.metric_rules}
        for (alert, slice_key), state in list(self._states.items()):
            rule = by_name.get(alert)
            if rule is None or rule not in self._book.rules_for(slice_key):
                del self._states[alert, slice_key]
                self._gone.append(_state_key((alert, slice_key)))
                continue
            at_ms = wake_at(rule, state)
            if at_ms is not None:
                self._windows.wake(-(-at_ms // self._pane_ms), slice_key)


def _state_key(at: tuple[str, str]) -> bytes:
    return f"{_RULE}{at[0]}|{at[1]}".encode()


def _reader(rule: MetricRule, sums: Mapping[str, Stats]) -> Callable[[str], MetricLike | None]:
    """Values of the rule's metric by window; None where there are no replies, or no one scale."""

    def read(window: str) -> MetricLike | None:
        found = value_of(rule.metric, sums[window], rule.confidence)
        return None if found is None or found.value is None else cast("MetricLike", found)

    return read
