"""From a reply produced to its customer alert consumed, at a steady rate."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from stream import topics

RULES = """
slices: [[segment], [touchpoint, channel]]
groups:
  - name: latency
    rules:
      - alert: Unhappy
        on: reply
        when: {metric: nps, score: {lte: 0}}
      - alert: NpsLow
        metric: nps
        by: [segment]
        window: 1h
        below: -100
"""

CUSTOMERS = 20_000
HEAD = (
    b'{"event_id":"%s","customer_id":"%s","occurred_at":%d,"segment":"vip","touchpoint":"support",'
    b'"channel":"chat","stage":"engage","region":"it-lombardia",'
)
REPLY = HEAD + b'"metric":"nps","score":%d,"survey":"after-contact"}'
TOUCHPOINT = HEAD + b'"kind":"session_started"}'


class Listener(threading.Thread):
    """Reads ``cx.alerts`` and notes when the alert of each reply was seen."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench-latency", "fetch.wait.max.ms": 5}
        )
        parts = self._consumer.list_topics(topics.ALERTS).topics[topics.ALERTS].partitions
        self._consumer.assign([TopicPartition(topics.ALERTS, p, 0) for p in parts])
        self.seen: dict[str, float] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Read until told that it is over."""
        decode = msgspec.json.decode
        while not self.over.is_set():
            for message in self._consumer.consume(500, 0.01):
                now = time.perf_counter()
                event: dict[str, Any] = decode(message.value())
                self.seen.setdefault(event["data"]["claim"].get("event_id", ""), now)
        self._consumer.close()


def feed(bootstrap: str, rate: int, seconds: float, run: str) -> dict[str, float]:
    """Produce replies and touchpoints at a rate; returns when each reply that must alert was produced."""
    rng = random.Random(1)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2, "partitioner": "murmur2_random"})
    sent: dict[str, float] = {}
    began = time.perf_counter()
    total = int(rate * seconds)
    done = 0
    while done < total:
        due = min(total, int((time.perf_counter() - began) * rate) + 1)
        for i in range(done, due):
            customer = b"customer-%08d" % rng.randrange(CUSTOMERS)
            event_id = b"%s-%d" % (run.encode(), i)
            now_ms = int(time.time() * 1000)
            if i % 2:
                alerts = i % 40 == 1
                producer.produce(
                    topics.REPLIES, REPLY % (event_id, customer, now_ms, 0 if alerts else 9), customer
                )
                if alerts:
                    sent[event_id.decode()] = time.perf_counter()
            else:
                producer.produce(topics.TOUCHPOINTS, TOUCHPOINT % (event_id, customer, now_ms), customer)
        done = due
        producer.poll(0)
        time.sleep(0.001)
    producer.flush()
    return sent


def measure(
    bootstrap: str, app_id: str, rate: int, seconds: float = 15.0, warm_up: float = 30.0
) -> dict[str, Any]:
    """Start a worker, feed it, and give p50, p90 and p99 in milliseconds."""
    with TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yml"
        rules.write_text(RULES)
        port = 19464
        worker = subprocess.Popen(
            [sys.executable, "-m", "stream.cli", "worker"],
            env={
                **os.environ,
                "CX_BROKERS": bootstrap,
                "CX_APP_ID": app_id,
                "CX_REDIS_URL": "",
                "CX_RULES": str(rules),
                "CX_HTTP_PORT": str(port),
                "CX_LOG_LEVEL": "ERROR",
            },
        )
        try:
            _until_ready(port)
            listener = Listener(bootstrap)
            listener.start()
            feed(bootstrap, rate, warm_up, f"warm-{app_id}")
            sent = feed(bootstrap, rate, seconds, app_id)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not sent.keys() <= listener.seen.keys():
                time.sleep(0.05)
            listener.over.set()
            listener.join()
        finally:
            worker.terminate()
            worker.wait(30)
    took = sorted(1000 * (listener.seen[name] - at) for name, at in sent.items() if name in listener.seen)
    return {
        "rate": rate,
        "alerts": len(sent),
        "missing": len(sent) - len(took),
        **{f"p{q}_ms": round(took[min(len(took) - 1, len(took) * q // 100)], 1) for q in (50, 90, 99)},
    }


def _until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the worker did not become ready")
