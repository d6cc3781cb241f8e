"""The same figures by brute force: a plain computation over a list of replies.

Deliberately simple and slow; shares with the incremental code only what a reply observes and how sums become
a value. It is the oracle of the tests, and a definition of what the product promises.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from stream.measures.audience import summary
from stream.measures.distinct import Distinct
from stream.measures.plans import EVER
from stream.measures.registry import all_values, observation
from stream.measures.slices import DIMENSIONS, NO_DIMS, TOPIC_SEPARATOR, Dims
from stream.measures.stats import CUSTOMERS, Stats, add

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.measures.metric import MetricValue
    from stream.measures.plans import WindowConfig

Contributed = tuple[int, Dims, str, tuple[int, ...]]
"""(time_ms, dims, part key, vector): what a record says about any moment."""


class Reply(NamedTuple):
    """One accepted record, in the order of its source.

    Attributes:
        source: Source topic-partition.
        time_ms: Event time.
        dims: Values of ``DIMENSIONS``.
        metric: None for a record that is no reply.
        score: Answer.
        scale: Scale of the question.
        higher_is_better: Its direction.
        more: What it contributes besides.
        customer: Hash of its customer, where customers are counted.
    """

    source: str
    time_ms: int
    dims: Dims = NO_DIMS
    metric: str | None = None
    score: float = 0
    scale: tuple[float, float] = (0, 10)
    higher_is_better: bool = True
    more: tuple[Contributed, ...] = ()
    customer: int | None = None

    def says(self) -> Iterator[Contributed]:
        """All that it says, in order; customers are [hash]."""
        seen = observation(self.metric or "", self.score, self.scale, self.higher_is_better)
        if seen is not None:
            yield self.time_ms, self.dims, *seen
        yield from self.more
        if self.customer is not None:
            yield self.time_ms, self.dims, CUSTOMERS, (self.customer,)


class Known(NamedTuple):
    """Something a record says, with its pane, the pane at whose closing it is known, and its slices."""

    reply: Reply
    pane: int
    known: int
    slices: list[str]
    key: str
    vec: tuple[int, ...]


def explain(
    replies: Iterable[Reply],
    pane_ms: int,
    lateness_ms: int,
    groupings: Iterable[Sequence[str]] = (),
    max_members: int = 1_000_000,
) -> tuple[list[Known], dict[str, int]]:
    """When all that is said is known and where it belongs, and every source's watermark pane at the end."""
    newest: dict[str, int] = {}
    members: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    kept = sorted({tuple(sorted(grouping)) for grouping in groupings} - {()})
    known = []
    for reply in replies:
        newest[reply.source] = max(newest.get(reply.source, 0), reply.time_ms)
        closed = max((newest[reply.source] - lateness_ms) // pane_ms, 0)
        for time_ms, dims, key, vec in reply.says():
            slices = ["{}"]
            for grouping in kept:
                admitted = members.setdefault((reply.source, grouping), set())
                slices += _members(grouping, dims, admitted, max_members)
            pane = time_ms // pane_ms
            known.append(Known(reply, pane, max(pane, closed), slices, key, vec))
    marks = {source: max((time_ms - lateness_ms) // pane_ms, 0) for source, time_ms in newest.items()}
    return known, marks


def all_heard(replies: Iterable[Reply], pane_ms: int) -> int:
    """The instant up to which everything is final when all sources have fallen silent."""
    return max((reply.time_ms // pane_ms + 1 for reply in replies), default=0)


def final_stats(known: Iterable[Known], instant: int, config: WindowConfig) -> dict[str, dict[str, Stats]]:
    """Slice key -> window name -> sums at the instant (a number of final panes); empty ones are left out."""
    found: dict[str, dict[str, Stats]] = {}
    customers: dict[tuple[str, str], set[int]] = {}
    for _, pane, when, slices, key, vec in known:
        if when >= instant:
            continue
        for slice_key in slices:
            for name in _windows(slice_key, key, pane, instant, config):
                if key != CUSTOMERS:
                    add(found.setdefault(slice_key, {}).setdefault(name, {}), key, vec)
                elif config.customers:
                    customers.setdefault((slice_key, name), set()).update(vec)
    for (slice_key, name), seen in customers.items():
        distinct = Distinct(config.customers)
        for customer in seen:
            distinct.add(customer, 0)
        found.setdefault(slice_key, {}).setdefault(name, {})[CUSTOMERS] = summary(distinct.count(0, 1))
    some = {key: {name: stats for name, stats in windows.items() if stats} for key, windows in found.items()}
    return {key: windows for key, windows in some.items() if windows}


def _members(grouping: tuple[str, ...], dims: Dims, admitted: set[str], max_members: int) -> list[str]:
    """The slices of a grouping that it belongs to; more than one only where it has several topics."""
    values = dict(zip(DIMENSIONS, dims, strict=True))
    if None in [values[name] for name in grouping]:
        return []
    other = _text(dict.fromkeys(grouping, "other"))
    slices = []
    for topic in (values["topic"] or "").split(TOPIC_SEPARATOR):
        key = _text({name: topic if name == "topic" else values[name] for name in grouping})
        if key not in admitted and key != other:
            if len(admitted) < max_members:
                admitted.add(key)
            else:
                key = other
        if key not in slices:
            slices.append(key)
    return slices


def _windows(slice_key: str, key: str, pane: int, instant: int, config: WindowConfig) -> Iterator[str]:
    """Names of the windows that count it, as often as they do."""
    time_ms, now_ms, stem = pane * config.pane_ms, instant * config.pane_ms, key.partition("|")[0]
    for window in config.windows:
        aligned = -(-now_ms // window.tier_ms) * window.tier_ms
        if slice_key not in (window.only or (slice_key,)):
            continue
        if not window.shifts_ms and aligned - window.length_ms <= time_ms < now_ms:
            yield window.name
        for shift_ms in window.shifts_ms if key != CUSTOMERS else ():
            if aligned - shift_ms - window.length_ms <= time_ms < aligned - shift_ms:
                yield window.name
    if key == CUSTOMERS:
        return
    if stem in config.ever:
        yield EVER
    for span in config.spans:
        began = span.since_ms <= time_ms and (span.until_ms is None or time_ms < span.until_ms)
        if began and stem in span.stems and span.covers(slice_key):
            yield span.name


def final_values(
    known: Iterable[Known], instant: int, config: WindowConfig, confidence: float
) -> dict[str, dict[str, dict[str, MetricValue]]]:
    """Slice key -> window name -> metric -> value at the instant."""
    return {
        slice_key: {window: all_values(stats, confidence) for window, stats in windows.items()}
        for slice_key, windows in final_stats(known, instant, config).items()
    }


def _text(member: dict[str, str | None]) -> str:
    return json.dumps(member, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
