"""The source side: what is known when, in which cell, and what a batch writes."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.measures import (
    NO_DIMS,
    OK,
    TOO_EARLY,
    TOO_LATE,
    Groupings,
    Mark,
    PaneConfig,
    Partial,
    SourcePanes,
    decode_partial_or_mark,
    encode_mark,
    encode_partial,
    parse_slice,
)
from stream.measures.panes import source_of
from stream.measures.partials import ALONE, Owners
from stream.measures.slices import slice_key as key_of
from stream.measures.stats import CUSTOMERS, add
from tests.measures.world import GROUPINGS, MAX_MEMBERS, Source, oracle, worlds

NOBODY = NO_DIMS
PROMOTER = ("nps", (1, 0, 0))


def panes(groupings=(), max_members=10, **config):
    """A source with panes of 10 ms and a watermark 20 ms behind, unless said otherwise."""
    defaults = {"pane_ms": 10, "lateness_ms": 20, "late_horizon_ms": 100, "max_ahead_ms": 50}
    source = SourcePanes("r/0", PaneConfig(**(defaults | config)), Groupings(groupings, max_members))
    source.ready()
    return source


def cells(changes):
    """(pane, known) -> promoters of the partials of the whole."""
    return {(p.pane, p.known): p.stats["nps"][0] for p in changes.partials if p.slice_key == "{}"}


def test_on_time_and_late():
    """Behind the watermark pane an event is known there; at or beyond it, at its own pane."""
    source = panes()
    source.begin()
    for offset, time_ms in enumerate([5, 100, 99, 80, 79, 8]):  # the watermark is 80 ms: panes below 8 closed
        source.add(offset, time_ms, NOBODY, *PROMOTER)
    changes = source.end(5)
    assert cells(changes) == {(0, 0): 1, (10, 10): 1, (9, 9): 1, (8, 8): 1, (7, 8): 1, (0, 8): 1}
    assert changes.mark == Mark("r/0", 8, False, (5, False), newest=10)


def test_the_watermark_moves_by_any_accepted_record():
    """A record without an observation moves the watermark and is in no cell."""
    source = panes()
    source.begin()
    source.add(0, 100, NOBODY, None, ())
    changes = source.end(0)
    assert (changes.partials, changes.cells, changes.mark.panes_closed) == ([], [], 8)


@pytest.mark.parametrize(
    ("newest", "time_ms", "record_ts_ms", "expected"),
    [
        (None, 0, 0, OK),
        (None, -1, 0, TOO_LATE),
        (1000, 880, 1000, OK),
        (1000, 879, 1000, TOO_LATE),
        (1000, 1050, 1000, OK),
        (1000, 1051, 1000, TOO_EARLY),
        (1000, 10_000, -1, OK),
    ],
)
def test_judge(newest, time_ms, record_ts_ms, expected):
    """Too late counts from the watermark and from 1970, too early from the record's own time if it has one."""
    source = panes()
    if newest is not None:
        source.add(0, newest, NOBODY, None, ())
    assert source.judge(time_ms, record_ts_ms) == expected


def test_add_many_is_add_one_by_one():
    """The bulk form judges and folds like the single one."""
    one, many = panes([["segment"]]), panes([["segment"]])
    dims = ("vip", *NOBODY[1:])
    records = [
        (i, t, ts, dims, PROMOTER) for i, (t, ts) in enumerate([(500, 500), (100, 600), (990, 600), (480, 1)])
    ]
    records.append((4, 501, 501, dims, None))
    verdicts = []
    for offset, time_ms, record_ts_ms, there, seen in records:
        verdicts.append(one.judge(time_ms, record_ts_ms))
        if verdicts[-1] == OK:
            one.add(offset, time_ms, there, *(seen or (None, ())))
    assert many.add_many(records) == verdicts == [OK, TOO_LATE, TOO_EARLY, TOO_EARLY, OK]
    assert many.end(4) == one.end(4)


def test_cells_are_deleted_after_the_batch_that_closed_them():
    """A cell that was written and is now closed is deleted with the next batch, not before."""
    source = panes()
    source.add(0, 5, NOBODY, *PROMOTER)
    assert [key for key, _ in source.end(0).cells] == ["r/0|c|0|0|{}"]
    source.add(1, 500, NOBODY, None, ())
    assert source.end(1).closed == []
    assert source.end(2).closed == ["r/0|c|0|0|{}"]
    assert source.end(3).closed == []


def test_cells_closed_in_their_first_batch_are_published_and_not_written():
    """What can get nothing more needs no place in the table."""
    source = panes()
    source.add(0, 5, NOBODY, *PROMOTER)
    source.add(1, 500, NOBODY, None, ())
    changes = source.end(1)
    assert (len(changes.partials), changes.cells, changes.closed) == (1, [], [])


