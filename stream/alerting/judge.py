"""All metric rules on all slices of one partition, instant by instant: what fires, what is over, and why not.

Everything is a function of the closings, so it does not depend on how the log was cut into batches. The rules
change at an instant too: those given with a moment judge from the first instant on that is not before it.

Exactness over a crash is that of the windows: an entry carries the instant it is of and its value as of the last
progress, and what is of a later instant than the frontier of that progress is taken back. The replay then makes
the same claims once more, with the same ids.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from heapq import heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from stream.alerting.claims import AtRisk, Claim, Decision, claim_id, fingerprint
from stream.alerting.conditions import Reason, look
from stream.alerting.drivers import Finer, compared, drivers_of
from stream.alerting.inquiries import Asked, News, goes_on
from stream.alerting.late import basis, reconsidered
from stream.alerting.life import FIRES, NEW, Phase, State, step, unchanged, wake_at
from stream.alerting.metric_claims import figures_of, labels_of
from stream.alerting.standing import EPISODES, STATES, Standing
from stream.alerting.thresholds import Entry, Index, Look, entry_of, values_of
from stream.measures import value_of
from stream.measures.slices import WHOLE
from stream.measures.value_at_risk import AT_RISK

__all__ = ["EPISODES", "STATES", "Judge", "Judgement"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.alerting.conditions import Values
    from stream.alerting.model import MetricRule, RuleBook
    from stream.alerting.standing import At
    from stream.measures import Stats
    from stream.measures.closings import Closing
    from stream.measures.windows import Windows


# Beyond this many slices the cache of their rules starts again.
_CACHED: Final = 200_000


class Judgement(NamedTuple):
    """What was decided: claims, how often for which reason, and the decisions whose reason changed."""

    claims: list[Claim]
    counts: Counter[str]
    decided: list[Decision]


class Judge:
    """The states of the metric rules of one partition.

    ``restore`` every entry and ``ready``; then ``judge`` every closing, and ask for the ``changes``.

    Args:
        book: the rules, until others are given.
        windows: of the partition; asked for closings and sums.
        horizon_ms: how late data may be.
        partitions: over which slices are spread.
    """

    def __init__(self, book: RuleBook, windows: Windows, *, horizon_ms: int, partitions: int) -> None:
        self._windows: Final = windows
        self._pane_ms: Final = windows.config.pane_ms
        self._horizon_ms: Final = horizon_ms
        self._partitions: Final = partitions
        self._book = book
        self._waiting: list[tuple[int, RuleBook]] = []
        self._began = False
        self._standing: Final = Standing(horizon_ms)
        self._timers: list[tuple[int, str, str]] = []
        self._asked: dict[At, int] = {}
        self._orphans: list[At] = []
        self._entries: dict[str, tuple[Entry, Entry]] = {}
        self._indexes: dict[tuple[tuple[str, ...], bool], Index] = {}
        self._index_of: dict[str, Index] = {}
        self._compared: dict[str, tuple[str, str] | None] = {}
        self._finer = Finer(())

    def restore(self, key: str, value: bytes) -> None:
        """Take an entry of the table back.

        Raises:
            msgspec.DecodeError: no entry of a judge.
        """
        self._standing.restore(key, value)

    def ready(self) -> None:
        """All entries are back: the state is that of the windows' frontier."""
        self._standing.ready(self._windows.frontier)

    def swap(self, book: RuleBook, from_ms: int) -> None:
        """Judge by these rules at all instants from ``from_ms`` on; several may wait. A past moment is now."""
        self._waiting = [each for each in self._waiting if each[0] != from_ms]
        insort(self._waiting, (from_ms, book), key=itemgetter(0))
        self._windows.wake(-(-from_ms // self._pane_ms))

    def begin(self) -> None:
        """Before the first closing, when all rules known so far were given."""
        if not self._began:
            self._began = True
            self._turn(self._windows.frontier * self._pane_ms, start=True)

    def judge(self, closing: Closing) -> Judgement:
        """Decide everything that has to be decided at an instant."""
        self._turn(closing.as_of_ms)
        out = Judgement([], Counter(), [])
        orphans, self._orphans = sorted(self._orphans), []
        for slice_key, alert in orphans:
            self._removed(slice_key, alert, closing, out)
        due: dict[str, set[str]] = {}
        while self._timers and self._timers[0][0] <= closing.instant:
            instant, slice_key, alert = heappop(self._timers)
            if self._asked.get((slice_key, alert)) == instant:
                del self._asked[slice_key, alert]
                due.setdefault(slice_key, set()).add(alert)
        changed = closing.changed
        self._finer.meet(changed)
        afresh = self._reconsider(closing, out)
        for slice_key, sums in changed.items():
            self._slice(slice_key, sums, closing, due.get(slice_key, ()), out)
        for slice_key in afresh:
            if slice_key not in changed:
                self._slice(slice_key, self._windows.values(slice_key), closing, (), out)
        return out

    def changes(self) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Entries to write before the progress, and keys to delete after it."""
        return self._standing.changes(self._windows.frontier)

    def _turn(self, now_ms: int, *, start: bool = False) -> None:
        """The rules that judge from now on."""
        book = None
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, book = self._waiting.pop(0)
        if book is None and not start:
            return
        self._book = book or self._book
        least = self._book.declared.min_slice_n
        least = least if least > 1 else 0
        rules = self._book.metric_rules
        self._entries = {rule.alert: (entry_of(rule, least), entry_of(rule, 0)) for rule in rules}
        self._indexes, self._index_of = {}, {}
        windows = self._book.declared.windows
        # Of rules that show another window than their own, or what moved them.
        compare = [rule for rule in rules if rule.drivers or rule.change is not None]
        self._compared = {rule.alert: compared(rule, windows) for rule in compare}
        self._finer = Finer(rules, self._windows.slices() if any(rule.drivers for rule in rules) else ())
        self._timers, self._asked, self._orphans = [], {}, []
        for slice_key, alert, state in self._standing.items():
            if self._judged(slice_key, alert, state):
                self._wake(slice_key, alert, state, now_ms)
            else:
                self._orphans.append((slice_key, alert))
        if self._orphans:
            self._windows.wake(self._windows.frontier + 1)

    def _judged(self, slice_key: str, alert: str, state: State) -> bool:
        """Whether the alert is one that the rules of now make."""
        entry = self._entry(alert, slice_key)
        if entry is None or alert not in self._index(slice_key).positions:
            return False
        if state.phase not in FIRES or not state.told:
            return True
        mark = fingerprint(alert, labels_of(entry.rule, slice_key))
        return state.told[-1].claim.fingerprint == mark

    def _entry(self, alert: str, slice_key: str) -> Entry | None:
        found = self._entries.get(alert)
        return None if found is None else found[slice_key == WHOLE]

    def _index(self, slice_key: str) -> Index:
        found = self._index_of.get(slice_key)
        if found is None:
            rules = self._book.rules_for(slice_key)
            shared = (tuple(rule.alert for rule in rules), slice_key == WHOLE)
            found = self._indexes.get(shared)
            if found is None:
                entries = [self._entries[rule.alert][slice_key == WHOLE] for rule in rules]
                found = self._indexes[shared] = Index(entries)
            if len(self._index_of) >= _CACHED:
                self._index_of.clear()
            self._index_of[slice_key] = found
        return found

    def _removed(self, slice_key: str, alert: str, closing: Closing, out: Judgement) -> None:
        """What fires, and no rule makes any more, is over."""
        state = self._standing.get(slice_key, alert)
        self._standing.forget(slice_key, alert)
        if state.phase in FIRES and state.told:
            old, t_ms = state.told[-1].claim, closing.as_of_ms
            over = replace(
                old,
                id=claim_id(old.fingerprint, "resolved", t_ms, str(old.starts_at_ms)),
                state="resolved",
                reason=str(Reason.RULE_REMOVED),
                ends_at_ms=t_ms,
                as_of_ms=t_ms,
            )
            out.claims.append(over)
            out.counts[Reason.RULE_REMOVED] += 1
            mark, reason = old.fingerprint, str(Reason.RULE_REMOVED)
            out.decided.append(Decision("judge", alert, mark, old.labels, reason, t_ms, t_ms))

    def _reconsider(self, closing: Closing, out: Judgement) -> list[str]:
        """What late data does to what was told; returns the slices of which a firing alert was withdrawn."""
        afresh = []
        last = closing.instant - 1
        standing = self._standing
        for slice_key in sorted(standing.late.keys() & closing.news.keys()):
            late = [(pane, stats) for pane, stats in closing.news[slice_key] if pane < last]
            for alert in sorted(standing.late[slice_key]) if late else ():
                entry = self._entry(alert, slice_key)
                state = standing.get(slice_key, alert)
                if entry is None or not standing.is_by(slice_key, alert, entry.by):
                    continue
                new = self._reconsidered(entry, slice_key, state, late, closing, out)
                if state.phase in FIRES and new.phase not in FIRES:
                    afresh.append(slice_key)
                if new is not state:
                    standing.put(slice_key, alert, entry.by, new, closing.as_of_ms)
        return afresh

    def _reconsidered(
        self,
        entry: Entry,
        slice_key: str,
        state: State,
        news: list[tuple[int, Stats]],
        closing: Closing,
        out: Judgement,
    ) -> State:
        kept = []
        t_ms = closing.as_of_ms
        for told in state.told:
            if not told.sums or told.claim.starts_at_ms + self._horizon_ms < t_ms:
                kept.append(told)
                continue
            late = reconsidered(
                entry.rule,
                slice_key,
                told,
                news,
                self._windows.times,
                pane_ms=self._pane_ms,
                t_ms=t_ms,
            )
            if late.claim is not None:
                out.claims.append(late.claim)
                out.counts[Reason.LATE_DATA] += 1
            if late.told is not None:
                kept.append(late.told)
            elif state.phase in FIRES and told.claim.starts_at_ms == state.starts_at_ms:
                state = replace(NEW, heard=state.heard, watch=state.watch)
        if len(kept) == len(state.told) and all(a is b for a, b in zip(kept, state.told, strict=True)):
            return state
        return replace(state, told=tuple(kept))

    def _slice(
        self,
        slice_key: str,
        sums: Mapping[str, Stats],
        closing: Closing,
        timers: set[str] | tuple[()],
        out: Judgement,
    ) -> None:
        index = self._index(slice_key)
        if not index.entries:
            return
        looked = Look(sums)
        standing = self._standing
        hot = standing.hot.get(slice_key, ())
        states = standing.states.get(slice_key, {})
        due, without = index.due(looked, timers.union(hot) if timers else hot, states)
        news = News(sums, closing.news.get(slice_key, ()), closing.instant, self._windows.times)
        counts = out.counts
        if without:
            counts[Reason.NO_DATA] += without
        if quiet := len(index.entries) - len(due) - without:
            counts[Reason.OK] += quiet
        for position in due:
            entry = index.entries[position]
            rule = entry.rule
            values = values_of(rule, looked.reader(rule.metric, rule.confidence))
            state = states.get(rule.alert)
            verdict = unchanged(rule, state, values, closing.as_of_ms) if entry.plain else None
            if verdict is not None:
                counts[verdict] += 1
                if not standing.is_noted(slice_key, rule.alert, verdict):
                    self._note(entry, slice_key, verdict, values, closing, out)
                continue
            self._one(entry, slice_key, state or NEW, values, news, closing, out)

    def _one(
        self,
        entry: Entry,
        slice_key: str,
        state: State,
        values: Values,
        news: News,
        closing: Closing,
        out: Judgement,
    ) -> None:
        rule, t_ms, sums = entry.rule, closing.as_of_ms, news.sums
        standing = self._standing
        if not standing.is_by(slice_key, rule.alert, entry.by):
            # What was found out for another line says nothing of this one.
            told = tuple(replace(each, sums={}) for each in state.told)
            state = replace(state, watch=None, episode=None, told=told)
        asked = None
        if goes_on(rule):
            asked = self._inquiry(entry, news)
            state = asked.taken_in(state)
        done = step(
            rule,
            slice_key,
            state,
            values,
            t_ms=t_ms,
            basis=lambda: basis(rule, sums),
            inquiry=asked,
        )
        state, claim = done.state, done.claim
        if claim is not None:
            claim = self._content(rule, slice_key, claim, sums)
            if done.reason is Reason.FIRST_CROSSING:
                state = replace(state, told=(*state.told[:-1], replace(state.told[-1], claim=claim)))
            out.claims.append(claim)
        if asked is not None and rule.fdr is not None:
            alerted = done.reason is Reason.FIRST_CROSSING
            standing.count(rule.alert, asked.ledger.alert() if alerted else asked.ledger)
        out.counts[done.reason] += 1
        self._note(entry, slice_key, done.reason, values, closing, out)
        standing.put(slice_key, rule.alert, entry.by, state, t_ms)
        if state.phase is not Phase.INACTIVE or state.told or state.quiet_until_ms is not None:
            self._wake(slice_key, rule.alert, state, t_ms)

    def _inquiry(self, entry: Entry, news: News) -> Asked:
        rule = entry.rule
        pair = None if rule.change is None else self._compared[rule.alert]
        return Asked(
            rule,
            news,
            None if pair is None else pair[0],
            self._standing.episodes(rule.alert),
            self._partitions,
        )

    def _content(self, rule: MetricRule, slice_key: str, claim: Claim, sums: Mapping[str, Stats]) -> Claim:
        """What moved it, and who is at risk."""
        drivers = claim.drivers
        pair = self._compared[rule.alert] if rule.drivers else None
        if pair is not None:
            drivers = drivers_of(rule, slice_key, self._windows.values, self._finer, *pair)
        window = claim.figures["window"]
        found = value_of(AT_RISK, sums.get(window, {}), rule.confidence, window=window)
        at_risk = None if found is None else AtRisk(found.n, found.value, found.currency)
        return claim if at_risk is None and not drivers else replace(claim, drivers=drivers, at_risk=at_risk)

    def _note(
        self, entry: Entry, slice_key: str, reason: Reason, values: Values, closing: Closing, out: Judgement
    ) -> None:
        """Tell why, where that is another reason than before."""
        rule, t_ms = entry.rule, closing.as_of_ms
        if self._standing.noted(slice_key, rule.alert, reason):
            shown = figures_of(rule, look(rule, values))
            if shown["n"] < rule.min_n:
                shown = {"metric": rule.metric, "window": rule.window, "n": shown["n"], "min_n": rule.min_n}
            labels = labels_of(rule, slice_key)
            mark = fingerprint(rule.alert, labels)
            out.decided.append(Decision("judge", rule.alert, mark, labels, str(reason), t_ms, t_ms, shown))

    def _wake(self, slice_key: str, alert: str, state: State, t_ms: int) -> None:
        """Ask for the slice when the state wants it, or may be forgotten."""
        entry = self._entry(alert, slice_key)
        at_ms = None if entry is None else wake_at(entry.rule, state, t_ms)
        if at_ms is None and state.phase is Phase.INACTIVE and state.told:
            at_ms = max(told.claim.starts_at_ms for told in state.told) + self._horizon_ms + 1
        if at_ms is None:
            return
        instant = max(-(-at_ms // self._pane_ms), self._windows.frontier + 1)
        at = (slice_key, alert)
        if self._asked.get(at) != instant:
            self._asked[at] = instant
            heappush(self._timers, (instant, slice_key, alert))
            self._windows.wake(instant, slice_key)
