"""A load of events that is counted, and a look at how far a worker's group has committed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer, TopicPartition

from bench.load import events
from stream import topics
from tests.e2e.records import consumer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Deployment

CUSTOMERS: Final = 10_000


class Load(threading.Thread):
    """Sends events, a rate of so many a second or as fast as it goes; counts them by customer."""

    def __init__(
        self, bootstrap: str, number: int, rate: int | None = None, customers: int = CUSTOMERS
    ) -> None:
        super().__init__(daemon=True)
        self.sent: Counter[str] = Counter()
        self.over = threading.Event()
        self._number, self._rate, self._customers = number, rate, customers
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
        for number, (customer, text) in enumerate(events(self._number, customers=self._customers, **timing)):
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
