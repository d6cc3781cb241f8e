"""The life of an alert, written as timelines, and compared with the whole history recomputed.

A line of a timeline is ``time: value n interval -> reason phase``; the interval may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.claims import Claim
from stream.alerting.conditions import Reason
from stream.alerting.durations import parse_duration
from stream.alerting.life import NEW, Phase, State, Step, disposable, step, wake_at
from stream.alerting.rules import load_rules

if TYPE_CHECKING:
    from stream.alerting.model import MetricRule

PANE_MS = 10_000
SLICE = '{"segment":"vip"}'


@dataclass(frozen=True)
class Value:
    """A value as measures hands it over."""

    value: float
    n: int = 100
    interval: tuple[float, float] | None = None
    currency: str | None = None


def _rule_of(fields: str) -> MetricRule:
    window = "" if "no_data" in fields else "window: 1h, "
    text = f"groups: [{{name: g, rules: [{{alert: A, metric: nps, by: [segment], {window}{fields}}}]}}]"
    return load_rules(text, "r.yml").metric_rules[0]


def _at(rule: MetricRule, state: State, t_ms: int, values: dict[str, Value | None]) -> Step:
    return step(rule, SLICE, state, values.get, t_ms=t_ms)


def _value_of(words: list[str]) -> Value | None:
    if words == ["nothing"]:
        return None
    interval = None
    if len(words) > 2:
        low, high = words[2].split("..")
        interval = (float(low), float(high))
    return Value(float(words[0]), int(words[1]), interval)


def _run(rule: MetricRule, timeline: str) -> list[Claim]:
    """Walk a timeline, check every reason and phase, and return the claims made on the way."""
    state = NEW
    claims = []
    for line in filter(None, map(str.strip, timeline.splitlines())):
        when, rest = line.split(":", 1)
        given_words, expected = rest.split("->")
        t_ms = parse_duration(when)
        assert t_ms is not None, line
        current, _, earlier = given_words.partition(" from ")
        values = {rule.window: _value_of(current.split())}
        if rule.baseline:
            values[rule.baseline] = _value_of(earlier.split())
        result = _at(rule, state, t_ms + PANE_MS, values)
        assert f"{result.reason} {result.state.phase}" == expected.strip(), line
        # Whatever a step returns must survive being stored.
        state = msgspec.json.decode(msgspec.json.encode(result.state), type=State)
        if result.claim is not None:
            claims.append(result.claim)
    return claims


TIMELINES = {
    "a_value_below_the_line_fires_at_once_and_resolves_when_it_is_back": (
        "below: 30",
        """
        0s:  40 60 -> ok inactive
        10s: 20 60 -> first_crossing firing
        20s: 25 60 -> still_firing firing
        30s: 30 60 -> resolved inactive
        40s: 31 60 -> ok inactive
        50s: 29 60 -> first_crossing firing
        """,
        ["firing", "resolved", "firing"],
    ),
    "for_wants_every_evaluation_of_its_time_to_cross": (
        "below: 30, for: 5m",
        """
        0s:    20 60 -> still_pending pending
        2m:    20 60 -> still_pending pending
        4m:    40 60 -> ok inactive
        4m10s: 20 60 -> still_pending pending
        9m:    20 60 -> still_pending pending
        9m10s: 20 60 -> first_crossing firing
        """,
        ["firing"],
    ),
    "too_few_replies_are_no_crossing_and_end_a_pending_run": (
        "below: 30, for: 1m, min_n: 50",
        """
        0s:  20 60 -> still_pending pending
        30s: 20 49 -> not_enough_replies inactive
        1m:  20 50 -> still_pending pending
        2m:  20 50 -> first_crossing firing
        """,
        ["firing"],
    ),
    "silence_neither_fires_nor_resolves": (
        "below: 30, for: 1m, min_n: 50",
        """
        0s:    nothing -> no_data inactive
        10s:   20 60   -> still_pending pending
        20s:   nothing -> no_data inactive
        30s:   20 60   -> still_pending pending
        1m30s: 20 60   -> first_crossing firing
        2m:    nothing -> no_data no_data
        2m10s: nothing -> no_data no_data
        3m:    90 3    -> not_enough_replies no_data
        4m:    90 50   -> resolved inactive
        """,
        ["firing", "no_data", "resolved"],
    ),
    "what_is_still_so_after_a_silence_is_told_again": (
        "below: 30",
        """
        0s:  20 60   -> first_crossing firing
        10s: nothing -> no_data no_data
        20s: 20 60   -> data_again firing
        30s: 20 60   -> still_firing firing
        """,
        ["firing", "no_data", "firing"],
    ),
    "keep_firing_waits_for_the_value_to_stay_away": (
        "below: 30, keep_firing: 5m",
        """
        0s:    20 60   -> first_crossing firing
        1m:    40 60   -> kept_firing firing
        3m:    20 60   -> still_firing firing
        4m:    40 60   -> kept_firing firing
        8m50s: 40 60   -> kept_firing firing
        9m:    40 60   -> resolved inactive
        """,
        ["firing", "resolved"],
    ),
    "renotify_tells_now_and_then_that_it_still_fires": (
        "below: 30, renotify: 1h",
        """
        0s:    20 60   -> first_crossing firing
        59m:   20 60   -> still_firing firing
        1h:    20 60   -> still_firing firing
        90m:   20 60   -> still_firing firing
        2h:    nothing -> no_data no_data
        2h10m: 20 60   -> data_again firing
        3h:    20 60   -> still_firing firing
        3h10m: 20 60   -> still_firing firing
        4h:    40 60   -> resolved inactive
        """,
        ["firing", "firing", "no_data", "firing", "firing", "resolved"],
    ),
    "silence_is_news_of_those_who_have_spoken": (
        "no_data: 30m",
        """
        0s:    nothing -> ok inactive
        10m:   50 3    -> ok inactive
        40m:   nothing -> first_crossing firing
        50m:   nothing -> still_firing firing
        1h:    50 1    -> resolved inactive
        2h:    nothing -> first_crossing firing
        """,
        ["firing", "resolved", "firing"],
    ),
    "resolve_keeps_an_alert_firing_between_the_lines": (
        "below: 30, resolve: {above: 35}",
        """
        0s:  29.9 60 -> first_crossing firing
        10s: 34 60   -> still_firing firing
        20s: 35 60   -> still_firing firing
        30s: 35.1 60 -> resolved inactive
        40s: 30 60   -> ok inactive
        """,
        ["firing", "resolved"],
    ),
    "above_is_the_mirror_of_below": (
        "above: 60, resolve: {below: 50}",
        """
        0s:  60 60 -> ok inactive
        10s: 61 60 -> first_crossing firing
        20s: 50 60 -> still_firing firing
        30s: 49 60 -> resolved inactive
        """,
        ["firing", "resolved"],
    ),
    "with_interval_evidence_the_whole_interval_must_cross": (
        "below: 30, evidence: interval",
        """
        0s:  20 60 5..35    -> interval_straddles inactive
        10s: 20 90 10..30   -> interval_straddles inactive
        20s: 20 99 11..29.9 -> first_crossing firing
        30s: 28 99 20..36   -> still_firing firing
        40s: 30 99 22..38   -> resolved inactive
        50s: 20 1           -> not_enough_replies inactive
        """,
        ["firing", "resolved"],
    ),
    "a_value_outside_its_own_adjusted_interval_does_not_cross_by_it": (
        "below: 99, evidence: interval",
        "0s: 100 1 -48.5..98.5 -> ok inactive",
        [],
    ),
    "a_straddling_interval_ends_a_pending_run": (
        "below: 30, evidence: interval, for: 1m",
        """
        0s:  20 60 10..29 -> still_pending pending
        30s: 20 60 10..31 -> interval_straddles inactive
        1m:  20 60 10..29 -> still_pending pending
        2m:  20 60 10..29 -> first_crossing firing
        """,
        ["firing"],
    ),
    "a_cooldown_holds_the_next_firing_back_until_it_is_over": (
        "below: 30, cooldown: 10m",
        """
        0s:     20 60 -> first_crossing firing
        1m:     40 60 -> resolved inactive
        2m:     20 60 -> in_cooldown pending
        3m:     40 60 -> ok inactive
        5m:     20 60 -> in_cooldown pending
        11m:    20 60 -> first_crossing firing
        12m:    40 60 -> resolved inactive
        40m:    20 60 -> first_crossing firing
        """,
        ["firing", "resolved", "firing", "resolved", "firing"],
    ),
    "for_runs_on_during_a_cooldown": (
        "below: 30, for: 5m, cooldown: 10m",
        """
        0s:  20 60 -> still_pending pending
        5m:  20 60 -> first_crossing firing
        6m:  40 60 -> resolved inactive
        7m:  20 60 -> still_pending pending
        12m: 20 60 -> in_cooldown pending
        16m: 20 60 -> first_crossing firing
        """,
        ["firing", "resolved", "firing"],
    ),
    "a_drop_is_measured_against_the_earlier_window": (
        "drop: {points: 10, from: 7d}",
        """
        0s:  50 60 from 55 900 -> ok inactive
        10s: 45 60 from 55 900 -> first_crossing firing
        20s: 44 60 from 50 900 -> resolved inactive
        30s: 70 60 from 50 900 -> ok inactive
        40s: 40 60 from nothing -> no_data inactive
        """,
        ["firing", "resolved"],
    ),
    "a_rise_resolves_within_its_own_points": (
        "rise: {points: 10, from: 7d}, resolve: {points: 4}",
        """
        0s:  60 60 from 50 900 -> first_crossing firing
        10s: 54 60 from 50 900 -> still_firing firing
        20s: 53 60 from 50 900 -> resolved inactive
        """,
        ["firing", "resolved"],
    ),
    "min_n_holds_for_both_windows_of_a_drop": (
        "drop: {points: 10, from: 7d}, min_n: 50",
        """
        0s:  30 49 from 55 900 -> not_enough_replies inactive
        10s: 30 60 from 55 49  -> not_enough_replies inactive
        20s: 30 60 from 55 900 -> first_crossing firing
        """,
        ["firing"],
    ),
    "where_there_is_no_interval_it_is_no_evidence_and_the_reason_says_so": (
        "below: 30, evidence: interval",
        """
        0s:  20 60       -> no_interval inactive
        10s: 20 1        -> not_enough_replies inactive
        20s: 40 60       -> ok inactive
        30s: 20 60 5..25 -> first_crossing firing
        40s: 20 60       -> still_firing firing
        50s: 40 60       -> resolved inactive
        """,
        ["firing", "resolved"],
    ),
    "interval_evidence_of_a_drop_is_that_of_the_difference": (
        "drop: {points: 10, from: 7d}, evidence: interval",
        """
        0s:  40 60 31..49 from 55 900 51..59 -> interval_straddles inactive
        10s: 35 60 31..39 from 50 900 47..53 -> first_crossing firing
        20s: 35 60 30..40 from 50 900 47..53 -> still_firing firing
        30s: 45 60 from 50 900 47..53        -> resolved inactive
        40s: 35 60 from 50 900 47..53        -> no_interval inactive
        """,
        ["firing", "resolved"],
    ),
}


@pytest.mark.parametrize("name", TIMELINES)
def test_timeline(name: str) -> None:
    """Each timeline is a rule of its own: its name says which."""
    fields, timeline, states = TIMELINES[name]
    assert [claim.state for claim in _run(_rule_of(fields), timeline)] == states


def test_the_claims_of_one_firing_tell_when_it_began_and_ended() -> None:
    """starts_at is when it fired, since when the line was first crossed; the resolved claim keeps both."""
    fired, over = _run(
        _rule_of("below: 30, for: 5m"),
        """
        0s: 20 60 -> still_pending pending
        5m: 20 60 -> first_crossing firing
        9m: 50 70 -> resolved inactive
        """,
    )
    assert (fired.starts_at_ms, fired.ends_at_ms, fired.as_of_ms) == (310_000, None, 310_000)
    assert (over.starts_at_ms, over.ends_at_ms, over.as_of_ms) == (310_000, 550_000, 550_000)
    assert fired.figures["since"] == over.figures["since"] == "1970-01-01T00:00:10Z"
    assert (over.figures["value"], over.figures["n"]) == (50, 70)
    assert fired.fingerprint == over.fingerprint
    assert fired.id != over.id


def test_a_timer_is_asked_for_while_pending_and_fires_without_a_change() -> None:
    """wake_at is the end of `for`, or of the cooldown if that is later; else there is none."""
    rule = _rule_of("below: 30, for: 5m, cooldown: 20m")
    low, high = {"1h": Value(20)}, {"1h": Value(50)}
    first = _at(rule, NEW, 10_000, low)
    assert wake_at(rule, first.state, 10_000) == 310_000
    fired = _at(rule, first.state, 310_000, low)
    assert fired.reason is Reason.FIRST_CROSSING
    assert wake_at(rule, fired.state, 310_000) is None
    over = _at(rule, fired.state, 400_000, high)
    assert wake_at(rule, over.state, 400_000) == 1_600_000
    again = _at(rule, over.state, 500_000, low)
    assert (again.reason, wake_at(rule, again.state, 500_000)) == (Reason.STILL_PENDING, 1_600_000)
    assert _at(rule, again.state, 1_600_000, low).reason is Reason.FIRST_CROSSING


def test_timers_of_what_fires_are_the_next_telling_and_the_end() -> None:
    """With `renotify` and `keep_firing` wake_at is the earlier of the two that is still to come."""
    rule = _rule_of("below: 30, renotify: 1h, keep_firing: 50m")
    fired = _at(rule, NEW, 0, {"1h": Value(20)})
    assert wake_at(rule, fired.state, 0) == 3_600_000
    kept = _at(rule, fired.state, 300_000, {"1h": Value(40)})
    assert wake_at(rule, kept.state, 300_000) == 3_300_000
    assert wake_at(rule, kept.state, 3_300_000) == 3_600_000


def test_a_state_may_be_dropped_once_it_says_nothing_more() -> None:
    """Inactive, its cooldown over, and nothing told that late data may still change, is the same as nothing."""
    assert disposable(State(Phase.INACTIVE), 50_000, 1_000)
    assert not disposable(State(Phase.INACTIVE, quiet_until_ms=60_000), 50_000, 1_000)
    assert disposable(State(Phase.INACTIVE, quiet_until_ms=60_000), 60_000, 1_000)
    assert not disposable(State(Phase.PENDING, 1), 50_000, 1_000)
    assert not disposable(State(Phase.FIRING, 1, 2), 50_000, 1_000)
    assert not disposable(State(Phase.INACTIVE, heard=True), 50_000, 1_000)
    rule = _rule_of("below: 30")
    over = _at(rule, _at(rule, NEW, 10_000, {"1h": Value(20)}).state, 20_000, {"1h": Value(40)}).state
    assert not disposable(over, 11_000, 1_000)
    assert disposable(over, 11_001, 1_000)


# The whole history, recomputed: what fires when, straight from the definitions.


def _crosses(rule: MetricRule, value: Value | None) -> bool:
    if value is None or value.n < rule.min_n or value.value >= rule.threshold:
        return False
    if rule.evidence == "none":
        return True
    return value.interval is not None and value.interval[1] < rule.threshold


def _clears(rule: MetricRule, value: Value | None) -> bool:
    if value is None or value.n < rule.min_n:
        return False
    if rule.resolve_at is None:
        return value.value >= rule.threshold
    return value.value > rule.resolve_at


def _brute_force(rule: MetricRule, history: list[tuple[int, Value | None]]) -> list[tuple[str, int]]:
    """Transitions by definition: at every instant look back over everything."""
    transitions: list[tuple[str, int]] = []
    for index, (t, value) in enumerate(history):
        if transitions and transitions[-1][0] == "firing":
            if _clears(rule, value):
                transitions.append(("resolved", t))
            continue
        ended = transitions[-1][1] if transitions else None
        run_of_crossings = []
        for earlier, old in reversed(history[: index + 1]):
            if not _crosses(rule, old) or (ended is not None and earlier <= ended):
                break
            run_of_crossings.append(earlier)
        lasted = bool(run_of_crossings) and t - run_of_crossings[-1] >= rule.for_ms
        if lasted and (ended is None or t >= ended + rule.cooldown_ms):
            transitions.append(("firing", t))
    return transitions


VALUES = st.none() | st.builds(
    lambda value, n, half: Value(value, n, None if half is None else (value - half, value + half)),
    st.sampled_from([10.0, 25.0, 29.0, 30.0, 32.0, 35.0, 36.0, 50.0]),
    st.sampled_from([1, 49, 50, 200]),
    st.none() | st.sampled_from([0.5, 4.0, 20.0]),
)
RULES = st.builds(
    "below: 30, evidence: {}, min_n: {}, for: {}s, cooldown: {}s{}".format,
    st.sampled_from(["none", "interval"]),
    st.sampled_from([1, 50]),
    st.sampled_from([0, 10, 25, 60]),
    st.sampled_from([0, 10, 45, 90]),
    st.sampled_from(["", ", resolve: {above: 35}", ", resolve: {above: 30}"]),
)
_TURNS = ("first_crossing", "resolved")
HISTORIES = st.lists(st.tuples(st.integers(1, 6), VALUES), max_size=40)


def _walk(rule: MetricRule, changes: list[tuple[int, Value | None]]) -> list[Claim]:
    """The machine as its caller runs it: steps at changes and at timers."""
    claims: dict[str, Claim] = {}
    state = NEW
    value: Value | None = None
    by_instant = dict(changes)
    wake: int | None = None
    for instant in range(1, max(by_instant, default=0) + 21):
        t_ms = instant * PANE_MS
        if instant in by_instant:
            value = by_instant[instant]
        if instant in by_instant or (wake is not None and t_ms >= wake):
            result = _at(rule, state, t_ms, {"1h": value})
            state = result.state
            wake = wake_at(rule, state, t_ms)
            if result.claim is not None:
                assert claims.setdefault(result.claim.id, result.claim) == result.claim
    return list(claims.values())


@given(RULES, HISTORIES)
def test_the_machine_agrees_with_the_whole_history_recomputed(
    fields: str, gaps: list[tuple[int, Value | None]]
) -> None:
    """Firing and resolving are those of the definitions, with timers, silences left out."""
    rule = _rule_of(fields)
    changes: list[tuple[int, Value | None]] = []
    instant = 0
    for gap, value in gaps:
        instant += gap
        changes.append((instant, value))
    by_instant, value, history = dict(changes), None, []
    for index in range(1, instant + 21):
        value = by_instant.get(index, value)
        history.append((index * PANE_MS, value))
    if instant:
        told = [(claim.state, claim.as_of_ms) for claim in _walk(rule, changes) if claim.reason in _TURNS]
        assert told == _brute_force(rule, history)
