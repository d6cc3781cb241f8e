"""``make bench``: everything measured side by side on a real Kafka, as one JSON object on stdout.

Progress goes to stderr. Absolute figures depend on the machine; quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from bench import (
    alarms,
    api,
    backtest,
    compute,
    latency,
    load,
    measures,
    profiles,
    rules,
    scale,
    scrape,
    timers,
)
from bench.counts import COUNTS, CUSTOMERS, TOPIC, decode_count, decode_customer
from bench.value import measure as measure_value
from stream import topics
from stream.brokers import admin
from stream.brokers.kafka import KafkaServer

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 1800


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def worker(job: str, bootstrap: str, app_id: str, n: int) -> dict[str, float]:
    """One run in a process of its own."""
    say(f"  {job}: {n:,} events …")
    done = subprocess.run(
        [sys.executable, "-m", "bench.worker", job, bootstrap, app_id, str(n), str(WITHIN_S)],
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        check=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    say(f"  {job}: {n / max(figures['seconds'], 1e-3):,.0f} events/s, {figures['cpu_s']:.1f} CPU s")
    return figures


def expected(n: int) -> tuple[Counter[bytes], dict[bytes, tuple[int, int, float, float, int]]]:
    """What the job's tables must hold, from the input alone."""
    counts: Counter[bytes] = Counter()
    customers: dict[bytes, tuple[int, int, float, float, int]] = {}
    for customer, value in load.events(n):
        event = msgspec.json.decode(value)
        at, metric = event["occurred_at"], event.get("metric")
        seen, replies, score, money, last = customers.get(customer.encode(), (0, 0, 0.0, 0.0, 0))
        customers[customer.encode()] = (
            seen + 1,
            replies + (metric is not None),
            score + event.get("score", 0),
            money + event.get("value", 0.0),
            max(last, at),
        )
        if metric is not None:
            counts[f"{at // 60_000}|{metric}|{event['segment']}".encode()] += 1
    return counts, customers


def exact(bootstrap: str, app_id: str, n: int) -> bool:
    """Whether the changelogs alone give exactly what the input says."""
    wanted_counts, wanted_customers = expected(n)
    held: dict[tuple[int, bytes], int] = {}
    for partition, key, value in load.read_all(bootstrap, f"{app_id}-{COUNTS}-changelog"):
        if value is not None:
            held[partition, key] = decode_count(value)[1]
    counts: Counter[bytes] = Counter()
    for (_, key), count in held.items():
        counts[key] += count
    customers = {
        key: decode_customer(value)
        for _, key, value in load.read_all(bootstrap, f"{app_id}-{CUSTOMERS}-changelog")
        if value is not None
    }
    return (
        counts == wanted_counts
        and customers.keys() == wanted_customers.keys()
        and all(
            (c.events, c.replies, c.last) == (w[0], w[1], w[4])
            and math.isclose(c.score, w[2])
            and math.isclose(c.value, w[3])
            for c, w in ((customers[key], wanted_customers[key]) for key in wanted_customers)
        )
    )


def engine_and_stock(kafka: KafkaServer, n: int, stock_n: int) -> dict[str, Any]:
    """The job on both, one after the other on the same broker; then each once more to recover its tables."""
    bootstrap = kafka.bootstrap
    load.make_topics(bootstrap, {**load.input_topic(), **load.changelogs("engine")})
    say(f"producing {n:,} events …")
    load.produce(bootstrap, TOPIC, n)
    engine = worker("engine", bootstrap, "engine", n)
    again = worker("engine", bootstrap, "engine", n)
    right = exact(bootstrap, "engine", n)
    asyncio.run(admin.delete(bootstrap, [TOPIC]))
    load.make_topics(bootstrap, {**load.input_topic(), **load.changelogs("stock")})
    load.produce(bootstrap, TOPIC, stock_n)
    stock = worker("stock", bootstrap, "stock", stock_n)
    stock_again = worker("stock", bootstrap, "stock", stock_n)
    stock_records = sum(1 for name in load.changelogs("stock") for _ in load.read_all(bootstrap, name))
    rate, stock_rate = n / engine["seconds"], stock_n / stock["seconds"]
    recovery = again["recovered"] / again["recovery_s"]
    # Stock: what a start with tables to recover takes longer than one without.
    stock_recovery = stock_records / max(stock_again["start_s"] - stock["start_s"], 1e-3)
    return {
        "events": n,
        "stock_events": stock_n,
        "events_per_s": round(rate),
        "cpu_s_per_million": round(engine["cpu_s"] / n * 1e6, 2),
        "peak_rss_mb": round(engine["peak_rss_mb"]),
        "stock_events_per_s": round(stock_rate),
        "ratio_to_stock_faust": round(rate / stock_rate, 1),
        "recovery_records_per_s": round(recovery),
        "stock_recovery_records_per_s": round(stock_recovery),
        "recovery_ratio_to_stock_faust": round(recovery / stock_recovery, 1),
        "exact": right,
    }


