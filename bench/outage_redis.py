"""Redis stopped, killed and emptied under a worker: what the streams notice of it, and when it says all again.

A real Kafka, a real Redis, ``cx worker`` as it is installed. Two ways:

- **steady**: events at a rate far below what the worker can do, with their time the clock's. Each fault in turn;
  from Redis' return on it is looked until it says of every customer, slice and alert at least what the tables and
  topics held at the return, while the load goes on. When the load has ended it must say exactly what they do.
- **saturated**: the same backlog worked off again and again, with Redis fine, stopped, killed, emptied in turns,
  so that the machine's drift befalls all alike. Rates are over the same time from the first commit.

Nothing is lost where the customers table counts, for each customer, exactly the events that were sent.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Producer, TopicPartition

from bench.api import cpu_s
from bench.load import events, read_all
from stream import topics
from stream.brokers.kafka import KafkaServer
from tests.e2e.equality import Tables, alerts_in, customers_in, newest_in
from tests.e2e.harness import PARTITIONS, Deployment, WorkerProcess
from tests.e2e.records import consumer_of
from tests.serving.conftest import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RATE: Final = 2_500
CUSTOMERS: Final = 10_000
WARM_S: Final = 30.0
CALM_S: Final = 20.0
KILLED_S: Final = 10.0
LOOK_S: Final = 300.0
CX: Final = (sys.executable, "-m", "stream.cli")
FINE: Final = "fine"
FAULTS: Final = ("stopped", "killed", "emptied")
RULES: Final = """
slices: [[segment], [touchpoint, channel]]
groups:
  - name: outages
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 5m, below: 0, min_n: 20, resolve: {above: 2}}
      - {alert: CsatFell, metric: csat, by: [touchpoint, channel], window: 5m,
         drop: {points: 20, from: 1h}, min_n: 10}
      - {alert: BigPurchase, on: touchpoint, when: {kind: purchase, value: {gte: 99.9}}}
