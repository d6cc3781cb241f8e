"""Changes accounted for to the last digit, and the grouping to look at first."""

from __future__ import annotations

from itertools import pairwise
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures.explain import Rate, adtributor, decompose

members = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(0, 10**6), st.floats(-100, 100, allow_subnormal=False)),
    max_size=8,
).filter(lambda values: any(n for n, _ in values.values()))


def plain_mean(values):
    """The weighted mean as anybody would compute it."""
    return sum(n * value for n, value in values.values()) / sum(n for n, _ in values.values())


@given(members, members)
def test_the_parts_add_up_to_the_change(before, after):
    """Service and mix of all members are the change to 1e-9, whoever came or went."""
    found = decompose(before, after)
    assert found.before == pytest.approx(plain_mean(before), abs=1e-9)
    assert found.after == pytest.approx(plain_mean(after), abs=1e-9)
    assert abs(found.service + found.mix - (found.after - found.before)) < 1e-9
    assert abs(found.service + found.mix - found.change) < 1e-9
    present = {name for each in (before, after) for name, (n, _) in each.items() if n}
    assert {share.member for share in found.shares} == present
    sizes = [abs(share.service + share.mix) for share in found.shares]
    assert all(x >= y - 1e-9 for x, y in pairwise(sizes))


@given(members)
def test_nothing_changed(values):
    """The same twice is no change, and no member has any part in it: all zeros, exactly."""
    found = decompose(values, values)
    assert (found.change, found.service, found.mix) == (0, 0, 0)
    assert all(share.service == share.mix == 0 for share in found.shares)


def test_service_alone():
    """Where shares stay as they are, all is service: 40 % of the replies fell by 10 points, that is 4 points."""
    found = decompose({"chat": (40, 30.0), "web": (60, 50.0)}, {"chat": (400, 20.0), "web": (600, 50.0)})
    assert found.shares[0] == ("chat", 40, 400, 30.0, 20.0, -4.0, 0.0)
    assert (found.change, found.service, found.mix) == (-4, -4, 0)


def test_mix_alone():
    """Where nobody's value moved, all is mix: the worse half grew from 50 % to 75 %."""
    found = decompose({"chat": (50, 0.0), "web": (50, 80.0)}, {"chat": (75, 0.0), "web": (25, 80.0)})
    assert (found.before, found.after, found.service, found.mix) == (40, 20, 0, -20)
    assert {share.member: share.mix for share in found.shares} == {"chat": -10, "web": -10}


def test_one_who_came_and_one_who_went():
    """A new member has no earlier value and one that left no later one: both are mix against the old mean."""
    found = decompose({"old": (50, 20.0), "kept": (50, 60.0)}, {"new": (50, 80.0), "kept": (50, 60.0)})
    shares = {share.member: share for share in found.shares}
    assert (shares["new"].before, shares["new"].service, shares["new"].mix) == (None, 0, 20)
    assert (shares["old"].after, shares["old"].service, shares["old"].mix) == (None, 0, 10)
    assert (shares["kept"].service, shares["kept"].mix, found.change) == (0, 0, 30)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ({}, {"a": (1, 1.0)}, "nothing in the earlier"),
        ({"a": (1, 1.0)}, {"a": (0, 1.0)}, "nothing in the later"),
        ({"a": (3, 1.0), "b": (-1, 1.0)}, {"a": (1, 1.0)}, "earlier period is negative"),
    ],
)
def test_no_change_without_two_means(before, after, what):
    """An empty period or a negative weight is refused: there is no mean to change."""
    with pytest.raises(ValueError, match=what):
        decompose(before, after)


def rates(**parts):
    """Member -> rate before and after, of (hits before, hits after) and the same n."""
    before = {name: Rate(x, 100) for name, (x, _) in parts.items()}
    return before, {name: Rate(y, 100) for name, (_, y) in parts.items()}


PAPER = {
    "data centre": rates(X=(94, 47), Y=(6, 3)),
    "advertiser": rates(A1=(50, 24), A2=(20, 21), A3=(20, 4), A4=(10, 1)),
    "device": rates(PC=(50, 49), mobile=(25, 1), tablet=(25, 0)),
}


def test_the_example_of_the_paper():
    """Revenue fell from 100 to 50: the devices are to blame, not the data centre that merely is the largest."""
    found = adtributor(PAPER)
    assert [blame.grouping for blame in found] == ["device", "advertiser", "data centre"]
    device, _, centre = found
    assert [suspect.member for suspect in device.suspects] == ["tablet", "mobile"]
    assert device.power == pytest.approx(0.98)
    # Tablets' share went from a quarter to nothing: 0.25 log 2 / 2.
    assert device.suspects[0].surprise == pytest.approx(0.125 * log(2))
    assert (centre.power, centre.surprise) == (pytest.approx(0.94), pytest.approx(0))


def test_the_finite_difference_of_a_derived_measure():
    """A member's power is how far the rate moves when that member alone is as it is now, over all such moves."""
    before = {"a": Rate(30, 100), "b": Rate(20, 100)}
    after = {"a": Rate(60, 120), "b": Rate(20, 80)}
    moves = [(60 + 20) / (120 + 100) - 0.25, (30 + 20) / (100 + 80) - 0.25]
    [blame] = adtributor({"of two": (before, after)})
    powers = {suspect.member: suspect.power for suspect in blame.suspects}
    assert powers == pytest.approx({"a": moves[0] / sum(moves), "b": moves[1] / sum(moves)})


def test_the_lengths_of_the_periods_do_not_matter():
    """An hour held against a week of the same shares gives what it gives against an hour."""
    long = {
        name: ({member: Rate(168 * rate.hits, 168 * rate.n) for member, rate in before.items()}, after)
        for name, (before, after) in PAPER.items()
    }
    for one, other in zip(adtributor(PAPER), adtributor(long), strict=True):
        assert (one.grouping, one.power) == (other.grouping, pytest.approx(other.power))
        assert one.surprise == pytest.approx(other.surprise)


def test_thresholds():
    """Members below the least power are passed over, and a grouping that never explains enough is left out."""
    spread = {"segment": rates(**dict.fromkeys("abcdefghijkl", (10, 5)))}
    assert adtributor(spread) == []
    assert len(adtributor(spread, least=0.05)[0].suspects) == 9
    assert len(adtributor(PAPER, shown=1)) == 1
    assert [blame.grouping for blame in adtributor(PAPER, enough=0.97)] == ["device", "advertiser"]


periods = st.dictionaries(
    st.sampled_from("abcd"),
    st.integers(0, 1000).flatmap(lambda n: st.builds(Rate, st.integers(0, n), st.just(n))),
)


@given(periods, periods)
def test_any_rates_are_judged(before, after):
    """Empty periods, rates of 0, members that come and go: never an error, powers and surprises in bounds."""
    for blame in adtributor({"x": (before, after)}):
        assert blame.power > 0.67
        assert all(
            suspect.power > 0.1 and -1e-12 <= suspect.surprise <= log(2) + 1e-12 for suspect in blame.suspects
        )
        assert {suspect.member for suspect in blame.suspects} <= before.keys() | after.keys()


def test_no_change_blames_nobody():
    """Where the rate is what it was there is nothing to explain."""
    before, _ = PAPER["device"]
    assert adtributor({"device": (before, before)}) == []
    thrice = {member: Rate(3 * rate.hits, 3 * rate.n) for member, rate in before.items()}
    assert adtributor({"device": (before, thrice)}) == []
