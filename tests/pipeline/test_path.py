"""From records to alerts over simulated logs, with deaths everywhere: exact against brute force."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import format_ms
from stream import topics
from stream.alerting.rules import load_rules
from stream.customers import CustomerConfig
from stream.measures import NO_DIMS, Groupings, PaneConfig, encode_metrics, plan
from stream.measures.declare import Declarations
from stream.measures.offline import Reply, explain, final_values
from stream.pipeline import PipelineConfig
from tests.pipeline.path import Path, Stored, calm

PARTITIONS = 2
T0 = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
PANES = PaneConfig(pane_ms=10_000, lateness_ms=15_000, late_horizon_ms=30 * MINUTE, max_ahead_ms=MINUTE)
BOOK = load_rules(
    """
slices:
  - [segment]
  - [segment, channel]
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 5m, below: 20}
      - {alert: LowFor, metric: nps, window: 5m, below: 50, for: 1m, resolve: {above: 60}, cooldown: 2m}
      - {alert: Fell, metric: csat, window: 5m, drop: {points: 5, from: 1h}}
      - {alert: High, metric: ces, window: 1h, above: 3, min_n: 2}
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 3}}}
      - {alert: Gold, on: reply, when: {segment: gold, score: {lte: 5}}, cooldown: 10m}
