"""Redis stopped, killed and emptied under a worker: what the streams notice of it, and when it says all again.

A real Kafka, a real Redis, ``cx worker`` as it is installed. Three ways:

- **steady**: events at a rate far below what the worker can do, with their time the clock's. Each fault in turn;
  from Redis' return on it is looked until it says of every customer, slice and alert at least what the tables and
  topics held at the return, while the load goes on. When the load has ended it must say exactly what they do.
- **saturated**: the same backlog worked off again and again, with Redis fine, stopped, killed, emptied in turns,
  so that the machine's drift befalls all alike. Rates are over the same time from the first commit.
- **turns**: one backlog, with Redis fine, stopped, stopped, fine for some seconds each, again and again: on a
  machine that others use as well the ratio of such neighbours is worth more than that of runs minutes apart.

Nothing is lost where the customers table counts, for each customer, exactly the events that were sent.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from bench.api import cpu_s
from bench.load import read_all
from bench.outage_load import CUSTOMERS, Load, Watch
from stream import topics
from stream.brokers.kafka import KafkaServer
from tests.e2e.equality import Tables, alerts_in, customers_in, newest_in
from tests.e2e.harness import PARTITIONS, Deployment, WorkerProcess
from tests.serving.conftest import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RATE: Final = 2_500
WARM_S: Final = 30.0
CALM_S: Final = 20.0
KILLED_S: Final = 10.0
TURN_S: Final = 12.0
SETTLE_S: Final = 4.0
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


def steady(kafka: KafkaServer, folder: Path, seconds: float, customers: int) -> dict[str, Any]:
    """Each fault in turn under one worker and a steady load."""
    deployment = Deployment(kafka.bootstrap, folder, RULES).create()
    with ExitStack() as opened:
        redis = Redis(folder)
        redis.start()
        opened.callback(redis.kill)
        opened.callback(deployment.close)
        worker = opened.enter_context(worker_of(deployment, redis)).wait_ready()
        load = Load(kafka.bootstrap, sys.maxsize, RATE, customers)
        watch = Watch(deployment)
        watch.start()
        load.start()
        time.sleep(WARM_S)
        result: dict[str, Any] = {"rate": RATE, "customers": customers}
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


def turns(kafka: KafkaServer, folder: Path, number: int) -> dict[str, Any]:
    """One worker over one backlog, Redis stopped in every second pair of turns."""
    deployment = Deployment(kafka.bootstrap, folder, RULES).create()
    load = Load(kafka.bootstrap, number)
    load.start()
    load.join()
    rates: dict[str, list[float]] = {"fine": [], "stopped": []}
    totals = {name: [0.0, 0.0, 0.0] for name in rates}  # events, seconds, CPU seconds
    with ExitStack() as opened:
        redis, watch = Redis(folder), Watch(deployment)
        redis.start()
        opened.callback(redis.kill)
        opened.callback(deployment.close)
        watch.start()
        worker = opened.enter_context(worker_of(deployment, redis))
        watch.until("first commit", lambda look: look.committed > 0, 120)
        for name in cycle(("fine", "stopped", "stopped", "fine")):
            redis.signal(signal.SIGSTOP if name == "stopped" else signal.SIGCONT)
            time.sleep(SETTLE_S)
            begin, cpu = watch.looks[-1], cpu_s(worker.process.pid)
            time.sleep(TURN_S)
            end, cpu = watch.looks[-1], cpu_s(worker.process.pid) - cpu
            if end.committed == number:
                break  # it had nothing to do at the end of this one
            did = (end.committed - begin.committed, end.at - begin.at, cpu)
            totals[name] = [a + b for a, b in zip(totals[name], did, strict=True)]
            rates[name].append(round(did[0] / did[1]))
            say(f"  turns, {name}: {rates[name][-1]:,} events/s")
        redis.signal(signal.SIGCONT)
        deployment.drained(worker)
        watch.stop()
        found = tables(deployment)
        stop(worker)
    rate = {name: done / seconds for name, (done, seconds, _) in totals.items()}
    cost = {name: cpu / done for name, (done, _, cpu) in totals.items()}
    return {
        "events": number,
        "throughput_ratio": round(rate["stopped"] / rate["fine"], 3),
        "cpu_ratio": round(cost["stopped"] / cost["fine"], 3),
        "lost": lost(load.sent, found),
        "events_per_s": rates,
    }


def measure(
    seconds: float = 60.0,
    number: int = 2_000_000,
    rounds: int = 2,
    ways: Sequence[str] = ("steady", "saturated", "turns"),
    customers: int = CUSTOMERS,
) -> dict[str, Any]:
    """All three ways, or those asked for: Redis stopped for some seconds, a steady load about some customers."""
    result: dict[str, Any] = {"seconds": seconds, "partitions": PARTITIONS}
    with TemporaryDirectory() as folder, KafkaServer() as kafka:
        if "steady" in ways:
            result["steady"] = steady(kafka, Path(folder), seconds, customers)
        if "saturated" in ways:
            result["saturated"] = saturated(kafka, Path(folder), seconds, number, rounds)
        if "turns" in ways:
            result["turns"] = turns(kafka, Path(folder), number)
    return result
