"""Drivers of a claim: the members of a finer grouping that a change goes back to, kept with one owner."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.drivers import SHOWN, Finer, compared, drivers_of, together
from stream.alerting.kept import not_kept
from stream.alerting.model import ChangeSpec, Direction, Evidence, Kind, MetricRule, Severity
from stream.alerting.rules import load_rules
from stream.measures import (
    DIMENSIONS,
    Groupings,
    PaneConfig,
    SourcePanes,
    decode_partial_or_mark,
    encode_mark,
    encode_partial,
    observation,
    slice_key,
    value_of,
)
from stream.measures.partials import Owners
from stream.measures.plans import WindowConfig, window
from stream.measures.stats import add, merge
from stream.measures.windows import Windows

if TYPE_CHECKING:
    from stream.measures import Dims, Stats
    from stream.measures.panes import PaneChanges

MINUTE = 60_000
Reply = tuple[str, str | None, int]
"""Segment, channel (none), nps score."""


def rule(**fields: Any) -> MetricRule:
    """NPS by segment over an hour, explained by channels."""
    said: dict[str, Any] = {
        "alert": "Nps",
        "group": "g",
        "cooldown_ms": 0,
        "severity": Severity.WARNING,
        "labels": (),
        "annotations": (),
        "action": None,
        "line": 1,
        "metric": "nps",
        "grouping": ("segment",),
        "where": (),
        "window": "1h",
        "kind": Kind.BELOW,
        "threshold": 30.0,
        "baseline": None,
        "evidence": Evidence.NONE,
        "confidence": 0.95,
        "min_n": 1,
        "for_ms": 0,
        "resolve_at": None,
        "drivers": ("channel",),
    }
    return MetricRule(**(said | fields))


def summed(replies: list[Reply], metric: str = "nps") -> dict[str, Stats]:
    """Slice -> sums of the replies, as windows would have them."""
    found: dict[str, Stats] = defaultdict(dict)
    for segment, channel, score in replies:
        seen = observation(metric, score, (0.0, 10.0), True)
        assert seen is not None
        add(found[slice_key({"segment": segment})], *seen)
        if channel is not None:
            add(found[slice_key({"segment": segment, "channel": channel})], *seen)
    return found


def explained(
    earlier: list[Reply], later: list[Reply], metric: str = "nps"
) -> dict[str, tuple[float, float]]:
    """Member -> service and mix, of the vip segment."""
    sums = {"1h": summed(later, metric), "7d": summed(earlier, metric)}
    finer = Finer([rule()], {*sums["1h"], *sums["7d"]})
    found = drivers_of(
        rule(metric=metric),
        '{"segment":"vip"}',
        lambda key: {name: each[key] for name, each in sums.items() if key in each},
        finer,
        "1h",
        "7d",
    )
    assert all(list(driver.slice) == ["channel"] for driver in found)
    return {driver.slice["channel"]: (driver.service, driver.mix) for driver in found}


def vips(channel: str | None, promoters: int, detractors: int) -> list[Reply]:
    """So many tens and zeros."""
    return [("vip", channel, 10)] * promoters + [("vip", channel, 0)] * detractors


def test_the_member_that_got_worse_is_the_driver() -> None:
    """Half of the replies fell from 100 to 0 in chat: that is all of the 50 points; the web had no part in it."""
    before = vips("chat", 10, 0) + vips("web", 10, 0) + [("new", "chat", 0)] * 7
    after = vips("chat", 5, 5) + vips("web", 10, 0) + [("new", "fax", 0)] * 9
    assert explained(before, after) == {"chat": (-50.0, 0.0), "web": (0.0, 0.0)}


def test_what_has_no_such_dimension_is_a_member_too() -> None:
    """Replies without a channel stand under the empty name, so that nothing of the change is missing."""
    before = vips("chat", 10, 0) + vips(None, 10, 0)
    after = vips("chat", 10, 0) + vips(None, 0, 10)
    assert explained(before, after) == {"": (-100.0, 0.0), "chat": (0.0, 0.0)}


replies = st.lists(
    st.tuples(
        st.sampled_from(("vip", "new")), st.sampled_from((None, "chat", "web", "shop")), st.integers(0, 10)
    ),
    max_size=40,
)


@given(replies, replies, st.sampled_from(("nps", "csat", "loyalty")))
def test_the_parts_add_up_to_the_change(earlier: list[Reply], later: list[Reply], metric: str) -> None:
    """Service and mix of all members are the later value less the earlier one; without either, nothing is told."""
    found = explained(earlier, later, metric)
    values = [
        value_of(metric, summed(period, metric).get('{"segment":"vip"}', {}), 0.95)
        for period in (later, earlier)
    ]
    if values[0] is None or values[1] is None:
        assert found == {}
        return
    change = (values[0].value or 0.0) - (values[1].value or 0.0)
    assert sum(service + mix for service, mix in found.values()) == pytest.approx(change, abs=1e-9)
    assert set(found) == {channel or "" for segment, channel, _ in earlier + later if segment == "vip"}


def test_the_largest_parts_are_told_and_no_more() -> None:
    """Of many members those that moved the value most, the largest first."""
    before = [reply for i in range(9) for reply in vips(f"c{i}", 10, 0)]
    after = [reply for i in range(9) for reply in vips(f"c{i}", 10 - i, i)]
    assert list(explained(before, after)) == [f"c{i}" for i in range(8, 8 - SHOWN, -1)]


def test_members_that_overlap_explain_nothing() -> None:
    """One reply with two topics is in two members, which add up to more than the whole."""
    sums: dict[str, dict[str, Stats]] = {
        '{"segment":"vip"}': {"1h": {"nps": [0, 0, 3]}, "7d": {"nps": [5, 0, 0]}},
        '{"segment":"vip","topic":"price"}': {"1h": {"nps": [0, 0, 3]}, "7d": {"nps": [4, 0, 0]}},
        '{"segment":"vip","topic":"wait"}': {"1h": {"nps": [0, 0, 2]}, "7d": {"nps": [4, 0, 0]}},
    }
    by_topic = rule(drivers=("topic",))
    finer = Finer([by_topic], sums)
    assert drivers_of(by_topic, '{"segment":"vip"}', sums.__getitem__, finer, "1h", "7d") == ()


def test_what_is_beyond_the_cap_is_of_no_slice() -> None:
    """The member ``other`` of a finer grouping is no part of the slice ``other``."""
    finer = Finer([rule()], ['{"channel":"other","segment":"other"}', '{"channel":"other","segment":"vip"}'])
    assert finer.members('{"segment":"other"}', "channel") == {}
    assert finer.members('{"segment":"vip"}', "channel") == {"other": '{"channel":"other","segment":"vip"}'}


DAY_WINDOWS = ("5m", "1h", "24h", "7d", "30d")


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({"kind": Kind.DROP, "baseline": "1h@7d,14d"}, ("1h", "1h@7d,14d")),
        ({}, ("1h", "7d")),
        ({"window": "7d"}, None),
        ({"window": "30d"}, None),
        ({"window": "ever"}, None),
        (
            {"kind": Kind.CHANGE, "window": "7d", "change": ChangeSpec(Direction.DOWN, 1e4, "7d")},
            ("1h", "7d"),
        ),
    ],
    ids=str,
)
def test_a_claim_compares_a_shorter_window_with_a_longer_one(
    fields: dict[str, Any], windows: tuple[str, str] | None
) -> None:
    """The rule's own past, or what is usual: up to a week; nothing where there is no longer window."""
    assert compared(rule(**fields), DAY_WINDOWS) == windows


