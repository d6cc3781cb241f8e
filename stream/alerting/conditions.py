"""The life of a metric rule on one slice: inactive, pending, firing, and back, one instant at a time.

``step`` is called at final instants only, whenever a window of the slice has changed and whenever a
timer it asked for has come. Between two calls nothing changed, so the outcome at the first held all
the way: a run of crossings is unbroken when every step in it crossed.

What counts as a crossing, in order:

1. a value must be there (else ``no_data``), on at least ``min_n`` observations (else
   ``not_enough_replies``); with drop and rise the same holds for the earlier window;
2. the value must be beyond the line (else ``ok``): strictly for below and above; for drop and rise the
   change must reach the points;
3. with ``evidence: interval`` so must the whole confidence interval (else ``interval_straddles``; where
   there is none, ``not_enough_replies`` for a single observation, else ``no_interval``). The interval of
   a change is that of a difference of two independent estimates, recovered from both intervals [Newcombe
   1998, method 10; Zou & Donner 2008, "MOVER"]. The earlier window includes the current one, so the two
   are positively correlated and the interval is wider than it had to be.

Whatever is no crossing ends a pending run, as in Prometheus. A firing alert ends only when a value, on
at least ``min_n`` replies, lies beyond the ``resolve`` line (without one: no longer beyond the rule's
own). Silence is not recovery: with no or too few replies it goes on firing, where Prometheus would
resolve an alert whose series is gone.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from stream.alerting.metric_claims import metric_claim
from stream.alerting.model import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alerting.claims import Claim
    from stream.alerting.model import MetricRule


class MetricLike(Protocol):
    """A value with its evidence: the interval is None where there are too few observations, or none is known."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def currency(self) -> str | None: ...  # noqa: D102


class Reason(StrEnum):
    """Why a step ended as it did; counted by whoever calls."""

    OK = "ok"
    NO_DATA = "no_data"
    NOT_ENOUGH_REPLIES = "not_enough_replies"
    INTERVAL_STRADDLES = "interval_straddles"
    NO_INTERVAL = "no_interval"
    STILL_PENDING = "still_pending"
    IN_COOLDOWN = "in_cooldown"
    FIRST_CROSSING = "first_crossing"
    STILL_FIRING = "still_firing"
    RESOLVED = "resolved"
    REPLAYED = "replayed"


class Phase(StrEnum):
    """Where in its life an alert is."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must survive a restart.

    ``instant`` is that of the last change: a step at or before it has been taken already.
    ``since_ms``: when the present run of crossings began. ``starts_at_ms``: when the alert fired.
    ``quiet_until_ms``: end of the cooldown.
    """

    instant: int
    phase: Phase
    since_ms: int | None = None
    starts_at_ms: int | None = None
    quiet_until_ms: int | None = None


class Step(NamedTuple):
    """What a step came to.

    ``state`` None: there is nothing to keep. ``changed``: the state is another one than that given and
    has to be stored. ``wake_at_ms``: step again at the first instant that is not before this one, even
    if nothing changes until then.
    """

    state: State | None
    reason: Reason
    claim: Claim | None = None
    wake_at_ms: int | None = None
    changed: bool = False


class Reading(NamedTuple):
    """What a claim shows: the value, and for drop and rise the earlier one and the change from it."""

    current: MetricLike
    earlier: MetricLike | None = None
    change: float | None = None
    change_interval: tuple[float, float] | None = None


Values: TypeAlias = "Callable[[str], MetricLike | None]"

_IDLE: Final = {reason: Step(None, reason) for reason in Reason}
_encoder: Final = msgspec.json.Encoder()
_states: Final = msgspec.json.Decoder(State)


def encode_state(state: State) -> bytes:
    """A state as its table keeps it."""
    return _encoder.encode(state)


def decode_state(value: bytes) -> State:
    """The inverse of encode_state.

    Raises:
        msgspec.DecodeError: not a state.
    """
    return _states.decode(value)


def step(
    rule: MetricRule,
    slice_key: str,
    state: State | None,
    values: Values,
    *,
    instant: int,
    t_ms: int,
) -> Step:
    """Judge one rule on one slice at one final instant.

    Args:
        rule: the rule.
        slice_key: the slice, as canonical JSON.
        state: what the last step returned; None at first.
        values: the value of the rule's metric, at the rule's confidence, by window; None: no replies.
        instant: number of the instant; never goes back except in a replay.
        t_ms: its time.
    """
    if state is not None and instant <= state.instant:
        return Step(state, Reason.REPLAYED, None, wake_at(rule, state))
    if state is not None and state.phase is Phase.FIRING:
        return _firing(rule, slice_key, state, values, instant=instant, t_ms=t_ms)
    verdict = crossing(rule, values)
    if verdict is None:
        return _crossed(rule, slice_key, state, values, instant=instant, t_ms=t_ms)
    if state is None:
        return _IDLE[verdict]
    if state.phase is Phase.INACTIVE:
        return Step(state, verdict)
    ended = State(instant, Phase.INACTIVE, quiet_until_ms=state.quiet_until_ms)
    return Step(ended, verdict, None, None, changed=True)


def _crossed(
    rule: MetricRule, slice_key: str, state: State | None, values: Values, *, instant: int, t_ms: int
) -> Step:
    since, quiet_until = t_ms, None
    if state is not None:
        quiet_until = state.quiet_until_ms
        if state.since_ms is not None:
            since = state.since_ms
    waits_for = since + rule.for_ms > t_ms
    if waits_for or (quiet_until is not None and quiet_until > t_ms):
        reason = Reason.STILL_PENDING if waits_for else Reason.IN_COOLDOWN
        changed = state is None or state.phase is not Phase.PENDING
        if state is None or changed:
            state = State(instant, Phase.PENDING, since, None, quiet_until)
        return Step(state, reason, None, wake_at(rule, state), changed)
    reason = Reason.FIRST_CROSSING
    shown = look(rule, values)
    claim = metric_claim(rule, slice_key, shown, reason, as_of_ms=t_ms, starts_at_ms=t_ms, since_ms=since)
    return Step(State(instant, Phase.FIRING, since, t_ms), reason, claim, None, changed=True)


