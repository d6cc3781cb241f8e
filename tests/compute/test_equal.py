"""``cx compute`` gives what the agents publish, value by value, however the work is cut."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.compute import collector, compute, lines, processes, reading, share
from stream.compute.collector import Alike
from stream.measures.plans import Span
from stream.measures.windows import Windows, plan
from tests.compute.world import computed, job, published, settings, simulated, values, written

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000


def same(got: dict[Any, Any], want: dict[Any, Any]) -> None:
    """Equal, or the first few keys at which they are not."""
    wrong = [key for key in got.keys() | want.keys() if got.get(key) != want.get(key)]
    told = [f"{key}:\n  got  {got.get(key)}\n  want {want.get(key)}" for key in sorted(wrong)[:5]]
    assert not wrong, f"{len(wrong)} of {len(want)} differ\n" + "\n".join(told)


@pytest.mark.parametrize(("seed", "per_hour"), [(1, 3400), (2, 300), (3, 10), (4, 1.2)])
def test_every_value_is_the_agents(seed: int, per_hour: float, tmp_path: Path) -> None:
    """Of an hour, a night, weeks or months, with late, repeated and bad lines: all metrics, slices and windows."""
    found = simulated(seed, 3_000, per_hour)
    setup = settings(tmp_path)
    got = compute(job(setup, written(tmp_path / "a.ndjson", found)))
    want = published(found, setup)
    same(values(computed(got)), values(want))
    assert computed(got)["{}"]["as_of"] == want["{}"]["as_of"]
    assert {record.as_of_ms for record in got.metrics} == {got.metrics[0].as_of_ms}
    assert all(record.final for record in got.metrics)
    metrics = {metric for _, metric, _ in values(want)}
    assert metrics >= {"nps", "csat", "ces", "revenue", "customers", "abandonment", "resolution_time"}, (
        metrics
    )
    assert got.verdicts.total() == sum(bool(line.strip()) for line in found)
    assert min(got.verdicts[name] for name in ("applied", "duplicate", "deadletter")) > 20, got.verdicts
    assert got.others, "the cap on members was never reached"


def test_too_late_is_as_with_the_agents(tmp_path: Path) -> None:
    """What lies behind the horizon of its own partition is refused, and counted as late."""
    found = simulated(5, 3_000, 3400, late=0.2)
    setup = settings(tmp_path, late_horizon_ms=4 * 60_000)
    got = compute(job(setup, written(tmp_path / "a.ndjson", found)))
    same(values(computed(got)), values(published(found, setup)))
    assert got.verdicts["late"] == got.reasons["too_late"] > 50


def test_more_customers_than_are_counted_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where customers are estimated, the estimate is the agents', to the digit, however few were kept."""
    found = simulated(13, 8_000, 3400, customers=20_000)
    setup = settings(tmp_path, "metrics: all\nslices: [[segment]]")
    file = written(tmp_path / "a.ndjson", found)
    want = values(published(found, setup))
    assert want["{}", "customers", "24h"]["n"] > 1_000
    same(values(computed(compute(job(setup, file), 2))), want)
    monkeypatch.setattr(collector, "LOOK_EVERY", 2)
    monkeypatch.setattr(collector, "ROLL_UP_FROM", 10)
    monkeypatch.setattr(collector, "THIN_FROM", 1)
    same(values(computed(compute(job(setup, file), 1))), want)


@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_partitions_are_the_deployments(partitions: int, tmp_path: Path) -> None:
    """Watermarks and the cap on members are a partition's own, so their number is part of the outcome."""
    found = simulated(6, 2_000, 3400, late=0.2)
    setup = settings(tmp_path, partitions=partitions, late_horizon_ms=4 * 60_000, max_members=3)
    got = compute(job(setup, written(tmp_path / "a.ndjson", found)))
    same(values(computed(got)), values(published(found, setup)))


