"""Rules on the customers of a partition: which version judges, what time it is, and who is due.

Time is event time: as late as everything is known (``clock``). Who is due is kept in the customers themselves; the
index of it is made anew from them. So a timer that was told of before a crash is not there after it, and one that
was not goes off again at the same record, with the same alert.

After a crash some customers are ahead of the clock. Whatever happens at a moment therefore finds in each of them
whether it has happened: records by offset stamps, looks by ``looked_ms``, versions by the times of alerts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Raw

from stream.alerting.claims import Decision, fingerprint
from stream.alerting.contact import Gate, Outbox, Reason
from stream.alerting.customer_rules import CustomerRules
from stream.alerting.histories import Turn
from stream.alerting.joining import join_watches
from stream.alerting.limits import RateLimits
from stream.alerting.rules import RuleBook
from stream.alerting.timers import NEVER, Timers
from stream.alerting.watch import DELAYED, NOTHING, SUPPRESSED, Told, Watch, outlived, read_watch
from stream.customers import decode, signal, signals
from stream.customers.ids import merged_into
from stream.customers.state import UNTOLD
from stream.pipeline.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from stream.alerting.histories import HistoryRules
    from stream.alerting.hygiene import Silence
    from stream.alerting.model import Rule
    from stream.customers import Customer
    from stream.customers.models import Models
    from stream.intake import Event
    from stream.measures import SourcePanes
    from stream.pipeline.changes import PipelineConfig
    from stream.pipeline.clock import Kept

    At = Callable[[bytes], Customer]
    Held = tuple[bytes, bytes | Customer]

_ALWAYS: Final = -1


class Watcher:
    """The rules on customers of one partition.

    Args:
        partition: its number.
        config: what decides the outcome.
        rules: the first version; None: nothing is watched until ``swap``.
        panes: of the topics, which know how far each is.
        stored: the customers table.
        models: what holds of customers when.
        kept: what was kept of the time.

    Attributes:
        clock: what time it is.
        outbox: what came of it since it was taken last.
        wake_ms: a record of this time or later may make something due.
        concerned: whether a record is about some rule; quick.
    """

    def __init__(
        self,
        partition: int,
        config: PipelineConfig,
        rules: CustomerRules | None,
        panes: Mapping[str, SourcePanes],
        stored: Mapping[bytes, bytes],
        models: Models,
        kept: Kept,
    ) -> None:
        self._config = config
        self._stored = stored
        self._models = models
        policy = config.panes
        self._lateness_ms = policy.lateness_ms
        self._reach_ms = policy.lateness_ms + policy.late_horizon_ms
        self.clock = Clock(panes, policy.lateness_ms, kept)
        self._timers = Timers()
        self._limits = RateLimits(partition, config.partitions, self.clock.floor_ms, self._rule)
        self._silences: list[Silence] = []
        self._from: list[int] = []
        self._versions: list[tuple[CustomerRules, Gate]] = []
        self._current = 0  # the version that time has reached
        self._came_ms: dict[int, int] = {}  # of versions that came after their moment: when
        self._done_ms = -1  # all that was due up to here is done, but for what the last record made due
        self._begun = False
        self.outbox = Outbox()
        self.wake_ms = NEVER
        self.concerned: Callable[[Event], bool] = self._concerned
        self._put(_ALWAYS, CustomerRules(RuleBook("")) if rules is None else rules)

    def swap(self, rules: CustomerRules, from_ms: int) -> None:
        """Let other rules judge from a moment on; of two for the same moment the later given.

        What lies before the newest rules that hold already is of no use any more, and is not taken.
        """
        self._put(from_ms, rules)

    def silence(self, silences: Sequence[Silence]) -> None:
        """Set the silences that hold beside those of the rules."""
        self._silences[:] = silences

    def keep(self) -> list[tuple[bytes, bytes]]:
        """What to write after the customers, before the panes: see ``clock``."""
        return [] if self._next() <= self.clock.ms else self.clock.keep()

    def forget(self, names: Collection[bytes]) -> None:
        """Nothing is due any more for customers that are no longer there."""
        self._timers.forget(names)
        self._arm()

    def take(self) -> Outbox:
        """What came of it since last asked."""
        taken, self.outbox = self.outbox, Outbox()
        return taken

    def begin(self, at: At) -> None:
        """Before the first record: make the index from the customers table.

        It is as of the time that is durable, though it may be later by now: what happened since is still due.

        Args:
            at: the customer of a name, to be changed and written.
        """
        if self._begun:
            return
        self._begun = True
        self._current = self._version(self.clock.ms)
        self._scan(self._stored.items(), at, self.clock.ms, fresh=True)
        self._arm()

    @property
    def due(self) -> bool:
        """Whether something is due by now; before ``begin`` it may be."""
        if not self._begun:
            return True
        self.clock.advance()
        return self._next() <= self.clock.ms

    def judge(self, event: Event, name: bytes, customer: Customer) -> None:
        """Take in a record that was applied just now and that ``concerned`` found worth a look."""
        version = self._version(event.time_ms) if len(self._from) > 1 else 0
        rules, gate = self._versions[version]
        watch = self._match(rules, gate, event, customer) if rules.rules else None
        # Of records from before the rules that hold now, only those rules judge that have held ever since.
        history = self._versions[max(version, self._current)][0].history
        if (
            history.marks
            and history.concerned(event)
            and (watch is not None or not self._nothing_new(history, event, customer))
        ):
            self.clock.advance()
            watch = _watch_of(customer) if watch is None else watch
            turn = self._turn(event.customer_id, customer, watch, max(version, self._current))
            turn.only = self._ever_since(version) if version < self._current else None
            history.note(event, turn)
        if watch is not None:
            self._keep(name, customer, watch)
            self._arm()

    def join(self, name: bytes, customer: Customer, other: Customer) -> None:
        """Another id's history was joined to a customer: what rules know of it goes on there."""
        theirs = _watch_of(other)
        if not theirs.blank:
            watch = _watch_of(customer)
            join_watches(watch, theirs)
            self._keep(name, customer, watch)
            self._arm()

    def _nothing_new(self, history: HistoryRules, event: Event, customer: Customer) -> bool:
        """Whether a record changes neither what is kept of its customer nor when to look at it next.

        It is so with nearly all records, even where every one of them tells on some signal.
        """
        watch = _watch_of(customer)
        if not watch.alarm_ms or watch.trails or watch.told or event.time_ms <= customer.first_ms:
            return False
        at_ms = max(event.time_ms, customer.last_ms)
        config = self._models.at(at_ms)
        return history.tells_nothing(event, lambda name: signal(customer, at_ms, config, name))

    def wake(self, at: At, everyone: Callable[[], Iterable[Held]], most: int | None = None) -> None:
        """Do what is due by now, in the order of time.

        Args:
            at: the customer of a name, to be changed and written.
            everyone: all customers by name, as objects or as written; for when other rules begin to hold.
            most: how many at most, the rest staying due; None: all.
        """
        self.clock.advance()
        left = NEVER if most is None else most
        while left and (due_ms := self._next()) <= self.clock.ms:
            left -= 1
            if due_ms == self._next_version_ms():
                self._current += 1
                self._scan(everyone(), at, due_ms, fresh=False)
            elif due_ms == self._limits.next_ms:
                summary = self._limits.summary()
                if summary is not None:
                    self.outbox.tell(summary)
            else:
                self._go_off(*self._timers.pop(), at)
        self._arm()

    def _go_off(self, due_ms: int, name: bytes, at: At) -> None:
        customer = at(name)
        if merged_into(customer) is not None:
            return  # the id that stays has its own
        watch = _watch_of(customer, keep=False)
        history = self._versions[self._current][0].history
        if watch.alarm_ms != due_ms and (
            watch.alarm_ms or history.next_ms(watch, customer.first_ms, due_ms - 1) != due_ms
        ):
            return  # it was set to another moment meanwhile
        watch.alarm_ms = 0
        turn = self._turn(_id_of(name), customer, watch, self._current)
        turn.clock_ms = max(due_ms, self._done_ms)  # what is late is due at a moment that has long passed
        history.due(due_ms, turn)
        self._keep(name, customer, watch, due_ms)

    def _keep(self, name: bytes, customer: Customer, watch: Watch, clock_ms: int | None = None) -> None:
        """Put a watch back into its customer, who is in the index for the moment that is due next."""
        if clock_ms is None:
            clock_ms = self._done_ms = self.clock.ms
        history = self._versions[self._current][0].history
        if history.looks or watch.looked_ms:  # all looks up to now are done, or none was due
            watch.looked_ms = max(watch.looked_ms, clock_ms)
        due_ms = history.next_ms(watch, customer.first_ms, clock_ms)
        if due_ms and (not watch.alarm_ms or due_ms < watch.alarm_ms):
            watch.alarm_ms = due_ms
            self._timers.add(due_ms, name)
        customer.watch = NOTHING if watch.blank else watch

    def _scan(self, everyone: Iterable[Held], at: At, now_ms: int, *, fresh: bool) -> None:
        """Let the current rules take over from those before, and index who is due under them.

        Args:
            everyone: all customers by name.
            at: as of ``wake``.
            now_ms: since when the rules hold; for an index that is made anew, the time.
            fresh: whether the index is empty.
        """
        rules, _ = self._versions[self._current]
        history = rules.history
        since = self._since()
        look_ms = max(now_ms, self._came_ms.pop(now_ms, now_ms))
        for name, held in everyone:
            if isinstance(held, bytes) and held.endswith(UNTOLD) and not history.looks:
                continue
            customer = decode(held) if isinstance(held, bytes) else held
            if merged_into(customer) is not None:
                continue
            watch = _watch_of(customer, keep=False)
            if fresh:
                self._limits.restore(watch, now_ms)
                if not watch.alarm_ms and not self.clock.holds(customer.stamp_t, customer.stamp_r):
                    continue  # no look was due where it is
            due_ms = history.next_ms(watch, customer.first_ms, look_ms)
            if any(outlived(watch, since)) or (due_ms and watch.alarm_ms and due_ms < watch.alarm_ms):
                customer = at(name)
                watch = _watch_of(customer)
                history.take_over(now_ms, since, self._turn(_id_of(name), customer, watch, self._current))
                self._keep(name, customer, watch, look_ms)
            elif not watch.alarm_ms and due_ms:
                self._timers.add(due_ms, name)
            if fresh and watch.alarm_ms:
                self._timers.add(watch.alarm_ms, name)

    def _match(self, rules: CustomerRules, gate: Gate, event: Event, customer: Customer) -> Watch | None:
        """Let the rules on single records judge; returns what is kept of the customer, if it was looked at."""
        time_ms = event.time_ms
        config = self._models.at(max(time_ms, customer.last_ms))
        matches = rules.match(
            event, lambda: signals(customer, time_ms, config, rules.signals), customer.fired
        )
        if not matches:
            return None
        watch: Watch | None = None
        for match in matches:
            rule, claim = rules.rules[match.rule], match.claim
            if claim is None:
                self._cooled(rule, event, customer.fired[match.rule])
            elif gate.open(rule):
                self.outbox.tell(claim)
            else:
                self.clock.advance()
                watch = _watch_of(customer) if watch is None else watch
                told = Told(0, "", time_ms, event.event_id, SUPPRESSED, lives=False)
                gate.tell(rule, claim, watch, told, self.outbox, self.clock.ms)
                if told.status == DELAYED:
                    watch.told.append(told)
        customer.fired = rules.remember(customer.fired, matches, time_ms)
        return watch

    def _cooled(self, rule: Rule, event: Event, since_ms: int) -> None:
        """A record passed a rule that is in its cooldown."""
        labels = dict(rule.labels)
        mark = fingerprint(rule.alert, labels, f"customer:{event.customer_id}")
        self.outbox.counted[Reason.IN_COOLDOWN] += 1
        self.outbox.decided.append(
            Decision("customer", rule.alert, mark, labels, Reason.IN_COOLDOWN, event.time_ms, since_ms)
        )

    def _turn(self, customer_id: str, customer: Customer, watch: Watch, version: int) -> Turn:
        rules, gate = self._versions[version]
        models, wanted = self._models, rules.history.signals
        return Turn(
            customer_id,
            customer.first_ms,
            customer.last_ms,
            watch,
            lambda at_ms: signals(customer, at_ms, models.at(max(at_ms, customer.last_ms)), wanted),
            gate,
            self.outbox,
            self.clock.ms,
            self._reach_ms,
        )

    def _put(self, from_ms: int, rules: CustomerRules) -> None:
        version = (rules, Gate(rules.book.hygiene, self._limits, self._silences))
        if self._begun and from_ms <= self.clock.ms:
            self._came_ms[from_ms] = self.clock.ms
        at = bisect_left(self._from, from_ms)
        if self._from[at : at + 1] == [from_ms]:
            self._versions[at] = version
            if at == self._current and at:
                self._current -= 1  # it takes over once more
        else:
            self._from.insert(at, from_ms)
            self._versions.insert(at, version)
            self._current += at <= self._current and len(self._from) > 1
        self.concerned = rules.concerned if len(self._versions) == 1 else self._concerned
        self._arm()

    def _concerned(self, event: Event) -> bool:
        version = self._version(event.time_ms)
        return self._versions[version][0].concerned(event) or (
            version < self._current and self._versions[self._current][0].concerned(event)
        )

    def _version(self, time_ms: int) -> int:
        return max(bisect_right(self._from, time_ms) - 1, 0)

    def _rule(self, alert: str, at_ms: int) -> Rule | None:
        """The rule of a name at a moment."""
        return self._versions[self._version(at_ms)][0].history.rules.get(alert)

    def _since(self) -> dict[int, int | None]:
        """Mark of each rule that holds now, None, or that a later version has, from when on."""
        since: dict[int, int | None] = {}
        later = zip(self._from, self._versions, strict=True)
        for from_ms, (rules, _) in reversed(list(later)[self._current :]):
            since |= dict.fromkeys(rules.history.marks, from_ms)
        return since | dict.fromkeys(self._versions[self._current][0].history.marks)

    def _ever_since(self, version: int) -> frozenset[int]:
        """Marks of the rules that have held from a version up to the one before that which holds now."""
        held = (one.history.marks for one, _ in self._versions[version : self._current])
        return frozenset.intersection(*held)

    def _next_version_ms(self) -> int:
        later = self._from[self._current + 1 : self._current + 2]
        return later[0] if later else NEVER

    def _next(self) -> int:
        """When something is due next; exact if it is due by now."""
        return min(self._timers.first(self.clock.ms), self._limits.next_ms, self._next_version_ms())

    def _arm(self) -> None:
        next_ms = min(self._timers.next_ms, self._limits.next_ms, self._next_version_ms())
        self.wake_ms = next_ms + self._lateness_ms if next_ms > self.clock.ms else _ALWAYS


def _watch_of(customer: Customer, *, keep: bool = True) -> Watch:
    """What is kept of a customer, which is written with it from now on."""
    held = customer.watch
    if isinstance(held, Watch):
        return held
    watch = read_watch(held) if isinstance(held, Raw) else Watch()
    if keep:
        customer.watch = watch
    return watch


def _id_of(name: bytes) -> str:
    return name.decode()
