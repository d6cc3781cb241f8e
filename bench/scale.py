"""A base of customers in one worker: memory, recovery and throughput, in memory and in RocksDB; and stock Faust.

The state is made by the pipeline itself from simulated customers. A tenth of the base has a month behind them with
two events a day, the others one to a few events in all. It is written to the changelog of the customers table, as
a worker would have done, and a worker starts from it. Then come events of customers at random, which is the worst
that can happen to a cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from bench import load, profiles
from stream import topics
from stream.brokers import admin
from stream.customers import decode, encode
from stream.deployment import load_book, pipeline_config
from stream.intake import partition_of
from stream.pipeline import CustomersPartition
from stream.pipeline.profiles import PROGRESS_KEY, Progress, packed
from stream.settings import Settings
from stream.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_MS = 24 * 3_600_000
MONTH_MS = 30 * DAY_MS
PEOPLE = 400
BUSY = 0.1
WITHIN_S = 900
STOCK = "scale-stock"
STOCK_TOPIC = "scale.stock"


class _Record:
    """A record of the log."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, offset: int, timestamp: int, key: bytes, value: bytes) -> None:
        self.offset, self.timestamp, self.key, self.value = offset, timestamp, key, value
        self.headers = ()


def settings(bootstrap: str, app_id: str, **more: Any) -> Settings:
    """What the worker runs with: what comes now and then is left out, it is measured elsewhere."""
    return Settings(
        brokers=bootstrap,
        app_id=app_id,
        redis_url=None,
        http_port=0,
        models_every="0",
        profile_every="1h",
        **more,
    )


def states(seed: int = 7) -> tuple[list[bytes], list[bytes]]:
    """Customers with a month behind them, and customers with few events, as a table holds them."""
    config = pipeline_config(made := settings("localhost", "scale"), load_book(made))
    table: dict[bytes, bytes] = {}
    part = CustomersPartition(0, config, None, table, {})
    offsets = dict.fromkeys(topics.INPUTS, 0)
    simulation = Simulation(
        seed, customers=PEOPLE, start_ms=load.START_MS, events_per_hour=PEOPLE * 2 / 24, disorder_ms=0
    )
    few: dict[bytes, bytes] = {}
    for count, each in enumerate(simulation.records()):
        if each.time_ms > load.START_MS + MONTH_MS:
            break
        record = _Record(offsets[each.topic], each.time_ms, each.key.encode(), each.value)
        offsets[each.topic] += 1
        table.update(part.run([(each.topic, [record])]).customers)  # type: ignore[list-item, arg-type]
        if count == 2 * PEOPLE:
            few = dict(table)
    return [_unseen(each) for each in table.values()], [_unseen(each) for each in few.values()]


def _unseen(state: bytes) -> bytes:
    """As if it had seen nothing of the logs of this run."""
    customer = decode(state)
    customer.stamp_t = customer.stamp_r = -1
    return encode(customer)


