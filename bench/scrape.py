"""What a scrape of 5,000 slices costs: CPU, and how long the event loop waits, over real HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from stream.measures.metric import MetricValue
from stream.serving import Health, OpsServer, Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.serving.business import SliceValues

SLICES = 5_000
WINDOWS = ("5m", "1h", "24h", "7d")
ROUNDS = 7
#: The loop's own work meanwhile: this many reads and writes every millisecond, as sockets would have them.
CALLS = 30
EVERY_S = 0.001


def values_of(number: int, metrics: int, turn: int = 0) -> SliceValues:
    """Values of a slice with all their digits, others each ``turn``."""
    low = (number + turn * 31) * 7919 % 10007 / 10007 * 30
    return {
        f"metric_{m}": {
            window: MetricValue(low + 1 + i / 3, number + i, (low, low + 4 + i), 0.95, {})
            for i, window in enumerate(WINDOWS)
        }
        for m in range(metrics)
    }


def client_s(metrics: int = 1) -> float:
    """CPU seconds of prometheus_client for the same series."""
    registry = CollectorRegistry()
    names = ("value", "replies", "interval_lower", "interval_upper")
    labels = ("metric", "window", "slice")
    families = [Gauge(f"cx_metric_{name}", name, labels, registry=registry) for name in names]
    for number in range(SLICES):
        for metric, windows in values_of(number, metrics).items():
            for window, value in windows.items():
                low, high = value.interval or (0.0, 0.0)
                for family, figure in zip(families, (value.value, value.n, low, high), strict=True):
                    family.labels(metric, window, f"product={number}").set(figure or 0.0)
    began = process_time()
    generate_latest(registry)
    return process_time() - began


class Waits:
    """A loop's work beside a scrape: how much longer than it should each round of it takes, seconds."""

    def __init__(self) -> None:
        self.found: list[float] = []

    async def work(self) -> None:
        """Until cancelled."""
        reading, writing = os.pipe()
        try:
            while True:
                began = perf_counter()
                await asyncio.sleep(EVERY_S)
                for _ in range(CALLS):
                    os.write(writing, b"x")
                    os.read(reading, 1)
                self.found.append(perf_counter() - began - EVERY_S)
        finally:
            os.close(reading)
            os.close(writing)


async def scrapes(telemetry: Telemetry, fresh: Iterator[None]) -> list[tuple[float, float, float, int]]:
    """CPU seconds, seconds, longest wait of the loop and bytes of each scrape; ``fresh`` goes before each.

    Another process asks, as Prometheus is one: reading the answer here would be the loop's own work.
    """
    server = OpsServer("127.0.0.1", 0, telemetry, Health())
    await server.start()
    waits = Waits()
    working = asyncio.create_task(waits.work())
    took = []
    for _ in fresh:
        curl = await asyncio.create_subprocess_exec(
            "curl", "-s", "-o", "/dev/null", "-w", "%{size_download}",
            f"http://127.0.0.1:{server.port}/metrics", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        waits.found.clear()
        began, began_cpu = perf_counter(), process_time()
        size, _ = await curl.communicate()
        took.append((process_time() - began_cpu, perf_counter() - began, max(waits.found), int(size)))
    working.cancel()
    await server.stop()
    return took


def scrape(metrics: int, share: float) -> dict[str, Any]:
    """Medians over scrapes before each of which ``share`` of the slices had new values."""
    telemetry = Telemetry(max_slices=SLICES)
    keys = [json.dumps({"product": str(number)}) for number in range(SLICES)]
    turns = [[values_of(number, metrics, turn) for number in range(SLICES)] for turn in range(2)]
    for key, values in zip(keys, turns[0], strict=True):
        telemetry.values(0, key, values)
    telemetry.render()
    rendering: list[float] = []

    def fresh(render: bool) -> Iterator[None]:
        for turn in range(1, ROUNDS + 1):
            for number in range(0, SLICES, round(1 / share)):
                telemetry.values(0, keys[number], turns[turn % 2][number])
            if render:
                began = process_time()
                for _ in telemetry.parts():
                    pass
                rendering.append(process_time() - began)
            else:
                yield

    list(fresh(render=True))
    cpu, seconds, waited, size = zip(*asyncio.run(scrapes(telemetry, fresh(render=False))), strict=True)
    return {
        "metrics": metrics,
        "share_new": share,
        "mbytes": round(size[0] / 1e6, 1),
        "render_cpu_ms": round(median(rendering) * 1e3),
        "scrape_cpu_ms": round(median(cpu) * 1e3),
        "scrape_ms": round(median(seconds) * 1e3),
        "loop_waits_ms": round(median(waited) * 1e3, 1),
        "loop_waits_most_ms": round(max(waited) * 1e3, 1),
    }


def measure() -> dict[str, Any]:
    """Without collections of cycles: a worker does those between batches."""
    gc.collect()
    gc.disable()
    try:
        found = [scrape(metrics, share) for metrics in (1, 2, 3) for share in (0.1, 1.0)]
        one = next(each for each in found if (each["metrics"], each["share_new"]) == (1, 1.0))
        ratio = one["render_cpu_ms"] / (client_s() * 1e3)
    finally:
        gc.enable()
    return {"scrapes": found, "ratio_to_client": round(ratio, 3)}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