def test_only_rules_with_drivers_bind_groupings() -> None:
    """The rule's grouping and one finer grouping for each dimension."""
    assert together([rule(drivers=()), rule(drivers=("region", "channel"))]) == [
        [("segment",), ("region", "segment"), ("channel", "segment")]
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_owner_of_a_slice_has_all_its_members(seed: int) -> None:
    """Over several sources and owners: at every closing the finer slices add up to the slice itself."""
    rng = Random(seed)
    kept = [("segment",), ("channel", "segment"), ("region",), ("region", "variant"), ("channel",)]
    groupings = Groupings(kept, 50)
    sources = [SourcePanes(f"r/{i}", PaneConfig(MINUTE, 0, MINUTE, MINUTE), groupings) for i in range(2)]
    config = WindowConfig(MINUTE, (window("5m", MINUTE),))
    partitions = [Windows(p, config, [each.source for each in sources]) for p in range(4)]
    finer = [Finer([rule()]) for _ in partitions]
    for either in (*sources, *partitions):
        either.ready()
    offset = at = seen = 0
    for turn in range(60):
        source = sources[turn % 2]
        source.begin()
        for _ in range(rng.randrange(12)):
            offset, at = offset + 1, at + rng.randrange(20_000)
            source.add(offset, at, _dims(rng), "nps", rng.choice([(1, 0, 0), (0, 1, 0), (0, 0, 1)]))
        _send(source.end(offset), partitions)
        for each, index in zip(partitions, finer, strict=True):
            for closing in each.close():
                index.meet(closing.changed)
                for key in [key for key in closing.changed if key.startswith('{"segment"')]:
                    seen += 1
                    parts: Stats = {}
                    for member in index.members(key, "channel").values():
                        merge(parts, each.values(member)["5m"])
                    assert parts == each.values(key)["5m"]
    assert seen > 30


def _send(changes: PaneChanges, partitions: list[Windows]) -> None:
    """To the owners, as agents do."""
    owners = Owners(together([rule(), rule(grouping=("region",), drivers=("variant",))]))
    for partial in changes.partials:
        key, value = encode_partial(partial, owners)
        partitions[crc32(key) % len(partitions)].apply(decode_partial_or_mark(value))
    for each in partitions:
        each.apply(decode_partial_or_mark(encode_mark(changes.mark)[1]))


def _dims(rng: Random) -> Dims:
    """Every dimension that is looked at has a value."""
    values = {
        "segment": rng.choice(("vip", "new", "old")),
        "channel": rng.choice(("chat", "web", "shop")),
        "region": rng.choice(("north", "south")),
        "variant": rng.choice("AB"),
    }
    return tuple(values.get(name) for name in DIMENSIONS)  # type: ignore[return-value]


_RULES = """
slices: [[segment], [channel, segment]]
groups:
  - name: g
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30%s}
"""


def test_rules_with_drivers_are_refused_where_slices_are_not_together() -> None:
    """Slices that are kept, but in another partition than what they would explain, are not enough."""
    plain, driven, silent = (
        load_rules(text, "rules.yml", windows=DAY_WINDOWS)
        for text in (_RULES % "", _RULES % ", drivers: [channel]", "groups: []")
    )
    assert not_kept(driven, driven, silent) == []
    assert not_kept(driven, plain, silent) == [
        "rule 'NpsLow' (line 6): slices by channel, segment are not kept together with slices by segment"
    ]
