"""What of the event stream is pure: positions, and what memory still holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.api import positions
from stream.api.live import RecentAlerts, RecentMetrics, Told


@given(
    st.dictionaries(st.integers(0, 999), st.integers(-1, 10**15)),
    st.dictionaries(st.integers(0, 999), st.integers(-1, 10**15)),
)
def test_positions_are_read_as_they_were_written(alerts: dict[int, int], metrics: dict[int, int]) -> None:
    """An id says exactly how far its reader is."""
    assert positions.read(positions.written(alerts, metrics)) == (alerts, metrics)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcd")), max_size=60), st.integers(1, 9))
def test_memory_says_when_it_forgets(records: list[tuple[int, str]], most: int) -> None:
    """Memory covers what was seen exactly if nothing after it is gone; brute force over all records."""
    ends = dict.fromkeys(range(3), 0)
    every: list[Told] = []
    alerts, metrics = RecentAlerts(most), RecentMetrics(most)
    for recent in (alerts, metrics):
        for partition in ends:
            recent.begin(partition, 0)
    for number, (partition, key) in enumerate(records, 1):
        told = Told(number, partition, ends[partition], key, b"")
        ends[partition] += 1
        every.append(told)
        alerts.put(told)
        metrics.put(told)
    held = alerts.after(0)
    assert held == every[-most:]
    for first in (0, len(every) // 2):
        seen: dict[int, int] = {}
        for told in every[:first]:
            seen[told.partition] = told.offset
        gone = [told for told in every[first:] if told not in held]
        assert alerts.covers(seen) == (not gone)
        if metrics.covers(seen):
            newest = {told.key: told for told in every[first:]}
            after = {
                told.key: told for told in metrics.after(0) if told.offset > seen.get(told.partition, -1)
            }
            assert after == newest
