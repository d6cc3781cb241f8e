"""How often rules alert for nothing, and how late they tell of a change: docs/evidence.md has the figures.

``python -m bench --only alarms --seeds 500``. Every seed is a slice with a past of a week, in a metrics partition
as the agents run it; the rules, their windows and their evidence are the real ones.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from bench import cusum
from bench.worlds import ANSWERS, HOUR_MS, START_HOUR, Slices, World, chances_of

PAST_HOURS: Final = 7 * 24
TOGETHER: Final = 25  # slices of one partition; alerts of a rule with fdr are counted over these
ASKED: Final = 10_000  # replies between two false alarms of `change`
FDR: Final = 0.1
POINTS: Final = (5, 10, 20, 30)
ENOUGH: Final = 0.95  # of the slices must be told of a drop for a mean delay

#: Lines of the rules on a line: so many points below the usual value, and at it, which is the worst case.
BELOW: Final = {"csat": 10, "nps": 20, "loyalty": 10}

LOW: Final = partial(World, per_hour=12, window="1h")
HIGH: Final = partial(World, per_hour=600, window="5m")

#: Name, world, days that it is looked at, and whether rules are tried whose line is where the metric is.
UNCHANGED: Final = (
    *((f"{metric}, 12 replies an hour", LOW(metric), 3.0, metric == "csat") for metric in ANSWERS),
    *((f"{metric}, 600 replies an hour", HIGH(metric), 0.125, metric == "csat") for metric in ANSWERS),
    ("csat, 60 an hour, traffic with a day's rhythm", World("csat", 60, "1h", traffic=0.9), 1.0, False),
    (
        "csat, 60 an hour, level with a day's rhythm",
        World("csat", 60, "1h", traffic=0.9, level=5),
        1.0,
        False,
    ),
)

#: Of the drops: name, world, hours before the drop and at most after it.
FELL: Final = (
    ("12 replies an hour", LOW, 24, 7 * 24),
    ("600 replies an hour", partial(HIGH, pane_ms=10_000), 1, 24),
)


class Count(NamedTuple):
    """What some slices came to.

    Attributes:
        slices: How many.
        replies: In the time that is looked at.
        alerts: By rule.
        waiting: Episodes of rules with ``anytime``, by rule.
        alerted: Of rules with ``fdr``: whether there was any alert.
    """

    slices: int
    replies: int
    alerts: Counter[str]
    waiting: Counter[str]
    alerted: int


def rules(world: World, *, on_line: bool) -> str:
    """The rules file of a world; ``on_line``: also those whose line is where the metric is, the worst case."""
    usual = ANSWERS[world.metric].value
    line = f"metric: {world.metric}, by: [segment], window: {world.window}, min_n: 10, below:"
    change = f"change: {{direction: down, one_false_alarm_per: {ASKED}, from: 7d}}"
    low = usual - BELOW[world.metric]
    told = [
        f"Plain, {line} {low:.6f}",
        f"Interval, {line} {low:.6f}, evidence: interval",
        f"Anytime, {line} {low:.6f}, evidence: anytime",
        f"Change, metric: {world.metric}, by: [segment], {change}",
    ]
    if on_line:
        told += [
            f"PlainOnLine, {line} {usual:.6f}",
            f"AnytimeOnLine, {line} {usual:.6f}, evidence: anytime",
            f"FdrOnLine, {line} {usual:.6f}, evidence: anytime, fdr: {FDR}",
        ]
    return "groups:\n  - name: study\n    rules:\n" + "".join(f"      - {{alert: {each}}}\n" for each in told)


def unchanged(world: World, days: float, on_line: bool, slices: int, seed: int) -> Count:
    """Some slices of which nothing changes: every alert is false."""
    run = Slices(world, slices, rules(world, on_line=on_line), seed)
    for number in range(PAST_HOURS):
        run.hour(number, coarse=True)
    past = sum(run.replies_at(key, (START_HOUR + PAST_HOURS) * HOUR_MS) for key in run.keys)
    run.waiting.clear()
    alerts: Counter[str] = Counter()
    for number in range(PAST_HOURS, PAST_HOURS + round(24 * days)):
        alerts.update(claim.alert for claim in run.hour(number) if claim.reason == "first_crossing")
    replies = sum(run.heard[key][-1][1] for key in run.keys) - past
    return Count(slices, replies, alerts, run.waiting, int(alerts["FdrOnLine"] > 0))


def fell(
    world: World, points: float, before: int, after: int, slices: int, seed: int
) -> dict[str, list[int | None]]:
    """Rule -> of every slice that was quiet at a drop, replies from there to its alert; None: none in time.

    It ends when all are told by ``change``; of rules that take longer some are never seen.
    """
    run = Slices(world, slices, rules(world, on_line=False), seed)
    begins = PAST_HOURS + before
    begins_ms = (START_HOUR + begins) * HOUR_MS
    segments = {key.split('"')[3]: key for key in run.keys}
    first: dict[tuple[str, str], int | None] = {}
    firing: set[tuple[str, str]] = set()
    fired: frozenset[tuple[str, str]] = frozenset()
    for number in range(begins + after):
        if number == begins:
            fired = frozenset(firing)
            first.update(dict.fromkeys(fired))
        claims = run.hour(number, points if number >= begins else 0.0, coarse=number < PAST_HOURS)
        for claim in claims:
            at = (claim.alert, claim.labels["segment"])
            if claim.state == "resolved":
                firing.discard(at)
            elif claim.reason == "first_crossing":
                firing.add(at)
                if number >= begins:
                    key = segments[at[1]]
                    heard = run.replies_at(key, claim.as_of_ms) - run.replies_at(key, begins_ms)
                    first.setdefault(at, heard)
        if sum(alert == "Change" for alert, _ in first) == slices:
            break
    return {
        alert: [first.get((alert, each)) for each in segments if (alert, each) not in fired]
        for alert in ("Change", "Plain", "Interval", "Anytime")
    }


def measure(seeds: int = 20) -> dict[str, Any]:
    """The study.

    Args:
        seeds: Slices of each row; of drops a tenth, but 25 where there are as many.

    Returns:
        ``no_change``: per row the replies, per rule the false alarms per 10,000 replies, and for what they are
        bounded by (``change``, episodes of ``anytime``, sets of slices with ``fdr``) the figure and its bound.
        ``drops``: per row and size the mean delay in replies, beside that of CUSUM with known parameters at one
        false alarm in ``ASKED`` replies, and at the rate that was seen.
    """
    fallen = min(seeds, max(TOGETHER, seeds // 10))  # delays vary less than numbers of alerts
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        counts = {
            name: [
                pool.submit(unchanged, world, days, on_line, size, 1_000 * at + n)
                for n, size in enumerate(_sizes(seeds))
            ]
            for at, (name, world, days, on_line) in enumerate(UNCHANGED)
        }
        delays = {
            (metric, name, points): [
                pool.submit(fell, world(metric), points, before, after, size, 7_000_000 + 1_000 * points + n)
                for n, size in enumerate(_sizes(fallen))
            ]
            for metric in ANSWERS
            for name, world, before, after in FELL
            for points in POINTS
        }
        days = {name: looked_at for name, _, looked_at, _ in UNCHANGED}
        quiet: dict[str, Any] = {}
        for name, futures in counts.items():
            quiet[name] = _quiet([future.result() for future in futures], days[name])
            _say(name)
        rows = []
        for (metric, name, points), futures in delays.items():
            found: dict[str, list[int | None]] = {}
            for future in futures:
                for alert, each in future.result().items():
                    found.setdefault(alert, []).extend(each)
            row = {"metric": metric, "traffic": name, "points": points}
            rows.append(row | _late(metric, points, found, quiet[f"{metric}, {name}"]))
            _say(f"{metric}, {name}, {points} points")
    return {"seeds": seeds, "asked": ASKED, "no_change": quiet, "drops": rows}


def _sizes(seeds: int) -> list[int]:
    return [TOGETHER] * (seeds // TOGETHER) + ([seeds % TOGETHER] if seeds % TOGETHER else [])


def _quiet(counts: list[Count], days: float) -> dict[str, Any]:
    slices, replies = sum(each.slices for each in counts), sum(each.replies for each in counts)
    alerts: Counter[str] = sum((each.alerts for each in counts), Counter())
    episodes = sum(each.waiting["AnytimeOnLine"] for each in counts)
    found: dict[str, Any] = {
        "slices": slices,
        "days": days,
        "replies": replies,
        "alerts": dict(sorted(alerts.items())),
        "per_10000_replies": {name: _digits(1e4 * n / replies) for name, n in sorted(alerts.items())},
        "change": {"per_10000_replies": _digits(1e4 * alerts["Change"] / replies), "bound": 1e4 / ASKED},
    }
    if episodes:
        share = _digits(alerts["AnytimeOnLine"] / episodes)
        found["anytime"] = {"episodes": episodes, "alerted": share, "bound": 0.05}
        found["fdr"] = {"false": _digits(fmean(each.alerted for each in counts)), "bound": FDR}
    return found


def _late(
    metric: str, points: float, found: dict[str, list[int | None]], quiet: dict[str, Any]
) -> dict[str, Any]:
    before, after = ANSWERS[metric].chances, chances_of(metric, points)
    # With no false alarm seen at all the rate is below one in all replies: as if there had been one.
    seen = quiet["replies"] / max(1, quiet["alerts"].get("Change", 0))
    known = cusum.delay(cusum.tuned(before, after, ASKED))
    rarer = cusum.delay(cusum.tuned(before, after, seen))
    result = {alert: _delay(delays) for alert, delays in found.items()}
    row = {**result.pop("Change", {}), "cusum": _digits(known), "cusum_at_rate_seen": _digits(rarer)}
    if row.get("detected", 0) >= ENOUGH:  # the mean of those that were found early would flatter
        row["ratio"] = _digits(row["delay"] / known)
        row["ratio_at_rate_seen"] = _digits(row["delay"] / rarer)
    return row | {"others": result}


def _delay(delays: list[int | None]) -> dict[str, float]:
    told = [delay for delay in delays if delay is not None]
    if not told:
        return {"slices": len(delays), "detected": 0.0}
    return {
        "slices": len(delays),
        "detected": _digits(len(told) / len(delays)),
        "delay": _digits(fmean(told)),
        "median": median(told),
    }


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
