"""Windows against brute force: any batches, any interleaving, late events, gaps, idle sources, crashes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.measures import NO_DIMS, Mark, Partial, Window, WindowConfig, Windows, encode_mark, plan
from stream.measures.offline import Reply, explain, final_stats
from stream.measures.stats import CUSTOMERS, add
from stream.measures.windows import Span, partition_of
from tests.measures.world import (
    END,
    GROUPINGS,
    MAX_MEMBERS,
    PANES,
    SOURCES,
    WINDOWS,
    Owner,
    Source,
    oracle,
    order,
    plain_run,
    worlds,
)

HOUR, DAY = 3_600_000, 86_400_000
FINAL = (END - PANES.lateness_ms) // PANES.pane_ms
seeds = st.integers(0, 2**32)


SHIFTED = {window.name for window in WINDOWS.windows if window.shifts_ms}


def some(windows):
    """Without the windows that hold nothing."""
    return {name: stats for name, stats in windows.items() if stats}


def unshifted(slices):
    """Without the windows of earlier times, which move on without being told of."""
    left = {key: {n: s for n, s in windows.items() if n not in SHIFTED} for key, windows in slices.items()}
    return {key: windows for key, windows in left.items() if windows}


def states(closings, until):
    """Every slice's windows at every instant, as a subscriber who keeps the newest closing sees them."""
    seen = {}
    for instant in range(until + 1):
        closing = closings.get(instant)
        if closing is not None:
            seen.update({key: some(windows) for key, windows in closing.changed.items()})
        yield instant, unshifted(seen)


def news_of(known, instant):
    """By brute force: slice -> (pane, sums) of what became known at the instant, by pane."""
    found = {}
    for k in known:
        if k.known == instant - 1 and k.key != CUSTOMERS:
            for key in k.slices:
                add(found.setdefault(key, {}).setdefault(k.pane, {}), k.key, k.vec)
    told = {
        key: [(pane, panes[pane]) for pane in sorted(panes) if panes[pane]] for key, panes in found.items()
    }
    return {key: panes for key, panes in told.items() if panes}


