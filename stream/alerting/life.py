"""The life of a metric rule on one slice: inactive, pending, firing, without data, and back.

``step`` is called at final instants only, whenever a window of the slice has changed and whenever a timer it
asked for has come. Between two calls nothing changed, so the outcome at the first held all the way: a run of
crossings is unbroken when every step in it crossed.

Whatever is no crossing ends a pending run, as in Prometheus. A firing alert ends only when a value, on at least
``min_n`` replies, lies beyond the ``resolve`` line (without one: no longer beyond the rule's own), and
``keep_firing`` has passed since without it having come back. Silence is not recovery: with too few replies it
goes on firing, and with none it is told once that it is without data, where Prometheus would resolve it.

With ``anytime`` an episode begins when the value first crosses, and ends when it is back; the alert fires when
the evidence that came in since is enough. A rule of ``change`` crosses when its e-detector says so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from stream.alerting.claims import Claim
from stream.alerting.conditions import Reason, crossing, holding, look
from stream.alerting.detectors import Episode, Watch, alarmed, calm
from stream.alerting.metric_claims import metric_claim
from stream.alerting.model import Evidence, Kind
from stream.measures.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.claims import AlertState
    from stream.alerting.conditions import Values
    from stream.alerting.model import MetricRule

MOST_TOLD: Final = 8
"""So many of an alert's firings are kept, to be judged anew when late data comes: the newest."""


class Phase(StrEnum):
    """Where in its life an alert is; ``no_data``: it fires, and nothing is heard any more."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no_data"


FIRES: Final = (Phase.FIRING, Phase.NO_DATA)


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A firing that was told.

    Attributes:
        claim: As it was last told.
        sums: Window -> what the rule read, as of the claim's ``starts_at_ms``, with all that came late since;
            {}: late data has no say in it.
        ends_at_ms: When it was over.
    """

    claim: Claim
    sums: dict[str, Stats] = {}
    ends_at_ms: int | None = None


class State(msgspec.Struct, frozen=True, array_like=True):
    """What must survive a restart.

    Attributes:
        phase: Where it is.
        since_ms: When the present run of crossings began.
        starts_at_ms: When the alert fired.
        quiet_until_ms: End of the cooldown.
        over_ms: When it was first seen to be over, with ``keep_firing``.
        notified_ms: When it was last told that it fires.
        heard: Of a rule with ``no_data``: there was something once.
        told: Its firings that late data may change, the oldest first; the last one is that which fires.
        watch: Of a rule of ``change``.
        episode: Of a rule with ``anytime``.
    """

    phase: Phase
    since_ms: int | None = None
    starts_at_ms: int | None = None
    quiet_until_ms: int | None = None
    over_ms: int | None = None
    notified_ms: int | None = None
    heard: bool = False
    told: tuple[Told, ...] = ()
    watch: Watch | None = None
    episode: Episode | None = None


NEW: Final = State(Phase.INACTIVE)


class Inquiry(Protocol):
    """What a rule needs beyond its values, if it has a test that goes on over time."""

    @property
    def window(self) -> str | None:
        """The window whose value is shown, if it is not the rule's own."""

    def began(self) -> Episode | None:
        """A new episode; None where there is nothing to go by."""

    def needed(self, episode: Episode) -> float:
        """What the evidence must come to."""

    def figures(self, state: State) -> dict[str, Any]:
        """What a claim shows of the test."""


class Step(NamedTuple):
    """What a step came to; the state may be that given, or say no more than ``NEW`` does."""

    state: State
    reason: Reason
    claim: Claim | None = None


def step(
    rule: MetricRule,
    slice_key: str,
    state: State,
    values: Values,
    *,
    t_ms: int,
    basis: Callable[[], dict[str, Stats]] = dict,
    inquiry: Inquiry | None = None,
) -> Step:
    """Judge one rule on one slice at one final instant.

    Args:
        rule: the rule.
        slice_key: the slice, as canonical JSON.
        state: what the last step returned, with what its test has come to know since; ``NEW`` at first.
        values: the value of the rule's metric, at the rule's confidence, by window; None: no replies.
        t_ms: the instant; goes forward.
        basis: what a firing is judged by, to be kept for late data.
        inquiry: of rules of ``change`` and with ``anytime``.
    """
    now = _Now(rule, slice_key, values, t_ms, basis, inquiry)
    if rule.kind is Kind.NO_DATA and not state.heard:
        # Silence is news only of those who have spoken.
        verdict = crossing(rule, values)
        return Step(state if verdict is None else replace(state, heard=True), Reason.OK)
    if state.phase in FIRES:
        return _firing(now, state)
    verdict = _verdict(now, state)
    if verdict is None:
        return _crossed(now, state)
    if state.phase is Phase.PENDING or state.episode is not None:
        state = replace(state, phase=Phase.INACTIVE, since_ms=None, episode=None)
    return Step(state, verdict)


def unchanged(rule: MetricRule, state: State | None, values: Values, t_ms: int) -> Reason | None:
    """Why everything stays as it is, for most of what is decided; None: a step is due.

    Of rules that are decided by their values alone, as they are now.
    """
    if state is None:
        return crossing(rule, values)
    if state.phase is Phase.FIRING and state.over_ms is None:
        again_ms = (state.notified_ms or 0) + rule.renotify_ms if rule.renotify_ms else t_ms + 1
        if again_ms > t_ms and holding(rule, values) is Reason.STILL_FIRING:
            return Reason.STILL_FIRING
    return None


