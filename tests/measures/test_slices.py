"""Groupings, members, and the cap."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measures import DIMENSIONS, NO_DIMS, TOPIC_SEPARATOR, Groupings, dims_of, parse_slice, slice_key
from stream.measures.slices import WHOLE

NOBODY = NO_DIMS


def dims(**values):
    """Dims by name."""
    return tuple(values.get(name) for name in DIMENSIONS)


def test_canonical():
    """The whole comes first, groupings are sorted within, repeats are dropped."""
    kept = Groupings([("touchpoint", "channel"), ("segment",), ("channel", "touchpoint"), ()], 5)
    assert kept.groupings == ((), ("channel", "touchpoint"), ("segment",))


@pytest.mark.parametrize(
    ("groupings", "cap", "problem"),
    [
        ([("colour",)], 5, "'colour' is no dimension"),
        ([("stage", "stage")], 5, "twice"),
        ([], 0, "at least 1"),
    ],
)
def test_wrong_groupings(groupings, cap, problem):
    """Groupings that cannot be are refused by name."""
    with pytest.raises(ValueError, match=problem):
        Groupings(groupings, cap)


def test_members():
    """An event is in every grouping of which it has all dimensions, and always in the whole."""
    members = Groupings([("touchpoint", "channel"), ("segment",)], 5).tracker()
    assert members.of(NOBODY) == (WHOLE,)
    assert members.of(dims(segment="vip", channel="chat")) == ("{}", '{"segment":"vip"}')
    assert members.of(dims(touchpoint="pay", channel='c"|')) == (
        "{}",
        '{"channel":"c\\"|","touchpoint":"pay"}',
    )
    assert members.take_new() == ['{"segment":"vip"}', '{"channel":"c\\"|","touchpoint":"pay"}']
    assert members.take_new() == []


def test_cap():
    """The first members keep their place, later ones are ``other``, and one really named so takes no place."""
    members = Groupings([("segment",)], 2).tracker()
    keys = [members.of(dims(segment=name))[1] for name in ("other", "a", "b", "c", "a", "other")]
    assert [parse_slice(key)["segment"] for key in keys] == ["other", "a", "b", "other", "a", "other"]
    assert members.full
    assert members.take_new() == ['{"segment":"a"}', '{"segment":"b"}']


def test_restored_members_count():
    """Restored members take their places; those of a grouping given up are ignored."""
    members = Groupings([("segment",)], 1).tracker()
    members.restore('{"region":"north"}')
    assert not members.full
    members.restore('{"segment":"a"}')
    assert members.full
    assert members.of(dims(segment="b"))[1] == '{"segment":"other"}'
    assert members.of(dims(segment="a"))[1] == '{"segment":"a"}'


def test_topics():
    """In a grouping with ``topic`` an event is a member once for each of its topics, each under the cap."""
    members = Groupings([("topic",), ("topic", "channel"), ("segment",)], 3).tracker()
    several = dims(channel="chat", segment="vip", topic=TOPIC_SEPARATOR.join(["delivery", "price"]))
    assert members.of(several) == (
        "{}",
        '{"topic":"delivery"}',
        '{"topic":"price"}',
        '{"channel":"chat","topic":"delivery"}',
        '{"channel":"chat","topic":"price"}',
        '{"segment":"vip"}',
    )
    more = dims(topic=TOPIC_SEPARATOR.join(["billing", "price", "staff", "waiting"]))
    assert members.of(more) == ("{}", '{"topic":"billing"}', '{"topic":"price"}', '{"topic":"other"}')
    assert members.of(dims(channel="chat")) == ("{}",)


def test_dims_of():
    """An event's dimensions are in the order of ``DIMENSIONS``; what only replies have, touchpoints lack."""
    values = {name: f"a {name}" for name in DIMENSIONS}
    event = SimpleNamespace(**values)
    assert dims_of(event) == dims(**{**values, "topic": None})
    assert dims_of(event, ("price", "staff")) == dims(**{**values, "topic": f"price{TOPIC_SEPARATOR}staff"})
    assert len(NO_DIMS) == len(DIMENSIONS)


def test_memory_is_bounded(monkeypatch):
    """The cache of combinations is emptied when it is full, and nothing else is kept beyond the cap."""
    monkeypatch.setattr("stream.measures.slices._CACHED", 3)
    members = Groupings([("segment",)], 2).tracker()
    for number in range(50):
        members.of(dims(segment=str(number)))
        assert len(members._cache) <= 3
    assert members.of(dims(segment="1"))[1] == '{"segment":"1"}'


@given(st.dictionaries(st.sampled_from(DIMENSIONS), st.text(st.characters(exclude_categories=["Cs"]))))
def test_slice_keys_are_canonical(members):
    """A slice key does not depend on the order of the dimensions and can be read back."""
    key = slice_key(members)
    assert slice_key(dict(reversed(members.items()))) == key
    assert parse_slice(key) == members
    key.encode()


def test_dimensions_that_no_grouping_has_are_left_out():
    """What nobody slices by is None, so that it makes no combinations of its own; the slices are the same."""
    values = {name: f"a {name}" for name in DIMENSIONS if name != "topic"}
    event = SimpleNamespace(**values)
    groupings = Groupings([("channel",), ("pillar", "segment"), ("topic",)], 10)
    topics = ("price", "staff")
    kept = {"channel", "pillar", "segment", "topic"}
    full = dict(zip(DIMENSIONS, dims_of(event, topics), strict=True))
    found = groupings.dims_of(event, topics)
    assert dict(zip(DIMENSIONS, found, strict=True)) == {n: v if n in kept else None for n, v in full.items()}
    assert groupings.narrow(dims_of(event, topics)) == found
    assert groupings.narrow(dims_of(event, topics)) is groupings.narrow(dims_of(event, topics))
    assert groupings.tracker().of(found) == groupings.tracker().of(dims_of(event, topics))
    assert Groupings([], 10).dims_of(event, topics) == NO_DIMS
