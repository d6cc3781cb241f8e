"""Of panes that close at once, some values on the way are published, so that charts of that time have points."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import to_ms
from stream.alerting.rules import load_rules
from stream.pipeline.finals import FEW, MANY, SHARE, STEP_MS, Final, Finals
from tests.pipeline.test_published import PANE_MS, START, VIP, Path

if TYPE_CHECKING:
    from stream.measures import Stats
    from stream.pipeline.metrics import MetricsRecord

WHOLE = "{}"
RULES = "slices:\n  - [segment]\ngroups: []\n"
STEP = STEP_MS // PANE_MS


def log(panes: int) -> dict[int, dict[str, Stats]]:
    """A reply to everybody in every pane, one of the few vip customers in every tenth."""
    return {
        START + n: {WHOLE: {"nps": [1, n % 2, 0]}} | ({VIP: {"nps": [1, 1, 0]}} if n % 10 == 0 else {})
        for n in range(panes)
    }


def told(record: MetricsRecord) -> tuple[str, str, str]:
    """Slice, instant and values."""
    found = json.loads(record.payload)
    return record.slice_key, found["as_of"], json.dumps(found["metrics"])


def test_what_a_catch_up_publishes_on_the_way_is_what_was_published_live() -> None:
    """A day at once has a point for every twenty minutes, each as it was final then; the newest comes last."""
    panes = 24 * 60 * 6
    live, behind = Path(load_rules(RULES, "r.yml")), Path(load_rules(RULES, "r.yml"))
    at_once, each = [], set()
    for pane, sums in log(panes).items():
        each.update(told(record) for record in live.run(pane, sums).metrics)
        at_once += behind.partials(pane, pane, sums)
    changes = behind.part.run([*at_once, *behind.marks(START + panes)])
    published = [told(record) for record in changes.metrics]
    assert each.issuperset(published)
    for slice_key in (WHOLE, VIP):
        times = [record.as_of_ms for record in changes.metrics if record.slice_key == slice_key]
        assert times == sorted(set(times))
        assert len(times) >= 24 * 3
        assert max(after - before for before, after in pairwise(times)) <= 20 * 60_000
        assert times[-1] == max(
            to_ms(datetime.fromisoformat(as_of)) for key, as_of, _ in each if key == slice_key
        )


def test_live_each_slice_has_one_value() -> None:
    """Where one pane closes there is nothing on the way."""
    path = Path(load_rules(RULES, "r.yml"))
    for pane, sums in log(2 * STEP).items():
        changes = path.run(pane, sums)
        assert len({record.slice_key for record in changes.metrics}) == len(changes.metrics)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 40 * STEP_MS)), max_size=400))
def test_the_newest_of_each_slice_is_there_and_never_too_many(seen: list[tuple[str, int]]) -> None:
    """In the order of time, no two of a slice within five minutes but the last, and a share of what was seen."""
    finals = Finals()
    clock, newest = 0, {}
    for slice_key, on_ms in seen:
        clock += on_ms
        newest[slice_key] = Final(clock, {}, {}, None)
        finals.take(slice_key, newest[slice_key])
    published = list(finals)
    assert dict(published) == newest
    for slice_key in newest:
        times = [final.as_of_ms for key, final in published if key == slice_key]
        assert times == sorted(times)
        steps = [at_ms // STEP_MS for at_ms in times[:-1]]
        assert len(set(steps)) == len(steps)
    assert len(published) - len(newest) <= min(MANY, max(FEW, len(seen) * SHARE))


def test_there_are_as_many_as_there_may_be() -> None:
    """A year of hours comes to evenly spread points, at least half as many as there might be."""
    finals = Finals()
    for hour in range(24 * 365):
        finals.take("a", Final(hour * 3_600_000, {}, {}, None))
    days = [final.as_of_ms / 86_400_000 for _, final in finals]
    most = 24 * 365 * SHARE
    assert most / 2 <= len(days) <= most + 1
    assert max(after - before for before, after in pairwise(days)) <= 365 / (most / 2)


def test_more_slices_than_there_may_be_values_have_none_on_the_way() -> None:
    """Each has its newest value, and the work stays small."""
    finals = Finals()
    for instant in range(3):
        for number in range(3 * MANY):
            finals.take(str(number), Final(instant * STEP_MS, {}, {}, None))
    found = list(finals)
    assert len(found) <= 4 * MANY
    assert {final.as_of_ms for _, final in found[-3 * MANY :]} == {2 * STEP_MS}
