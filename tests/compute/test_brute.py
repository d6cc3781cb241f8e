"""The metrics of a file by brute force: from what the simulation says of its own records, and the definitions."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from stream.compute import compute
from stream.simulate import Simulation
from tests.compute.world import computed, job, settings, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PANE_MS, MINUTE_MS = 10_000, 60_000
HOUR_MS, DAY_MS = 60 * MINUTE_MS, 24 * 60 * MINUTE_MS
#: Window -> length and the panes that it is made of.
WINDOWS = {
    "5m": (5 * MINUTE_MS, PANE_MS),
    "1h": (HOUR_MS, PANE_MS),
    "24h": (DAY_MS, 5 * MINUTE_MS),
    "7d": (7 * DAY_MS, HOUR_MS),
    "30d": (30 * DAY_MS, HOUR_MS),
    "90d": (90 * DAY_MS, 6 * HOUR_MS),
}


def nps(events: list[dict[str, Any]]) -> tuple[int, Any]:
    """Share of 9 and 10 less share of 0 to 6, in points."""
    scores = [event["score"] for event in events if event.get("metric") == "nps"]
    good, bad = sum(score >= 9 for score in scores), sum(score <= 6 for score in scores)
    return len(scores), pytest.approx(100 * (good - bad) / max(len(scores), 1))


def csat(events: list[dict[str, Any]]) -> tuple[int, Any]:
    """Share of the two best of five, in percent."""
    scores = [event["score"] for event in events if event.get("metric") == "csat"]
    return len(scores), pytest.approx(100 * sum(score >= 4 for score in scores) / max(len(scores), 1))


def customers(events: list[dict[str, Any]]) -> tuple[int, Any]:
    """How many different ones there were."""
    n = len({event["customer_id"] for event in events})
    return n, n


def revenue(events: list[dict[str, Any]]) -> tuple[int, Any]:
    """What purchases brought; none where there are several currencies."""
    sums: Counter[str] = Counter()
    for event in (buys := [e for e in events if e.get("kind") == "purchase" and "value" in e]):
        sums[event.get("currency", "XXX")] += round(event["value"] * 10_000)
    return len(buys), pytest.approx(next(iter(sums.values())) / 10_000) if len(sums) == 1 else None


def unhappy(event: dict[str, Any]) -> bool:
    """Whether a reply is one of a customer at risk."""
    score, metric = event.get("score", 0), event.get("metric")
    if metric in {"nps", "csat"}:
        return bool(score <= (6 if metric == "nps" else 3))
    low, high = event.get("scale") or {"ces": (1, 7)}.get(str(metric), (1, 10))
    above = (score - low) / (high - low)
    return metric is not None and (above if event.get("higher_is_better", True) else 1 - above) < 0.5


def at_risk(events: list[tuple[int, dict[str, Any]]]) -> dict[str, Counter[str]]:
    """Event id of every customer's newest unhappy reply -> what they had spent a day before, by currency."""
    newest = {e["customer_id"]: (at, e) for at, e in sorted(events, key=itemgetter(0)) if unhappy(e)}
    spent = {event["event_id"]: Counter[str]() for _, event in newest.values()}
    for at, event in events:
        upset = newest.get(event["customer_id"])
        settled = upset and at // HOUR_MS < (upset[0] - DAY_MS) // HOUR_MS
        if settled and event.get("kind") == "purchase" and "value" in event:
            spent[upset[1]["event_id"]][event.get("currency", "XXX")] += round(event["value"] * 10_000)
    return spent


def value_at_risk(risks: dict[str, Counter[str]], events: list[dict[str, Any]]) -> tuple[int, Any]:
    """The money of those unhappy replies that are among the events; none without, or in several currencies."""
    there = [risks[event["event_id"]] for event in events if event.get("event_id") in risks]
    sums = sum(there, Counter[str]())
    return len(there), pytest.approx(sum(sums.values()) / 10_000) if len(sums) == 1 else None


METRICS: dict[str, Callable[[list[dict[str, Any]]], tuple[int, Any]]] = {
    "nps": nps, "csat": csat, "customers": customers, "revenue": revenue,
}  # fmt: skip


@pytest.mark.parametrize(("seed", "per_hour"), [(21, 3_400), (22, 200), (23, 4)])
def test_values_are_those_of_the_definitions(seed: int, per_hour: float, tmp_path: Path) -> None:
    """Every good record counts once, however late and often it came, in each window that it lies in."""
    simulation = Simulation(
        seed, customers=900, events_per_hour=per_hour, bad=0.03, duplicates=0.05, late=0.05
    )
    records = list(islice(simulation.records(), 6_000))
    good = [record for record in records if record.truth in {"ok", "late"}]
    events = [(record.time_ms // PANE_MS * PANE_MS, record.record) for record in good]
    end_ms = max(at for at, _ in events) + PANE_MS
    setup = settings(
        tmp_path,
        "metrics: all\nslices: [[segment]]",
        late_horizon_ms=10**12,
        dedup_horizon_ms=10**12,
        dedup_per_customer=1000,
    )
    file = written(tmp_path / "a.ndjson", [record.value.replace(b"\n", b" ") for record in records])
    done = compute(job(setup, file))
    assert done.verdicts["applied"] == len(good)
    assert done.verdicts["duplicate"] == sum(record.truth == "duplicate" for record in records)
    found = computed(done)
    segments = {event["segment"] for _, event in events if "segment" in event}
    assert found.keys() >= {"{}", *(f'{{"segment":"{name}"}}' for name in segments)}
    compared = 0
    risks = at_risk([(record.time_ms, record.record) for record in good])
    metrics = METRICS | {"value_at_risk": partial(value_at_risk, risks)}
    for key, record in found.items():
        there = [(at, e) for at, e in events if record["slice"].items() <= e.items()]
        for window, (length_ms, tier_ms) in WINDOWS.items():
            begin_ms = -(-end_ms // tier_ms) * tier_ms - length_ms
            inside = [event for at, event in there if at >= begin_ms]
            for metric, by_hand in metrics.items():
                n, value = by_hand(inside)
                got = record["metrics"].get(metric, {}).get(window)
                assert (got is None) == (n == 0), (key, metric, window)
                if got is not None:
                    assert (got["n"], got["value"]) == (n, value), (key, metric, window)
                    compared += 1
    assert compared > 70