def test_marks_before_the_first_event_and_when_idle():
    """Before its first event a source has closed nothing; its idle mark outranks the mark of the same offset."""
    source = panes()
    assert source.idle_mark() == Mark("r/0", -1, True, (-1, True))
    mark = source.end(0).mark
    assert mark == Mark("r/0", -1, False, (0, False))
    assert source.idle_mark().version > mark.version
    assert source.panes_closed == -1


def test_a_batch_must_be_ended():
    """Beginning on top of what was not ended is refused: it cannot be undone."""
    source = panes()
    source.begin()
    source.add(0, 5, NOBODY, *PROMOTER)
    with pytest.raises(RuntimeError, match="not ended"):
        source.begin()


def test_keys_name_their_source():
    """Table keys begin with the source; foreign and unknown ones are refused, deleted ones ignored."""
    source = panes()
    source.add(0, 5, NOBODY, *PROMOTER)
    changes = source.end(0)
    assert {source_of(key) for key, _ in [*changes.cells, changes.source]} == {"r/0"}
    fresh = panes()
    fresh.restore("r/0|s", None)
    assert fresh.offset == -1
    with pytest.raises(ValueError, match="another source"):
        fresh.restore("r/1|s", b"")
    with pytest.raises(ValueError, match="no known kind"):
        fresh.restore("r/0|?", b"")
    with pytest.raises(ValueError, match=r"must not contain"):
        SourcePanes("r|0", PaneConfig(), Groupings((), 1))


def test_overflow_is_counted():
    """Every observation that ends in an ``other`` member is counted, once for each such grouping."""
    source = panes([["segment"], ["region"]], max_members=1)
    for offset, (segment, region) in enumerate([("a", "x"), ("b", "x"), ("b", "y"), ("a", "x")]):
        source.add(offset, 5, (segment, *NOBODY[1:6], region, *NOBODY[7:]), *PROMOTER)
    changes = source.end(3)
    sums = {p.slice_key: p.stats["nps"][0] for p in changes.partials}
    assert sums == {
        "{}": 4,
        '{"segment":"a"}': 2,
        '{"segment":"other"}': 2,
        '{"region":"x"}': 3,
        '{"region":"other"}': 1,
    }
    assert changes.overflow == {"segment": 2, "region": 1}
    assert source.end(3).overflow == {}


def test_the_wire():
    """Partials and marks survive the wire; a partial's key is its slice; anything else is refused."""
    partial = Partial.of('{"segment":"vüp"}', "r/0", 3, 5, {"nps": [1, 0, 2]}, 17)
    key, value = encode_partial(partial)
    assert (key.decode(), decode_partial_or_mark(value)) == (partial.slice_key, partial)
    assert partial.stats == {"nps": [1, 0, 2]}
    mark = Mark("r/0", 7, True, (17, True), 9)
    assert decode_partial_or_mark(encode_mark(mark)[1]) == mark
    for junk in (b"{}", b"[]", b'["x"]', b'["m",1]'):
        with pytest.raises(msgspec.DecodeError):
            decode_partial_or_mark(junk)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.lists(st.integers(1, 5), min_size=1))
def test_cells_equal_brute_force_for_any_batches(logs, sizes):
    """The newest version of every cell holds what a plain computation puts there."""
    known, _ = oracle(logs)
    expected: dict = {}
    for reply, pane, when, slices, key, vec in known:
        for slice_key in slices:
            stats = expected.setdefault((slice_key, reply.source, pane, when), {})
            if key == CUSTOMERS:
                stats[key] = sorted({*stats.get(key, ()), *vec})
            else:
                add(stats, key, vec)
    log: list[bytes] = []
    for name, records in logs.items():
        source = Source(name, records)
        turn = 0
        while source.left(0):
            source.batch(sizes[turn % len(sizes)], log)
            turn += 1
    newest: dict = {}
    for message in map(decode_partial_or_mark, log):
        if isinstance(message, Partial):
            at = (message.slice_key, message.source, message.pane, message.known)
            newest[at] = max(newest.get(at, message), message, key=lambda partial: partial.version)
    assert {at: partial.stats for at, partial in newest.items()} == expected


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_members_survive_a_restart(logs):
    """After a restart the same members are admitted as without one, one batch a record."""
    for name, records in logs.items():
        calm, restless = [], []
        source = Source(name, records)
        while source.left(0):
            source.batch(1, calm)
        source = Source(name, records)
        while source.left(0):
            source.batch(1, restless)
            source.start()
        assert restless == calm
        members = [key.split("|", 2)[2] for key in source.table if "|m|" in key]
        groupings = Counter(",".join(parse_slice(key)) for key in members)
        assert set(groupings) <= {",".join(grouping) for grouping in GROUPINGS}
        assert all(count <= MAX_MEMBERS for count in groupings.values())