"""


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


class Load(threading.Thread):
    """Sends events, a rate of so many a second or as fast as it goes; counts them by customer."""

    def __init__(self, bootstrap: str, number: int, rate: int | None = None) -> None:
        super().__init__(daemon=True)
        self.sent: Counter[str] = Counter()
        self.over = threading.Event()
        self._number, self._rate = number, rate
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def run(self) -> None:
        """Send until all is sent, or told that it is over."""
        began = time.time()
        timing = {} if self._rate is None else {"start_ms": int(began * 1000), "step_ms": 1000 / self._rate}
        for number, (customer, text) in enumerate(events(self._number, customers=CUSTOMERS, **timing)):
            self._producer.produce(topics.INPUTS[number % 2], text, customer)
            self.sent[customer] += 1
            if number % 50 == 0:
                self._producer.poll(0)
                if self.over.is_set():
                    break
                if self._rate is not None:
                    time.sleep(max(0.0, began + number / self._rate - time.time()))
        self._producer.flush(60)


@dataclass(frozen=True)
class Look:
    """How far the group was: records committed and records there, of both inputs; ``at`` is monotonic."""

    at: float
    committed: int
    end: int


class Watch(threading.Thread):
    """Looks about every 0.1 s how far the group has committed."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(daemon=True)
        self._consumer = consumer_of(deployment.bootstrap, deployment.app_id)
        self._partitions = [tp for name in topics.INPUTS for tp in deployment.partitions(name)]
        self._over = threading.Event()
        self.looks: list[Look] = []

    def run(self) -> None:
        """Look until told that it is over."""
        while not self._over.wait(0.1):
            at = time.monotonic()
            asked = [TopicPartition(tp.topic, tp.partition) for tp in self._partitions]
            committed = sum(max(tp.offset, 0) for tp in self._consumer.committed(asked, timeout=20))
            end = sum(self._consumer.get_watermark_offsets(tp, timeout=20)[1] for tp in self._partitions)
            self.looks.append(Look(at, committed, end))
        self._consumer.close()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def until(self, what: str, condition: Callable[[Look], bool], within: float) -> Look:
        """The first look from now on of which it is true."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.looks and condition(self.looks[-1]):
                return self.looks[-1]
            time.sleep(0.05)
        raise TimeoutError(f"not within {within:g} s: {what}; {self.looks[-1:]}")

    def between(self, begin: float, end: float) -> dict[str, float]:
        """The most that was waiting, and the longest time in which the commits did not move."""
        looks = [look for look in self.looks if begin <= look.at <= end]
        moved = [looks[0].at, *(b.at for a, b in pairwise(looks) if b.committed > a.committed), looks[-1].at]
        return {
            "longest_gap_s": round(max(b - a for a, b in pairwise(moved)), 2),
            "largest_lag": max(look.end - look.committed for look in looks),
        }


class Redis(RedisProcess):
    """A server that can be stopped without its knowing."""

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process is None:
            raise RuntimeError("no Redis runs")
        self.process.send_signal(number)

    def fault(self, name: str, seconds: float) -> Iterator[float]:
        """Do it, and yield how long it lasts; then undo it."""
        if name == "stopped":
            self.signal(signal.SIGSTOP)
            yield seconds
            self.signal(signal.SIGCONT)
        elif name == "killed":
            self.kill()
            yield min(seconds, KILLED_S)
            self.start()
        elif name == "emptied":
            yield 0.0
            with self.client() as client:
                client.flushall()
        else:
            yield 0.0


def tables(deployment: Deployment) -> Tables:
    """What there is to say now."""

    def records(topic: str) -> Iterator[tuple[str, bytes]]:
        for _, key, text in read_all(deployment.bootstrap, topic):
            if text is not None:
                yield key.decode(), text

    return Tables(
        customers_in(records(deployment.changelog(topics.CUSTOMERS_TABLE))),
        newest_in(records(topics.METRICS)),
        alerts_in(records(topics.ALERTS)),
    )


def lost(sent: Counter[str], found: Tables) -> int:
    """Events that the table counts too few of a customer, or too many."""
    counted = {key: each.events for key, each in found.customers.items()}
    return sum(abs(counted.get(key, 0) - sent[key]) for key in counted.keys() | sent.keys())


def said_after(look: Callable[[], list[str]], since: float) -> float | None:
    """Seconds from then until nothing was different; None: not within reason."""
    while time.monotonic() - since < LOOK_S:
        if not (wrong := look()):
            return round(time.monotonic() - since, 1)
        time.sleep(0.2)
    say(f"  still different: {len(wrong)}, such as {wrong[:3]}")
    return None


def worker_of(deployment: Deployment, redis: Redis) -> WorkerProcess:
    """A worker as operators start it, but for how soon a silent input counts as idle."""
    env = {
        **deployment.env,
        "CX_REDIS_URL": redis.url,
        "CX_COMMIT_INTERVAL_MS": "1000",
    }
    return WorkerProcess(env, deployment.folder, program=CX)


def stop(worker: WorkerProcess) -> None:
    """End a worker in good order."""
    if worker.stop() != 0:
        raise RuntimeError(worker.log[-4000:])


def steady(kafka: KafkaServer, folder: Path, seconds: float) -> dict[str, Any]:
    """Each fault in turn under one worker and a steady load."""
    deployment = Deployment(kafka.bootstrap, folder, RULES).create()
    with ExitStack() as opened:
        redis = Redis(folder)
        redis.start()
        opened.callback(redis.kill)
        opened.callback(deployment.close)
        worker = opened.enter_context(worker_of(deployment, redis)).wait_ready()
        load, watch = Load(kafka.bootstrap, sys.maxsize, RATE), Watch(deployment)
        watch.start()
        load.start()
        time.sleep(WARM_S)
        result: dict[str, Any] = {"rate": RATE, "customers": CUSTOMERS}
        for name in (FINE, *FAULTS):
            calm = time.monotonic()
            time.sleep(CALM_S)
            began = time.monotonic()
            for lasts in redis.fault(name, seconds):
                say(f"  steady: Redis {name} …")
                time.sleep(lasts)
            back = time.monotonic()
            wanted = tables(deployment)
            after = said_after(lambda wanted=wanted: wanted.not_yet(redis.url), back)  # type: ignore[misc]
            result[name] = {
                "calm": watch.between(calm, began),
                "away_s": round(back - began, 1),
                # While it is away, and a minute on: writing all again must not be in the way either.
                "fault": watch.between(began, max(time.monotonic(), back)),
                "says_all_after_s": after,
            }
            say(f"  {result[name]}")
        load.over.set()
        load.join()
        ended = time.monotonic()
        deployment.drained(worker)
        watch.stop()
        final = tables(deployment)
        return result | {
            "events": load.sent.total(),
            "alerts": len(final.alerts),
            "lost": lost(load.sent, final),
            "equal_after_load_s": said_after(lambda: final.differences(redis.url), ended),
        }


def backlog(
    kafka: KafkaServer, folder: Path, redis: Redis, sent: Counter[str], fault: str, seconds: float
) -> dict[str, Any]:
    """One run over what is in the inputs."""
    deployment = Deployment(kafka.bootstrap, folder, RULES).create(keep_inputs=True)
    number = sent.total()
    with redis.client() as client:
        client.flushall()
    with ExitStack() as opened:
        opened.callback(deployment.close)
        watch = Watch(deployment)
        watch.start()
        worker = opened.enter_context(worker_of(deployment, redis))
        first = watch.until("first commit", lambda look: look.committed > 0, 120)
        before = cpu_s(worker.process.pid)
        for lasts in redis.fault(fault, seconds):
            time.sleep(lasts or seconds / 4)
        back = time.monotonic()
        if (left := first.at + seconds - back) > 0:
            time.sleep(left)
        cpu, at = cpu_s(worker.process.pid) - before, time.monotonic()
        reached = [look for look in watch.looks if first.at <= look.at <= at]
        done = next((look for look in reached if look.committed == number), reached[-1])
        last = watch.until("backlog", lambda look: look.committed == number, 900)
        deployment.drained(worker)
        settled = time.monotonic()
        watch.stop()
        final = tables(deployment)
        figures = {
            "events_per_s": round((done.committed - first.committed) / (done.at - first.at)),
            "cpu_s_per_million": round(cpu / (done.committed - first.committed) * 1e6, 2),
            "over_s": round(done.at - first.at, 1),
            "all_s": round(last.at - first.at, 1),
            "longest_gap_s": watch.between(first.at, done.at)["longest_gap_s"],
            "lost": lost(sent, final),
            "alerts": len(final.alerts),
            "equal_after_s": said_after(lambda: final.differences(redis.url), max(back, settled)),
        }
        stop(worker)
    say(f"  saturated, {fault}: {figures}")
    return figures


def saturated(kafka: KafkaServer, folder: Path, seconds: float, number: int, rounds: int) -> dict[str, Any]:
    """The same backlog again and again."""
    Deployment(kafka.bootstrap, folder, RULES).create().close()
    load = Load(kafka.bootstrap, number)
    load.start()
    load.join()
    redis = Redis(folder)
    redis.start()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in (FINE, *FAULTS)}
    try:
        for _ in range(rounds):
            for name, figures in runs.items():
                figures.append(backlog(kafka, folder, redis, load.sent, name, seconds))
    finally:
        redis.kill()
    rate = {name: mean(each["events_per_s"] for each in figures) for name, figures in runs.items()}
    cpu = {name: mean(each["cpu_s_per_million"] for each in figures) for name, figures in runs.items()}
    return {
        "events": number,
        "throughput_ratio": {name: round(rate[name] / rate[FINE], 3) for name in FAULTS},
        "cpu_ratio": {name: round(cpu[name] / cpu[FINE], 3) for name in FAULTS},
        "lost": sum(each["lost"] for figures in runs.values() for each in figures),
        "runs": runs,
    }


def measure(
    seconds: float = 60.0,
    number: int = 2_000_000,
    rounds: int = 2,
    ways: Sequence[str] = ("steady", "saturated"),
) -> dict[str, Any]:
    """Both ways, or those asked for; Redis is stopped for so many seconds."""
    result: dict[str, Any] = {"seconds": seconds, "partitions": PARTITIONS}
    with TemporaryDirectory() as folder, KafkaServer() as kafka:
        if "steady" in ways:
            result["steady"] = steady(kafka, Path(folder), seconds)
        if "saturated" in ways:
            result["saturated"] = saturated(kafka, Path(folder), seconds, number, rounds)
    return result
