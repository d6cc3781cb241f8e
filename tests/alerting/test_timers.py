"""The index of who is due: against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.timers import BUCKET_MS, NEVER, Timers

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5 * BUCKET_MS), st.sampled_from([b"a", b"b", b"c"])),
        st.tuples(st.just("go"), st.integers(0, 5 * BUCKET_MS), st.just(b"")),
    ),
    max_size=40,
)


@given(STEPS)
def test_moments_come_out_in_their_order_when_time_reaches_them(
    steps: list[tuple[str, int, bytes]],
) -> None:
    """Whatever is added when: up to a moment all come out, the earliest first, and no other."""
    timers, plain, clock = Timers(), list[tuple[int, bytes]](), 0
    for what, at, name in steps:
        if what == "add":
            timers.add(at, name)
            plain.append((at, name))
            assert timers.next_ms <= min(plain)[0]
            continue
        clock = max(clock, at)
        while timers.first(clock) <= clock:
            assert timers.pop() == min(plain)
            plain.remove(min(plain))
        assert not [one for one in plain if one[0] <= clock]
        assert len(timers) == len(plain)
        assert timers.next_ms <= min(plain, default=(NEVER, b""))[0]
