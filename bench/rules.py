"""What judging costs: 1,000 rules over 500 slices at the closing of a pane in which every slice had replies.

Few of the rules cross, as it should be (``quiet``; ``lines``: without tests that take in every reply), or one in
twenty (``busy``). Beside it the same closings with every rule but these tests decided on every slice one by one.
"""

from __future__ import annotations

import random
from collections import Counter
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.json import encode

from stream.alerting.conditions import crossing
from stream.alerting.judge import Judge
from stream.alerting.rules import load_rules
from stream.alerting.thresholds import Look
from stream.measures import Mark, Partial, Windows
from stream.measures.wanted import window_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.model import RuleBook
    from stream.measures import Stats
    from stream.measures.closings import Closing

RULES = 1_000
TOUCHPOINTS, CHANNELS = 50, 10
WINDOWS = ("5m", "1h", "24h", "7d")
PANE_MS = 10_000
FIRST_PANE = 170_000_000  # far from the beginning, so that long windows are whole
PANES_BEFORE = 400
CLOSINGS = 5
SOURCE = "bench/0"
_SCALES = {"nps": (-100, 100), "csat": (0, 100), "loyalty": (0, 100), "engagement": (20, 100)}
#: Shares of the scale at which values lie in the middle; lines of quiet rules keep away from it.
_NEAR, _FAR = (0.35, 0.75), (0.0, 0.12)


def rules(n: int, crossing_share: float, changes: int = 1, seed: int = 1) -> RuleBook:
    """Rules of every kind over a window, of which about this share crosses its line; ``changes`` in a hundred."""
    rng = random.Random(seed)
    shown = []
    for number in range(n):
        metric = rng.choice(list(_SCALES))
        low, high = _SCALES[metric]
        place = rng.uniform(*(_NEAR if rng.random() < crossing_share * 2 else _FAR))
        kind = rng.choices(
            ("below", "above", "drop", "burn_rate", "no_data", "change"), (40, 40, 14, 4, 1, changes)
        )[0]
        window, earlier = rng.choice((("5m", "24h"), ("1h", "7d")))
        fields = {
            "below": f"window: {window}, below: {low + (high - low) * place:.2f}",
            "above": f"window: {window}, above: {high - (high - low) * place:.2f}",
            "drop": f"window: {window}, drop: {{points: {(high - low) * 0.3:.2f}, from: {earlier}}}",
            "burn_rate": "burn_rate: {goal: 20, page: [[1h, 5m, 1.2]]}",
            "no_data": "no_data: 30m",
            "change": f"change: {{direction: down, one_false_alarm_per: 1000000, from: {earlier}}}",
        }[kind]
        metric = "csat" if kind == "burn_rate" else metric
        evidence = "" if kind in ("burn_rate", "no_data", "change") else ", evidence: interval"
        enough = "" if kind == "no_data" else f", min_n: {rng.choice((5, 20, 50))}"
        rule = f"alert: R{number}, metric: {metric}, by: [touchpoint, channel]"
        shown.append(f"      - {{{rule}, {fields}{evidence if rng.random() < 0.5 else ''}{enough}}}")
    text = "groups:\n  - name: bench\n    rules:\n" + "\n".join(shown)
    return load_rules(text, "bench.yml", windows=WINDOWS)


def measure(n_rules: int = RULES) -> dict[str, Any]:
    """CPU milliseconds for the closing of one pane."""
    found: dict[str, Any] = {"rules": n_rules, "slices": TOUCHPOINTS * CHANNELS}
    for name, share, changes in (("lines", 0.0, 0), ("quiet", 0.0, 1), ("busy", 0.05, 1)):
        book = rules(n_rules, share, changes)
        windows = Windows(0, window_config(book.declared, PANE_MS, book.windows), (SOURCE,))
        judge = Judge(book, windows, horizon_ms=86_400_000, partitions=1)
        judge.ready()
        judge.begin()
        took, one_by_one = [], []
        counts: Counter[str] = Counter()
        for number, closing in enumerate(closings(windows, PANES_BEFORE + CLOSINGS)):
            if number % (PANES_BEFORE // 4) and number < PANES_BEFORE:
                continue  # the long way to full windows is not what is measured
            began = process_time()
            judged = judge.judge(closing)
            judge.changes()
            took.append(process_time() - began)
            counts = judged.counts
            if number >= PANES_BEFORE:
                began = process_time()
                _one_by_one(book, closing)
                one_by_one.append(process_time() - began)
        found[name] = {
            "ms_per_closing": round(median(took[-CLOSINGS:]) * 1e3, 1),
            "ms_first_closing": round(took[0] * 1e3, 1),
            "one_by_one_ms": round(median(one_by_one) * 1e3, 1),
            "decided": counts.total(),
            "not_ok": counts.total() - counts["ok"],
            "firing": counts["still_firing"],
        }
    return found


def closings(windows: Windows, panes: int) -> Iterator[Closing]:
    """Replies of every slice in every pane, closed one by one."""
    rng = random.Random(2)
    keys = [
        f'{{"channel":"channel{channel}","touchpoint":"touchpoint{touchpoint}"}}'
        for touchpoint in range(TOUCHPOINTS)
        for channel in range(CHANNELS)
    ]
    for pane in range(FIRST_PANE, FIRST_PANE + panes):
        for key in keys:
            windows.apply(Partial(key, SOURCE, pane, pane, Raw(encode(_replies(rng))), pane))
        windows.apply(Mark(SOURCE, pane + 1, False, (pane, False), pane))
        yield from windows.close()
        windows.changes()


def _replies(rng: random.Random) -> Stats:
    good, middle, bad = rng.randrange(4), rng.randrange(4), rng.randrange(1, 4)
    n = good + middle + bad
    return {
        "nps": [good, middle, bad],
        "csat": [good, n],
        "loyalty": [n, 500_000 * n, 300_000_000_000 * n],
        "engagement": [bad, 0, middle, 0, good],
    }


def _one_by_one(book: RuleBook, closing: Closing) -> int:
    crossed = 0
    for slice_key, sums in closing.changed.items():
        looked = Look(sums)
        for rule in book.rules_for(slice_key):
            if rule.change is None:
                crossed += crossing(rule, looked.reader(rule.metric, rule.confidence)) is None
    return crossed