def pipeline(kafka: KafkaServer, n: int, engine_rate: float) -> dict[str, Any]:
    """All agents with the example rules, beside the engine's job."""
    asyncio.run(admin.create(kafka.bootstrap, topics.layout("pipeline", load.PARTITIONS)))
    load.produce(kafka.bootstrap, topics.REPLIES, n)
    figures = worker("pipeline", kafka.bootstrap, "pipeline", n)
    rate = n / figures["seconds"]
    return {
        "events_per_s": round(rate),
        "cpu_s_per_million": round(figures["cpu_s"] / n * 1e6, 2),
        "peak_rss_mb": round(figures["peak_rss_mb"]),
        "ratio_to_engine_job": round(rate / engine_rate, 2),
    }


def readmodel(kafka: KafkaServer, n: int, rounds: int = 2) -> dict[str, Any]:
    """All agents with a Redis and scrapes, beside the same without, in turns on the same input."""
    took: dict[str, list[dict[str, float]]] = {"pipeline": [], "readmodel": []}
    for turn in range(rounds):
        for job, figures in took.items():
            layout = topics.layout(f"{job}-{turn}", load.PARTITIONS)
            asyncio.run(admin.delete(kafka.bootstrap, [topic.name for topic in layout]))
            asyncio.run(admin.create(kafka.bootstrap, layout))
            load.produce(kafka.bootstrap, topics.REPLIES, n)
            figures.append(worker(job, kafka.bootstrap, f"{job}-{turn}", n))
    best = {job: min(each["cpu_s"] for each in figures) for job, figures in took.items()}
    fastest = {job: min(each["seconds"] for each in figures) for job, figures in took.items()}
    return {
        "events_per_s": round(n / fastest["readmodel"]),
        "throughput_ratio": round(fastest["pipeline"] / fastest["readmodel"], 2),
        "cpu_ratio": round(best["readmodel"] / best["pipeline"], 2),
    }


def latencies(kafka: KafkaServer, rate: int) -> dict[str, Any]:
    """From a reply produced to its alert consumed, on topics of its own."""
    layout = topics.layout(f"latency-{rate}", load.PARTITIONS)
    asyncio.run(admin.delete(kafka.bootstrap, [topic.name for topic in layout]))
    asyncio.run(admin.create(kafka.bootstrap, layout))
    say(f"latency at {rate:,} events/s …")
    return latency.measure(kafka.bootstrap, f"latency-{rate}", rate)


def on_kafka(kafka: KafkaServer, wanted: list[str], n: int, stock_n: int, customers: int) -> dict[str, Any]:
    """What needs a broker."""
    result: dict[str, Any] = {}
    if "engine" in wanted or "pipeline" in wanted:
        result |= engine_and_stock(kafka, n, stock_n)
    if "pipeline" in wanted:
        result["pipeline"] = pipeline(kafka, n, result["events_per_s"])
    if "readmodel" in wanted:
        result["readmodel"] = readmodel(kafka, n)
    if "latency" in wanted:
        result["latency"] = [latencies(kafka, rate) for rate in (2_000, 10_000)]
    if "api" in wanted:
        say("api …")
        result["api"] = api.measure(kafka.bootstrap)
    if "scale" in wanted:
        say(f"scale: {customers:,} customers …")
        result["scale"] = scale.measure(kafka.bootstrap, customers)
    return result


ON_KAFKA = ("engine", "pipeline", "readmodel", "latency", "api", "scale")
ALONE: dict[str, Callable[[], Any]] = {
    "measures": measures.measure,
    "compute": compute.measure,
    "backtest": backtest.measure,
    "alarms": alarms.measure,
    "rules": rules.measure,
    "timers": timers.measure,
    "profiles": profiles.measure,
    "scrape": scrape.measure,
    "value": measure_value,
}


def main() -> None:
    """Run all of it, or what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--stock-events", type=int, default=100_000, help="stock Faust gets fewer: it is slow"
    )
    parser.add_argument("--only", choices=[*ON_KAFKA, *ALONE], action="append")
    parser.add_argument("--customers", type=int, default=100_000, help="of scale; a million is the full size")
    parser.add_argument("--seeds", type=int, default=20, help="of alarms")
    given = parser.parse_args()
    alone = ALONE | {"alarms": partial(alarms.measure, given.seeds)}
    wanted = given.only or [*ON_KAFKA, *ALONE]
    result: dict[str, Any] = {}
    for name in wanted:
        if name in ALONE:
            say(f"{name} …")
            result[name] = alone[name]()
    if any(name in ON_KAFKA for name in wanted):
        with KafkaServer() as kafka:  # one broker for all: a fresh JVM is slow for its first minute
            result |= on_kafka(kafka, wanted, given.events, given.stock_events, given.customers)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
