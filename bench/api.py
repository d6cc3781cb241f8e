"""``cx serve`` as one process: reads at a steady rate, and ingest in batches; on a real Kafka and a real Redis.

Reads come at moments that do not wait for answers, 500 a second over 32 connections, and each is timed from when
it was due. Ingest is as fast as sixteen connections go, each waiting for the answer to its batch of a hundred. The
client is this process; it shares the processors with server, Kafka and Redis. So beside the clock there is what
the server itself took of a processor: it says what one process can do where it has one to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from redis import Redis

from bench import load
from stream import topics
from stream.brokers import admin
from stream.brokers.embedded import EmbeddedRedis
from stream.measures import slice_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RATE = 500
SECONDS = 20
CONNECTIONS = 32
BATCH = 100
SENDERS = 16
SLICES = 500
WINDOWS = ("5m", "1h", "24h", "7d", "30d", "90d")
READS = (
    "/v1/metrics?by=whole",
    "/v1/metrics?by=segment&metric=nps",
    "/v1/metrics?segment=s7",
    "/v1/metrics?limit=20",
    "/v1/alerts",
    "/v1/alerts?state=all",
    "/v1/rules",
    "/v1/silences",
)


class Connection:
    """HTTP/1.1 over one connection, one request at a time: a client that costs little."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer)
        content = await self._reader.readexactly(int(length[1])) if length else b""
        return int(answer[9:12]), content

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def fill(bootstrap: str, redis_url: str) -> None:
    """Values of many slices in Redis, and some alerts on Kafka, as workers write them."""
    value = {
        "value": 12.5,
        "n": 240,
        "interval": [4.1, 20.9],
        "confidence": 0.95,
        "parts": {"promoters": 0.4},
    }
    metrics = {name: dict.fromkeys(WINDOWS, value) for name in ("nps", "csat", "ces")}
    held = {}
    for number in range(SLICES):
        members = {"segment": f"s{number}"} if number else {}
        said = {"slice": members, "as_of": "2026-01-12T08:00:00Z", "final": True, "metrics": metrics}
        held[slice_key(members)] = json.dumps(said)
    with Redis.from_url(redis_url) as redis:
        redis.hset(topics.REDIS_METRICS, mapping=held)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for number in range(300):
        producer.produce(topics.ALERTS, json.dumps(alert(number)), f"{number:016x}")
    producer.flush(30)


def alert(number: int) -> dict[str, Any]:
    """An alert that fires."""
    at = "2026-01-12T08:00:00Z"
    data = {
        "alert": "NpsLow", "state": "firing", "reason": "first_crossing", "fingerprint": f"{number:016x}",
        "labels": {"segment": f"s{number}"}, "annotations": {}, "starts_at": at, "ends_at": None, "as_of": at,
        "claim": {"metric": "nps", "window": "1h", "value": 1.0, "n": 50, "below": 30.0},
    }  # fmt: skip
    head = {"specversion": "1.0", "id": str(number), "source": "cx-pulse", "type": "cx.alert.firing.v1"}
    return {
        **head,
        "time": at,
        "subject": f"nps{{segment=s{number}}}",
        "severitytext": "critical",
        "data": data,
    }


@contextlib.asynccontextmanager
async def serving(bootstrap: str, redis_url: str, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A server; its port and process."""
    log = folder / "serve.log"
    env = {name: text for name, text in os.environ.items() if not name.startswith("CX_")}
    env |= {"CX_BROKERS": bootstrap, "CX_REDIS_URL": redis_url, "CX_API_PORT": "0", "CX_API_RATE": "1000000"}
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment, and nothing else is done
            [sys.executable, "-m", "stream.cli", "serve"], env=env, stderr=out, stdout=out, cwd=folder
        )
    try:
        port = 0
        while not port:
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            await asyncio.sleep(0.1)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
            port = int(found[1]) if found else 0
        one = Connection(port)
        while True:
            with contextlib.suppress(OSError):
                await one.open()
                if (await one.ask("GET", "/health/ready"))[0] == 200:
                    break
            await asyncio.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def cpu_s(pid: int) -> float:
    """What a process has taken of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def reads(port: int, pid: int) -> dict[str, Any]:
    """Reads at a steady rate, each timed from when it was due."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connection = Connection(port)
        await connection.open()
        free.put_nowait(connection)
    took: list[float] = []
    wrong = 0

    async def one(number: int, due: float) -> None:
        nonlocal wrong
        connection = await free.get()
        status, _ = await connection.ask("GET", READS[number % len(READS)])
        wrong += status != 200
        took.append(time.perf_counter() - due)
        free.put_nowait(connection)

    before = cpu_s(pid)
    begin = time.perf_counter() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(RATE * SECONDS):
            due = begin + number / RATE
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number, due))
    cpu_ms = (cpu_s(pid) - before) * 1000 / len(took)
    took = sorted(took[RATE:])  # the first second warms up
    at: Callable[[float], float] = lambda share: round(took[int(share * (len(took) - 1))] * 1000, 2)  # noqa: E731
    return {
        "per_s": RATE,
        "failed": wrong,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "cpu_ms_each": round(cpu_ms, 3),
    }


async def ingest(port: int, pid: int) -> dict[str, Any]:
    """Batches as fast as they are answered."""
    events = [value for _, value in load.events(BATCH * 50)]
    bodies = [b"[" + b",".join(events[at : at + BATCH]) + b"]" for at in range(0, len(events), BATCH)]
    until = time.perf_counter() + SECONDS
    done = 0
    took: list[float] = []

    async def send(number: int) -> None:
        nonlocal done
        connection = Connection(port)
        await connection.open()
        while (began := time.perf_counter()) < until:
            status, answer = await connection.ask("POST", "/v1/events", bodies[number % len(bodies)])
            if status != 200:
                raise RuntimeError(answer.decode())
            took.append(time.perf_counter() - began)
            done += BATCH
            number += 1
        connection.close()

    before = cpu_s(pid)
    began = time.perf_counter()
    await asyncio.gather(*(send(number) for number in range(SENDERS)))
    seconds = time.perf_counter() - began
    took.sort()
    return {
        "events_per_s": round(done / seconds),
        "events_per_cpu_s": round(done / (cpu_s(pid) - before)),
        "batch": BATCH,
        "p50_ms": round(took[len(took) // 2] * 1000, 1),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
    }


async def _measure(bootstrap: str) -> dict[str, Any]:
    layout = topics.layout("api", load.PARTITIONS)
    await admin.delete(bootstrap, [topic.name for topic in layout])
    await admin.create(bootstrap, layout)
    with EmbeddedRedis() as redis, TemporaryDirectory() as folder:
        fill(bootstrap, redis.url)
        async with serving(bootstrap, redis.url, Path(folder)) as (port, pid):
            busy = os.getloadavg()[0]
            return {
                "processors": os.cpu_count(),
                "load_before": round(busy, 1),
                "reads": await reads(port, pid),
                "ingest": await ingest(port, pid),
            }


def measure(bootstrap: str) -> dict[str, Any]:
    """Both, one after the other."""
    return asyncio.run(_measure(bootstrap))