def test_contributions_move_no_watermark():
    """A contribution far ahead or behind is known by the usual rule, and the watermark and marks stay."""
    source = panes()
    source.add(0, 100, NOBODY, None, ())  # panes below 8 are closed
    source.contribute(0, 5000, NOBODY, "ended|cart", (1, 1))
    source.contribute(0, 15, NOBODY, *PROMOTER)
    changes = source.end(0)
    assert {(p.pane, p.known) for p in changes.partials} == {(500, 500), (1, 8)}
    assert changes.mark == Mark("r/0", 8, False, (0, False), newest=10)
    assert source.watermark_ms == 80


def test_a_cell_from_which_all_was_taken_back_is_published_empty():
    """What was said of an open pane is corrected in place: the newer partial holds nothing."""
    source = panes()
    source.add(0, 100, NOBODY, None, ())
    source.contribute(0, 5000, NOBODY, "ended|cart", (1, 1))
    source.end(0)
    source.contribute(1, 5000, NOBODY, "ended|cart", (-1, -1))
    (taken_back,) = source.end(1).partials
    assert (taken_back.pane, taken_back.stats, taken_back.version) == (500, {}, 1)


def test_customers_are_a_set():
    """Each customer is in a cell once, over batches and restarts, as the sorted key ``customers``."""
    source = panes([["segment"]])
    table = {}
    for offset, (segment, customer) in enumerate([("a", 2**64 - 1), ("b", 7), ("a", 7), (None, 7)]):
        source.add(offset, 5, NOBODY, None, ())
        source.seen(offset, 5, (segment, *NOBODY[1:]), customer)
        changes = source.end(offset)
        table.update([*changes.cells, changes.source])
        source = panes([["segment"]])
        for key, value in table.items():
            source.restore(key, value)
        source.ready()
    stats = {
        key.split("|", 4)[4]: msgspec.json.decode(value)[1] for key, value in table.items() if "|c|" in key
    }
    assert stats == {
        "{}": {"customers": [7, 2**64 - 1]},
        '{"segment":"a"}': {"customers": [7, 2**64 - 1]},
        '{"segment":"b"}': {"customers": [7]},
    }


def test_variants_of_a_slice_have_one_owner():
    """The record key of a slice leaves the variant out, so that its variants meet in one partition."""
    assert ALONE.key("{}") == "{}"
    assert ALONE.key('{"segment":"variant"}') == '{"segment":"variant"}'
    one, other = (ALONE.key(f'{{"segment":"vip","variant":"{name}"}}') for name in "AB")
    assert one == other == '{"segment":"vip","variant":"*"}'
    assert encode_partial(Partial.of('{"variant":"A"}', "r/0", 3, 5, {}, 17))[0] == b'{"variant":"*"}'


def test_groupings_together_have_one_owner():
    """Slices that agree in what all groupings of a family have go to one partition, all others where they were."""
    owners = Owners([[("segment",), ("segment", "channel")]])
    assert owners.key('{"segment":"vip"}') == '{"segment":"vip"}'
    assert owners.key('{"channel":"chat","segment":"vip"}') == '{"segment":"vip"}'
    assert owners.key('{"channel":"chat"}') == '{"channel":"chat"}'
    assert owners.key('{"segment":"vip","variant":"A"}') == '{"segment":"vip","variant":"*"}'
    partial = Partial.of('{"channel":"chat","segment":"vip"}', "r/0", 3, 5, {}, 17)
    assert encode_partial(partial, owners)[0] == b'{"segment":"vip"}'


DIMENSIONS = ("channel", "region", "segment", "variant")
family = st.lists(
    st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True).map(tuple), min_size=1, max_size=3
)


@given(st.lists(family, max_size=3), st.fixed_dictionaries(dict.fromkeys(DIMENSIONS, st.sampled_from("xy"))))
def test_whoever_is_together_has_one_owner_for_every_event(families, event):
    """The slices of an event in groupings named together have one key; any two variants of a slice, too."""
    owners = Owners(families)
    for groupings in families:
        keys = {owners.key(key_of({name: event[name] for name in grouping})) for grouping in groupings}
        assert len(keys) == 1
        assert all(owners.beside(groupings[0], grouping) for grouping in groupings)
        for grouping in groupings:
            members = {name: event[name] for name in grouping}
            other = members | ({"variant": "z"} if "variant" in members else {})
            assert owners.key(key_of(other)) in keys
