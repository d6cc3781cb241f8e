"""The same figures by brute force: a plain computation over a list of replies.

Deliberately simple and slow; shares with the incremental code only what a reply observes and how sums become
a value. It is the oracle of the tests, and a definition of what the product promises.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from stream.measures.registry import all_values, observation
from stream.measures.slices import DIMENSIONS, TOPIC_SEPARATOR, Dims

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.measures.metric import MetricValue
    from stream.measures.stats import Stats
    from stream.measures.tiers import WindowConfig


class Reply(NamedTuple):
    """One accepted record, in the order of its source.

    Attributes:
        source: Source topic-partition.
        time_ms: Event time.
        dims: Values of ``DIMENSIONS``.
        metric: None for a record that only moves the watermark.
        score: Answer.
        scale: Scale of the question.
        higher_is_better: Its direction.
    """

    source: str
    time_ms: int
    dims: Dims
    metric: str | None = None
    score: float = 0
    scale: tuple[float, float] = (0, 10)
    higher_is_better: bool = True


class Known(NamedTuple):
    """A reply with its pane, the pane at whose closing it is known, and its slices."""

    reply: Reply
    pane: int
    known: int
    slices: list[str]


def explain(
    replies: Iterable[Reply],
    pane_ms: int,
    lateness_ms: int,
    groupings: Iterable[Sequence[str]] = (),
    max_members: int = 1_000_000,
) -> tuple[list[Known], dict[str, int]]:
    """When each reply is known and where it belongs, and every source's watermark pane at the end."""
    newest: dict[str, int] = {}
    members: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    kept = sorted({tuple(sorted(grouping)) for grouping in groupings} - {()})
    known = []
    for reply in replies:
        source, time_ms = reply.source, reply.time_ms
        closed = max((newest[source] - lateness_ms) // pane_ms, 0) if source in newest else 0
        newest[source] = max(newest.get(source, 0), time_ms)
        if reply.metric is None:
            continue
        values = dict(zip(DIMENSIONS, reply.dims, strict=True))
        slices = ["{}"]
        for grouping in kept:
            if None in [values[name] for name in grouping]:
                continue
            other = _text(dict.fromkeys(grouping, "other"))
            admitted = members.setdefault((source, grouping), set())
            for topic in (values["topic"] or "").split(TOPIC_SEPARATOR):
                key = _text({name: topic if name == "topic" else values[name] for name in grouping})
                if key not in admitted and key != other:
                    if len(admitted) < max_members:
                        admitted.add(key)
                    else:
                        key = other
                if key not in slices:
                    slices.append(key)
        pane = time_ms // pane_ms
        known.append(Known(reply, pane, max(pane, closed), slices))
    marks = {source: max((time_ms - lateness_ms) // pane_ms, 0) for source, time_ms in newest.items()}
    return known, marks


def final_stats(known: Iterable[Known], instant: int, config: WindowConfig) -> dict[str, dict[str, Stats]]:
    """Slice key -> window name -> sums at the instant (a number of final panes); empty ones are left out."""
    found: dict[str, dict[str, Stats]] = {}
    for reply, pane, when, slices in known:
        seen = observation(reply.metric or "", reply.score, reply.scale, reply.higher_is_better)
        if seen is None or when >= instant:
            continue
        for window in config.windows:
            aligned = -(-instant * config.pane_ms // window.tier_ms) * window.tier_ms
            if not aligned - window.length_ms <= pane * config.pane_ms < instant * config.pane_ms:
                continue
            for slice_key in slices:
                stats = found.setdefault(slice_key, {}).setdefault(window.name, {})
                old = stats.get(seen[0], [0] * len(seen[1]))
                stats[seen[0]] = [x + y for x, y in zip(old, seen[1], strict=True)]
    return found


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
