"""What metrics, slices and windows cost: ten over 500 slices and five windows beside the bare three over one.

Both go through the pure pipeline in one process, one after the other, again and again; CPU time is compared.
"""

from __future__ import annotations

import gc
import random
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bench.load import START_MS
from bench.panes import measure_pane_close
from stream import topics
from stream.alerting.rules import load_rules
from stream.measures import Groupings, encode_mark, encode_partial
from stream.measures.declare import Declarations
from stream.pipeline import CustomersPartition, MetricsPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

TEN = (
    "nps", "csat", "ces", "loyalty", "engagement",
    "referral_rate", "resolution_time", "waiting_time", "abandonment", "revenue",
)  # fmt: skip
BARE = ("nps", "csat", "ces")
FIVE_WINDOWS = ("5m", "1h", "24h", "7d", "30d")
CHANNELS = 10
TOUCHPOINTS = 50
CUSTOMERS = 20_000
BATCH = 5_000
#: Metric, lowest and highest answer, share of replies.
REPLIES = (
    ("nps", 0, 10, 30),
    ("csat", 1, 5, 30),
    ("ces", 1, 7, 20),
    ("loyalty", 1, 10, 10),
    ("engagement", 1, 10, 10),
)
#: What a customer does, and in how many of a hundred touchpoints it begins with it.
STORIES = (
    (("session_started",), 40),
    (("purchase",), 10),
    (("cart_started", "purchase"), 20),
    (("ticket_opened", "ticket_resolved"), 15),
    (("queue_entered", "queue_served"), 15),
)


class Stored(NamedTuple):
    """A record as a consumer hands it out."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def records(n: int, rate: int, seed: int = 1) -> list[Stored]:
    """That many records, half replies, at a rate of events per second of event time; about 250 bytes each."""
    rng = random.Random(seed)
    encode = msgspec.json.encode
    metrics, kinds = [each[:3] for each in REPLIES], [each[0] for each in STORIES]
    shares, starts = [each[3] for each in REPLIES], [each[1] for each in STORIES]
    waiting: list[tuple[dict[str, Any], tuple[str, ...]]] = []  # what goes on later
    found = []
    for i in range(n):
        at = START_MS + i * 1000 // rate
        event: dict[str, Any]
        if i % 2:
            metric, low, high = rng.choices(metrics, shares)[0]
            event = _base(rng) | {
                "metric": metric,
                "score": rng.randint(low, high),
                "survey": "after-contact",
            }
        elif len(waiting) > CUSTOMERS // 20:
            event, rest = waiting.pop(rng.randrange(len(waiting)))
            event = event | {"kind": rest[0]}
        else:
            kind, *rest_of_it = rng.choices(kinds, starts)[0]
            event = _base(rng) | {"kind": kind, "ref": f"ref-{i:09d}"}
            if rest_of_it:
                waiting.append((event, tuple(rest_of_it)))
        if event.get("kind") == "purchase":
            event |= {"value": rng.randint(100, 9999) / 100, "currency": "EUR"}
            if rng.random() < 0.05:
                event["attributes"] = {"referred_by": "customer-1"}
        event |= {"event_id": f"{seed:04d}-{i:012d}", "occurred_at": at}
        found.append(Stored(i, at, event["customer_id"].encode(), encode(event)))
    return found


def _base(rng: random.Random) -> dict[str, Any]:
    return {
        "customer_id": f"customer-{rng.randrange(CUSTOMERS):08d}",
        "segment": rng.choice(("vip", "regular", "new", "business")),
        "stage": "engage",
        "touchpoint": f"touchpoint-{rng.randrange(TOUCHPOINTS)}",
        "channel": f"channel-{rng.randrange(CHANNELS)}",
        "product": "standard",
        "region": "it-lombardia",
    }


class Pipeline:
    """One partition of the whole path from inputs to ``cx.metrics``, in memory."""

    def __init__(self, declared: Declarations, groupings: Groupings) -> None:
        config = PipelineConfig((topics.TOUCHPOINTS, topics.REPLIES), 1, groupings, declared=declared)
        self._held: dict[bytes, bytes] = {}
        self._customers = CustomersPartition(0, config, None, self._held, {})
        self._metrics = MetricsPartition(0, config, load_rules("groups: []", "bench"), {})
        self._metrics.run([encode_mark(self._customers.idle(topics.TOUCHPOINTS))[1]])
        self.published = 0

    def take(self, batch: list[Stored]) -> None:
        """Take a batch of replies and touchpoints through."""
        changes = self._customers.run([(topics.REPLIES, batch)])
        self._held.update(changes.customers)
        values: list[bytes | None] = [encode_partial(partial)[1] for partial in changes.partials]
        values += [encode_mark(mark)[1] for mark in changes.marks]
        self.published += len(self._metrics.run(values).metrics)


def _bare() -> Pipeline:
    return Pipeline(Declarations(metrics=BARE, windows=FIVE_WINDOWS[1:2]), Groupings([], 1))


def _full() -> Pipeline:
    groupings = Groupings([("touchpoint", "channel")], TOUCHPOINTS * CHANNELS)
    return Pipeline(Declarations(metrics=TEN, windows=FIVE_WINDOWS), groupings)


def _cpu_s(pipeline: Pipeline, log: list[Stored]) -> float:
    """CPU seconds to take a log through, without collections of cycles: a worker does those between batches."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        for at in range(0, len(log), BATCH):
            pipeline.take(log[at : at + BATCH])
        return time.process_time() - began
    finally:
        gc.enable()


def _pairs(log: list[Stored], repeats: int) -> Iterator[tuple[float, float]]:
    for i in range(repeats):
        if i % 2:
            full, bare = _cpu_s(_full(), log), _cpu_s(_bare(), log)
        else:
            bare, full = _cpu_s(_bare(), log), _cpu_s(_full(), log)
        yield bare, full


def per_event(n: int = 100_000, rate: int = 10_000, repeats: int = 5) -> dict[str, Any]:
    """CPU microseconds an event of either, and the median ratio of the pairs."""
    log = records(n, rate)
    pairs = list(_pairs(log, repeats))
    return {
        "events_per_second_of_event_time": rate,
        "bare_us_per_event": round(1e6 * median(bare for bare, _ in pairs) / n, 2),
        "full_us_per_event": round(1e6 * median(full for _, full in pairs) / n, 2),
        "ratio_to_bare": round(median(full / bare for bare, full in pairs), 2),
    }


def measure() -> dict[str, Any]:
    """All figures of this page."""
    return {
        "per_event": [per_event(rate=rate) for rate in (2_000, 10_000)],
        "pane_close": [measure_pane_close(metrics=metrics) for metrics in (3, 10)],
    }