def wake_at(rule: MetricRule, state: State, t_ms: int) -> int | None:
    """When after ``t_ms`` a state wants its next step even if nothing changes; ask again after a restart."""
    if state.phase is Phase.PENDING and state.since_ms is not None:
        times = [max(state.since_ms + rule.for_ms, state.quiet_until_ms or 0)]
    elif state.phase is Phase.FIRING:
        times = [] if state.over_ms is None else [state.over_ms + rule.keep_firing_ms]
        if rule.renotify_ms and state.notified_ms is not None:
            times.append(state.notified_ms + rule.renotify_ms)
    else:
        times = [state.quiet_until_ms] if state.quiet_until_ms is not None else []
    return min((time for time in times if time > t_ms), default=None)


def disposable(state: State, t_ms: int, horizon_ms: int) -> bool:
    """Whether a state says no more than ``NEW`` would.

    It is inactive, its cooldown is over at ``t_ms``, no test is under way, and no late data can come any more
    that changes what was told.
    """
    return (
        state.phase is Phase.INACTIVE
        and not state.heard
        and state.watch is None
        and (state.quiet_until_ms is None or state.quiet_until_ms <= t_ms)
        and all(told.claim.starts_at_ms + horizon_ms < t_ms for told in state.told)
    )


class _Now(NamedTuple):
    rule: MetricRule
    slice_key: str
    values: Values
    t_ms: int
    basis: Callable[[], dict[str, Stats]]
    inquiry: Inquiry | None

    def claim(self, state: State, told: AlertState, reason: Reason) -> Claim:
        inquiry = self.inquiry
        return metric_claim(
            self.rule,
            self.slice_key,
            look(self.rule, self.values, None if inquiry is None else inquiry.window),
            told,
            reason,
            as_of_ms=self.t_ms,
            starts_at_ms=self.t_ms if state.starts_at_ms is None else state.starts_at_ms,
            since_ms=state.since_ms,
            more={} if inquiry is None else inquiry.figures(state),
        )


def _verdict(now: _Now, state: State) -> Reason | None:
    rule = now.rule
    if rule.change is None:
        return crossing(rule, now.values)
    watch = state.watch
    if watch is None:
        return Reason.NO_DATA
    if watch.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    return None if alarmed(rule.change, watch) else Reason.OK


def _crossed(now: _Now, state: State) -> Step:
    rule, t_ms = now.rule, now.t_ms
    since = t_ms if state.since_ms is None else state.since_ms
    state = replace(state, since_ms=since)
    reason = None
    if rule.evidence is Evidence.ANYTIME:
        if state.episode is None:
            state = replace(state, episode=None if now.inquiry is None else now.inquiry.began())
        if state.episode is None or now.inquiry is None:
            reason = Reason.NOT_ENOUGH_REPLIES
        elif state.episode.evidence < now.inquiry.needed(state.episode):
            reason = Reason.NOT_ENOUGH_EVIDENCE
    if reason is None and since + rule.for_ms > t_ms:
        reason = Reason.STILL_PENDING
    if reason is None and state.quiet_until_ms is not None and state.quiet_until_ms > t_ms:
        reason = Reason.IN_COOLDOWN
    if reason is not None:
        return Step(replace(state, phase=Phase.PENDING), reason)
    state = replace(state, phase=Phase.FIRING, starts_at_ms=t_ms, quiet_until_ms=None, notified_ms=t_ms)
    claim = now.claim(state, "firing", Reason.FIRST_CROSSING)
    told = (*state.told, Told(claim, now.basis()))[-MOST_TOLD:]
    return Step(replace(state, told=told), Reason.FIRST_CROSSING, claim)


def _firing(now: _Now, state: State) -> Step:
    rule, t_ms = now.rule, now.t_ms
    held = _held(now, state)
    if held is None:
        over_ms = t_ms if state.over_ms is None else state.over_ms
        if over_ms + rule.keep_firing_ms > t_ms:
            return Step(replace(state, phase=Phase.FIRING, over_ms=over_ms), Reason.KEPT_FIRING)
        return _resolved(now, state)
    if held is Reason.NO_DATA:
        if state.phase is Phase.NO_DATA or not _silent(now):
            return Step(state, held)
        return Step(replace(state, phase=Phase.NO_DATA), held, now.claim(state, "no_data", held))
    if held is not Reason.STILL_FIRING:
        return Step(state, held)
    if state.over_ms is not None:
        state = replace(state, over_ms=None)
    if state.phase is Phase.NO_DATA:
        held = Reason.DATA_AGAIN
    elif not rule.renotify_ms or (state.notified_ms or 0) + rule.renotify_ms > t_ms:
        return Step(state, held)
    state = replace(state, phase=Phase.FIRING, notified_ms=t_ms)
    return Step(state, held, now.claim(state, "firing", held))


def _held(now: _Now, state: State) -> Reason | None:
    if now.rule.change is None:
        return holding(now.rule, now.values)
    return None if calm(now.rule.change, state.watch) else Reason.STILL_FIRING


def _silent(now: _Now) -> bool:
    """Whether there is nothing at all to be read, and not only nothing to compare with."""
    current = now.values(now.rule.window)
    return current is None or current.n == 0


def _resolved(now: _Now, state: State) -> Step:
    claim = now.claim(state, "resolved", Reason.RESOLVED)
    told = state.told
    if told:
        told = (*told[:-1], replace(told[-1], ends_at_ms=now.t_ms))
    quiet_until = now.t_ms + now.rule.cooldown_ms if now.rule.cooldown_ms else None
    ended = State(Phase.INACTIVE, quiet_until_ms=quiet_until, heard=state.heard, told=told)
    return Step(ended, Reason.RESOLVED, claim)