def base(customers: int, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """The customers table of a base."""
    rng = random.Random(seed)
    busy, few = states()
    for n in range(customers):
        yield b"customer-%08d" % n, rng.choice(busy if rng.random() < BUSY else few)


def fill(bootstrap: str, app_id: str, customers: int) -> int:
    """Write the changelogs; returns the bytes of keys and values."""
    producer = _producer(bootstrap)
    changelog = topics.changelog(app_id, topics.CUSTOMERS_TABLE)
    size = 0
    for n, (key, value) in enumerate(base(customers)):
        producer.produce(changelog, value, key, partition_of(key, load.PARTITIONS))
        size += len(key) + len(value)
        if n % 1_000 == 0:
            producer.poll(0)
    # Profiles of everybody go out once a day; not today.
    progress = packed(Progress(-1, -1, load.START_MS + MONTH_MS))
    for partition in range(load.PARTITIONS):
        producer.produce(topics.changelog(app_id, topics.PANES_TABLE), progress, PROGRESS_KEY, partition)
    producer.flush()
    return size


def send(bootstrap: str, customers: int, events: int) -> None:
    """Events of customers at random."""
    rng, producer = random.Random(2), _producer(bootstrap)
    for n, (one, value) in enumerate(load.events(events, start_ms=load.START_MS + MONTH_MS)):
        key = b"customer-%08d" % rng.randrange(customers)
        producer.produce(topics.REPLIES, value.replace(one.encode(), key), key)
        if n % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def _producer(bootstrap: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )


def rss_mb() -> float:
    """Memory of this process now, resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _run(app: Any, events: int) -> dict[str, float]:
    from bench.worker import committed, usage  # noqa: PLC0415 - start-up is part of what is measured

    before_mb = rss_mb()
    began = time.perf_counter()
    await app.start()
    recovery = app.tables.recovery
    await recovery.completed.wait()
    figures = {"start_s": time.perf_counter() - began, "rss_mb": rss_mb(), "empty_mb": before_mb}
    figures["recovered_cpu_s"] = time.process_time()
    figures["recovered"] = getattr(recovery, "records_total", 0)
    figures["recovery_s"] = getattr(recovery, "seconds_total", 0.0)
    began, busy = time.perf_counter(), time.process_time()
    if events:
        await committed(app, {topics.REPLIES: events}, WITHIN_S)
        figures["events_s"] = time.perf_counter() - began
        figures["events_cpu_s"] = time.process_time() - busy
    figures["rss_after_mb"] = rss_mb()
    await app.stop()
    return figures | usage()


def _work(job: str, bootstrap: str, events: int, folder: str) -> dict[str, float]:
    """In a process of its own."""
    if job == "stock":
        import faust  # noqa: PLC0415

        app = faust.App(
            STOCK,
            broker=f"kafka://{bootstrap}",
            store="memory://",
            web_enabled=False,
            autodiscover=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
        )
        app.Table("customers")

        @app.agent(app.topic(STOCK_TOPIC, value_serializer="raw"))
        async def nothing(stream: Any) -> None:
            async for _ in stream:
                pass

        return asyncio.run(_run(app, 0))
    from stream.app import Worker  # noqa: PLC0415

    more = {"store": "rocksdb", "data_dir": Path(folder)} if job == "rocksdb" else {}
    worker = Worker(settings(bootstrap, f"scale-{job}", **more), own_process=True)
    return asyncio.run(_run(worker.app, events))


def _process(job: str, bootstrap: str, events: int, folder: str = "") -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.scale", job, bootstrap, str(events), folder],
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("CX_")},
        check=True,
        text=True,
        timeout=WITHIN_S,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"  scale {job}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def _store(bootstrap: str, job: str, customers: int, events: int, folder: str) -> dict[str, Any]:
    """A worker that recovers a base and takes events in; and one more after it."""
    layout = topics.layout(f"scale-{job}", load.PARTITIONS)
    asyncio.run(admin.delete(bootstrap, [topic.name for topic in layout]))
    asyncio.run(admin.create(bootstrap, layout))
    size = fill(bootstrap, f"scale-{job}", customers)
    send(bootstrap, customers, events)
    first = _process(job, bootstrap, events, folder)
    again = _process(job, bootstrap, 0, folder)
    found: dict[str, Any] = {
        "state_bytes_per_customer": round(size / customers),
        "rss_mb": round(first["rss_mb"]),
        "bytes_per_customer": round((first["rss_mb"] - first["empty_mb"]) * 2**20 / customers),
        "rss_after_events_mb": round(first["rss_after_mb"]),
        "recovery_s": round(first["recovery_s"], 2),
        "recovery_records_per_s": round(first["recovered"] / first["recovery_s"]),
        "again_s": round(again["recovery_s"], 2),
        "again_records": round(again["recovered"]),
        "events_per_s": round(events / first["events_s"]),
        "event_cpu_us": round(first["events_cpu_s"] / events * 1e6, 1),
    }
    if folder:
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        found["disk_mb"] = round(sum(path.stat().st_size for path in files) / 2**20)
    return found


def _stock(bootstrap: str, customers: int) -> float:
    """Records a second of stock Faust's recovery: what a start with a table takes longer than one without."""
    changelog = f"{STOCK}-customers-changelog"
    load.make_topics(bootstrap, {STOCK_TOPIC: False, changelog: True})
    without = _process("stock", bootstrap, 0)
    producer = _producer(bootstrap)
    for n, (key, value) in enumerate(base(customers)):
        # Of the same size, in the JSON that stock Faust has by default.
        state = json.dumps(b64encode(value[: len(value) * 3 // 4]).decode()).encode()
        producer.produce(changelog, state, json.dumps(key.decode()), partition_of(key, load.PARTITIONS))
        if n % 1_000 == 0:
            producer.poll(0)
    producer.flush()
    return customers / max(_process("stock", bootstrap, 0)["start_s"] - without["start_s"], 1e-3)


def measure(bootstrap: str, customers: int = 100_000, events: int = 50_000) -> dict[str, Any]:
    """Both stores on the same base and the same events, one after the other, and stock Faust on a smaller base."""
    memory = _store(bootstrap, "memory", customers, events, "")
    folder = tempfile.mkdtemp(prefix="cx-scale-")
    try:
        rocksdb = _store(bootstrap, "rocksdb", customers, events, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    stock = _stock(bootstrap, min(customers, 50_000))
    return {
        "customers": customers,
        "events": events,
        "memory": memory,
        "rocksdb": rocksdb,
        "rocksdb_throughput_ratio": round(rocksdb["events_per_s"] / memory["events_per_s"], 2),
        "rocksdb_cpu_ratio": round(rocksdb["event_cpu_us"] / memory["event_cpu_us"], 2),
        "stock_recovery_records_per_s": round(stock),
        "recovery_ratio_to_stock_faust": round(memory["recovery_records_per_s"] / stock, 1),
        "profile_update_us": profiles.measure(3)["update_us"],
    }


if __name__ == "__main__":
    print(json.dumps(_work(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])), flush=True)