def test_one_process_or_several_plain_or_compressed(tmp_path: Path) -> None:
    """The same objects, byte for byte, and the same counts."""
    found = simulated(7, 4_000, 100)
    setup = settings(tmp_path)
    plain = written(tmp_path / "a.ndjson", found)
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one = compute(job(setup, plain), 1)
    for other in (compute(job(setup, plain), 2), compute(job(setup, packed), 3)):
        assert [r.payload for r in other.metrics] == [r.payload for r in one.metrics]
        assert (other.verdicts, other.reasons, other.others) == (one.verdicts, one.reasons, one.others)
        told = [(line, reason, detail) for _, line, reason, detail in other.refused]
        assert told == [(line, reason, detail) for _, line, reason, detail in one.refused]


@pytest.mark.parametrize("alive", [4, 400_000])
@pytest.mark.parametrize("apart", [False, True])
def test_how_the_work_is_cut_does_not_matter(
    apart: bool, alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks, rounds, roll-ups and memories give what large ones do; also with a file for each topic."""
    found = simulated(8, 3_000, 60)
    setup = settings(tmp_path)
    if apart:
        touches = [line for line in found if b'"metric"' not in line]
        replies = [line for line in found if b'"metric"' in line]
        found = touches + replies
        files = [written(tmp_path / "t.ndjson", touches), written(tmp_path / "r.ndjson", replies)]
    else:
        files = [written(tmp_path / "a.ndjson", found)]
    want = published(found, setup)
    large = compute(job(setup, *files))
    same(values(computed(large)), values(want))
    monkeypatch.setattr(lines, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(share, "RUN", 3)
    monkeypatch.setattr(share, "ALIVE", alive)
    monkeypatch.setattr(collector, "LOOK_EVERY", 2)
    monkeypatch.setattr(collector, "ROLL_UP_FROM", 10)
    monkeypatch.setattr(reading, "MUCH_KEPT", 40)
    small = compute(job(setup, *files))
    assert [r.payload for r in small.metrics] == [r.payload for r in large.metrics]
    assert small.verdicts == large.verdicts
    assert small.refused == large.refused


def test_what_waits_for_the_other_topic_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file for each topic, neither is read far ahead of the other."""
    found = simulated(9, 6_000, 3400, bad=0)
    touches = [line for line in found if b'"metric"' not in line]
    replies = [line for line in found if b'"metric"' in line]
    files = [written(tmp_path / "t.ndjson", touches), written(tmp_path / "r.ndjson", replies)]
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(share, "RUN", 10)
    monkeypatch.setattr(reading, "MUCH_KEPT", 200)
    kept: list[int] = []
    take = share.Share.take

    def watched(self: share.Share, *args: Any, **kwargs: Any) -> None:
        take(self, *args, **kwargs)
        kept.append(sum(self.kept(topic) for topic in ("cx.touchpoints", "cx.replies")))

    monkeypatch.setattr(share.Share, "take", watched)
    compute(job(settings(tmp_path), *files))
    assert len(touches) > 3_000
    assert max(kept) < 600


def test_a_broken_line_is_counted_with_its_place(tmp_path: Path) -> None:
    """Bad lines are dead letters by reason, with file and line; none is a crash, none is repeated."""
    good = {"event_id": "a", "customer_id": "Jane", "occurred_at": 1_000_000, "metric": "nps", "score": 9}
    text = json.dumps(good).encode()
    bad = [b"{", b"[1]", b"\xff", b"", b"  \t", b"[" * 100_000, b'{"customer_id": "Jane"}', text[:-1] + b"x"]
    bad += [json.dumps({**good, "comment": "y" * 70_000}).encode(), b"\0", b'"Jane"', b'{"customer_id": [1]}']
    first = written(tmp_path / "a", [text, *bad])
    second = tmp_path / "b"
    second.write_bytes(text.replace(b'"a"', b'"b"') + b"\r\n\r\n" + text.replace(b"9", b"99"))
    done = compute(job(settings(tmp_path), first, second), 2)
    assert +done.verdicts == {"applied": 2, "deadletter": 11}
    assert sum(done.reasons.values()) == 11
    places = [(file.name, line, reason) for file, line, reason, _ in done.refused]
    assert places == [
        ("a", 2, "not_json"), ("a", 3, "bad_type"), ("a", 4, "not_json"), ("a", 7, "too_large"),
        ("a", 8, "missing_field"), ("a", 9, "not_json"), ("a", 10, "too_large"), ("a", 11, "not_json"),
        ("a", 12, "bad_type"), ("a", 13, "missing_field"), ("b", 3, "out_of_range"),
    ]  # fmt: skip
    assert not any("Jane" in detail for *_, detail in done.refused)


def test_nothing_at_all_is_no_metrics(tmp_path: Path) -> None:
    """An empty file, or one without a good line, has no slices."""
    empty, bad = written(tmp_path / "a", []), written(tmp_path / "b", [b"x"])
    assert compute(job(settings(tmp_path), empty)).metrics == []
    assert compute(job(settings(tmp_path), empty, bad)).metrics == []


def test_the_clock_is_only_looked_at_when_it_is_given(tmp_path: Path) -> None:
    """Events ahead of the present by more than the limit are too early, if there is a present."""
    line = b'{"event_id":"a","customer_id":"c","occurred_at":%d,"metric":"nps","score":9}'
    file = written(tmp_path / "a", [line % at for at in (1_000_000, 2_000_000)])
    given_now = processes.Job((file,), settings(tmp_path, max_ahead_ms=100_000), 1_899_999)
    assert compute(given_now).reasons == {"too_early": 1}
    assert compute(job(settings(tmp_path), file)).reasons == {}


CONFIG = plan(
    10_000,
    ("5m", "1h", "24h", "7d", "30d", "2h@3h,7h"),
    ever=("b",),
    spans=(Span("s", 5 * HOUR_MS + 15_000, 400 * HOUR_MS, ("a",)), Span("open", 77 * HOUR_MS, None, ("a",))),
)
TIMES_MS = st.one_of(
    st.integers(0, 40 * 24 * HOUR_MS),
    st.integers(0, 30 * HOUR_MS),
    st.sampled_from([5, 6, 400, 77]).map(HOUR_MS.__mul__),
)


@given(times=st.lists(TIMES_MS, min_size=1, max_size=30), ahead=st.integers(-500, 500))
def test_panes_that_are_one_are_in_the_same_windows(times: list[int], ahead: int) -> None:
    """With every pane replaced by the one that stands for it, each window has the same sums."""
    instant = max(max(times) // 10_000 + ahead, 1)
    key = '{"variant":"A"}'
    cells = [(key, at // 10_000, {"a": [1], "b": [at]}) for at in times]
    alike = Alike(Windows(0, CONFIG, ()), instant)
    stands = [(key, alike[pane], stats) for _, pane, stats in cells]
    assert all(
        (pane is None) == (cell[1] >= instant) for (_, pane, _), cell in zip(stands, cells, strict=True)
    )
    found = []
    for given_cells in (cells, [(key, pane, stats) for key, pane, stats in stands if pane is not None]):
        windows = Windows(0, CONFIG, ())
        windows.settle(given_cells, instant)
        found.append({key: windows.values(key) for key in windows.slices()})
    assert found[0] == found[1]


def test_few_panes_stand_for_many() -> None:
    """There are no more than the ends of windows divide."""
    instant = 40 * 24 * 360
    alike = Alike(Windows(0, CONFIG, ()), instant)
    assert len({alike[pane] for pane in range(instant)}) < 20


def test_a_wrong_guess_is_put_right(tmp_path: Path) -> None:
    """The newest event stands at the beginning of a long file: the result is that of the agents."""
    found = simulated(10, 3_000, 60)
    newest = [line for line in found[-200:] if b'"occurred_at"' in line]
    found = newest + found[:-200]
    setup = settings(tmp_path, late_horizon_ms=10**10)
    file = written(tmp_path / "a.ndjson", found)
    want = published(found, setup)
    for count in (1, 2):
        got = compute(job(setup, file), count)
        same(values(computed(got)), values(want))