def covered(config, pane, instant):
    """By brute force: how often each window counts a pane at an instant."""
    wanted = dict.fromkeys((window.name for window in config.windows), 0)
    for window in config.windows:
        per = window.tier_ms // config.pane_ms
        for shift_ms in window.shifts_ms or (0,):
            end = -(-instant // per) * per - shift_ms // config.pane_ms
            first = end - window.length_ms // config.pane_ms
            wanted[window.name] += first <= pane < min(end, instant)
    return wanted


@given(st.integers(0, 400), st.integers(0, 400))
def test_times_says_how_often_a_window_counts_a_pane(pane, instant):
    """A window counts a pane as often as its definition says, at any instant before or after."""
    windows = Windows(0, WINDOWS, SOURCES)
    found = {window.name: windows.times(window.name, pane, instant) for window in WINDOWS.windows}
    assert found == covered(WINDOWS, pane, instant)


def first_corrected(known, closing):
    """By brute force: slice -> first pane before the instant's own of which something became known then."""
    found = {}
    for k in known:
        if k.known == closing.instant - 1 > k.pane:
            found.update({key: min(k.pane, found.get(key, k.pane)) for key in k.slices})
    return found


@settings(max_examples=60, deadline=None)
@given(worlds(), seeds)
def test_every_instant_equals_brute_force(logs, seed):
    """At every instant every window of every slice is what a plain computation over the replies gives."""
    known, marks = oracle(logs)
    _, owner = plain_run(logs, seed)
    assert owner.windows.frontier == min(marks.values()) == FINAL
    for instant, seen in states(owner.closings, FINAL):
        expected = final_stats(known, instant, WINDOWS)
        assert seen == unshifted(expected), instant
        closing = owner.closings.get(instant)
        if closing is not None:
            told = {key: some(windows) for key, windows in closing.changed.items()}
            assert told == {key: expected.get(key, {}) for key in told}, instant
            assert dict(closing.news) == news_of(known, instant), instant
            corrected = first_corrected(known, closing)
            assert {key: corrected[key] for key in closing.corrected} == closing.corrected
            # What is not told cancelled itself out, or was too old for every window.
            before = final_stats(known, instant - 1, WINDOWS)
            for key in corrected.keys() - closing.corrected.keys() - closing.changed.keys():
                assert unshifted({key: expected.get(key, {})}) == unshifted({key: before.get(key, {})})


@settings(max_examples=60, deadline=None)
@given(worlds(), seeds, seeds)
def test_closings_do_not_depend_on_batches_or_interleaving(logs, one, other):
    """The sequence of closings is a function of each source's own log."""
    assert list(plain_run(logs, one)[1].closings.items()) == list(plain_run(logs, other)[1].closings.items())


@settings(max_examples=60, deadline=None)
@given(worlds(), seeds)
def test_idle_sources_lose_nothing(logs, seed):
    """What a source has to say after it was passed over as idle is counted from the instant it comes back."""
    known, _ = oracle(logs)
    log, owner = plain_run(logs, seed, idle=0.4)
    again = Owner(log)
    again.drain()
    assert again.closings == owner.closings
    instant = owner.windows.frontier
    assert instant >= FINAL
    expected = final_stats(known, instant, WINDOWS)
    assert {key: some(owner.windows.values(key)) for key in owner.windows.slices()} == expected


@settings(max_examples=150, deadline=None)
@given(worlds(), seeds, st.sampled_from([0.0, 0.3]))
def test_crashes_change_nothing(logs, seed, idle):
    """Whatever part of the writes a crash loses, closings repeat with the same figures and the end is exact."""
    rng = random.Random(seed)
    log: list[bytes] = []
    sources = [Source(name, records) for name, records in logs.items()]
    owner = Owner(log)
    for source in order(rng, sources):
        source.batch(rng.choice([1, 2, 5, 100]), log, crash=rng if rng.random() < 0.4 else None)
        if rng.random() < idle:
            log.append(encode_mark(rng.choice(sources).panes.idle_mark())[1])
        if rng.random() < 0.6:
            owner.batch(rng.choice([1, 3, 10, 100]), crash=rng if rng.random() < 0.4 else None)
    while owner.position < len(log):
        owner.batch(rng.choice([3, 10, 100]), crash=rng if rng.random() < 0.3 else None)
    owner.batch(0)
    owner.batch(0)
    known, _ = oracle(logs)
    instant = owner.windows.frontier
    expected = final_stats(known, instant, WINDOWS)
    assert {key: some(owner.windows.values(key)) for key in owner.windows.slices()} == expected
    calm = Owner(log)
    calm.drain()
    assert owner.closings == calm.closings
    if not idle:
        assert owner.closings == plain_run(logs, seed)[1].closings
    _nothing_left_over(owner, instant)


def _nothing_left_over(owner, frontier):
    """The durable table holds what windows cover, what lies ahead, and no cell that is folded and closed."""
    for key in owner.table:
        _, kind, *rest = key.split("|", 4)
        if kind in "eu" and rest[0].isdecimal():
            tier_ms, pane = int(rest[0]), int(rest[1])
            longest = max(
                w.length_ms + max(w.shifts_ms, default=0) for w in WINDOWS.windows if w.tier_ms == tier_ms
            )
            assert (pane * tier_ms + longest) // WINDOWS.pane_ms >= frontier
        assert kind != "c" or int(rest[0]) >= frontier


@settings(max_examples=40, deadline=None)
@given(worlds(), seeds)
def test_sources_forget_what_is_closed(logs, seed):
    """When all is closed a source's table holds its entry, its members, and cells that lie ahead."""
    rng = random.Random(seed)
    for name, records in logs.items():
        source = Source(name, records)
        while source.left(0):
            source.batch(rng.choice([1, 2, 5]), [], crash=rng if rng.random() < 0.4 else None)
        source.batch(0, [])
        kinds = [key.split("|", 3) for key in source.table]
        assert {kind for _, kind, *_ in kinds} <= {"s", "m", "c"}
        assert all(int(rest[0]) >= source.panes.panes_closed for _, kind, *rest in kinds if kind == "c")


@settings(max_examples=40, deadline=None)
@given(worlds(), seeds)
def test_provisional_holds_everything_heard(logs, seed):
    """Provisional values are the final ones plus all that is heard of and within the window's final start."""
    rng = random.Random(seed)
    log: list[bytes] = []
    sources = [Source(name, records[:-2]) for name, records in logs.items()]
    for source in sources:
        while source.left(0):
            source.batch(rng.choice([1, 2, 5]), log)
    owner = Owner(log)
    owner.drain()
    known, _ = explain(
        [reply for records in logs.values() for reply in records[:-2]],
        PANES.pane_ms,
        PANES.lateness_ms,
        GROUPINGS,
        MAX_MEMBERS,
    )
    windows = owner.windows
    newest = windows.newest
    # As if all that happened before the newest event's end were final by the frontier, and just inside.
    heard = [k._replace(known=-1) for k in known if k.pane < newest]
    for window in WINDOWS.windows:
        start = -(-windows.frontier * 10 // window.tier_ms) * window.tier_ms - window.length_ms
        if not window.shifts_ms and windows.frontier:
            inside = [k._replace(pane=windows.frontier - 1) for k in heard if k.pane * 10 >= start]
            expected = final_stats(inside, windows.frontier, WINDOWS).get("{}", {})
            assert windows.provisional("{}")[window.name] == expected.get(window.name, {})
    for key in {key for k in heard for key in k.slices}:
        expected = final_stats(heard, newest, WINDOWS).get(key, {})
        for name in ("ever", "trial", "open"):
            assert windows.provisional(key)[name] == expected.get(name, {})


@settings(max_examples=60, deadline=None)
@given(worlds(), seeds, st.integers(0, FINAL))
def test_settling_is_closing_pane_by_pane(logs, seed, instant):
    """All cells at once, in any order and in any parts, give the sums of all panes closed in turn."""
    rng = random.Random(seed)
    known, _ = oracle(logs)
    cells = [(key, k.pane, {k.key: list(k.vec)}) for k in known for key in k.slices]
    rng.shuffle(cells)
    windows = Windows(0, WINDOWS, [])
    windows.ready()
    windows.settle(cells, instant)
    expected = final_stats([k._replace(known=k.pane) for k in known], instant, WINDOWS)
    assert {key: some(windows.values(key)) for key in windows.slices()} == expected


def partial(pane, version=1, known=None, source="s", slice_key="{}", n=1):
    """A partial of ``n`` promoters."""
    return Partial.of(slice_key, source, pane, pane if known is None else known, {"nps": [n, 0, 0]}, version)


def closings(windows, *messages):
    """Apply and close."""
    for message in messages:
        windows.apply(message)
    return list(windows.close())


def small(sources=("s",)):
    """One window of three panes."""
    windows = Windows(0, WindowConfig(10, (Window("w", 30, 10),)), sources)
    windows.ready()
    return windows


def test_a_window_opens_and_empties():
    """A reply is in the window for its length and then leaves it; nothing in between is reported."""
    seen = closings(small(), partial(5), Mark("s", 100, False, (2, False)))
    assert [(c.instant, c.as_of_ms, c.changed) for c in seen] == [
        (6, 60, {"{}": {"w": {"nps": [1, 0, 0]}}}),
        (9, 90, {"{}": {"w": {}}}),
    ]


def test_gaps_cost_nothing():
    """A frontier that jumps by years passes over the empty instants without visiting them."""
    windows = small()
    seen = closings(windows, partial(5), partial(10**9), Mark("s", 10**12, False, (2, False)))
    assert [c.instant for c in seen] == [6, 9, 10**9 + 1, 10**9 + 4]
    assert windows.frontier == 10**12


def test_a_source_never_heard_of_holds_the_frontier():
    """Nothing is final before every expected source was heard of, if only as idle."""
    windows = small(("s", "t"))
    assert closings(windows, partial(5), Mark("s", 100, False, (1, False))) == []
    assert [c.instant for c in closings(windows, Mark("t", -1, True, (-1, True)))] == [6, 9]


def test_the_slowest_source_that_is_not_idle_decides():
    """The frontier is the smallest mark of those not idle, the largest when all are, and never falls."""
    windows = small(("s", "t"))
    closings(windows, Mark("s", 100, False, (1, False)), Mark("t", 40, False, (1, False)))
    assert windows.frontier == 40
    closings(windows, Mark("t", 40, True, (1, True)))
    assert windows.frontier == 100
    closings(windows, Mark("s", 120, True, (1, True)))
    assert windows.frontier == 120
    closings(windows, Mark("t", 50, False, (2, False)))
    assert windows.frontier == 120


def test_an_unexpected_source_counts_but_does_not_hold():
    """Partials of a source that is no longer expected are counted; its marks decide nothing."""
    windows = small()
    seen = closings(windows, partial(5, source="old"), Mark("s", 7, False, (1, False)))
    assert [c.instant for c in seen] == [6]
    closings(windows, Mark("old", 0, False, (1, False)), Mark("s", 9, False, (2, False)))
    assert windows.frontier == 9


def test_the_higher_version_holds():
    """Of two partials of one cell the higher version counts, in whatever order they come."""
    windows = small()
    seen = closings(
        windows,
        partial(5, version=7, n=3),
        partial(5, version=4, n=2),
        Mark("s", 6, False, (7, False)),
        partial(5, version=4, n=2),
    )
    assert seen[0].changed["{}"]["w"] == {"nps": [3, 0, 0]}
    assert windows.provisional("{}") == {"w": {"nps": [3, 0, 0]}}


def test_news_from_an_idle_source_is_counted_once():
    """A cell that was folded while its source was idle adds only what is new when it comes again."""
    windows = small(("s", "t"))
    closings(
        windows, partial(5, version=1, n=2), Mark("s", 4, True, (1, True)), Mark("t", 6, False, (1, False))
    )
    assert windows.values("{}") == {"w": {"nps": [2, 0, 0]}}
    seen = closings(
        windows, partial(5, version=3, n=5), Mark("s", 7, False, (3, False)), Mark("t", 7, False, (2, False))
    )
    assert [(c.instant, c.changed) for c in seen] == [(7, {"{}": {"w": {"nps": [5, 0, 0]}}})]


def test_a_fold_hidden_by_later_news_is_taken_back():
    """News that came after a fold, durable when the fold's progress is not, does not change the repeat.

    Twice: also when the next progress is written before the fold comes again.
    """
    messages = [
        partial(5, version=1, n=2),
        Mark("s", 4, True, (1, True)),
        Mark("t", 6, False, (1, False)),
        partial(5, version=3, n=5),
    ]
    table: dict[str, bytes] = {}

    def restart():
        windows = Windows(0, WindowConfig(10, (Window("w", 30, 10),)), ["s", "t"])
        for key, value in table.items():
            windows.restore(key, value)
        windows.ready()
        return windows

    windows = restart()
    assert [c.instant for c in closings(windows, *messages)] == [6]
    table.update(windows.changes().entries)  # the progress is lost
    rounds = {int(value[1 : value.index(b",")]) for value in table.values()}
    windows = restart()
    assert closings(windows, *messages[:2]) == []
    changes = windows.changes()
    assert {int(value[1 : value.index(b",")]) for _, value in changes.entries} == {max(rounds) + 1}
    table.update([*changes.entries, changes.progress])
    windows = restart()
    seen = closings(windows, *messages, Mark("s", 7, False, (3, False)), Mark("t", 7, False, (2, False)))
    assert [(c.instant, c.changed["{}"]["w"]) for c in seen] == [
        (6, {"nps": [2, 0, 0]}),
        (7, {"nps": [5, 0, 0]}),
    ]


def test_wake_asks_for_an_instant_at_which_nothing_changes():
    """A slice is reported at an instant somebody waits for, also one it asks for while closing."""
    windows = small()
    windows.apply(partial(5))
    windows.apply(Mark("s", 20, False, (2, False)))
    seen = []
    for closing in windows.close():
        seen.append((closing.instant, closing.changed["{}"]["w"]))
        if closing.instant == 6:
            windows.wake(7, "{}")
        if closing.instant == 9:
            windows.wake(2, "{}")  # past: the next instant
            windows.wake(15, "{}")
    assert seen == [(6, {"nps": [1, 0, 0]}), (7, {"nps": [1, 0, 0]}), (9, {}), (10, {}), (15, {})]


def test_wake_knows_slices_nobody_heard_of():
    """Asking for a slice without data gives empty windows."""
    windows = small()
    windows.wake(3, '{"segment":"vip"}')
    assert closings(windows, Mark("s", 3, False, (1, False)))[0].changed == {'{"segment":"vip"}': {"w": {}}}


def test_older_than_the_longest_window_is_news_alone():
    """A late partial that no window covers any more changes nothing; it is told as news."""
    windows = small()
    (closing,) = closings(windows, partial(5, known=50), Mark("s", 60, False, (2, False)))
    assert (closing.changed, closing.corrected) == ({}, {})
    assert closing.news == {"{}": [(5, {"nps": [1, 0, 0]})]}
    assert closings(windows) == []


def test_wake_asks_for_a_closing_alone():
    """Without a slice there is a closing at the instant, of which nothing is to be published."""
    windows = small()
    windows.wake(3)
    (closing,) = closings(windows, Mark("s", 5, False, (1, False)))
    assert (closing.instant, closing.changed, closing.news) == (3, {}, {})
    assert windows.slices() == []


def test_changes_need_an_exhausted_close():
    """State is written between messages only."""
    windows = small()
    windows.apply(partial(5))
    with pytest.raises(RuntimeError, match="not exhausted"):
        windows.changes()
    assert list(windows.close()) == []
    assert windows.changes().progress is not None
    assert windows.changes().progress is None


def test_touched_since_last_asked():
    """Slices are named once for each time something new was heard of them."""
    windows = small()
    closings(windows, partial(5), partial(5))
    assert windows.touched() == {"{}"}
    assert windows.touched() == set()


def test_provisional_values_end_with_the_newest_event():
    """What lies ahead of every event, a deadline, is in no provisional value until events get there."""
    windows = small(["s", "t"])
    closings(windows, partial(5), partial(7), Mark("s", 4, False, (2, False), newest=5))
    assert (windows.newest, windows.provisional("{}")) == (6, {"w": {"nps": [1, 0, 0]}})
    closings(windows, Mark("s", 5, False, (3, False), newest=7))
    assert (windows.newest, windows.provisional("{}")) == (8, {"w": {"nps": [2, 0, 0]}})


def test_when_all_are_silent_everything_that_came_is_final():
    """With all sources idle the frontier is the end of the newest event's pane, and no deadline's."""
    windows = small(["s", "t"])
    seen = closings(
        windows,
        partial(5),
        partial(90),
        Mark("s", 3, False, (1, False), newest=5),
        Mark("t", 1, False, (1, False), newest=2),
        Mark("s", 3, True, (1, True), newest=5),
    )
    assert (seen, windows.frontier) == ([], 1)
    seen = closings(windows, Mark("t", 1, True, (1, True), newest=2))
    assert ([c.instant for c in seen], windows.frontier) == ([6], 6)


def test_entries_name_their_partition():
    """Every table key begins with the partition, and foreign ones are refused."""
    windows = Windows(7, plan(10_000), SOURCES)
    windows.ready()
    closings(windows, partial(5))
    changes = windows.changes()
    keys = [key for key, _ in [*changes.entries, changes.progress]]
    assert [partition_of(key) for key in keys] == [7, 7]
    with pytest.raises(ValueError, match="another partition"):
        Windows(8, plan(10_000), SOURCES).restore(keys[0], b"")


def test_windows_that_were_given_up_are_deleted():
    """Panes of a tier that no window uses any more are deleted when what they held is safe elsewhere."""
    windows = Windows(0, plan(10_000), ["s"])
    windows.ready()
    closings(windows, partial(5), Mark("s", 6, False, (1, False)))
    changes = windows.changes()
    fewer = Windows(0, plan(10_000, ("5m",)), ["s"])
    for key, value in [*changes.entries, changes.progress]:
        fewer.restore(key, value)
    fewer.ready()
    assert fewer.values("{}") == {"5m": {"nps": [1, 0, 0]}}
    assert fewer.changes().tombstones == []
    assert fewer.changes().tombstones == ["0|e|300000|0|{}"]


def test_the_open_pane_of_a_tier_given_up_goes_to_the_next():
    """What longer windows have only through a finer tier's open pane stays with them when that tier goes."""
    windows = Windows(0, plan(10_000, ("5m", "24h", "7d")), ["s"])
    windows.ready()
    closings(windows, partial(5), Mark("s", 6, False, (1, False)))
    changes = windows.changes()
    fewer = Windows(0, plan(10_000, ("5m", "7d")), ["s"])
    for key, value in [*changes.entries, changes.progress]:
        fewer.restore(key, value)
    fewer.ready()
    assert fewer.values("{}") == {"5m": {"nps": [1, 0, 0]}, "7d": {"nps": [1, 0, 0]}}
    changes = fewer.changes()
    again = Windows(0, plan(10_000, ("5m", "7d")), ["s"])
    for key, value in [*changes.entries, changes.progress]:
        again.restore(key, value)
    again.ready()
    assert again.values("{}")["7d"] == {"nps": [1, 0, 0]}


@pytest.mark.parametrize(
    ("name", "tier_ms"),
    [("90s", 10_000), ("5m", 10_000), ("1h", 10_000), ("6h", 300_000), ("24h", 300_000), ("7d", 3_600_000),
     ("30d", 3_600_000), ("90d", 21_600_000)],
)  # fmt: skip
def test_plan(name, tier_ms):
    """Windows find their usual tier by their length."""
    assert plan(10_000, (name,)).tiers == (tier_ms,)
    assert plan(10_000, ("5m", "1h", "24h", "7d", "30d", "90d")).tiers == (
        10_000,
        300_000,
        3_600_000,
        21_600_000,
    )


@pytest.mark.parametrize(
    "names",
    [(), ("5m", "5m"), ("five",), ("",), ("5",), ("m",), ("0m",), ("15s",), ("1h@7d",), ("5m", "1h@"),
     ("5m", "1h@0d"), ("5m", "1h@90m"), ("5m", "ever"), ("5m", "1h@7d,")],
)  # fmt: skip
def test_wrong_plans(names):
    """Windows that cannot be are refused."""
    with pytest.raises(ValueError, match=r"window|name"):
        plan(10_000, names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1h@7d", Window("1h@7d", HOUR, HOUR, (7 * DAY,))),
        ("5m@24h", Window("5m@24h", HOUR, HOUR, (DAY,))),
        ("24h@7d,14d", Window("24h@7d,14d", DAY, HOUR, (7 * DAY, 14 * DAY))),
        ("90d@30d", Window("90d@30d", 90 * DAY, 6 * HOUR, (30 * DAY,))),
    ],
)
def test_shifted_windows_are_rolled_from_hours(name, expected):
    """The name says how long ago; what is shorter than an hour becomes one."""
    assert plan(10_000, ("5m", name)).windows[1] == expected
    assert plan(10_000, ("5m", name)).published == ("5m",)


def test_the_same_hour_of_last_week():
    """A shifted window holds the whole hour that was running a week ago, and its moving on is not told."""
    windows = Windows(0, plan(10_000, ("5m", "1h@7d")), ["s"])
    windows.ready()
    week, hour = 7 * DAY // 10_000, HOUR // 10_000
    messages = [partial(5), partial(hour - 1), partial(hour), partial(week + 3)]
    told = closings(windows, *messages, Mark("s", week + 4, False, (2, False)))
    assert told[-1].instant == week + 4
    assert told[-1].changed["{}"]["1h@7d"] == {"nps": [2, 0, 0]}
    assert [c.instant for c in closings(windows, Mark("s", week + hour + 1, False, (3, False)))] == [
        week + 34
    ]
    assert windows.values("{}")["1h@7d"] == {"nps": [1, 0, 0]}


def test_a_correction_names_the_first_pane_that_changed():
    """Late data is told with the oldest pane that it changed; on time, or too old for any window, it is not."""
    windows = small()
    seen = closings(
        windows,
        partial(3),
        partial(5, known=6),
        partial(4, known=6, n=2),
        partial(6, n=3),
        partial(1, known=6, slice_key='{"segment":"old"}'),
        Mark("s", 7, False, (2, False)),
    )
    assert [(c.instant, c.corrected) for c in seen if c.corrected] == [(7, {"{}": 4})]


def test_subscribers_are_a_stock():
    """``ever`` keeps the declared stems, whatever leaves the other windows; spans keep theirs while they last."""
    span = Span("trial", 40, 70, ("nps",), (("segment", "vip"),))
    config = WindowConfig(10, (Window("w", 30, 10),), ever=("subscribers",), spans=(span,))
    vip = '{"segment":"vip","variant":"A"}'
    windows = Windows(0, config, ["s"])
    windows.ready()
    for pane in (3, 4, 6, 7):
        stats = {"subscribers": [1, 1, 0], "nps": [0, 1, 0]}
        for slice_key in ("{}", vip, '{"segment":"vip"}'):
            windows.apply(Partial.of(slice_key, "s", pane, pane, stats, 1))
    windows.apply(Mark("s", 30, False, (2, False)))
    list(windows.close())
    assert config.published == ("w", "ever", "trial")
    assert windows.values(vip) == {"w": {}, "ever": {"subscribers": [4, 4, 0]}, "trial": {"nps": [0, 2, 0]}}
    for slice_key in ("{}", '{"segment":"vip"}'):
        assert windows.values(slice_key) == {"w": {}, "ever": {"subscribers": [4, 4, 0]}, "trial": {}}


def test_tiers_must_nest():
    """A tier is made of whole panes of the next finer."""
    with pytest.raises(ValueError, match="not made of"):
        WindowConfig(10, (Window("a", 60, 20), Window("b", 60, 30)))


def test_offline_known_by_hand():
    """A reply behind its source's watermark is known at the watermark, others at their own pane."""
    replies = [Reply("s", time_ms, NO_DIMS, "nps", 10) for time_ms in (5, 100, 20, 76)]
    known, marks = explain(replies, 10, 25)
    assert [(k.pane, k.known) for k in known] == [(0, 0), (10, 10), (2, 7), (7, 7)]
    assert marks == {"s": 7}