def _firing(
    rule: MetricRule, slice_key: str, state: State, values: Values, *, instant: int, t_ms: int
) -> Step:
    held = holding(rule, values)
    if held is not None:
        return Step(state, held)
    start = t_ms if state.starts_at_ms is None else state.starts_at_ms
    reason, since = Reason.RESOLVED, state.since_ms
    shown = look(rule, values)
    claim = metric_claim(rule, slice_key, shown, reason, as_of_ms=t_ms, starts_at_ms=start, since_ms=since)
    quiet_until = t_ms + rule.cooldown_ms if rule.cooldown_ms else None
    return Step(State(instant, Phase.INACTIVE, quiet_until_ms=quiet_until), reason, claim, None, changed=True)


def wake_at(rule: MetricRule, state: State | None) -> int | None:
    """When a state wants its next step even if nothing changes; ask again after a restart."""
    if state is None or state.phase is not Phase.PENDING or state.since_ms is None:
        return None
    return max(state.since_ms + rule.for_ms, state.quiet_until_ms or 0)


def disposable(state: State, t_ms: int) -> bool:
    """Whether a state says no more than None would: inactive, and its cooldown over at ``t_ms``.

    Its entry may be dropped once the progress that covers ``t_ms`` is durable, not before.
    """
    return state.phase is Phase.INACTIVE and (state.quiet_until_ms is None or state.quiet_until_ms <= t_ms)


def crossing(rule: MetricRule, values: Values) -> Reason | None:
    """None where the line is crossed, else why it is not."""
    current = values(rule.window)
    if current is None or current.n == 0:
        return Reason.NO_DATA
    if rule.baseline is not None:
        return _change_crossing(rule, current, values(rule.baseline))
    if current.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    line = rule.threshold
    below = rule.kind is Kind.BELOW
    if not (current.value < line if below else current.value > line):
        return Reason.OK
    if rule.evidence is Evidence.NONE:
        return None
    interval = current.interval
    if interval is None:
        return _without_interval(current.n)
    beyond = interval[1] < line if below else interval[0] > line
    return None if beyond else Reason.INTERVAL_STRADDLES


def _change_crossing(rule: MetricRule, current: MetricLike, earlier: MetricLike | None) -> Reason | None:
    if earlier is None or earlier.n == 0:
        return Reason.NO_DATA
    if current.n < rule.min_n or earlier.n < rule.min_n:
        return Reason.NOT_ENOUGH_REPLIES
    if _moved(rule, current, earlier) < rule.threshold:
        return Reason.OK
    if rule.evidence is Evidence.NONE:
        return None
    interval = difference(current, earlier)
    if interval is None:
        return _without_interval(min(current.n, earlier.n))
    least = -interval[1] if rule.kind is Kind.DROP else interval[0]
    return None if least >= rule.threshold else Reason.INTERVAL_STRADDLES


def _without_interval(n: int) -> Reason:
    """Why evidence that is asked for is not there."""
    return Reason.NO_INTERVAL if n > 1 else Reason.NOT_ENOUGH_REPLIES


def holding(rule: MetricRule, values: Values) -> Reason | None:
    """None where a firing alert is over, else why it goes on."""
    current = values(rule.window)
    earlier = None if rule.baseline is None else values(rule.baseline)
    if (
        current is None
        or current.n == 0
        or (rule.baseline is not None and (earlier is None or earlier.n == 0))
    ):
        return Reason.NO_DATA
    if current.n < rule.min_n or (earlier is not None and earlier.n < rule.min_n):
        return Reason.NOT_ENOUGH_REPLIES
    end, value = rule.resolve_at, current.value
    if earlier is not None:
        over = _moved(rule, current, earlier) < (rule.threshold if end is None else end)
    elif rule.kind is Kind.BELOW:
        over = value >= rule.threshold if end is None else value > end
    else:
        over = value <= rule.threshold if end is None else value < end
    return None if over else Reason.STILL_FIRING


def look(rule: MetricRule, values: Values) -> Reading:
    """What a claim shows of the windows.

    Raises:
        ValueError: there is no value; a claim is made only where there is one.
    """
    current = values(rule.window)
    if current is None:
        raise ValueError("a claim about a metric needs its value")
    earlier = None if rule.baseline is None else values(rule.baseline)
    if earlier is None:
        return Reading(current)
    return Reading(current, earlier, current.value - earlier.value, difference(current, earlier))


def _moved(rule: MetricRule, current: MetricLike, earlier: MetricLike) -> float:
    """How far the value has gone in the rule's direction."""
    return earlier.value - current.value if rule.kind is Kind.DROP else current.value - earlier.value


def difference(current: MetricLike, earlier: MetricLike) -> tuple[float, float] | None:
    """Interval of current - earlier, from the two intervals at the same confidence (MOVER)."""
    if current.interval is None or earlier.interval is None:
        return None
    change = current.value - earlier.value
    down, up = _arms(current.value, current.interval)
    earlier_down, earlier_up = _arms(earlier.value, earlier.interval)
    return (change - math.hypot(down, earlier_up), change + math.hypot(up, earlier_down))


def _arms(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    # An adjusted interval (NPS on a handful of replies) may leave its own value outside.
    return max(value - interval[0], 0.0), max(interval[1] - value, 0.0)
