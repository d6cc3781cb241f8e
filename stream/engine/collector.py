"""Python's cycle collector, run between batches instead of in the middle of them."""

from __future__ import annotations

import gc
from typing import Any

from mode import Service


class Collector(Service):
    """Takes the cycle collector off the hot path of this process.

    A batch makes tens of thousands of objects, none of them in a cycle, and the collector walks all of them
    again and again: on the benchmark job it took a quarter of the CPU time. Cycles come from tasks and
    exceptions alone, a few a second, so a collection every ``every_s`` seconds, and a full one every
    ``full_every`` of those, keeps memory as bounded as before. What exists at the start is never walked.

    This is a setting of the whole process: for a worker that owns it, not for an app inside a larger program.
    """

    mundane_level = "debug"  # starting and stopping is no news

    def __init__(self, *, every_s: float = 5.0, full_every: int = 12, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._every_s = every_s
        self._full_every = full_every

    async def on_start(self) -> None:
        """Set aside what is there and switch automatic collection off."""
        gc.collect()
        gc.freeze()
        gc.disable()

    async def on_stop(self) -> None:
        """Put the collector back as Python has it."""
        gc.unfreeze()
        gc.enable()

    @Service.task
    async def _collect(self) -> None:
        rounds = 0
        while not self.should_stop:
            await self.sleep(self._every_s)
            rounds += 1
            gc.collect(2 if rounds % self._full_every == 0 else 1)
