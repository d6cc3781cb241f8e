"""Walks through one customer's records: against the definitions, and whatever was given up before."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.compiled import compiled
from stream.alerting.model import CountRule, SequenceRule
from stream.alerting.rules import load_rules
from stream.alerting.sequences import NOTHING_HELD

if TYPE_CHECKING:
    from stream.alerting.compiled import History
    from stream.alerting.watch import Moment

A, B, C = 1, 2, 4
WITHIN = 10


def _rule(text: str) -> History:
    book = load_rules(f"groups: [{{name: g, rules: [{{alert: R, {text}}}]}}]", "r.yml")
    rule = book.history_rules[0]
    assert isinstance(rule, SequenceRule | CountRule)
    return compiled(rule)


EXPECT = _rule("expect: {after: {kind: a}, then: {kind: b}, within: 10ms}")
AGAIN = _rule("expect: {after: {kind: a}, then: {on: touchpoint, kind: a}, within: 10ms}")
PAIR = _rule("sequence: {steps: [{kind: a}, {kind: b}], within: 10ms}")
THREE = _rule("sequence: {steps: [{kind: a}, {kind: b}], unless: {kind: c}, within: 10ms}")
COUNT = _rule("count: {of: {kind: a}, at_least: 3, within: 10ms}")


def moments(sorts: tuple[int, ...]) -> st.SearchStrategy[list[Moment]]:
    """Records of these sorts, in order; some at the same millisecond."""
    one = st.tuples(st.integers(0, 60), st.sampled_from(sorts))
    return st.lists(one, max_size=16).map(
        lambda pairs: sorted((at, sort, f"e{n}", 0, ()) for n, (at, sort) in enumerate(pairs))
    )


def _walk(history: History, given_: list[Moment]) -> list[tuple[Any, ...]]:
    found, _ = history.walk(NOTHING_HELD, given_)
    return [(one.at_ms, one.start_ms, one.end_ms) for one in found]


def _expected(given_: list[Moment], opens: int, meets: int) -> list[tuple[int, int, int]]:
    """By the definition: the first that opens counts, until it is met or its time is over."""
    found: list[list[int]] = []
    at = 0
    while at < len(given_):
        start, sort = given_[at][:2]
        if not sort & opens:
            if sort & meets and found and found[-1][2] < 0:
                found[-1][2] = start
            at += 1
            continue
        over = start + WITHIN
        met = next((n for n in range(at + 1, len(given_)) if given_[n][1] & meets), None)
        if found and found[-1][2] < 0 and sort & meets:
            found[-1][2] = start
        if met is not None and given_[met][0] <= over:
            if found and found[-1][2] < 0:
                found[-1][2] = given_[met][0]
            at = met if given_[met][1] & opens else met + 1
            continue
        found.append([over, start, -1])
        at = next((n for n in range(at + 1, len(given_)) if given_[n][0] > over), len(given_))
    return [(one[0], one[1], one[2]) for one in found]


@given(moments((A, B)))
def test_what_was_expected_and_did_not_come(given_: list[Moment]) -> None:
    """An alert at each deadline by which nothing came, ended by what came later."""
    assert _walk(EXPECT, given_) == _expected(given_, A, B)


@given(moments((A | B,)))
def test_what_is_expected_may_be_the_next_beginning(given_: list[Moment]) -> None:
    """A record ends one wait and begins another."""
    assert _walk(AGAIN, given_) == _expected(given_, A | B, A | B)


@given(moments((A, B)))
def test_a_sequence_is_complete_at_the_first_record_at_which_there_is_one(given_: list[Moment]) -> None:
    """Of all pairs in order and in time the one that ends first, then that begins first; then from there on."""
    expected, after = [], 0
    while True:
        pairs = [
            (second, first)
            for first, second in combinations(range(after, len(given_)), 2)
            if given_[first][1] == A and given_[second][1] == B
            if given_[second][0] - given_[first][0] <= WITHIN
        ]
        if not pairs:
            break
        second, first = min(pairs)
        expected.append((given_[second][0], given_[first][0], -1))
        after = second + 1
    assert _walk(PAIR, given_) == expected


def test_two_steps_and_what_should_not_follow() -> None:
    """The time runs from the first step; what comes between the steps is not what is waited for."""

    def told(*given_: tuple[int, int]) -> list[tuple[Any, ...]]:
        return _walk(THREE, [(at, sort, "", 0, ()) for at, sort in given_])

    assert told((0, A), (3, B)) == [(10, 0, -1)]
    assert told((0, A), (3, B), (10, C)) == []
    assert told((0, A), (3, B), (11, C)) == [(10, 0, 11)]
    assert told((0, A), (2, C), (3, B)) == [(10, 0, -1)]
    assert told((0, A), (11, B)) == []
    assert told((0, A), (5, A), (11, B)) == [(15, 5, -1)]
    assert told((0, A), (5, A), (6, B)) == [(10, 0, -1)]
    assert told((0, A), (6, B), (7, A), (8, B), (12, C)) == [(10, 0, 12)]


def test_due_at_is_the_end_of_the_time() -> None:
    """A promise is due at its own deadline; without one nothing is expected."""
    history = _rule("expect: {after: {kind: a}, then: {kind: b}, within: due_at}")
    assert _walk(history, [(0, A, "", 7, ())]) == [(7, 0, -1)]
    assert _walk(history, [(0, A, "", 0, ())]) == []
    assert _walk(history, [(5, A, "", 1, ())]) == [(5, 5, -1)]


@given(moments((A,)))
def test_a_count_is_reached_once_until_it_no_longer_is(given_: list[Moment]) -> None:
    """The times at which there are enough are stretches; an alert begins each."""
    times = [moment[0] for moment in given_]
    enough = [
        (times[n], times[n - 2] + WITHIN, times[n - 2])
        for n in range(2, len(times))
        if times[n] - times[n - 2] <= WITHIN
    ]
    expected, until = [], -1
    for at, end, start in enough:
        if at > until:
            expected.append((at, start, -1))
        until = end
    assert _walk(COUNT, given_) == expected


@given(
    st.sampled_from([(EXPECT, (A, B)), (PAIR, (A, B)), (THREE, (A, B, C)), (COUNT, (A,))]),
    st.data(),
)
def test_what_was_given_up_is_not_missed(which: tuple[History, tuple[int, ...]], data: st.DataObject) -> None:
    """For every cut between two times, the alerts after it are those of the whole."""
    history, sorts = which
    given_ = data.draw(moments(sorts))
    cut = data.draw(st.integers(0, len(given_)))
    while 0 < cut < len(given_) and given_[cut - 1][0] == given_[cut][0]:
        cut += 1
    whole, end = history.walk(NOTHING_HELD, given_)
    early, held = history.walk(NOTHING_HELD, given_[:cut])
    late, after = history.walk(held, given_[cut:])
    assert after == end
    known = [one.at_ms for one in late]
    known += [one.at_ms for one in early if cut == len(given_) or one.at_ms < given_[cut][0]]
    assert {one.at_ms for one in whole} == set(known)
    assert [one for one in whole if one in late] == late
