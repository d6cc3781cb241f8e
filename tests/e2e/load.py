"""Traffic that keeps coming while things break."""

from __future__ import annotations

import threading
import time

from tests.e2e.records import Feed, chunks
from tests.e2e.traffic import traffic


class Load:
    """Feeds traffic at a steady rate from a thread of its own until told to stop."""

    def __init__(self, bootstrap: str, seed: int, at_least: int, per_second: int) -> None:
        self.feed = Feed(bootstrap)
        self._at_least = at_least
        self._per_second = per_second
        self._records = traffic(seed)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failed: list[BaseException] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Feed to ``at_least``, no further than what has been fed by now; all is on the broker then."""
        self._enough.set()
        self._thread.join(120)
        assert not self._failed, self._failed
        self.feed.flush()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for chunk in chunks(self._records, self._per_second // 20):
                self.feed.send(chunk)
                ahead = self.feed.sent / self._per_second - (time.monotonic() - began)
                if self._enough.wait(max(0.0, ahead)) and self.feed.sent >= self._at_least:
                    return
        except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
            self._failed.append(error)
