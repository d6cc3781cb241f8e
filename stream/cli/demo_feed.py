"""Feeding the demo's broker: at the pace of event time, and never faster than the worker follows."""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.cli.problems import Problem
from stream.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream.cli.sending import Sender

# The embedded broker forgets what is not read in time; this much is well within what it keeps.
_AHEAD: Final = 10_000


class Fed(NamedTuple):
    """One record for an input topic."""

    topic: str
    key: bytes | None
    value: bytes
    time_ms: int


def simulated(seed: int, events: int | None) -> Iterator[Fed]:
    """A customer base with its incidents, a little disorder, and some bad, repeated and late records."""
    simulation = Simulation(seed, disorder_ms=2_000, bad=0.004, duplicates=0.01, late=0.005)
    for each in islice(simulation.records(), events):
        yield Fed(each.topic, each.key.encode(), each.value, each.time_ms)


class Feeder(threading.Thread):
    """Sends records in a thread of its own.

    Args:
        sender: where to.
        records: in event-time order, perhaps without end.
        speed: event time over wall time; None: as fast as the worker follows.

    Attributes:
        sent: records handed to the producer so far.
        processed: to be set by whoever knows how many the worker is done with.
        done: everything is sent and delivered.
        trouble: what ended it early.
    """

    def __init__(self, sender: Sender, records: Iterable[Fed], speed: float | None) -> None:
        super().__init__(name="cx-demo-feeder", daemon=True)
        self._sender = sender
        self._records = records
        self._speed = speed
        self._stopped = threading.Event()
        self.sent = 0
        self.processed = 0
        self.done = False
        self.trouble: str | None = None

    def run(self) -> None:
        """Send until the records end or `stop` is called."""
        try:
            self._feed()
        except Exception as error:  # noqa: BLE001 - told to the thread that watches
            self.trouble = f"{type(error).__name__}: {error}"

    def stop(self) -> None:
        """Send no more, and wait for the thread."""
        self._stopped.set()
        self.join(10)

    def check(self) -> None:
        """Raise `Problem` when sending failed."""
        if self.trouble is not None:
            raise Problem(f"feeding the broker failed: {self.trouble}")

    def _feed(self) -> None:
        began: float | None = None
        first_ms = 0
        for record in self._records:
            if began is None:
                began, first_ms = time.monotonic(), record.time_ms
            while self.sent - self.processed >= _AHEAD and not self._stopped.is_set():
                time.sleep(0.02)
            if self._speed is not None:
                due = began + (record.time_ms - first_ms) / 1000 / self._speed
                if (ahead := due - time.monotonic()) > 0:
                    self._stopped.wait(ahead)
            if self._stopped.is_set():
                return
            # The timestamp is the event's own: to the worker this looks like a day that goes by quickly.
            self._sender.put(record.topic, record.key, record.value, record.time_ms)
            self.sent += 1
        self._sender.flush()
        if self._sender.failed:
            raise OSError(f"{self._sender.failed.total()} records were not delivered")
        self.done = True