""",
    "rules.yml",
)
CONFIG = PipelineConfig(
    topics.INPUTS,
    PARTITIONS,
    Groupings(BOOK.groupings, 2),
    panes=PANES,
    customers=CustomerConfig(dedup_horizon_ms=365 * 24 * HOUR, dedup_per_customer=1000),
    declared=Declarations(metrics=("nps", "csat", "ces")),
)
SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
STEPS = 5 * (0, 100, SECOND, 7 * SECOND, 30 * SECOND, 4 * MINUTE) + (2 * HOUR,)
BEHIND = (0, 0, 0, SECOND, 20 * SECOND, 5 * MINUTE, 29 * MINUTE, 40 * MINUTE, -MINUTE, -2 * MINUTE)
BAD = (b"", None, b"no json", b"[1]", b'{"metric": "nps"}', b"\xff")


def event(rng: Random, name: str, time_ms: int) -> dict[str, Any]:
    """A reply or a touchpoint; either kind goes to either topic."""
    made: dict[str, Any] = {"event_id": name, "customer_id": f"c{rng.randrange(4)}"}
    made["occurred_at"] = time_ms if rng.random() < 0.5 else format_ms(time_ms)
    for field, values in (("segment", ("gold", "new", "old", "other")), ("channel", ("app", "shop"))):
        if rng.random() < 0.8:
            made[field] = rng.choice(values)
    metric = rng.choice([*SCALES, "nps", None])
    if metric is None:
        return made | {"kind": "session_started"}
    low, high = SCALES[metric]
    return made | {"metric": metric, "score": rng.randint(low, high)}


def log(rng: Random, source: str, size: int) -> list[Stored]:
    """One input partition: bursts and gaps, stragglers, what is too late or too early, repeats, rubbish."""
    found: list[Stored] = []
    now = T0 + rng.randrange(MINUTE)
    for offset in range(size):
        now += (
            rng.choice([0, 100, SECOND, 7 * SECOND, 30 * SECOND, 4 * MINUTE])
            if rng.random() < 0.97
            else 2 * HOUR
        )
        chance = rng.random()
        if chance < 0.08:
            found.append(Stored(offset, now, b"k", rng.choice(BAD)))
            continue
        if chance < 0.18 and found:
            found.append(rng.choice(found)._replace(offset=offset, timestamp=now))
            continue
        behind = rng.choice(
            [0, 0, 0, SECOND, 20 * SECOND, 5 * MINUTE, 29 * MINUTE, 40 * MINUTE, -MINUTE, -2 * MINUTE]
        )
        value = event(rng, f"{source}-{offset}", now - behind)
        found.append(Stored(offset, now, value["customer_id"].encode(), json.dumps(value).encode()))
    return found


@st.composite
def worlds(draw: st.DrawFn) -> dict[tuple[str, int], list[Stored]]:
    """Four input partitions, some of them short or empty."""
    rng = Random(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(0, 45), min_size=4, max_size=4))
    sources = [(topic, p) for topic in topics.INPUTS for p in range(PARTITIONS)]
    return {at: log(rng, f"{at[0]}/{at[1]}", size) for at, size in zip(sources, sizes, strict=True)}


def truth(records: list[Stored], source: str) -> tuple[list[str], list[Reply]]:
    """Each record's verdict, and what is applied, from the definitions alone.

    A source's watermark is its newest applied event less the lateness. An event of an id that was applied
    before counts once; in these worlds an id lives in one source.
    """
    verdicts: list[str] = []
    replies: list[Reply] = []
    newest = None
    ids: set[str] = set()
    for record in records:
        try:
            made = json.loads(record.value or b"")
            at = made["occurred_at"]
        except (ValueError, TypeError, KeyError):
            verdicts.append("deadletter")
            continue
        if isinstance(at, str):
            at = round(datetime.fromisoformat(at).timestamp() * 1000)
        floor = 0 if newest is None else newest - PANES.lateness_ms - PANES.late_horizon_ms
        if at < floor:
            verdicts.append("late")
        elif at > record.timestamp + PANES.max_ahead_ms:
            verdicts.append("deadletter")
        elif made["event_id"] in ids:
            verdicts.append("duplicate")
        else:
            verdicts.append("applied")
            ids.add(made["event_id"])
            newest = at if newest is None else max(newest, at)
            dims = (made.get("segment"), None, None, made.get("channel"), *NO_DIMS[4:])
            metric = made.get("metric")
            scale = SCALES.get(metric, (0, 10))
            replies.append(Reply(source, at, dims, metric, made.get("score", 0), scale))
    return verdicts, replies


def expected_metrics(inputs: dict[tuple[str, int], list[Stored]]) -> dict[str, Any]:
    """What the newest final value of each slice must show, by brute force."""
    replies = [one for at, records in inputs.items() for one in truth(records, f"{at[0]}/{at[1]}")[1]]
    known, _ = explain(replies, PANES.pane_ms, PANES.lateness_ms, CONFIG.groupings.groupings, 2)
    # At last all sources are idle: final up to the newest event.
    instant = max((reply.time_ms // PANES.pane_ms + 1 for reply in replies), default=0)
    values = final_values(known, instant, plan(PANES.pane_ms), CONFIG.confidence)
    found = {}
    for slice_key, by_window in values.items():
        by_metric: dict[str, dict[str, Any]] = {}
        for window, metrics in by_window.items():
            for metric, value in metrics.items():
                by_metric.setdefault(metric, {})[window] = value
        found[slice_key] = json.loads(encode_metrics(slice_key, 0, True, by_metric))["metrics"]
    return found


def check_truth(path: Path) -> None:
    """Verdicts, dead letters and final values are those of the definitions."""
    verdicts: Counter[tuple[str, str]] = Counter()
    dead = {}
    for (topic, partition), records in path.inputs.items():
        found, _ = truth(records, f"{topic}/{partition}")
        for record, verdict in zip(records, found, strict=True):
            verdicts[topic, verdict] += 1
            if verdict in {"deadletter", "late"}:
                dead[topic, partition, record.offset] = record
    assert {at: record for at, (record, _) in path.dead.items()} == dead
    metrics = {key: json.loads(value)["metrics"] for key, (_, value) in path.final.items()}
    assert {key: found for key, found in metrics.items() if found} == expected_metrics(path.inputs)
    if path.counts_each_once:
        assert +path.verdicts == verdicts


QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(worlds())
def test_a_run_without_deaths_is_what_brute_force_says(inputs: dict[tuple[str, int], list[Stored]]) -> None:
    """Every record has one verdict, dead letters their bytes, and each slice the values of a plain computation."""
    check_truth(calm(inputs, CONFIG, BOOK))


@QUIET
@given(worlds(), st.integers(0, 2**32))
def test_cuts_and_deaths_change_nothing(inputs: dict[tuple[str, int], list[Stored]], seed: int) -> None:
    """Whatever the batches and wherever somebody dies: the same values, the same alerts to the byte, in order."""
    straight = calm(inputs, CONFIG, BOOK)
    dying = Path(inputs, CONFIG, BOOK, Random(seed), deaths=0.25)
    dying.run()
    assert dying.figures() == straight.figures()
    assert dying.order == straight.order
    check_truth(dying)
